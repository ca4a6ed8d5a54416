"""The command line: TensorFlow Serving's flags, with its names, its defaults and its syntax."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

_THREADS = 4 * (os.cpu_count() or 1)
_NOTHING = "Accepted, and does nothing here: "


def _flag(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Flags:
    """The server's command line; each attribute is the flag of that name, and its help text explains it."""

    port: int = _flag(8500, "gRPC port; 0 takes a free one and prints it in the first line on stdout.")
    bind: str = _flag("127.0.0.1", "Address to listen on, 0.0.0.0 for all. TensorFlow Serving has no such flag.")
    grpc_socket_path: str = _flag("", "UNIX socket to serve gRPC on, besides the port.")
    rest_api_port: int = _flag(0, "HTTP/REST port; 0 disables HTTP. Must differ from --port.")
    rest_api_num_threads: int = _flag(_THREADS, "Threads for HTTP/REST; 4 per CPU.")
    rest_api_timeout_in_ms: int = _flag(30000, "Time limit of an HTTP/REST request.")
    rest_api_enable_cors_support: bool = _flag(False, "Send CORS headers with the answers.")
    enable_batching: bool = _flag(False, "Run waiting requests together in one batch.")
    batching_parameters_file: str = _flag("", "Text BatchingParameters; needs --enable_batching.")
    enable_per_model_batching_parameters: bool = _flag(
        False, "Read each version's batching_params.pbtxt; a version without one is not batched."
    )
    model_config_file: str = _flag("", "Text ModelServerConfig: the models to serve, instead of the next two flags.")
    model_name: str = _flag("default", "Name that requests ask for.")
    model_base_path: str = _flag("", "Folder with one folder for each version: 1, 2, ...")
    model_config_file_poll_wait_seconds: int = _flag(
        0, "Seconds between two reads of --model_config_file; 0 reads it once."
    )
    file_system_poll_wait_seconds: float = _flag(
        1.0, "Seconds between two looks for versions; 0 looks once, a negative number never."
    )
    num_load_threads: int = _flag(
        0, "Threads that load versions after start-up; 0 loads them one by one on the manager's thread."
    )
    num_unload_threads: int = _flag(0, "Threads that unload versions; 0 uses the manager's thread.")
    max_num_load_retries: int = _flag(5, "Retries of a failed load.")
    load_retry_interval_micros: int = _flag(
        60_000_000, "Microseconds between two retries; a negative number retries at once."
    )
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "Allow new and unchanged labels on versions that are not loaded yet."
    )
    saved_model_tags: str = _flag("serve", "Tags of the MetaGraph to load, separated by commas.")
    tensorflow_session_parallelism: int = _flag(0, "Threads within and between ops; 0 leaves it to TensorFlow.")
    tensorflow_intra_op_parallelism: int = _flag(0, "Threads within an op; 0 leaves it to TensorFlow.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Ops that run at a time; 0 leaves it to TensorFlow.")
    tensorflow_session_config_file: str = _flag("", "Text ConfigProto of the sessions; the flags above override it.")
    platform_config_file: str = _flag(
        "", "Text PlatformConfigMap; replaces all flags for batching, sessions, tags and warm-up."
    )
    per_process_gpu_memory_fraction: float = _flag(
        0.0, "Fraction of the GPU's memory to reserve; 0 leaves it to TensorFlow."
    )
    enable_model_warmup: bool = _flag(True, "Run the requests in assets.extra before a version serves.")
    num_request_iterations_for_warmup: int = _flag(0, "Runs of each warm-up request; 0 means 1.")
    enable_signature_method_name_check: bool = _flag(
        False, "Reject signatures whose method_name is not the one of the API."
    )
    enable_serialization_as_tensor_content: bool = _flag(
        False, "Answer Predict over gRPC with tensor_content instead of float_val, int_val, ..."
    )
    monitoring_config_file: str = _flag("", "Text MonitoringConfig: Prometheus metrics on the HTTP/REST port.")
    ssl_config_file: str = _flag("", "Text SSLConfig: key and certificates for gRPC over TLS.")
    grpc_channel_arguments: str = _flag("", "gRPC channel arguments, such as grpc.max_connection_age_ms=2000,...")
    grpc_max_threads: int = _flag(
        _THREADS, "Calls in progress at a time, 4 per CPU; more are refused with RESOURCE_EXHAUSTED."
    )
    enable_grpc_healthcheck_service: bool = _flag(False, "Serve grpc.health.v1.")
    version: bool = _flag(False, "Print the version and exit.")
    enable_profiler: bool = _flag(True, _NOTHING + "there is no profiler service.")
    flush_filesystem_caches: bool = _flag(True, _NOTHING + "the file caches of the system are not flushed.")
    prefer_tflite_model: bool = _flag(False, _NOTHING + "the server always loads saved_model.pb.")
    thread_pool_factory_config_file: str = _flag("", _NOTHING + "TensorFlow's own thread pools are used.")


_TYPES = get_type_hints(Flags)


def parse_flags(argv: Sequence[str]) -> tuple[Flags, list[str]]:
    """Parse `--name=value`, for a boolean also `--name` alone; the last value of a repeated flag counts.

    Args:
      argv: the arguments, without the program.

    Returns:
      The flags, and the arguments that are not flags, such as both of `--name value`: TensorFlow Serving prints them
      and starts anyway.

    Raises:
      ValueError: If a value does not have its flag's type; the text is TensorFlow's.
    """
    given: dict[str, Any] = {}
    unknown = []
    for argument in argv:
        name, equals, value = argument.removeprefix("--").partition("=")
        is_flag = argument.startswith("--") and name in _TYPES
        if is_flag and (equals or _TYPES[name] is bool):
            given[name] = _value(name, value if equals else "true")
        else:
            unknown.append(argument)
    return Flags(**given), unknown


def usage(program: str) -> str:
    """Return the help: all flags with type, default and meaning, in TensorFlow's layout."""
    lines = [f"usage: {program}", "Flags:"]
    for field in dataclasses.fields(Flags):
        default = str(field.default).lower() if _TYPES[field.name] is bool else repr(field.default)
        flag = f"--{field.name}={default}".replace("'", '"')
        lines.append(f"\t{flag:<60}\t{_TYPES[field.name].__name__}\t{field.metadata['help']}")
    return "\n".join(lines) + "\n"


def _value(name: str, text: str) -> Any:
    kind = _TYPES[name]
    try:
        return {"true": True, "false": False}[text] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ValueError(f"Couldn't interpret value {text} for flag {name}.") from None
