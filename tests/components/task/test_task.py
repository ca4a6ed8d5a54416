"""A task checks itself when it is created, by `--set` or in Python: before anything runs."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from components.models.transfer import Transfer
from components.task.task import Evaluate, Gate, Task, Train
from data.augmentation.config import Augmentation
from data.errors import UsageError
from data.sources import Arrays, Csv, FirstMatch, ImageFolder, ImageTable
from data.spec import Classes, Image, Labels, Number, Vector
from tests.tasks.line import TASK as LINE
from tests.tasks.tiny import TASK as TINY

PICTURES_OF_NUMBERS = dataclasses.replace(TINY, source=Csv(), label=Number())
ROWS = dataclasses.replace(LINE, label=Classes())
SEVERAL = dataclasses.replace(LINE, source=Arrays(), label=Labels(), evaluate=Evaluate())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Evaluate(slices=cast(Any, "label")), "evaluate.slices must be a tuple of texts, got 'label'"),
        (lambda: Evaluate(min_accuracy=float("nan")), "evaluate.min_accuracy must be a number that is finite, got nan"),
        (lambda: Evaluate(min_average_precision=1.5), "evaluate.min_average_precision must be 0 to 1, got 1.5"),
        (lambda: Evaluate(max_error=-1), "evaluate.max_error must not be below 0, got -1"),
        (lambda: Train(stop_when="accuracy > 1e999"), "train.stop_when must be a metric, a sign and a number"),
        (lambda: Train(seed=-1), "train.seed must not be below 0, got -1"),
        (lambda: Train(epochs=cast(Any, "3")), "train.epochs must be a whole number, got '3'"),
        (lambda: Train(schedule=((5, float("nan")),)), "train.schedule must be "),
        (lambda: Image(height=cast(Any, 8.0), width=8), "feature.height must be a whole number, got 8.0"),
        (lambda: Image(2**16, 2**16), "must be at most 67108864 pixels, got 65536x65536"),
        (lambda: Classes(cast(Any, "ab")), "label.names must be a tuple of texts, got 'ab'"),
        (lambda: Classes(cast(Any, ("a", 1))), "label.names must be a tuple of texts, got ('a', 1)"),
        (lambda: Classes(("a", "")), "label.names must be two or more names that are not empty"),
        (lambda: Classes(("a",)), "label.names must be two or more names"),
        (lambda: Labels(("a", "b", "a")), "label.names contains a name twice: a, b, a"),
        (lambda: Labels(("",)), "label.names must be names that are not empty, got ('',)"),
        (lambda: Labels(cast(Any, "ab")), "label.names must be a tuple of texts, got 'ab'"),
        (lambda: Gate(sample=cast(Any, 1.5)), "gate.sample must be a whole number, got 1.5"),
        (lambda: Augmentation(rotation_range=1e30), "augment.rotation_range must be a number of at most 1e+06"),
        (lambda: Transfer("InceptionV3", alpha=0.5), "model.alpha: InceptionV3 has no width multiplier"),
        (lambda: Transfer("InceptionV3", weights=""), "model.weights is empty"),
        (lambda: ImageFolder("../other"), "source.folder must be below the data folder, got '../other'"),
        (lambda: ImageFolder("/other"), "source.folder must be below the data folder, got '/other'"),
    ],
)
def test_an_invalid_value_is_rejected_at_once(make: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_list_is_accepted_for_a_tuple() -> None:
    assert Evaluate(slices=["label"]) == Evaluate(slices=("label",))  # type: ignore[arg-type]
    assert hash(Classes(["a", "b"])) == hash(Classes(("a", "b")))  # type: ignore[arg-type]
    assert ImageFolder("a..b/c").folder == "a..b/c"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "folder"}, "task.source must be a Source, got 'folder'"),
        ({"feature": (8, 8)}, "task.feature must be a Image or a Vector, got (8, 8)"),
        ({"model": "cnn"}, "task.model must be a function, got 'cnn'"),
        ({"train": {}}, "task.train must be a Train, got {}"),
        ({"label": Number()}, "task 'tiny': the labels of an ImageFolder are its folders, so the label must be Cl"),
        ({"label": Labels(), "source": Csv()}, "task 'tiny': Csv reads one label a row: the label must be Classes or"),
        ({"name": 1}, "task.name must be a text, got 1"),
        ({"name": ""}, "a task's name must be letters, digits, _ and -, without a - at the start, got ''"),
        ({"name": "-x"}, "without a - at the start, got '-x'"),
        ({"name": "a/b"}, "got 'a/b'"),
        ({"name": "../a"}, "got '../a'"),
        ({"name": "a" * 64}, "a task's name must have at most 63 characters, got 64"),
    ],
)
def test_an_invalid_part_is_rejected_at_once(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(TINY, **change)
    assert words in str(caught.value)


def test_one_name_is_enough_for_several_labels() -> None:
    assert Labels(("only",)).names == ("only",)
    task = dataclasses.replace(TINY, label=Labels(("only",)))
    assert task.is_multi_label and not task.is_classification


def test_names_that_are_legal() -> None:
    for name in ("a--b", "1a", "a_b", "\u82b1", "a" * 63):
        assert dataclasses.replace(TINY, name=name).name == name


@pytest.mark.parametrize(
    ("task", "slices"),
    [
        (TINY, ("label", "image/format", "image/width", "image/height", "image/channels", "image/bytes")),
        (PICTURES_OF_NUMBERS, ("image/format",)),
        (ROWS, ("label",)),
        (SEVERAL, ("label",)),
        (LINE, ("label",)),  # the default
        (LINE, ()),
    ],
)
def test_slices_by_what_the_records_hold(task: Task, slices: tuple[str, ...]) -> None:
    assert dataclasses.replace(task, evaluate=Evaluate(slices=slices)).evaluate.slices == slices


@pytest.mark.parametrize(
    ("task", "slices", "words"),
    [
        (TINY, ("image/format", "foo"), "no feature for evaluate.slices 'foo'"),
        (TINY, ("image/fromat",), "no feature for evaluate.slices 'image/fromat'. Did you mean 'image/format'?"),
        (TINY, ("",), "no feature for evaluate.slices ''"),
        (TINY, ("image/source",), "evaluate.slices: no slices by image/source: it names the record"),
        (TINY, ("label", "label"), "evaluate.slices has a name twice: label, label"),
        (ROWS, ("image/format",), "no feature for evaluate.slices 'image/format'"),
        (PICTURES_OF_NUMBERS, ("image/format", "label"), "no slices by label: the label is a number"),
    ],
)
def test_slices_by_anything_else_are_refused(task: Task, slices: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(task, evaluate=Evaluate(slices=slices))
    assert words in str(caught.value) and caught.value.hint


def _limited(name: str) -> Evaluate:
    settings: dict[str, Any] = {name: 0.5}
    return Evaluate(**settings)


@pytest.mark.parametrize(
    ("task", "limit", "words", "legal"),
    [
        (ROWS, "min_average_precision", "does not apply to classes", "min_accuracy"),
        (LINE, "min_average_precision", "does not apply to a number", "max_error"),
        (SEVERAL, "min_accuracy", "does not apply to several labels", "min_average_precision"),
        (SEVERAL, "max_error", "does not apply to several labels", "min_average_precision"),
    ],
)
def test_a_limit_for_another_kind_of_label_is_refused(task: Task, limit: str, words: str, legal: str) -> None:
    """It would never apply."""
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(task, evaluate=_limited(limit))
    assert str(caught.value) == f"evaluate.{limit} {words}"
    assert caught.value.hint.endswith(f" is evaluate.{legal}.")
    fitting = dataclasses.replace(task, evaluate=_limited(legal))
    assert getattr(fitting.evaluate, legal) == 0.5


@pytest.mark.parametrize(
    ("task", "legal", "other"),
    [(ROWS, "accuracy", "auc"), (LINE, "mae", "accuracy"), (SEVERAL, "pr_auc", "accuracy"), (SEVERAL, "auc", "mae")],
)
def test_the_metrics_of_training_by_kind_of_label(task: Task, legal: str, other: str) -> None:
    found = dataclasses.replace(task, train=Train(monitor=f"val_{legal}", stop_when=f"{legal} > 0.5"))
    assert found.train.monitor == f"val_{legal}"
    with pytest.raises(UsageError, match=f"no metric for train.monitor 'val_{other}'"):
        dataclasses.replace(task, train=Train(monitor=f"val_{other}"))


def test_the_size_of_a_vector_has_a_limit() -> None:
    with pytest.raises(UsageError, match="feature.size must be 1 to 67108864, got 4294967295"):
        Vector(2**32 - 1)


def test_columns_of_the_source_are_slices_by_default() -> None:
    table = dataclasses.replace(TINY, source=ImageTable(slices=("site", "camera")))
    assert table.slices == ("label", "site", "camera") and TINY.slices == ("label",)
    named = dataclasses.replace(table, evaluate=Evaluate(slices=("site", "image/format")))
    assert named.slices == ("site", "image/format")
    with pytest.raises(UsageError, match="no feature for evaluate.slices 'sit'. Did you mean 'site'"):
        dataclasses.replace(table, evaluate=Evaluate(slices=("sit",)))
    either = dataclasses.replace(TINY, source=FirstMatch(first=ImageFolder(), second=ImageTable(slices=("site",))))
    assert either.slices == ("label", "site")
