"""The settings of the training's objective, as a task is made and as `--set` changes them."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import pytest

from components.task import overrides
from components.task.task import Task, Train
from data.errors import UsageError
from data.sources import Arrays, Csv
from data.spec import Labels, Number, Vector
from tests.tasks.tiny import TASK

ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(2))
DECAY = keras.optimizers.schedules.CosineDecay(0.1, 10)


def _set(task: Task, **settings: str) -> Train:
    return overrides.apply_settings(task, {f"train.{name}": text for name, text in settings.items()}).train


def test_texts_of_the_command_line() -> None:
    found = _set(
        TASK,
        optimizer="adamw(weight_decay=0.01, clipnorm=1.0)",
        loss="categorical_crossentropy(label_smoothing=0.1)",
        metrics="f1_score(average='macro', threshold=0.5) , auc",
        class_weight="a:1,b:2.5",
        mixed_precision="bfloat16",
        steps_per_epoch="7",
    )
    assert found.optimizer == "adamw(weight_decay=0.01, clipnorm=1.0)"
    assert found.metrics == ("f1_score(average='macro', threshold=0.5)", "auc")
    assert found.class_weight == {"a": 1.0, "b": 2.5} and found.steps_per_epoch == 7
    assert _set(TASK, class_weight="balanced").class_weight == "balanced"
    assert _set(TASK, metrics="").metrics == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adamm"}, "no optimizer 'adamm'. Did you mean 'adam'?"),
        ({"optimizer": "adam(learning_rate=1)"}, "train.optimizer: adam must not have learning_rate"),
        ({"loss": "crossentropy"}, "no loss 'crossentropy'. Did you mean"),
        ({"loss": "huber(delat=1)"}, "no argument of huber for train.loss 'delat'. Did you mean 'delta'?"),
        ({"metrics": "auc,auk"}, "no metric for train.metrics 'auk'. Did you mean 'auc'?"),
        ({"metrics": "auc,,mse"}, "train.metrics has an empty value between its commas"),
        ({"metrics": "f1_score"}, "f1_score gives a number for each class without an average"),
        ({"class_weight": "heavy"}, "train.class_weight must be balanced, or empty or NAME:VALUE, separated by commas"),
        ({"class_weight": "a:1,a:2"}, "train.class_weight has a twice"),
        ({"class_weight": "a:-1"}, "train.class_weight must not be below 0"),
        ({"mixed_precision": "float64"}, "must be one of float16, bfloat16, or empty, got 'float64'"),
        ({"label_smoothing": "1"}, "train.label_smoothing must be 0 to below 1, got 1.0"),
        ({"label_smoothing": "0.1", "loss": "huber"}, "train.label_smoothing cannot be used with train.loss"),
        ({"steps_per_epoch": "0"}, "train.steps_per_epoch must be at least 1, or none, got 0"),
        ({"monitor": "val_f1_score"}, "no metric for train.monitor 'val_f1_score'"),
    ],
)
def test_a_wrong_text_is_refused_before_anything_runs(settings: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        _set(TASK, **settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": 3}, "train.optimizer must be a text, a Keras optimizer or a function, got 3"),
        ({"loss": 3}, "train.loss must be a text, a Keras loss or a function, got 3"),
        ({"metrics": (3,)}, "train.metrics must be a text, a Keras metric or a function, got 3"),
        ({"metrics": "auc"}, "train.metrics must be a tuple of"),
        ({"class_weight": 3}, "train.class_weight must be balanced, or empty or a dictionary of text to number"),
        ({"optimizer": keras.optimizers.Adam(DECAY), "learning_rate": 0.1}, "train.learning_rate cannot be used with"),
        ({"optimizer": keras.optimizers.Adam(DECAY), "schedule": ((1, 0.1),)}, "train.schedule cannot be used with"),
    ],
)
def test_a_wrong_object_is_refused_as_the_task_is_made(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Train(**settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_own_metrics_can_be_monitored() -> None:
    found = _set(TASK, metrics="f1_score(average=macro),auc", monitor="val_f1_score", stop_when="auc > 0.9")
    assert found.monitor == "val_f1_score"
    task = dataclasses.replace(TASK, train=Train(metrics=("auc", keras.metrics.Recall())))
    assert task.metrics == ("accuracy", "auc", "recall")


def test_label_smoothing_is_for_classes_and_labels() -> None:
    dataclasses.replace(ROWS, source=Arrays(), label=Labels(), train=Train(label_smoothing=0.1))
    with pytest.raises(UsageError, match="train.label_smoothing does not apply to a number"):
        dataclasses.replace(ROWS, label=Number(), train=Train(label_smoothing=0.1))
