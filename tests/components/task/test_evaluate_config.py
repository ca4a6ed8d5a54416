"""The names of limits by metric, and which of them a task may have."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from components.task.evaluate_config import Evaluate
from components.task.limits import MetricName, parse_name
from components.task.overrides import apply_settings, parse_assignments
from components.task.task import Task
from data.errors import UsageError
from data.sources import Arrays, Csv, ImageTable
from data.spec import Labels, Number, Vector
from tests.tasks.tiny import TASK

ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3))
SEVERAL = dataclasses.replace(ROWS, source=Arrays(), label=Labels())
NUMBERS = dataclasses.replace(ROWS, label=Number())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("auc", ("auc",)),
        ("recall/rose", ("recall", "rose")),
        ("recall/a rose/red", ("recall", "a rose/red")),
        ("accuracy@image/format=PNG", ("accuracy", "", "image/format", "PNG")),
        ("recall/rose@site=a=b", ("recall", "rose", "site", "a=b")),
        ("recall/me@home", ("recall", "me@home")),
        ("recall/me@home@site=x", ("recall", "me@home", "site", "x")),
        ("auc@*", ("auc", "", "*")),
        ("recall/*@*", ("recall", "*", "*")),
        ("recall_at_precision(precision=0.9)/rosé", ("recall_at_precision(precision=0.9)", "rosé")),
    ],
)
def test_a_name_has_a_metric_a_class_and_a_slice(text: str, parts: tuple[str, ...]) -> None:
    assert parse_name(text, "x") == MetricName(text, *parts)


@pytest.mark.parametrize(
    "text", ["", "/rose", "auc/", "auc@", "auc@site", "auc@=3", "auc@site=", "3", "auc rose", "@*"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"^evaluate.minimum: '{re.escape(text)}' does not name a metric$") as caught:
        Evaluate(minimum={text: 0.5})
    assert "recall/rose" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_drop": {"auc": -0.1}}, "evaluate.max_drop of auc must not be below 0, got -0.1"),
        ({"minimum": {"auc": 0.9}, "maximum": {"auc": 0.8}}, "evaluate.minimum of auc is above its maximum: no model"),
        ({"minimum": {"auc": float("nan")}}, "evaluate.minimum must be a dictionary"),
        ({"minimum": ["auc"]}, "evaluate.minimum must be a dictionary"),
    ],
)
def test_values_that_no_model_could_meet(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        Evaluate(**settings)


@pytest.mark.parametrize(
    ("task", "name", "message", "hint"),
    [
        (NUMBERS, "mae/rose", "evaluate.minimum: 'mae/rose' names a class, but the label is a number", ""),
        (NUMBERS, "mae@label=3", "evaluate.minimum: no slices by label: the label is a number", "none for this task"),
        (SEVERAL, "auc@label=rose", "evaluate.minimum: several labels have no slices by label", "auc/rose"),
        (ROWS, "auc@image/format=PNG", "no feature for evaluate.minimum 'image/format'.", "label"),
        (TASK, "auc@image/fromat=PNG", "no feature for evaluate.minimum 'image/fromat'. Did you mean", "image/format"),
        (TASK, "auc@image/source=a.png", "evaluate.minimum: no slices by image/source: it names the record", "image/f"),
    ],
)
def test_limits_that_a_task_cannot_have(task: Task, name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}") as caught:
        dataclasses.replace(task, evaluate=Evaluate(minimum={name: 0.5}))
    assert hint in caught.value.hint


def test_a_feature_of_a_limit_is_sliced_by() -> None:
    table = dataclasses.replace(TASK, source=ImageTable(slices=("site",)))
    evaluate = Evaluate(minimum={"auc@image/format=PNG": 0.5, "auc": 0.5}, max_drop={"accuracy@site=x": 0.1})
    assert dataclasses.replace(table, evaluate=evaluate).slices == ("label", "site", "image/format")
    named = dataclasses.replace(evaluate, slices=("image/width",))
    assert dataclasses.replace(table, evaluate=named).slices == ("image/width", "image/format", "site")


def test_classes_that_limits_name() -> None:
    limits = {"recall/rose": 0.5, "accuracy@label=tulip": 0.5, "auc": 0.5, "precision/rose": 0.5, "auc@*": 0.1}
    assert Evaluate(minimum=limits, max_drop={"recall/daisy": 0.1}).limited_labels == ("rose", "daisy", "tulip")


def test_limits_on_the_command_line() -> None:
    texts = [
        "evaluate.minimum=auc:0.9,recall_at_precision(precision=0.9)/rose:0.8,accuracy@image/format=PNG:0.7",
        "evaluate.max_drop=auc:0.01",
    ]
    found = apply_settings(TASK, parse_assignments(texts)).evaluate
    assert found.minimum == {
        "auc": 0.9,
        "recall_at_precision(precision=0.9)/rose": 0.8,
        "accuracy@image/format=PNG": 0.7,
    }
    assert found.max_drop == {"auc": 0.01}
    assert apply_settings(TASK, {"evaluate.max_drop": "0.25"}).evaluate.max_drop == 0.25
    with pytest.raises(UsageError, match="evaluate.max_drop"):
        apply_settings(TASK, {"evaluate.max_drop": "much"})
