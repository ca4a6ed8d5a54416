"""The server as a process with many models: its configuration file, reloads, labels, policies, retries and warm-up."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, predict_pb2, prediction_log_pb2

from serving.server.config.flags import Flags
from serving.server.rpc_error import Fault
from serving.server.serve import serve as run_server

Code = grpc.StatusCode
RETRIES = ("--max_num_load_retries=20", "--load_retry_interval_micros=200000")
AT_ONCE = ("--max_num_load_retries=0",)
Numbers = Callable[[float], Path]


def entry(base: Path, more: str = "") -> str:
    """A model of the configuration's list, named as its folder."""
    return f'config {{ name: "{base.name}" base_path: "{base}" model_platform: "tensorflow" {more} }}'


def label(name: str, version: int) -> str:
    return f'version_labels {{ key: "{name}" value: {version} }}'


def publish(model: Path, base: Path, number: int) -> None:
    """As the pusher does: aside, then one rename."""
    base.mkdir(exist_ok=True)
    shutil.copytree(model, base / f".pushing-{number}")
    (base / f".pushing-{number}").rename(base / str(number))


def warm_up_with(folder: Path, signature: str) -> None:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


class Many:
    """A server of several models, asked through its port."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.prediction, self.model = server.stubs()

    def offset(self, name: str, **choice: Any) -> float:
        """Of the version that answers: every one computes 2x + offset."""
        request = predict_pb2.PredictRequest(output_filter=["y"])
        request.model_spec.name = name
        if "version" in choice:
            request.model_spec.version.value = choice["version"]
        if "label" in choice:
            request.model_spec.version_label = choice["label"]
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([0.0]))
        return self.prediction.Predict(request, timeout=20).outputs["y"].float_val[0]

    def reload(self, *entries: str) -> None:
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(f"model_config_list {{ {' '.join(entries)} }}", request.config)
        assert self.model.HandleReloadConfigRequest(request, timeout=60).status.error_code == 0

    def status(self, name: str) -> dict[int, tuple[str, int, str]]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        return {
            one.version: (
                get_model_status_pb2.ModelVersionStatus.State.Name(one.state),
                one.status.error_code,
                one.status.error_message,
            )
            for one in self.model.GetModelStatus(request, timeout=20).model_version_status
        }

    def await_states(self, name: str, **wanted: str) -> None:
        """Waits until `v1="END"` and so on hold for exactly these versions."""
        end = time.monotonic() + 30
        while (seen := self._states(name)) != wanted:
            assert time.monotonic() < end, f"still {seen}"
            time.sleep(0.02)

    def _states(self, name: str) -> dict[str, str]:
        try:
            return {f"v{number}": one[0] for number, one in self.status(name).items()}
        except grpc.RpcError as error:
            assert error.code() is Code.NOT_FOUND  # no version was seen yet
            return {}


def refused(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **options)
    return caught.value.code(), caught.value.details()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, numbers: Numbers) -> Path:
    """Models a with versions 1 and 2, b with 7, and a configuration file of both; a's answers tell its version."""
    root = tmp_path_factory.mktemp("many")
    for number in (1, 2):
        publish(numbers(float(number)), root / "a", number)
    publish(numbers(7.0), root / "b", 7)
    entries = entry(root / "a", "model_version_policy { all {} }"), entry(root / "b")
    (root / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return root


@pytest.fixture(scope="module")
def many(serve: Callable[..., Any], root: Path) -> Iterator[Many]:
    many = Many(serve(Path("ignored"), "ignored", f"--model_config_file={root}/models.config", *RETRIES))
    many.await_states("a", v1="AVAILABLE", v2="AVAILABLE")
    yield many


def test_every_model_of_the_file_is_served(many: Many) -> None:
    assert many.offset("a") == many.offset("a", version=2) == 2.0
    assert many.offset("a", version=1) == 1.0
    assert many.offset("b") == 7.0
    assert refused(many.offset, "ignored") == (Code.NOT_FOUND, "Servable not found for request: Latest(ignored)")


def test_labels_move_by_reload(many: Many, root: Path) -> None:
    a, both = root / "a", "model_version_policy { all {} }"
    many.reload(entry(a, f"{both} {label('stable', 1)} {label('canary', 2)}"), entry(root / "b"))
    assert (many.offset("a", label="stable"), many.offset("a", label="canary")) == (1.0, 2.0)
    unknown = (Code.INVALID_ARGUMENT, "Unrecognized servable version label: other")
    assert refused(many.offset, "a", label="other") == unknown
    assert refused(many.offset, "nobody", label="other") == unknown
    assert refused(many.reload, entry(a, f"{both} {label('stable', 3)}"), entry(root / "b")) == (
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 3 of model a, which is not currently available for inference",
    )
    assert many.offset("a", label="stable") == 1.0
    many.reload(entry(a, f"{both} {label('stable', 2)}"), entry(root / "b"))
    assert many.offset("a", label="stable") == 2.0
    assert refused(many.offset, "a", label="canary")[0] is Code.INVALID_ARGUMENT


def test_reload_adds_and_removes_models(many: Many, root: Path, numbers: Numbers) -> None:
    publish(numbers(9.0), root / "c", 9)
    many.reload(entry(root / "a"), entry(root / "c"))
    assert many.offset("c") == 9.0  # at once: the reload returns when it is there
    many.await_states("b", v7="END")
    assert refused(many.offset, "b") == (Code.NOT_FOUND, "Servable not found for request: Latest(b)")
    assert refused(many.reload, entry(root / "a"), entry(root / "a")) == (
        Code.INVALID_ARGUMENT,
        "Illegal to list model a multiple times in config list",
    )
    assert many.offset("c") == 9.0


def test_specific_versions_and_rollback_by_removal(many: Many, root: Path, numbers: Numbers) -> None:
    many.reload(entry(root / "a", "model_version_policy { specific { versions: 1 } }"))
    many.await_states("a", v1="AVAILABLE", v2="END")
    assert many.offset("a") == 1.0
    many.reload(entry(root / "a"))
    many.await_states("a", v1="END", v2="AVAILABLE")
    publish(numbers(3.0), root / "a", 3)
    many.await_states("a", v1="END", v2="END", v3="AVAILABLE")
    shutil.rmtree(root / "a" / "3")
    many.await_states("a", v1="END", v2="AVAILABLE", v3="END")
    assert many.offset("a") == 2.0


def test_half_copied_version_heals_while_tries_remain(many: Many, root: Path, numbers: Numbers) -> None:
    shutil.copytree(numbers(4.0), root / "aside")
    (root / "aside" / "saved_model.pb").rename(root / "late.pb")
    (root / "aside").rename(root / "a" / "4")
    many.await_states("a", v1="END", v2="AVAILABLE", v3="END", v4="LOADING")
    assert many.offset("a") == 2.0
    (root / "late.pb").rename(root / "a" / "4" / "saved_model.pb")
    many.await_states("a", v1="END", v2="END", v3="END", v4="AVAILABLE")
    assert many.offset("a") == 4.0


def test_version_that_goes_while_it_is_tried_is_given_up(many: Many, root: Path) -> None:
    (root / "a" / "5").mkdir()
    many.await_states("a", v1="END", v2="END", v3="END", v4="AVAILABLE", v5="LOADING")
    (root / "a" / "5").rmdir()
    many.await_states("a", v1="END", v2="END", v3="END", v4="AVAILABLE", v5="END")
    assert many.status("a")[5][1] != 0


def test_file_is_read_again_and_warm_up_guards_a_version(
    serve: Callable[..., Any], numbers: Numbers, tmp_path: Path
) -> None:
    a, b, file = tmp_path / "a", tmp_path / "b", tmp_path / "models.config"
    publish(numbers(1.0), a, 1)
    file.write_text(f"model_config_list {{ {entry(a, label('next', 2))} }}")
    flags = ("--model_config_file_poll_wait_seconds=1", "--allow_version_labels_for_unavailable_models", *AT_ONCE)
    many = Many(serve(Path("ignored"), "ignored", f"--model_config_file={file}", *flags))
    assert refused(many.offset, "a", label="next") == (Code.NOT_FOUND, "Servable not found for request: Specific(a, 2)")

    shutil.copytree(numbers(2.0), tmp_path / "cold")
    warm_up_with(tmp_path / "cold", "no such signature")
    publish(tmp_path / "cold", a, 2)
    many.await_states("a", v1="AVAILABLE", v2="END")
    assert many.status("a")[2] == ("END", 9, 'Serving signature key "no such signature" not found.')
    shutil.copytree(numbers(3.0), tmp_path / "warm")
    warm_up_with(tmp_path / "warm", "typed")
    publish(tmp_path / "warm", a, 3)
    many.await_states("a", v1="END", v2="END", v3="AVAILABLE")

    file.write_text("model_config_list { nonsense }")
    many.server.error_line("Error parsing text-format tensorflow.serving.ModelServerConfig: 1:")
    many.server.error_line(f"Failed to read ModelServerConfig file: Invalid protobuf file: '{file}'")
    assert many.offset("a") == 3.0
    publish(numbers(8.0), b, 8)
    file.write_text(f"model_config_list {{ {entry(b)} }}")
    many.await_states("a", v1="END", v2="END", v3="END")
    many.await_states("b", v8="AVAILABLE")
    assert many.server.stop() == 0


def test_server_with_a_broken_file_does_not_start(serve: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("no_such_field: 1")
    server = serve(tmp_path, "m", f"--model_config_file={tmp_path}/broken")
    server.error_line("Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1: ")
    line = server.error_line("Failed to start server.")
    assert line == f"Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: '{tmp_path}/broken'\n"
    assert server.process.wait(timeout=60) == 255
    assert server.is_silent()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"model_config_file": "{root}/none"}, "NOT_FOUND: {root}/none; No such file or directory"),
        (
            {"model_config_file": "{root}/labels"},
            "FAILED_PRECONDITION: Request to assign label to version 1 of model a, which is not currently available "
            "for inference",
        ),
        (
            {"batching_parameters_file": "{root}/batching"},
            "INVALID_ARGUMENT: server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true.",
        ),
        (
            {"model_base_path": "b"},
            "INVALID_ARGUMENT: Expected model b to have an absolute path or URI; got base_path()=b",
        ),
        (
            {},
            "UNKNOWN: 1 servable(s) did not become available: {{{{{{name: b version: 2}} due to error: NOT_FOUND: "
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            "`saved_model.pb`)\nSpecified file path: {root}/b/2}}, }}",
        ),
    ],
)
def test_why_a_server_does_not_start(numbers: Numbers, tmp_path: Path, flags: dict[str, str], text: str) -> None:
    publish(numbers(1.0), tmp_path / "b", 1)
    (tmp_path / "b" / "2").mkdir()
    (tmp_path / "labels").write_text(f"model_config_list {{ {entry(tmp_path / 'a', label('x', 1))} }}")
    (tmp_path / "batching").write_text("max_batch_size { value: 8 }")
    base = {"model_name": "b", "model_base_path": str(tmp_path / "b"), "max_num_load_retries": 0}
    given = {name: value.format(root=tmp_path) for name, value in flags.items()}
    with pytest.raises(Fault) as caught:
        run_server(Flags(**(base | given)), threading.Event())
    assert str(caught.value) == text.format(root=tmp_path)
