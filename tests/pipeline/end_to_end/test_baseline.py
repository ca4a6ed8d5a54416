"""A baseline that does not fit the new model: the run reports it, evaluates the new model alone, and pushes it.

Each test starts from the root of the same first run, and runs its steps in order, each on what the previous one left.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from data.errors import UsageError
from pipeline.commands.skew import prove_task
from pipeline.paths import Paths
from pipeline.report.record import RunRecord
from pipeline.report.summary import print_summary
from tests.pipeline.simulator_in_process import Attempt, assert_told, attempt

pytestmark = pytest.mark.slow
ACCURACY = "sparse_categorical_accuracy"
QUICK = {"gate__sample": "4", "gate__pictures": "0", "evaluate__max_drop": "1"}
ROWS = "tests.tasks.rows"


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, picture_folder: Callable[..., Path]) -> tuple[Path, Path]:
    """Folder with pictures and the root of a run on them, which has no model before; and a copy of that folder."""
    folder, copy = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("copy") / "first"
    pictures = picture_folder(folder / "pictures", {"cats": 20, "dogs": 20})
    done = attempt(pictures, folder / "root", **QUICK)
    assert _pushed(done)["baseline"] is None and _quality(done).endswith(", no model before")
    shutil.copytree(folder, copy, symlinks=True)
    return folder, copy


@pytest.fixture
def root(first_run: tuple[Path, Path]) -> Path:
    """Root of the first run, as it was: the metadata name its files by their whole paths."""
    folder, copy = first_run
    shutil.rmtree(folder)
    shutil.copytree(copy, folder, symlinks=True)
    return folder / "root"


@pytest.fixture
def pictures(root: Path) -> Path:
    return root.parent / "pictures"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    values = np.random.default_rng(0).normal(size=(60, 3))
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{int(a > 0)}" for a, b, c in values]
    (folder / "rows.csv").write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    return folder


def _pushed(done: Attempt, no_baseline: str = "") -> dict[str, Any]:
    """Return the entry `evaluation` of a run that must have pushed, and have reported why it had no baseline."""
    assert done.error is None, done.error
    assert done.record["status"] == "pushed"
    found = done.record["evaluation"]
    assert found["no_baseline"].startswith(no_baseline) and bool(found["no_baseline"]) == bool(no_baseline)
    if no_baseline:
        assert found["baseline"] is None and f"no baseline: {no_baseline}" in done.log
        assert f"; no baseline: {no_baseline}" in _quality(done)
    return found


def _quality(done: Attempt) -> str:
    console = Console(file=io.StringIO(), width=500)
    print_summary(RunRecord.from_json(done.record), Paths("/root", "tiny"), console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return next(line for line in lines if line.startswith("quality"))


def _versions(root: Path) -> list[int]:
    return sorted(int(path.name) for path in (root / "tiny" / "serving" / "tiny").iterdir())


def _models(root: Path) -> list[Path]:
    """Return the Trainer's SavedModels, the oldest first."""
    found = root.glob("tiny/artifacts/Trainer/model/*/Format-Serving")
    return sorted(found, key=lambda folder: int(folder.parent.name))


def _accuracy(model: Path, pictures: Path, record: dict[str, Any], classes: Sequence[str]) -> float:
    """Return a SavedModel's accuracy on the held-out pictures of the classes, by the names in its answers."""
    files = tf.io.gfile.glob(record["data"]["folder"] + "/Split-eval/*")
    examples = map(tf.train.Example.FromString, tf.data.TFRecordDataset(files).as_numpy_iterator())
    sources = [one.features.feature["image/source"].bytes_list.value[0].decode() for one in examples]
    sources = [source for source in sources if source.split("/")[0] in classes]
    contents = [(pictures / source).read_bytes() for source in sources]
    answer = tf.saved_model.load(str(model)).signatures["serving_default"](image_bytes=tf.constant(contents))
    best = answer["classes"].numpy()[np.arange(len(sources)), answer["scores"].numpy().argmax(axis=1)]
    return float(np.mean([name.decode() == source.split("/")[0] for name, source in zip(best, sources, strict=True)]))


# A data set that grows and shrinks


def _a_class_is_added(root: Path, pictures: Path, picture_folder: Callable[..., Path]) -> None:
    picture_folder(pictures, {"birds": 20}, seed=100)
    done = attempt(pictures, root, **QUICK)
    found = _pushed(done, "the last model knew cats, dogs (on the ")
    assert set(found["slices"]) >= {"overall", "label:birds"}
    before, now = (_accuracy(model, pictures, done.record, ["cats", "dogs"]) for model in _models(root))
    assert f" examples of cats, dogs: {before:.4f} before, {now:.4f} now)" in _quality(done)


def _a_class_is_removed(root: Path, pictures: Path) -> None:
    shutil.rmtree(pictures / "dogs")
    _pushed(attempt(pictures, root, **QUICK), "the last model knew birds, cats, dogs")


def _a_class_is_renamed(root: Path, pictures: Path) -> None:
    (pictures / "birds").rename(pictures / "owls")
    _pushed(attempt(pictures, root, **QUICK), "the last model knew birds, cats")


