"""Many models with fake versions on real folders: names, labels, reloads and polls."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server.lifecycle.manager_threads import ManagerThreads
from serving.server.lifecycle.model_manager import ModelManager
from serving.server.lifecycle.version_manager import LoadRetries
from serving.server.rpc_error import Fault

Code = grpc.StatusCode


class Fake:
    def __init__(self, folder: str) -> None:
        if (Path(folder) / "broken").exists():
            raise Fault(Code.DATA_LOSS, "it is broken")

    def close(self) -> None:
        pass


class Served:
    """Models with a folder each, managed by ManagerThreads."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.models: ModelManager[Fake] = ModelManager(Fake, LoadRetries(0), **options)
        self.threads = ManagerThreads(self.models, 2, 0, 0)
        self.threads.start(0)

    def push(self, model: str, *names: str) -> None:
        for name in names:
            (self.root / model / name).mkdir(parents=True)

    def reload(self, *models: str, platform: str = "tensorflow", **options: Any) -> None:
        """Reload a config; each model is its name, followed by more fields of its entry."""
        config = model_server_config_pb2.ModelServerConfig()
        config.model_config_list.SetInParent()
        for model in models:
            name, _, more = model.partition(" ")
            entry = f'name: "{name}" base_path: "{self.root}/{name}" model_platform: "{platform}" {more}'
            text_format.Parse(entry, config.model_config_list.config.add())
        self.models.reload_config(config, **options)

    def number(self, name: str, version: int | None = None, label: str = "") -> int:
        spec = model_pb2.ModelSpec(name=name)
        if version is not None:
            spec.version.value = version
        if label:
            spec.version_label = label
        with self.models.servable_handle(spec) as used:
            return used.number

    def states(self, name: str) -> dict[int, str]:
        return {version.number: version.state.name for version in self.models.versions(name)}

    def poll(self, name: str, **wanted: str) -> None:
        """Poll, and wait for these states."""
        self.models.poll()
        with self.models.changed:
            assert self.models.changed.wait_for(
                lambda: {f"v{number}": state for number, state in self.states(name).items()} == wanted, 10
            ), self.states(name)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.threads.stop()


