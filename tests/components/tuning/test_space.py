"""The search space: what `--over` means, and which values KerasTuner gets."""

from __future__ import annotations

import dataclasses
import math
import re

import keras_tuner
import pytest

from components.tuning.space import ChosenValues, ValueRange, parse_over, search_space, space_size
from data.errors import UsageError
from skewless import ConvNet
from tests.tasks.tiny import TASK

NETWORK = dataclasses.replace(TASK, model=ConvNet(filters=(4,), dense=4))


def _space(*assignments: str) -> list[ChosenValues | ValueRange]:
    return search_space(NETWORK, parse_over(assignments))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("model.dense=128,256,512", 3),
        ("train.epochs=2..8", 7),
        ("train.epochs=2..8:3", 3),  # 2, 5, 8
        ("train.batch_size=8..64:log:2", 4),  # 8, 16, 32, 64
        ("model.dropout=0..0.3:0.1", 4),
        ("train.learning_rate=1e-4..1e-2:log", None),
        ("train.learning_rate=1e-4..1e-1:log:10", 4),
        ("model.filters=16|16,32", 2),
        ("train.optimizer=adam,sgd(momentum=0.9, nesterov=True)", 2),
        ("train.class_weight=|balanced", 2),
        ("train.learning_rate=none,0.1", 2),
    ],
)
def test_a_space_has_as_many_values_as_a_grid_of_it(text: str, count: int | None) -> None:
    (found,) = space = _space(text)
    assert found.count == count == space_size(space)
    values = keras_tuner.HyperParameters()
    found.declare(values)
    (declared,) = values.space
    assert declared.name == text.partition("=")[0]
    if count:
        texts = [found.text(one) for one in declared.values]
        assert len(set(texts)) == count
        assert [found.text(found.value(one)) for one in texts] == texts


def test_the_ends_of_a_range_with_a_step_are_values_of_it() -> None:
    for text, ends in (
        ("model.dropout=0..0.3:0.1", ("0.0", "0.3")),
        ("train.epochs=2..8:3", ("2", "8")),
        ("train.learning_rate=1e-4..1e-1:log:10", ("0.0001", "0.1")),
    ):
        (found,) = _space(text)
        values = keras_tuner.HyperParameters()
        found.declare(values)
        texts = [found.text(one) for one in values.space[0].values]
        assert (texts[0], texts[-1]) == ends


def test_values_of_a_range_are_within_it_and_rounded_to_what_is_shown() -> None:
    (rate,) = _space("train.learning_rate=0.00012345..0.012345:log")
    values = keras_tuner.HyperParameters()
    rate.declare(values)
    found = [rate.text(values.space[0].random_sample(seed)) for seed in range(400)]
    assert all(0.00012345 <= float(text) <= 0.012345 for text in found)
    assert all(re.fullmatch(r"0\.0*[1-9]\d{0,3}", text) for text in found)
    assert rate.text(0.0012345678) == "0.001235"
    assert rate.text(0.012345) == "0.012345"  # 0.01235 would be outside
    below = sum(float(text) < 0.0012345 for text in found)  # the middle of the logarithms
    assert abs(below - 200) < 4 * math.sqrt(100)


def test_lists_of_numbers_are_numbers_for_keras_tuner() -> None:
    for text, kind in (("model.dense=16,8", int), ("model.dropout=0.1,0", float), ("train.keep=last,best", str)):
        (found,) = _space(text)
        values = keras_tuner.HyperParameters()
        found.declare(values)
        assert {type(one) for one in values.space[0].values} == {kind}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train.epochs", "--over train.epochs: expected KEY=VALUES"),
        ("train.epochs=", "--over train.epochs=: expected KEY=VALUES"),
        ("train.epoch=1,2", "no setting to tune 'train.epoch'. Did you mean 'train.epochs'?"),
        ("feature.height=8,16", "feature.height cannot be tuned: all trials use the same prepared data"),
        ("evaluate.min_accuracy=0..1", "evaluate.min_accuracy cannot be tuned"),
        ("train.strategy=none,mirrored", "train.strategy cannot be tuned"),
        ("train.epochs=5", "train.epochs=5: one value is nothing to tune"),
        ("train.epochs=5,5", "train.epochs=5,5: a value is there twice"),
        ("train.epochs=0..4", "train.epochs must be at least 1, got 0"),
        ("train.epochs=2..4.5", "train.epochs must be a whole number, got '4.5'"),
        ("train.epochs=4..2", "train.epochs=4..2: the range ends before it begins"),
        ("train.epochs=2..4:0.5", "the step of whole numbers must be one, too"),
        ("train.epochs=2..4:0", "the step must be above 0"),
        ("train.epochs=2..4:log:1", "the step must be above 1"),
        ("model.dropout=0..0.5:log", "a range with :log must begin above 0"),
        ("model.dropout=0..1", "model.dropout must be at least 0 and below 1, got 1.0"),
        ("train.keep=1..2", "train.keep must be one of last, best, got '1'"),
        ("train.stop_when=1..2", "train.stop_when must be a metric, a sign and a number, got '1'"),
        ("model.filters=16,32", "model.filters=16,32: a value of model.filters has commas itself"),
        ("train.optimizer=adam,ada", "ada"),
    ],
)
def test_a_wrong_space_is_refused_before_anything_runs(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        _space(text)
    assert "\n" not in str(caught.value) and caught.value.hint


def test_a_setting_is_tuned_once() -> None:
    with pytest.raises(UsageError, match="--over names train.epochs twice"):
        parse_over(["train.epochs=1,2", "train.epochs=3,4"])
    with pytest.raises(UsageError, match="no setting to tune"):
        search_space(NETWORK, {})
