"""The server as a process with several models: config file, reloads, labels, policies, retries and warm-up."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
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
from tests.serving.server.helpers import publish, refused, wait_until

Code = grpc.StatusCode
RETRIES = ("--max_num_load_retries=200", "--load_retry_interval_micros=200000")
NO_RETRIES = ("--max_num_load_retries=0",)
ALL = "model_version_policy { all {} }"
Numbers = Callable[[float], Path]


def entry(base: Path, more: str = "") -> str:
    """Return the config entry of a model, named after its folder."""
    return f'config {{ name: "{base.name}" base_path: "{base}" model_platform: "tensorflow" {more} }}'


def label(name: str, version: int) -> str:
    return f'version_labels {{ key: "{name}" value: {version} }}'


def warm_up_with(folder: Path, signature: str) -> None:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


class ServerClient:
    """Calls a server of several models through its gRPC port."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.prediction, self.model = server.stubs()

    def offset(self, name: str, **choice: Any) -> float:
        """Return the offset of the version that answers: every version computes 2x + offset."""
        request = predict_pb2.PredictRequest(output_filter=["y"])
        request.model_spec.name = name
        if "version" in choice:
            request.model_spec.version.value = choice["version"]
        if "label" in choice:
            request.model_spec.version_label = choice["label"]
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([0.0]))
        return float(self.prediction.Predict(request, timeout=20).outputs["y"].float_val[0])

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

    def await_states(self, name: str, **expected: str) -> None:
        """Wait until `v1="END"` and so on hold for exactly these versions."""
        wait_until(lambda: self._states(name) == expected, lambda: self._states(name))

    def _states(self, name: str) -> dict[str, str]:
        try:
            return {f"v{number}": one[0] for number, one in self.status(name).items()}
        except grpc.RpcError as error:
            assert error.code() is Code.NOT_FOUND  # no version was aspired yet
            return {}


@pytest.fixture(scope="module")
def many(serve: Callable[..., Any], numbers: Numbers, tmp_path_factory: pytest.TempPathFactory) -> ServerClient:
    """A server for tests that begin with a reload: each serves models of its own."""
    root = tmp_path_factory.mktemp("many")
    publish(numbers(0.0), root / "first", 1)
    (root / "models.config").write_text(f"model_config_list {{ {entry(root / 'first')} }}")
    return ServerClient(serve(Path("ignored"), "ignored", f"--model_config_file={root}/models.config", *RETRIES))


def test_every_model_of_the_file_is_served(serve: Callable[..., Any], numbers: Numbers, tmp_path: Path) -> None:
    for number in (1, 2):
        publish(numbers(float(number)), tmp_path / "a", number)
    publish(numbers(7.0), tmp_path / "b", 7)
    file = tmp_path / "models.config"
    file.write_text(f"model_config_list {{ {entry(tmp_path / 'a', ALL)} {entry(tmp_path / 'b')} }}")
    client = ServerClient(serve(Path("ignored"), "ignored", f"--model_config_file={file}"))
    client.await_states("a", v1="AVAILABLE", v2="AVAILABLE")
    assert client.offset("a") == client.offset("a", version=2) == 2.0
    assert client.offset("a", version=1) == 1.0
    assert client.offset("b") == 7.0
    assert refused(client.offset, "ignored") == (Code.NOT_FOUND, "Servable not found for request: Latest(ignored)")


def test_labels_move_by_reload(many: ServerClient, numbers: Numbers, tmp_path: Path) -> None:
    a, other = tmp_path / "labelled", tmp_path / "other"
    for number in (1, 2):
        publish(numbers(float(number)), a, number)
    publish(numbers(7.0), other, 7)
    many.reload(entry(a, ALL), entry(other))
    many.await_states("labelled", v1="AVAILABLE", v2="AVAILABLE")
    many.reload(entry(a, f"{ALL} {label('stable', 1)} {label('canary', 2)}"), entry(other))
    assert (many.offset("labelled", label="stable"), many.offset("labelled", label="canary")) == (1.0, 2.0)
    unknown = (Code.INVALID_ARGUMENT, "Unrecognized servable version label: nosuch")
    assert refused(many.offset, "labelled", label="nosuch") == unknown
    assert refused(many.offset, "nobody", label="nosuch") == unknown
    assert refused(many.reload, entry(a, f"{ALL} {label('stable', 3)}"), entry(other)) == (
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 3 of model labelled, which is not currently available for inference",
    )
    assert many.offset("labelled", label="stable") == 1.0
    many.reload(entry(a, f"{ALL} {label('stable', 2)}"), entry(other))
    assert many.offset("labelled", label="stable") == 2.0
    assert refused(many.offset, "labelled", label="canary")[0] is Code.INVALID_ARGUMENT


