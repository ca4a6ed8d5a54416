"""Sessions, batching, tags and warm-up from flags and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from serving.server.config import protos
from serving.server.config.flags import Flags
from serving.server.config.platform_config import platform_from_flags
from serving.server.rpc_error import Fault

BATCHING = "max_batch_size { value: 32 } allowed_batch_sizes: [8, 32] pad_variable_length_inputs: true"


def file(folder: Path, text: str) -> str:
    (folder / "file").write_text(text)
    return str(folder / "file")


def test_defaults() -> None:
    platform = platform_from_flags(Flags())
    assert platform.tags == ("serve",)
    assert platform.batching is None
    assert platform.warm_up_times == 1
    assert platform.session.ListFields() == []


@pytest.mark.parametrize(
    ("flags", "threads"),
    [
        ({"tensorflow_session_parallelism": 3}, (3, 3)),
        ({"tensorflow_intra_op_parallelism": 2}, (2, 0)),
        ({"tensorflow_intra_op_parallelism": 2, "tensorflow_inter_op_parallelism": 4}, (2, 4)),
        ({"tensorflow_intra_op_parallelism": 2, "tensorflow_session_parallelism": 3}, (2, 0)),
    ],
)
def test_threads_of_a_session(flags: dict[str, Any], threads: tuple[int, int]) -> None:
    session = platform_from_flags(Flags(**flags)).session
    assert (session.intra_op_parallelism_threads, session.inter_op_parallelism_threads) == threads


def test_all_three_kinds_of_threads_are_rejected() -> None:
    with pytest.raises(Fault, match="You cannot configure all."):
        platform_from_flags(
            Flags(
                tensorflow_session_parallelism=1, tensorflow_intra_op_parallelism=1, tensorflow_inter_op_parallelism=1
            )
        )


def test_flags_override_the_session_file(tmp_path: Path) -> None:
    path = file(tmp_path, "intra_op_parallelism_threads: 5 inter_op_parallelism_threads: 6 allow_soft_placement: true")
    session = platform_from_flags(
        Flags(
            tensorflow_session_config_file=path, tensorflow_intra_op_parallelism=2, per_process_gpu_memory_fraction=0.5
        )
    ).session
    assert (session.intra_op_parallelism_threads, session.inter_op_parallelism_threads) == (2, 6)
    assert session.allow_soft_placement
    assert session.gpu_options.per_process_gpu_memory_fraction == 0.5


def test_batching(tmp_path: Path) -> None:
    assert (
        platform_from_flags(Flags(enable_batching=True)).batching.thread_pool_name.value == "model_server_batch_threads"
    )
    path = file(tmp_path, BATCHING)
    assert platform_from_flags(
        Flags(enable_batching=True, batching_parameters_file=path)
    ).batching == text_format.Parse(BATCHING, protos.BatchingParameters())
    with pytest.raises(Fault) as caught:
        platform_from_flags(Flags(batching_parameters_file=path))
    assert str(caught.value) == (
        "INVALID_ARGUMENT: server_options.batching_parameters_file is set without setting "
        "server_options.enable_batching to true."
    )


@pytest.mark.parametrize(
    ("flags", "times"),
    [
        ({"num_request_iterations_for_warmup": 3}, 3),
        ({"num_request_iterations_for_warmup": -1}, 1),
        ({"num_request_iterations_for_warmup": 3, "enable_model_warmup": False}, 0),
    ],
)
def test_warm_up(flags: dict[str, Any], times: int) -> None:
    assert platform_from_flags(Flags(**flags)).warm_up_times == times


def test_the_platform_file_replaces_flags(tmp_path: Path) -> None:
    any_of = "[type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig]"
    bundle = f"""legacy_config {{
      session_config {{ intra_op_parallelism_threads: 5 gpu_options {{ allow_growth: true }} }}
      batching_parameters {{ {BATCHING} }}
      saved_model_tags: "serve" saved_model_tags: "gpu"
      enable_model_warmup: true
      model_warmup_options {{ num_request_iterations {{ value: 4 }} }}
    }}"""
    path = file(
        tmp_path,
        f"""platform_configs {{ key: "tensorflow" value {{ source_adapter_config {{ {any_of} {{ {bundle} }} }} }} }}""",
    )
    platform = platform_from_flags(
        Flags(platform_config_file=path, batching_parameters_file="ignored", saved_model_tags="x")
    )
    assert platform.tags == ("serve", "gpu")
    assert platform.session.intra_op_parallelism_threads == 5
    assert platform.session.gpu_options.allow_growth
    assert platform.batching.max_batch_size.value == 32
    assert platform.warm_up_times == 4


@pytest.mark.parametrize(
    "text", ["", 'platform_configs { key: "other" }', 'platform_configs { key: "tensorflow" }', "x"]
)
def test_platform_file_without_tensorflow(tmp_path: Path, text: str) -> None:
    with pytest.raises(Fault, match="PlatformConfigMap has no entry for platform tensorflow|Invalid protobuf file"):
        platform_from_flags(Flags(platform_config_file=file(tmp_path, text)))


def test_messages_that_the_api_leaves_out_read_as_documented() -> None:
    ssl = text_format.Parse('server_key: "k" server_cert: "c" custom_ca: "a" client_verify: true', protos.SSLConfig())
    assert (ssl.server_key, ssl.server_cert, ssl.custom_ca, ssl.client_verify) == ("k", "c", "a", True)
    monitoring = text_format.Parse('prometheus_config { enable: true path: "/m" }', protos.MonitoringConfig())
    assert (monitoring.prometheus_config.enable, monitoring.prometheus_config.path) == (True, "/m")
