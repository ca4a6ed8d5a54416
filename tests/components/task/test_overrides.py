from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pytest

from components.task import overrides
from components.task.task import Task
from data.augmentation.config import Augmentation
from data.errors import UsageError
from data.spec import Image
from pipeline.tasks import cifar10_inception, digits, horse_or_human
from tests.tasks.line import TASK as LINE
from tests.tasks.tiny import TASK


@dataclass(frozen=True)
class Inner:
    count: int = 1
    rate: float = 0.5
    limit: float | None = None
    names: tuple[str, ...] = ()
    mode: Literal["a", "b"] = "a"
    flag: bool = False
    pair: tuple[int, float] = (0, 0.0)
    steps: tuple[tuple[int, float], ...] | Callable[[int], float] = ()
    spread: float | tuple[float, float] = 0.0
    units: int = 1

    def __post_init__(self) -> None:
        if self.units < 0:
            raise ValueError("units below 0")  # as a user's own dataclass may
        if self.count < 0:
            raise UsageError("count must not be negative")


@dataclass(frozen=True)
class Outer:
    name: str = "x"
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("count", "7", 7),
        ("rate", "1e-3", 1e-3),
        ("limit", "2.5", 2.5),
        ("limit", "none", None),
        ("names", "a, b", ("a", "b")),
        ("names", "", ()),
        ("mode", "b", "b"),
        ("flag", "True", True),
        ("pair", "3, 0.5", (3, 0.5)),
        ("steps", "25:0.01, 50:1e-3", ((25, 0.01), (50, 0.001))),
        ("steps", "", ()),
        ("spread", "0.2", 0.2),
        ("spread", "0.8,1.2", (0.8, 1.2)),
    ],
)
def test_a_text_becomes_a_value_of_the_fields_type(key: str, text: str, value: object) -> None:
    changed = overrides.apply_settings(Outer(), {f"inner.{key}": text})
    assert getattr(changed.inner, key) == value
    assert type(getattr(changed.inner, key)) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("inner.count", "many", "inner.count must be a whole number, got 'many'"),
        ("inner.count", "1.5", "must be a whole number"),
        ("inner.rate", "fast", "must be a number"),
        ("inner.rate", "nan", "inner.rate must be a number, got 'nan'"),
        ("inner.rate", "-inf", "inner.rate must be a number, got '-inf'"),
        ("inner.rate", "1e400", "inner.rate must be a number, got '1e400'"),
        ("inner.limit", "nan", "inner.limit must be a number, got 'nan'"),
        ("inner.steps", "25:nan", "inner.steps must be a number, got 'nan'"),
        ("inner.names", "a,,b", "inner.names has an empty value between its commas: 'a,,b'"),
        ("inner.units", "-1", "inner.units=-1: units below 0"),
        ("inner.mode", "c", "must be one of a, b"),
        ("inner.flag", "1", "true or false"),
        ("inner.count", "-1", "count must not be negative"),
        ("inner.cuont", "1", "Did you mean 'inner.count'?"),
        ("name", "y", "no setting 'name'"),
        ("inner", "y", "no setting 'inner'"),
    ],
)
def test_a_wrong_setting_is_rejected_in_one_line(key: str, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        overrides.apply_settings(Outer(), {key: text})
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("feature.fit", "contain", "feature.fit"),
        ("feature.fit", "", "feature.fit"),
        ("feature.background", "red", "feature.background must be white, black or #rrggbb, got 'red'"),
        ("feature.background", "#12", "feature.background must be white, black or #rrggbb, got '#12'"),
    ],
)
def test_a_wrong_fit_or_background_is_rejected(key: str, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        overrides.apply_settings(TASK, {key: text})
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_fit_and_background_can_be_set() -> None:
    changed = overrides.apply_settings(TASK, {"feature.fit": "pad", "feature.background": "#12abEF"})
    assert isinstance(changed.feature, Image) and isinstance(TASK.feature, Image)
    assert changed.feature == dataclasses.replace(TASK.feature, fit="pad", background="#12abEF")
    assert overrides.apply_settings(changed, {"feature.background": ""}).feature != changed.feature


def test_the_legal_names_are_the_plain_fields_of_a_task() -> None:
    names = overrides.setting_names(TASK)
    assert {"train.epochs", "evaluate.min_accuracy", "ingest.max_quarantine", "feature.height"} <= set(names)
    assert not {"name", "model", "fetch", "train"} & set(names)


def test_an_assignment_needs_an_equals_sign() -> None:
    assert overrides.parse_assignments(["train.epochs = 2", "a=b=c"]) == {"train.epochs": "2", "a": "b=c"}
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        overrides.parse_assignments(["train.epochs"])


def test_two_values_for_one_setting_are_refused() -> None:
    assert overrides.parse_assignments(["a=1", "b=2", "a = 1"]) == {"a": "1", "b": "2"}
    with pytest.raises(UsageError, match="a is set twice: to '1' and to '2'"):
        overrides.parse_assignments(["a=1", "a=2"])


BAD = ("nan", "inf", "-inf", "1e400", "-1", "1.5", "10000000000000000000000", "a,,b", ",", "\0", "caf\udce9")
TEXTS: tuple[str, ...] = ("source.folder", "source.first.folder", "source.second.folder", "source.second.eval", "data")
TEXTS += ("source.label", "source.columns", "model.weights", "model.cut", "train.fine_tune.from_layer")
FINE = {  # what some setting takes, for a reason
    "-1": ("augment.cval",),
    "1.5": ("augment.rotation_range", "augment.width_shift_range", "augment.height_shift_range", "augment.cval")
    + ("augment.shear_range", "augment.channel_shift_range", "model.alpha", "train.learning_rate")
    + ("train.fine_tune.learning_rate", "train.checkpoint_seconds", "evaluate.max_error", "evaluate.max_drop"),
    "10000000000000000000000": ("train.learning_rate", "train.fine_tune.learning_rate", "train.checkpoint_seconds")
    + ("evaluate.max_error", "evaluate.max_drop"),
}


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    "task", [digits.TASK, cifar10_inception.TASK, horse_or_human.TASK, LINE], ids=lambda task: task.name
)
def test_every_setting_rejects_invalid_values(task: Task, value: str) -> None:
    """Each error names the setting, when the task is created: before anything runs."""
    taken = []
    for name in overrides.setting_names(task):
        try:
            overrides.apply_settings(task, {name: value})
        except UsageError as error:
            own = name.rpartition(".")[2]
            assert own in str(error) or "only pictures can be augmented" in str(error), f"{name}={value!r}: {error}"
            assert "\n" not in str(error)
        else:
            taken.append(name)
    texts = () if value in ("\0", "caf\udce9") else TEXTS
    assert set(taken) <= {*texts, *FINE.get(value, ())}


def test_every_setting_handles_an_empty_value() -> None:
    """An empty value is None or empty if the field's type has it, otherwise it is rejected."""
    for task in (digits.TASK, cifar10_inception.TASK, LINE):
        for name in overrides.setting_names(task):
            with contextlib.suppress(UsageError):
                found = overrides.flatten_settings(overrides.apply_settings(task, {name: ""}))
                nothing = ("null", "[]", "{}", '""', json.dumps(repr(Augmentation())))
                assert found[name] in nothing, name


def test_settings_that_fit_only_together_are_changed_together() -> None:
    """InceptionV3 has no width 0.35; the backbone and its width may come in any order."""
    wanted = {"model.backbone": "MobileNetV2", "model.alpha": "0.35"}
    for given in (wanted, dict(reversed(wanted.items()))):
        found = overrides.flatten_settings(overrides.apply_settings(cifar10_inception.TASK, given))
        assert found["model.backbone"] == '"MobileNetV2"' and found["model.alpha"] == "0.35"
    with pytest.raises(UsageError, match="no width multiplier"):
        overrides.apply_settings(cifar10_inception.TASK, {"model.alpha": "0.35"})
