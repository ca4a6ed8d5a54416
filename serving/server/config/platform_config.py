"""How to load models: sessions, tags, batching and warm-up, from the flags or from a PlatformConfigMap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from serving.protocol.descriptors import POOL
from serving.server.config import protos
from serving.server.config.flags import Flags
from serving.server.config.model_config import PLATFORM, read_text_proto
from serving.server.rpc_error import invalid_argument
from serving.server.saved_model.saved_model_bundle import SERVE


@dataclass(frozen=True)
class Platform:
    """How to load models.

    Attributes:
      tags: tags of the MetaGraph.
      session: tf.compat.v1.ConfigProto.
      batching: BatchingParameters; None for no batching.
      warm_up_times: runs of each warm-up request; 0 for no warm-up.
    """

    tags: tuple[str, ...]
    session: Any
    batching: Any
    warm_up_times: int


def platform_from_flags(flags: Flags) -> Platform:
    """Read the platform from the flags and the files that they name.

    Raises:
      Fault: If a file cannot be read or parsed, or if flags exclude each other.
    """
    if flags.platform_config_file:
        return _from_file(flags.platform_config_file)
    batching = None
    if flags.enable_batching:
        batching = protos.BatchingParameters()
        if flags.batching_parameters_file:
            read_text_proto(flags.batching_parameters_file, batching)
        else:
            batching.thread_pool_name.value = "model_server_batch_threads"
    elif flags.batching_parameters_file:
        raise invalid_argument(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )
    times = max(1, flags.num_request_iterations_for_warmup) if flags.enable_model_warmup else 0
    return Platform(tuple(flags.saved_model_tags.split(",")), _session(flags), batching, times)


def _session(flags: Flags) -> Any:
    config = tf.compat.v1.ConfigProto()
    if flags.tensorflow_session_config_file:
        read_text_proto(flags.tensorflow_session_config_file, config)
    if flags.per_process_gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
    both = flags.tensorflow_session_parallelism
    intra, inter = flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
    if both > 0 and intra > 0 and inter > 0:
        raise invalid_argument(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, server_options.tensorflow_inter_op_parallelism) "
            "separately. You cannot configure all."
        )
    if intra <= 0 and inter <= 0:
        intra = inter = both
    if intra > 0:
        config.intra_op_parallelism_threads = intra
    if inter > 0:
        config.inter_op_parallelism_threads = inter
    return config


def _from_file(path: str) -> Platform:
    """Read the entry for `tensorflow` in a PlatformConfigMap."""
    platforms = read_text_proto(path, protos.PlatformConfigMap(), descriptor_pool=POOL).platform_configs
    if PLATFORM not in platforms:
        raise invalid_argument(f"PlatformConfigMap has no entry for platform {PLATFORM}")
    adapter = protos.SavedModelBundleSourceAdapterConfig()
    if not platforms[PLATFORM].source_adapter_config.Unpack(adapter):
        raise invalid_argument(f"Invalid protobuf file: '{path}'")
    bundle = adapter.legacy_config
    session = tf.compat.v1.ConfigProto.FromString(bundle.session_config.SerializeToString())
    batching = bundle.batching_parameters if bundle.HasField("batching_parameters") else None
    iterations = bundle.model_warmup_options.num_request_iterations
    times = max(1, iterations.value) if bundle.enable_model_warmup else 0
    return Platform(tuple(bundle.saved_model_tags) or SERVE, session, batching, times)
