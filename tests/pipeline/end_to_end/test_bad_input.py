"""Users' errors: each gives one line that says what is wrong and where, a hint, and an exit status."""

from __future__ import annotations

import dataclasses
import fcntl
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from data.errors import DataError, UsageError
from data.spec import Feature
from pipeline.commands.run import RunOptions, run_task
from pipeline.paths import Paths
from pipeline.registry import resolve_task
from pipeline.runners.local.observer import ComponentError
from tests.pipeline.conftest import Skewless
from tests.pipeline.simulator_in_process import TINY, assert_told, attempt
from tests.tasks.tiny import TASK

HERE = "tests.pipeline.end_to_end.test_bad_input"
NOT_A_TASK = {"name": "tiny"}


def _positive(feature: Feature, classes: int) -> keras.Model:
    """Return a model whose outputs are neither logits, which end in a linear layer, nor probabilities."""
    last = keras.layers.Dense(classes, "relu")
    return keras.Sequential([keras.Input(feature.shape, dtype="uint8"), keras.layers.Flatten(), last])


def _raises(feature: Feature, classes: int) -> keras.Model:
    raise ValueError(f"no room for {classes} classes\nand more lines of it")


POSITIVE = dataclasses.replace(TASK, model=_positive)
RAISES = dataclasses.replace(TASK, model=_raises)


# Data that no model can be trained on


Make = Callable[..., Path]


def _no_folder(root: Path, make: Make) -> None: ...


def _loose(root: Path, make: Make) -> None:
    make(root / "cats", {"": 3})
    for picture in (root / "cats").iterdir():
        picture.rename(root / picture.name)
    (root / "cats").rmdir()


def _only_in_evaluation(root: Path, make: Make) -> None:
    make(root, {"train/cats": 6, "train/dogs": 6, "validation/cats": 3, "validation/cows": 3})


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_no_folder, ["no data folder at {data}"]),
        (lambda root, make: root.mkdir(), ["no class in {data}", "the folder is empty"]),
        (_loose, ["no class in {data}", "3 pictures are directly in it"]),
        (lambda root, make: make(root, {"cats": 12}), ["only one class, 'cats'"]),
        (lambda root, make: make(root, {"cats": 6, "dogs": 0}), ["class 'dogs' has no pictures in {data}/dogs"]),
        (_only_in_evaluation, ["label 'cows' occurs only in evaluation"]),
        (
            lambda root, make: make(root, {"train/a": 9, "train/b": 9, "val/c": 1}),
            ["label 'c' occurs only in evaluation"],
        ),
        (lambda root, make: make(root, {"a": 1, "b": 1}), ["no examples for ", "2 in all, 0 in quarantine"]),
    ],
    ids=["no folder", "empty", "no classes", "one class", "empty class", "unseen label", "and one", "too few"],
)
def test_data_that_cannot_be_trained_on(
    prepare: Callable[[Path, Make], object], words: list[str], tmp_path: Path, picture_folder: Make
) -> None:
    data = tmp_path / "data"
    prepare(data, picture_folder)
    found = attempt(data, tmp_path / "root")
    assert_told(found.error, 3, *(word.format(data=data) for word in words))
    assert isinstance(found.error, DataError) and found.error.hint
    if data.exists():
        assert found.states == {"ExampleGen": "failed"}
        assert found.record["status"] == "failed" and found.record["exit_code"] == 3
        assert found.record["error"] == str(found.error)


def test_no_data_for_a_task_that_brings_none(tmp_path: Path) -> None:
    found = attempt(None, tmp_path / "root")
    assert_told(found.error, 2, "task 'tiny' has no data of its own")
    assert found.error and "--data DIR" in found.error.hint


# Tasks and settings that do not exist


@pytest.mark.parametrize(
    ("path", "settings", "words", "hint"),
    [
        (TINY, {"train.epoch": "1"}, "no setting 'train.epoch'. Did you mean 'train.epochs'?", "train.batch_size"),
        (TINY, {"train.epochs": "many"}, "train.epochs must be a whole number, got 'many'", ""),
        (TINY, {"train.epochs": "0"}, "must be at least 1", ""),
        (TINY, {"feature.channels": "4"}, "feature.channels must be 1 or 3, got 4", ""),
        (TINY, {"evaluate.min_accuracy": "95"}, "evaluate.min_accuracy must be 0 to 1, got 95.0", ""),
        (TINY, {"train.optimizer": "adamm"}, "no optimizer 'adamm'. Did you mean 'adam'?", "sgd"),
        (f"{HERE}:NOT_A_TASK", {}, f"{HERE}:NOT_A_TASK is a dict, not a Task", ""),
        (f"{HERE}:NOTHING", {}, f"module {HERE} has no 'NOTHING'", ""),
        ("tests.no_such_module:TASK", {}, "no module 'tests.no_such_module'", ""),
    ],
)
def test_a_wrong_task_or_setting(path: str, settings: dict[str, str], words: str, hint: str, tmp_path: Path) -> None:
    changed = {key.replace(".", "__"): value for key, value in settings.items()}
    found = attempt(tmp_path, tmp_path / "root", path, **changed)
    assert_told(found.error, 2, words)
    assert found.error and hint in found.error.hint
    assert found.record == {}


def test_an_unknown_name_of_a_task() -> None:
    with pytest.raises(UsageError, match="no task 'digitz'. Did you mean 'digits'?"):
        resolve_task("digitz")


# Settings and folders that would stop a run only after its training


