"""VersionManager with a fake model on real folders: which versions load and unload, in which order, and how."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import pytest

from serving.server.lifecycle.version_manager import LoadRetries, VersionManager, VersionState
from serving.server.rpc_error import Fault, truncate_message


class Fake:
    """A model that records its folder and whether it was closed; a folder with a file `broken` does not load."""

    def __init__(self, folder: str) -> None:
        if (Path(folder) / "broken").exists():
            raise Fault(grpc.StatusCode.DATA_LOSS, "it is broken")
        self.folder = Path(folder)
        self.closed = False
        self.on_close: Callable[[], object] = lambda: None

    def close(self) -> None:
        self.on_close()
        self.closed = True


def loading_after(step: Callable[[str], object]) -> Callable[[str], Fake]:
    """Return a load function that calls `step` with the folder first."""

    def load(folder: str) -> Fake:
        step(folder)
        return Fake(folder)

    return load


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "model"


@pytest.fixture
def manager() -> VersionManager[Fake]:
    return VersionManager("m", Fake, LoadRetries(0))


def folders(base: Path, *numbers: int) -> dict[int, str]:
    """Return the folders of these versions; create the missing ones."""
    for number in numbers:
        (base / str(number)).mkdir(parents=True, exist_ok=True)
    return {number: str(base / str(number)) for number in numbers}


def break_version(base: Path, number: int) -> None:
    folders(base, number)
    (base / str(number) / "broken").touch()


def settle(manager: VersionManager[Fake]) -> None:
    while action := manager.next_action():
        action.run()


def aspire(manager: VersionManager[Fake], base: Path, *numbers: int) -> None:
    manager.set_aspired_versions(folders(base, *numbers))
    settle(manager)


def states(manager: VersionManager[Fake]) -> dict[int, str]:
    return {version.number: version.state.name for version in manager.versions()}


def serving(manager: VersionManager[Fake], number: int | None = None) -> int:
    with manager.servable_handle(number) as version:
        assert version.servable is not None and not version.servable.closed
        return version.number


def test_wanted_version_starts_loads_and_serves(base: Path) -> None:
    seen: list[dict[int, str]] = []
    manager: VersionManager[Fake]
    manager = VersionManager("m", loading_after(lambda folder: seen.append(states(manager))))
    manager.set_aspired_versions(folders(base, 10))
    assert states(manager) == {10: "START"}
    settle(manager)
    assert seen == [{10: "LOADING"}]
    assert states(manager) == {10: "AVAILABLE"}
    assert serving(manager) == 10


def test_no_version_asked_for_is_the_highest_loaded_one(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, -3, 9, 10)
    assert serving(manager) == 10
    assert serving(manager, -3) == -3
    aspire(manager, base, -3)
    assert serving(manager) == -3


def test_old_version_serves_while_the_new_one_loads(base: Path) -> None:
    seen: list[int] = []
    manager: VersionManager[Fake]

    def load(folder: str) -> Fake:
        seen.extend(v.number for v in manager.versions() if v.state is VersionState.AVAILABLE)
        return Fake(folder)

    manager = VersionManager("m", load)
    aspire(manager, base, 1)
    aspire(manager, base, 2)
    assert seen == [1]
    assert states(manager) == {1: "END", 2: "AVAILABLE"}
    assert [version.fault for version in manager.versions()] == [None, None]


def test_order_of_many_changes(base: Path) -> None:
    done: list[str] = []
    manager = VersionManager("m", loading_after(lambda folder: done.append(f"load {Path(folder).name}")))
    aspire(manager, base, 1, 2, 3)
    assert done == ["load 3", "load 2", "load 1"]
    for version in manager.versions():
        assert version.servable is not None
        version.servable.on_close = partial(done.append, f"unload {version.number}")
    done.clear()
    aspire(manager, base, 5, 6)
    # The availability-preserving policy keeps one unwanted version, which is enough to serve meanwhile.
    assert done == ["unload 1", "unload 2", "load 6", "unload 3", "load 5"]
    aspire(manager, base)
    assert set(states(manager).values()) == {"END"}


def test_failed_version_ends_with_its_error_and_is_not_tried_again(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, 1)
    break_version(base, 2)
    aspire(manager, base, 2)
    assert states(manager) == {1: "AVAILABLE", 2: "END"}
    assert str(manager.versions()[1].fault) == "DATA_LOSS: it is broken"
    (base / "2" / "broken").unlink()
    aspire(manager, base, 2)
    assert states(manager) == {1: "AVAILABLE", 2: "END"}
    assert serving(manager) == 1


def test_failed_version_is_tried_again_after_it_was_away(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, 1)
    break_version(base, 2)
    aspire(manager, base, 2)
    aspire(manager, base, 1)
    assert states(manager) == {1: "AVAILABLE", 2: "END"}
    (base / "2" / "broken").unlink()
    aspire(manager, base, 2)
    assert states(manager) == {1: "END", 2: "AVAILABLE"}
    assert manager.versions()[1].fault is None


def test_version_wanted_again_before_it_was_unloaded_stays(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, 1)
    first = manager.versions()[0]
    break_version(base, 2)
    aspire(manager, base, 2)
    aspire(manager, base, 1)
    aspire(manager, base, 1, 3)
    assert states(manager) == {1: "AVAILABLE", 2: "END", 3: "AVAILABLE"}
    assert manager.versions()[0] is first


def test_failed_load_is_retried_up_to_the_limit(base: Path) -> None:
    tries: list[str] = []
    manager = VersionManager("m", loading_after(tries.append), LoadRetries(3, 0.0))
    break_version(base, 1)
    aspire(manager, base, 1)
    assert tries == [str(base / "1")] * 4
    assert states(manager) == {1: "END"}


def test_half_copied_version_heals_while_tries_remain(base: Path) -> None:
    seen: list[dict[int, str]] = []
    manager: VersionManager[Fake]

    def load(folder: str) -> Fake:
        seen.append(states(manager))
        if len(seen) == 3:
            (base / "1" / "broken").unlink()
        return Fake(folder)

    manager = VersionManager("m", load, LoadRetries(5, -1.0))
    break_version(base, 1)
    aspire(manager, base, 1)
    assert seen == [{1: "LOADING"}] * 3
    assert states(manager) == {1: "AVAILABLE"}
    assert manager.versions()[0].fault is None


def run_aside(manager: VersionManager[Fake]) -> threading.Thread:
    action = manager.next_action()
    assert action is not None and action.is_load
    thread = threading.Thread(target=action.run)
    thread.start()
    return thread


def test_version_that_is_wanted_no_more_is_not_tried_again(base: Path) -> None:
    tries: list[str] = []
    tried = threading.Event()

    def load(folder: str) -> Fake:
        tries.append(folder)
        tried.set()
        return Fake(folder)

    manager: VersionManager[Fake] = VersionManager("m", load, LoadRetries(5, 60.0))
    break_version(base, 2)
    manager.set_aspired_versions(folders(base, 2))
    thread = run_aside(manager)
    assert tried.wait(10)
    manager.set_aspired_versions({})
    thread.join(10)
    assert len(tries) == 1
    assert states(manager) == {2: "END"}
    assert str(manager.versions()[0].fault) == "DATA_LOSS: it is broken"


@pytest.mark.parametrize("again", [False, True])
def test_version_dropped_while_it_loads_never_serves_that_load(base: Path, again: bool) -> None:
    go, loads = threading.Event(), []

    def load(folder: str) -> Fake:
        assert go.wait(10)
        loads.append(Fake(folder))
        return loads[-1]

    manager: VersionManager[Fake] = VersionManager("m", load)
    manager.set_aspired_versions(folders(base, 1))
    thread = run_aside(manager)
    manager.set_aspired_versions({})
    if again:
        manager.set_aspired_versions(folders(base, 1))
    go.set()
    thread.join(10)
    assert loads[0].closed
    assert str(manager.versions()[0].fault) == "CANCELLED: Loading of servable cancelled"
    settle(manager)
    assert states(manager) == {1: "AVAILABLE" if again else "END"}
    assert len(loads) == 1 + again


def test_plain_file_as_version_fails_at_once(base: Path) -> None:
    manager: VersionManager[Fake] = VersionManager("m", Fake, LoadRetries(5, 60.0))
    base.mkdir()
    (base / "3").touch()
    manager.set_aspired_versions({3: str(base / "3")})
    settle(manager)
    fault = manager.versions()[0].fault
    assert fault is not None and fault.code is grpc.StatusCode.FAILED_PRECONDITION
    assert fault.message == (
        "Error while attempting to reserve resources to load servable {name: m version: 3}: "
        f"{base}/3; Not a directory"
    )


def test_any_error_of_a_load_is_its_version_s_own(base: Path) -> None:
    def load(folder: str) -> Fake:
        raise RuntimeError("not foreseen")

    manager = VersionManager("m", load, LoadRetries(0))
    aspire(manager, base, 1)
    assert str(manager.versions()[0].fault) == "UNKNOWN: not foreseen"


def test_rollback_and_nothing_at_all(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, 2)
    aspire(manager, base, 1)
    assert states(manager) == {1: "AVAILABLE", 2: "END"}
    aspire(manager, base)
    assert states(manager) == {1: "END", 2: "END"}
    with pytest.raises(Fault, match=r"Servable not found for request: Latest\(m\)"):
        serving(manager)


def test_request_keeps_its_version_until_it_ends(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, 1)
    with manager.servable_handle(None) as first, manager.servable_handle(1) as again:
        assert first is again and first.servable is not None
        model = first.servable
        aspire(manager, base, 2)
        assert states(manager) == {1: "UNLOADING", 2: "AVAILABLE"}
        assert not model.closed
        assert serving(manager) == 2
        with pytest.raises(Fault):
            serving(manager, 1)
    assert model.closed
    assert states(manager) == {1: "END", 2: "AVAILABLE"}


def test_version_wanted_again_while_a_request_holds_it_is_loaded_again(
    base: Path, manager: VersionManager[Fake]
) -> None:
    aspire(manager, base, 1)
    with manager.servable_handle(1) as held:
        aspire(manager, base)
        aspire(manager, base, 1)
        assert states(manager) == {1: "UNLOADING"}
    settle(manager)
    assert states(manager) == {1: "AVAILABLE"}
    with manager.servable_handle(1) as now:
        assert now is not held


def test_version_is_freed_when_its_request_fails(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, 1)
    with pytest.raises(ZeroDivisionError), manager.servable_handle(None) as version:
        raise ZeroDivisionError
    assert version.active_requests == 0


@pytest.mark.parametrize(("number", "asked"), [(2, "Specific(m, 2)"), (-1, "Specific(m, -1)"), (None, "Latest(m)")])
def test_version_that_is_not_there(base: Path, manager: VersionManager[Fake], number: int | None, asked: str) -> None:
    aspire(manager, base, *([] if number is None else [0]))
    with pytest.raises(Fault) as caught:
        serving(manager, number)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert caught.value.message == f"Servable not found for request: {asked}"


def test_requests_never_miss_while_versions_change(base: Path, manager: VersionManager[Fake]) -> None:
    aspire(manager, base, 1)
    stop, faults, seen = threading.Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            try:
                seen.add(serving(manager))
            except Exception as error:  # also an AssertionError: a request got a closed model
                faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(2, 60):
        aspire(manager, base, number)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert faults == []
    assert len(seen) > 1
    assert [v.number for v in manager.versions() if v.state is not VersionState.END] == [59]


def test_long_messages_are_cut() -> None:
    assert truncate_message("x" * 1024) == "x" * 1024
    assert truncate_message("x" * 1025) == "x" * 1024 + "...TRUNCATED"
