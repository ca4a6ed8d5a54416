"""The flags: names and defaults of the reference, parsed as TensorFlow parses them.

The reference is tensorflow_serving/model_servers/main.cc, its defaults model_servers/server.h.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from serving.server import REFERENCE
from serving.server.config.flags import Flags, parse_flags, usage
from tests import PROJECT

TABLE = {
    "port": 8500,
    "rest_api_port": 0,
    "model_name": "default",
    "model_base_path": "",
    "model_config_file": "",
    "model_config_file_poll_wait_seconds": 0,
    "file_system_poll_wait_seconds": 1,
    "enable_batching": False,
    "batching_parameters_file": "",
    "enable_per_model_batching_parameters": False,
    "rest_api_num_threads": 4 * (os.cpu_count() or 1),
    "rest_api_timeout_in_ms": 30000,
    "num_load_threads": 0,
    "num_unload_threads": 0,
    "max_num_load_retries": 5,
    "load_retry_interval_micros": 60000000,
    "flush_filesystem_caches": True,
    "tensorflow_session_parallelism": 0,
    "tensorflow_intra_op_parallelism": 0,
    "tensorflow_inter_op_parallelism": 0,
    "tensorflow_session_config_file": "",
    "platform_config_file": "",
    "per_process_gpu_memory_fraction": 0,
    "saved_model_tags": "serve",
    "enable_model_warmup": True,
    "num_request_iterations_for_warmup": 0,
    "monitoring_config_file": "",
    "ssl_config_file": "",
    "thread_pool_factory_config_file": "",
    "allow_version_labels_for_unavailable_models": False,
    "enable_signature_method_name_check": False,
    "enable_serialization_as_tensor_content": False,
    "enable_profiler": True,
    "enable_grpc_healthcheck_service": False,
    "prefer_tflite_model": False,
    "version": False,
    "rest_api_enable_cors_support": False,
    "grpc_socket_path": "",
    "grpc_max_threads": 4 * (os.cpu_count() or 1),
    "grpc_channel_arguments": "",
}


def test_defaults_are_those_of_the_reference_and_only_bind_is_ours() -> None:
    assert vars(Flags()) == TABLE | {"bind": "127.0.0.1"}


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--port=9000", "port", 9000),
        ("--model_name=a=b", "model_name", "a=b"),
        ("--model_name=", "model_name", ""),
        ("--enable_batching", "enable_batching", True),
        ("--enable_batching=true", "enable_batching", True),
        ("--enable_model_warmup=false", "enable_model_warmup", False),
        ("--file_system_poll_wait_seconds=-1", "file_system_poll_wait_seconds", -1),
        ("--per_process_gpu_memory_fraction=0.5", "per_process_gpu_memory_fraction", 0.5),
    ],
)
def test_values(argument: str, name: str, value: object) -> None:
    flags, unknown = parse_flags([argument])
    assert unknown == []
    assert vars(flags) == vars(Flags()) | {name: value}


def test_the_last_one_counts() -> None:
    assert parse_flags(["--port=1", "--port=2"])[0].port == 2


# For experiments, TPUs, TFLite's pools and Google's own credentials.
WITHOUT_COUNTERPART = [
    "mixed_precision",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "remove_unused_fields_from_bundle_metagraph",
    "skip_initialize_tpu",
    "use_alts_credentials",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
]


def test_other_flags_of_the_reference_are_unknown() -> None:
    sent = [f"--{name}=1" for name in WITHOUT_COUNTERPART]
    assert parse_flags(sent) == (Flags(), sent)


@pytest.mark.parametrize(
    "argument", ["--no_such_flag=1", "port=1", "-port=1", "--port", "--model_name", "x", "--ports=1"]
)
def test_anything_else_is_unknown_and_changes_nothing(argument: str) -> None:
    assert parse_flags(["--port=7", argument]) == (Flags(port=7), [argument])


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--port=x", "Couldn't interpret value x for flag port."),
        ("--port=1.5", "Couldn't interpret value 1.5 for flag port."),
        ("--enable_batching=maybe", "Couldn't interpret value maybe for flag enable_batching."),
    ],
)
def test_a_value_of_another_type(argument: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_flags([argument])
    assert str(caught.value) == text


def test_the_version_is_that_of_the_reference_and_of_the_readme() -> None:
    done = subprocess.run([sys.executable, "-m", "serving.server", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith(f"TensorFlow ModelServer: {REFERENCE}+skewless\nTensorFlow Library: 2.")
    readme = (PROJECT / "serving" / "server" / "README.md").read_text()
    assert f"The reference is TensorFlow Serving **{REFERENCE.rpartition('.')[0]}**" in readme
    assert f"`{REFERENCE}+skewless`" in readme


def test_usage_has_every_flag_and_marks_those_without_effect() -> None:
    text = usage("server")
    assert all(f"--{name}=" in text for name in TABLE)
    idle = [line.split("=")[0].strip() for line in text.splitlines() if "does nothing here" in line]
    assert idle == [
        "--enable_profiler",
        "--flush_filesystem_caches",
        "--prefer_tflite_model",
        "--thread_pool_factory_config_file",
    ]