def test_reload_adds_and_removes_models(many: ServerClient, numbers: Numbers, tmp_path: Path) -> None:
    kept, removed, added = tmp_path / "kept", tmp_path / "removed", tmp_path / "added"
    publish(numbers(2.0), kept, 2)
    publish(numbers(7.0), removed, 7)
    publish(numbers(9.0), added, 9)
    many.reload(entry(kept), entry(removed))
    many.reload(entry(kept), entry(added))
    assert many.offset("added") == 9.0  # at once: the reload returns when the new model is available
    many.await_states("removed", v7="END")
    assert refused(many.offset, "removed") == (Code.NOT_FOUND, "Servable not found for request: Latest(removed)")
    assert refused(many.reload, entry(kept), entry(kept)) == (
        Code.INVALID_ARGUMENT,
        "Illegal to list model kept multiple times in config list",
    )
    assert many.offset("added") == 9.0


def test_specific_versions_and_rollback_by_removal(many: ServerClient, numbers: Numbers, tmp_path: Path) -> None:
    base = tmp_path / "rolled_back"
    for number in (1, 2):
        publish(numbers(float(number)), base, number)
    many.reload(entry(base, ALL))
    many.await_states("rolled_back", v1="AVAILABLE", v2="AVAILABLE")
    many.reload(entry(base, "model_version_policy { specific { versions: 1 } }"))
    many.await_states("rolled_back", v1="AVAILABLE", v2="END")
    assert many.offset("rolled_back") == 1.0
    many.reload(entry(base))
    many.await_states("rolled_back", v1="END", v2="AVAILABLE")
    publish(numbers(3.0), base, 3)
    many.await_states("rolled_back", v1="END", v2="END", v3="AVAILABLE")
    shutil.rmtree(base / "3")
    many.await_states("rolled_back", v1="END", v2="AVAILABLE", v3="END")
    assert many.offset("rolled_back") == 2.0


def test_half_copied_version_heals_while_tries_remain(many: ServerClient, numbers: Numbers, tmp_path: Path) -> None:
    base = tmp_path / "healed"
    publish(numbers(2.0), base, 2)
    many.reload(entry(base))
    shutil.copytree(numbers(4.0), tmp_path / "aside")
    (tmp_path / "aside" / "saved_model.pb").rename(tmp_path / "late.pb")
    (tmp_path / "aside").rename(base / "4")
    many.await_states("healed", v2="AVAILABLE", v4="LOADING")
    assert many.offset("healed") == 2.0
    (tmp_path / "late.pb").rename(base / "4" / "saved_model.pb")
    many.await_states("healed", v2="END", v4="AVAILABLE")
    assert many.offset("healed") == 4.0


def test_version_that_is_removed_during_its_retries_ends(many: ServerClient, numbers: Numbers, tmp_path: Path) -> None:
    base = tmp_path / "abandoned"
    publish(numbers(4.0), base, 4)
    many.reload(entry(base))
    (base / "5").mkdir()
    many.await_states("abandoned", v4="AVAILABLE", v5="LOADING")
    (base / "5").rmdir()
    many.await_states("abandoned", v4="AVAILABLE", v5="END")
    assert many.status("abandoned")[5][1] != 0


def test_file_is_read_again_and_warm_up_guards_a_version(
    serve: Callable[..., Any], numbers: Numbers, tmp_path: Path
) -> None:
    a, b, file = tmp_path / "a", tmp_path / "b", tmp_path / "models.config"
    publish(numbers(1.0), a, 1)
    file.write_text(f"model_config_list {{ {entry(a, label('next', 2))} }}")
    flags = ("--model_config_file_poll_wait_seconds=1", "--allow_version_labels_for_unavailable_models", *NO_RETRIES)
    client = ServerClient(serve(Path("ignored"), "ignored", f"--model_config_file={file}", *flags))
    assert refused(client.offset, "a", label="next") == (
        Code.NOT_FOUND,
        "Servable not found for request: Specific(a, 2)",
    )

    shutil.copytree(numbers(2.0), tmp_path / "cold")
    warm_up_with(tmp_path / "cold", "no such signature")
    publish(tmp_path / "cold", a, 2)
    client.await_states("a", v1="AVAILABLE", v2="END")
    assert client.status("a")[2] == ("END", 9, 'Serving signature key "no such signature" not found.')
    shutil.copytree(numbers(3.0), tmp_path / "warm")
    warm_up_with(tmp_path / "warm", "typed")
    publish(tmp_path / "warm", a, 3)
    client.await_states("a", v1="END", v2="END", v3="AVAILABLE")

    file.write_text("model_config_list { nonsense }")
    client.server.error_line("Error parsing text-format tensorflow.serving.ModelServerConfig: 1:")
    client.server.error_line(f"Failed to read ModelServerConfig file: Invalid protobuf file: '{file}'")
    assert client.offset("a") == 3.0
    publish(numbers(8.0), b, 8)
    file.write_text(f"model_config_list {{ {entry(b)} }}")
    client.await_states("a", v1="END", v2="END", v3="END")
    client.await_states("b", v8="AVAILABLE")
    assert client.server.stop() == 0


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
    base = Flags(model_name="b", model_base_path=str(tmp_path / "b"), max_num_load_retries=0)
    changed: dict[str, Any] = {name: value.format(root=tmp_path) for name, value in flags.items()}
    with pytest.raises(Fault) as caught:
        run_server(replace(base, **changed), threading.Event())
    assert str(caught.value) == text.format(root=tmp_path)
