"""Copies of Keras objects, and the texts of their configs, which must be the same in every process."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from components.task import keras_text
from components.task.keras_config import config_text, copy_of, parts_inside
from data.errors import UsageError

LABELS, OUTPUTS = np.array([0.0, 1.0], "float32"), np.array([0.25, 0.5], "float32")


def mine(labels: Any, outputs: Any, power: float = 1.0) -> Any:
    return keras.ops.abs(labels - outputs) ** power


class Weighted(keras.metrics.MeanMetricWrapper):
    def __init__(self, share: float, name: str = "weighted", **kwargs: Any) -> None:
        super().__init__(mine, name=name, power=share)
        self.share = share

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "share": self.share}


class Silent(keras.losses.Loss):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__(name="silent")
        self.gamma = gamma


@pytest.mark.parametrize(
    "value",
    [
        keras.metrics.AUC(num_thresholds=7, name="area"),
        keras.metrics.MeanMetricWrapper(mine, name="own", power=2.0),
        keras.metrics.MeanMetricWrapper(lambda labels, outputs: labels - outputs, name="short"),
        Weighted(0.5),
        keras.losses.Huber(delta=0.25),
    ],
    ids=lambda value: str(value.name),
)
def test_a_copy_has_the_settings_and_not_the_state(value: Any) -> None:
    if isinstance(value, keras.metrics.Metric):
        value.update_state(LABELS, OUTPUTS)
    copy = copy_of(value, "train.metrics", name="copied")
    assert type(copy) is type(value) and copy is not value and copy.name == "copied"
    if isinstance(value, keras.metrics.Metric):
        assert float(copy.result()) == 0
        copy.update_state(LABELS, OUTPUTS)
        assert float(copy.result()) == float(value.result())
    else:
        assert float(copy(LABELS, OUTPUTS)) == float(value(LABELS, OUTPUTS))


def test_an_object_that_cannot_be_copied_is_refused() -> None:
    class Hidden(keras.metrics.Mean):
        def __init__(self, share: float) -> None:
            super().__init__(name="hidden")

    with pytest.raises(
        UsageError, match="train.metrics: a Hidden cannot be created from its config: .*__init__"
    ) as caught:
        copy_of(Hidden(0.5), "train.metrics")
    assert "get_config" in caught.value.hint


def test_numbered_names_and_seeds_of_layers_are_left_out() -> None:
    """Keras counts the objects of a process; and training draws from its own seed."""
    for make in (
        keras.metrics.AUC,
        lambda: keras.layers.RandomFlip("horizontal"),
        lambda: keras.layers.RandAugment(num_ops=2),
        lambda: keras.layers.Pipeline([keras.layers.RandomRotation(0.1), keras.layers.RandomFlip()]),
    ):
        assert config_text(make(), False) == config_text(make(), False)
    assert config_text(keras.layers.RandomFlip(seed=1), False) == config_text(keras.layers.RandomFlip(seed=2), False)
    assert json.loads(config_text(keras.metrics.AUC(), False))["config"]["name"] == "auc"
    assert config_text(keras.metrics.AUC(name="a"), False) != config_text(keras.metrics.AUC(name="b"), False)
    assert config_text(keras.metrics.AUC(), False) != config_text(keras.metrics.AUC(num_thresholds=7), False)


@pytest.mark.parametrize("catalog", [keras_text.optimizers, keras_text.losses, keras_text.metrics])
def test_every_argument_of_keras_classes_counts(catalog: Callable[[], keras_text.Catalog]) -> None:
    """Keras' own configs leave some out."""
    needed = {"num_classes": 2, "target_class_ids": [0]}
    for cls in catalog().classes.values():
        parameters = inspect.signature(cls).parameters.values()
        names = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
        given = {
            one.name: needed.get(one.name, 0.5) for one in parameters if one.default is one.empty and one.name in names
        }
        known = {*json.loads(config_text(cls(**given), False))["config"], "name", "dtype"}
        # An area has either of the two.
        assert {*names} - known <= {"thresholds"}, cls


def test_a_schedule_inside_an_optimizer_counts() -> None:
    decays = [keras.optimizers.schedules.ExponentialDecay(0.1, steps, 0.5) for steps in (10, 20)]
    one, other = (config_text(keras.optimizers.Adam(decay), False) for decay in decays)
    assert one != other and '"decay_steps": 10' in one
    wrapped = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(decays[0]))
    assert '"decay_steps": 10' in config_text(wrapped, False)


def test_a_users_class_must_return_its_settings() -> None:
    """Otherwise a change of a setting would not be seen, and the cache would return the old model."""
    with pytest.raises(UsageError, match="get_config of Silent has no gamma, which the cache compares"):
        config_text(Silent(3.0), is_own=True)
    assert '"share": 0.5' in config_text(Weighted(0.5), is_own=True)


def test_the_functions_inside_an_object_are_found() -> None:
    wrapped = keras.metrics.MeanMetricWrapper(mine)
    assert mine in list(parts_inside(wrapped))
    outer = keras.layers.Pipeline([keras.layers.Lambda(mine)])
    assert mine in list(parts_inside(outer))