def refused(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(Fault) as caught:
        call(*args, **options)
    return str(caught.value)


def test_several_models_come_and_go(served: Served) -> None:
    served.push("a", "1", "2")
    served.push("b", "7")
    served.reload("a", "b")
    assert (served.number("a"), served.number("b")) == (2, 7)
    served.reload("b")
    served.poll("a", v2="END")
    assert refused(served.number, "a") == "NOT_FOUND: Servable not found for request: Latest(a)"
    assert refused(served.number, "c", 0) == "NOT_FOUND: Servable not found for request: Specific(c, 0)"
    served.reload("a", "b")
    assert served.states("a") == {2: "AVAILABLE"}
    assert served.models.versions("c") == []


def test_policy_may_change_while_a_model_is_served(served: Served) -> None:
    served.push("a", "1", "2", "3")
    served.reload("a model_version_policy { all {} }")
    served.poll("a", v1="AVAILABLE", v2="AVAILABLE", v3="AVAILABLE")
    served.reload("a model_version_policy { specific { versions: 2 } }")
    served.poll("a", v1="END", v2="AVAILABLE", v3="END")
    served.reload("a model_version_policy { latest { num_versions: 2 } }")
    served.poll("a", v1="END", v2="AVAILABLE", v3="AVAILABLE")


def test_labels_lead_to_versions(served: Served) -> None:
    assert refused(served.number, "a", label="old") == "UNAVAILABLE: Model labels does not init yet.old"
    served.push("a", "1", "2")
    both = "a model_version_policy { all {} }"
    old, new = 'version_labels { key: "old" value: 1 }', 'version_labels { key: "new" value: 2 }'
    served.reload(both)
    served.poll("a", v1="AVAILABLE", v2="AVAILABLE")
    served.reload(f"{both} {old} {new}")
    assert (served.number("a", label="old"), served.number("a", label="new")) == (1, 2)
    for name, label in (("a", "middle"), ("b", "old")):
        assert refused(served.number, name, label=label) == (
            f"INVALID_ARGUMENT: Unrecognized servable version label: {label}"
        )
    served.reload(f"a {new}")
    served.poll("a", v1="END", v2="AVAILABLE")
    assert refused(served.number, "a", label="old").startswith("INVALID_ARGUMENT")
    shutil.rmtree(served.root / "a" / "2")
    served.poll("a", v1="AVAILABLE", v2="END")
    assert refused(served.number, "a", label="new") == "NOT_FOUND: Servable not found for request: Specific(a, 2)"


def test_label_on_a_version_that_is_not_available(served: Served) -> None:
    served.push("a", "1")
    served.push("b", "1")
    served.reload("a")
    text = (
        "FAILED_PRECONDITION: Request to assign label to version 5 of model a, which is not currently available for "
        "inference"
    )
    assert refused(served.reload, 'a version_labels { key: "x" value: 5 }', "b") == text
    assert served.models.versions("b") == []
    assert served.number("a") == 1


def test_labels_for_unavailable_versions_where_they_are_allowed(tmp_path: Path) -> None:
    served = Served(tmp_path, allow_unavailable_labels=True)
    served.push("a", "1")
    for _ in range(2):  # new, and unchanged
        served.reload('a version_labels { key: "x" value: 5 }')
    assert refused(served.number, "a", label="x") == "NOT_FOUND: Servable not found for request: Specific(a, 5)"
    assert refused(served.reload, 'a version_labels { key: "x" value: 6 }').startswith("FAILED_PRECONDITION")
    served.reload('a version_labels { key: "x" value: 1 }')
    assert served.number("a", label="x") == 1
    served.threads.stop()


def test_model_that_does_not_load_is_reported_and_the_others_are_served(served: Served) -> None:
    served.push("a", "1")
    served.push("b", "3", "4")
    (served.root / "b" / "4" / "broken").touch()
    assert refused(served.reload, "a", "b") == (
        "UNKNOWN: 1 servable(s) did not become available: {{{name: b version: 4} due to error: DATA_LOSS: it is "
        "broken}, }"
    )
    served.push("c", "1/broken")
    assert refused(served.reload, "a", "b", "c") == (
        "UNKNOWN: 1 model(s) did not become available: {{{name: c version: 1} due to error: DATA_LOSS: it is broken}, }"
    )
    assert served.number("a") == 1
    served.reload("a", "b")  # b is not new, and not waited for
    served.reload("a")
    (served.root / "c" / "1" / "broken").rmdir()
    served.reload("a", "c")  # its old failure no longer counts
    assert served.number("c") == 1


def test_reload_waits_for_a_first_version_as_long_as_it_is_wanted(served: Served) -> None:
    served.reload()
    (served.root / "a").mkdir()
    served.reload("a", keep_waiting=iter((True, True, False)).__next__)  # its caller gives up
    checks = threading.Semaphore(0)

    def keep_waiting() -> bool:
        checks.release()
        return True

    waiting = threading.Thread(target=served.reload, args=("a", "b"), kwargs={"keep_waiting": keep_waiting})
    (served.root / "b").mkdir()
    waiting.start()
    for _ in range(3):  # it has found no version of b at least twice, and still waits
        assert checks.acquire(timeout=10)
    assert waiting.is_alive()
    served.push("b", "1")
    served.models.poll()
    waiting.join(10)
    assert not waiting.is_alive()
    assert served.number("b") == 1


def test_empty_base_path_unloads_everything_and_a_missing_one_stops_every_poll(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.push("a", "1")
    served.push("b", "1")
    served.reload("a", "b")
    shutil.rmtree(served.root / "b")
    served.push("a", "2")
    served.poll("a", v1="AVAILABLE")
    assert served.states("b") == {1: "AVAILABLE"}
    assert "FileSystemStoragePathSource encountered a filesystem access error: Could not find base path" in caplog.text
    (served.root / "b").mkdir()
    served.poll("b", v1="END")
    served.poll("a", v1="END", v2="AVAILABLE")


def test_no_config_changes_nothing_and_a_custom_one_is_refused(served: Served) -> None:
    served.push("a", "1")
    served.reload("a")
    served.models.reload_config(model_server_config_pb2.ModelServerConfig())
    assert served.number("a") == 1
    custom = model_server_config_pb2.ModelServerConfig()
    custom.custom_model_config.SetInParent()
    assert refused(served.models.reload_config, custom) == (
        "INVALID_ARGUMENT: ModelServer does not yet support custom model config."
    )


def test_refused_config_leaves_the_models(served: Served) -> None:
    served.push("a", "1")
    served.push("b", "1")
    served.reload("a")
    assert refused(served.reload, "b", "b").startswith("INVALID_ARGUMENT: Illegal to list model b")
    assert "unsupported platform" in refused(served.reload, "b", platform="other")
    assert served.number("a") == 1
    served.reload("a", "b")
    assert served.number("b") == 1


def test_no_name_comes_before_everything(served: Served) -> None:
    assert refused(served.number, "", label="x") == "INVALID_ARGUMENT: ModelSpec has no name specified."