def test_a_split_that_the_data_lack(tmp_path: Path, picture_folder: Make) -> None:
    data = picture_folder(tmp_path / "data", {"train/cats": 6, "train/dogs": 6, "val/cats": 3, "val/dogs": 3})
    found = attempt(data, tmp_path / "root", evaluate__split="test")
    assert_told(found.error, 2, "evaluate.split is test, but the data have only the splits eval, train")
    assert found.error and found.error.hint and found.record == {}


@pytest.mark.parametrize("root", ["data", "data/skewless-root", "data/cats", "out"])
def test_what_a_run_writes_must_not_be_among_its_data(root: str, tmp_path: Path, picture_folder: Make) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 6, "dogs": 6})
    (tmp_path / "out").symlink_to(data)
    found = attempt(data, tmp_path / root)
    assert_told(found.error, 2, f"--root {tmp_path / root} is inside the data folder {data}")
    assert found.record == {}


def test_a_root_beside_the_folder_that_is_read_is_fine(tmp_path: Path, picture_folder: Make) -> None:
    picture_folder(tmp_path / "pictures", {"cats": 6})
    found = attempt(tmp_path, tmp_path / "root", source__folder="pictures")
    assert_told(found.error, 3, "only one class, 'cats'")  # which ExampleGen says


def test_what_a_run_wrote_is_no_data_of_the_next(tmp_path: Path) -> None:
    written = tmp_path / "root" / "tiny" / "artifacts" / "ExampleGen"
    written.mkdir(parents=True)
    found = attempt(written, tmp_path / "root")
    assert_told(found.error, 2, f"the data folder {written} is a folder that runs of 'tiny' write to")


@pytest.mark.parametrize("data", [" ", "a\0b", "caf\udce9"])
def test_a_data_folder_that_is_none(data: str, tmp_path: Path) -> None:
    assert_told(attempt(data, tmp_path / "root").error, 2, "--data ")


def test_a_root_that_is_a_pattern(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out \[1\] contains \[, which Beam and TensorFlow read as a glob pattern"):
        run_task(RunOptions(TINY, str(tmp_path), str(tmp_path / "out [1]")))
    assert list(tmp_path.iterdir()) == []


# Models that do not keep the contract


@pytest.fixture(scope="module")
def good_data(tmp_path_factory: pytest.TempPathFactory, picture_folder: Make) -> tuple[Path, Path]:
    """Return pictures and a root: after the first run below, the common components come from the cache."""
    folder = tmp_path_factory.mktemp("good")
    return picture_folder(folder / "data", {"cats": 12, "dogs": 12, "cows": 12}), folder / "root"


@pytest.mark.slow
def test_a_model_that_gives_no_probabilities(good_data: tuple[Path, Path]) -> None:
    found = attempt(*good_data, f"{HERE}:POSITIVE")
    assert_told(found.error, 2, "the model of task 'tiny' gives neither probabilities (0 to 1, with sum 1) nor logits")
    assert found.error and "softmax" in found.error.hint
    assert found.states["Trainer"] == "failed" and "Evaluator" not in found.states


@pytest.mark.slow
def test_a_model_that_cannot_be_built(good_data: tuple[Path, Path]) -> None:
    found = attempt(*good_data, f"{HERE}:RAISES")
    assert isinstance(found.error, ComponentError)
    assert_told(found.error, 1, "Trainer failed: ValueError: no room for 3 classes")
    assert "more lines" not in str(found.error)
    assert "Traceback" not in found.shown and "Traceback" in found.log and "in _raises" in found.log
    assert found.record["status"] == "failed" and found.record["exit_code"] == 1
    assert found.record["error"] == "ValueError: no room for 3 classes"


# Two at a time


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train__strategy": "multi_worker"}, "needs TF_CONFIG"),
        ({"train__data_service": "grpc://localhost:1"}, "no tf.data service at grpc://localhost:1"),
    ],
)
def test_who_helps_with_the_training_is_looked_for_before_anything_runs(
    settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    found = attempt(tmp_path, tmp_path / "root", **settings)
    assert_told(found.error, 2, words)
    assert found.record == {} and not (tmp_path / "root" / "tiny").exists()


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    folder = Path(Paths(str(tmp_path), "tiny").folder)
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = attempt(tmp_path, tmp_path)
        assert_told(found.error, 2, "another run of 'tiny' is active in", str(folder))
        assert found.error and "--root DIR" in found.error.hint and found.record == {}
    again = attempt(tmp_path / "nothing", tmp_path)
    assert_told(again.error, 3, "no data folder")  # the lock was given back


# As the user sees it


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (("run", "tests.tasks.tiny", "--data", "{data}"), 3, "error: no class in {data}: the folder is empty"),
        (("run", "digits", "--set", "feature.hight=1"), 2, "error: no setting 'feature.hight'. Did you mean"),
        (("run", "digits", "--set", "evaluate.slices=label,foo"), 2, "error: no feature for evaluate.slices 'foo'."),
    ],
)
def test_the_command_prints_one_line_a_hint_and_the_logs_name(
    arguments: tuple[str, ...], status: int, line: str, skewless: Skewless, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    found = skewless(*(one.format(data=data) for one in arguments), root=tmp_path / "root")
    assert found.status == status
    first, *rest = found.err.splitlines()
    assert first.startswith(line.format(data=data))
    assert "Traceback" not in found.err + found.out and len(rest) == 2
    log = Path(rest[-1].removeprefix("log: "))
    assert log.parent == tmp_path / "root" / "logs" and log.exists() and str(log) in found.out
