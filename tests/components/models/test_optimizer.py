from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from components.models.optimizer import initial_rate, optimizer_of, own_optimizer
from components.task.task import Train
from data.errors import UsageError

DECAY = keras.optimizers.schedules.CosineDecay(0.125, 100)
OBJECTS = [
    keras.optimizers.AdamW(0.5, weight_decay=0.25, clipnorm=1.0, use_ema=True, ema_overwrite_frequency=3),
    keras.optimizers.SGD(0.5, momentum=0.75, nesterov=True, global_clipnorm=2.0),
    keras.optimizers.Lion(0.5, gradient_accumulation_steps=2),
    keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.5), initial_scale=8.0),
]


class Own(keras.optimizers.Optimizer):
    """Plain gradient descent, with a factor of its own."""

    def __init__(self, learning_rate: float = 0.5, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.factor = factor

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_sub(variable, self.factor * learning_rate * gradient)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class Forgetful(Own):
    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "colour": "red"}


@pytest.mark.parametrize("optimizer", [*OBJECTS, Own(0.5, factor=2.0)], ids=lambda one: type(one).__name__)
def test_each_phase_has_a_new_copy_of_an_object(optimizer: keras.optimizers.Optimizer) -> None:
    weight = keras.Variable(np.ones(3, "float32"))
    optimizer.build([weight])
    optimizer.apply([np.ones(3, "float32")], [weight])
    first, second = optimizer_of(Train(optimizer=optimizer)), optimizer_of(Train(optimizer=optimizer))
    assert first is not second is not optimizer and type(first) is type(optimizer)
    assert first.get_config() == optimizer.get_config()
    assert not first.built and int(first.iterations) == 0
    assert initial_rate(Train(optimizer=optimizer)) == 0.5


@pytest.mark.parametrize("optimizer", [*OBJECTS, Own(factor=2.0), lambda: OBJECTS[0]])
def test_the_rate_of_the_settings_replaces_that_of_the_object(optimizer: Any) -> None:
    train = Train(optimizer=optimizer, learning_rate=0.125)
    assert float(optimizer_of(train).learning_rate) == 0.125 == initial_rate(train)
    found = optimizer_of(train, 0.25)
    assert float(found.learning_rate) == 0.25
    expected = own_optimizer(train).get_config()
    inner = found.get_config().pop("inner_optimizer", {"config": {}})["config"]
    assert {**found.get_config(), "learning_rate": 0, "inner_optimizer": 0} == {
        **expected,
        "learning_rate": 0,
        "inner_optimizer": 0,
    }
    assert inner.get("learning_rate", 0.25) == 0.25


def test_a_name_has_the_rate_of_the_settings() -> None:
    assert float(optimizer_of(Train(optimizer="sgd")).learning_rate) == pytest.approx(1e-3)
    assert float(optimizer_of(Train(optimizer="sgd", learning_rate=0.5)).learning_rate) == 0.5
    assert float(optimizer_of(Train(optimizer="sgd", learning_rate=0.5), 0.25).learning_rate) == 0.25
    found = optimizer_of(Train(optimizer="adamw(weight_decay=0.5, clipvalue=2.0)"))
    assert isinstance(found, keras.optimizers.AdamW) and (found.weight_decay, found.clipvalue) == (0.5, 2.0)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(DECAY),
        lambda: keras.optimizers.Adam(DECAY),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(DECAY)),
    ],
    ids=["object", "function", "loss scale"],
)
def test_a_schedule_inside_the_optimizer_stays_until_fine_tuning(optimizer: Any) -> None:
    train = Train(optimizer=optimizer)
    found = optimizer_of(train)
    assert initial_rate(train) is None
    inner = getattr(found, "inner_optimizer", found)
    assert inner.get_config()["learning_rate"]["config"]["decay_steps"] == 100
    assert float(optimizer_of(train, 0.25).learning_rate) == 0.25
    for contradiction in ({"learning_rate": 0.1}, {"schedule": ((3, 0.1),)}):
        setting = f"train.{next(iter(contradiction))} cannot be used with train.optimizer: the optimizer has learning"
        with pytest.raises(UsageError, match=setting):
            initial_rate(Train(optimizer=optimizer, **contradiction))


def test_a_class_is_a_function_that_returns_an_optimizer() -> None:
    assert isinstance(optimizer_of(Train(optimizer=keras.optimizers.Lion)), keras.optimizers.Lion)
    assert initial_rate(Train(optimizer=keras.optimizers.SGD)) == pytest.approx(0.01)


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(UsageError, match="train.optimizer must return a Keras optimizer, got a str"):
        optimizer_of(Train(optimizer=lambda: "adam"))
    with pytest.raises(UsageError, match="train.optimizer: a Forgetful cannot be created from its config") as caught:
        optimizer_of(Train(optimizer=Forgetful()))
    assert "get_config" in caught.value.hint