def _nothing_changes(root: Path, pictures: Path) -> None:
    """The reason is reported again, although the evaluation comes from the cache."""
    before = _versions(root)
    done = attempt(pictures, root, **QUICK)
    assert done.error is None and done.record["status"] == "unchanged"
    assert {state for name, state in done.states.items() if name != "Baseline"} == {"cached"}
    assert "; no baseline: the last model knew birds, cats (on the " in _quality(done)
    assert _versions(root) == before and len(before) == 4


# Models that can be compared


def _another_order_of_the_classes_and_size_of_the_pictures_are_compared(root: Path, pictures: Path) -> None:
    """The models are comparable: classes have the same names, and the signature takes the pictures' bytes."""
    changed = {"label__names": "owls,cats", "feature__height": "16", "feature__width": "16"}
    before = _models(root)[-1]
    done = attempt(pictures, root, **QUICK, **changed)
    assert _pushed(done)["baseline"] == pytest.approx(
        _accuracy(before, pictures, done.record, ["cats", "owls"]), abs=1e-6
    )
    assert before != _models(root)[-1] and _quality(done).endswith(" before")


def test_a_data_set_that_grows_and_shrinks(root: Path, pictures: Path, picture_folder: Callable[..., Path]) -> None:
    _a_class_is_added(root, pictures, picture_folder)
    _a_class_is_removed(root, pictures)
    _a_class_is_renamed(root, pictures)
    _nothing_changes(root, pictures)
    _another_order_of_the_classes_and_size_of_the_pictures_are_compared(root, pictures)


# A last model that cannot be used


def _the_last_model_is_damaged(root: Path, pictures: Path) -> None:
    (file,) = (_models(root)[-1] / "variables").glob("variables.data*")
    file.write_bytes(file.read_bytes()[:100])
    done = attempt(pictures, root, **QUICK, train__epochs="2")
    _pushed(done, f"the last model cannot be used: no SavedModel at {file.parents[1]}: ")


def _the_last_model_is_gone(root: Path, pictures: Path) -> None:
    folder = _models(root)[-1].parent
    shutil.rmtree(folder)
    _pushed(attempt(pictures, root, **QUICK, train__epochs="3"), f"there is no model at {folder}")


def test_a_last_model_that_cannot_be_used(root: Path, pictures: Path) -> None:
    _the_last_model_is_damaged(root, pictures)
    _the_last_model_is_gone(root, pictures)


# Other kinds of features and labels


class _ByHand(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x}


def _by_hand(folder: Path) -> None:
    """Return a model that was made without Skewless."""
    shutil.rmtree(folder, ignore_errors=True)
    module = _ByHand()
    tf.saved_model.save(module, str(folder), {"serving_default": module.serve})


def _numbers_after_pictures(root: Path, rows: Path) -> None:
    _pushed(attempt(rows, root, f"{ROWS}:CLASSES", **QUICK), "the last model takes pictures")


def _a_number_after_classes_and_back(root: Path, rows: Path) -> None:
    found = _pushed(attempt(rows, root, f"{ROWS}:NUMBER", **QUICK), "the last model answers with classes (0, 1)")
    assert found["metric"] == "mean_squared_error"
    done = attempt(rows, root, f"{ROWS}:CLASSES", **QUICK, train__epochs="2")
    assert _pushed(done, "the last model answers with a number")["metric"] == ACCURACY


def _more_numbers(root: Path, rows: Path) -> None:
    _pushed(attempt(rows, root, f"{ROWS}:WIDER", **QUICK), "the last model takes 2 numbers")


def _models_made_by_hand(root: Path, rows: Path) -> None:
    """One replaces the last model, and one is served with the highest number."""
    _by_hand(_models(root)[-1])
    newest = _versions(root)[-1] + 1_000_000
    _by_hand(root / "tiny" / "serving" / "tiny" / str(newest))
    done = attempt(rows, root, f"{ROWS}:WIDER", **QUICK, train__epochs="2")
    _pushed(done, "the last model cannot be used: the SavedModel at ")
    assert "has no signature 'serving_examples'" in done.record["evaluation"]["no_baseline"]
    assert done.record["pushed"]["version"] == newest + 1


def _a_task_that_is_not_as_it_was_cannot_be_proved(root: Path) -> None:
    with pytest.raises(UsageError) as caught:
        prove_task(f"{ROWS}:CLASSES", Paths(str(root), "tiny"), {})
    assert_told(caught.value, 2, "'tiny' has changed since its last run: ", "feature.size 3 -> 2")
    prove_task(f"{ROWS}:WIDER", Paths(str(root), "tiny"), {})


def test_another_kind_of_feature_or_label(root: Path, rows: Path) -> None:
    _numbers_after_pictures(root, rows)
    _a_number_after_classes_and_back(root, rows)
    _more_numbers(root, rows)
    _models_made_by_hand(root, rows)
    _a_task_that_is_not_as_it_was_cannot_be_proved(root)
