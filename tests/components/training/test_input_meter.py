from __future__ import annotations

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.training.input_meter import InputMeter

ROWS, BATCH, EPOCHS = 40, 10, 3


def _model(steps_per_execution: int = 1) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=steps_per_execution)
    return model


def _dataset(delay: float) -> tf.data.Dataset:
    def slow(x: np.ndarray) -> np.ndarray:
        time.sleep(delay)
        return x

    data = tf.data.Dataset.from_tensor_slices((np.ones((ROWS, 4), "float32"), np.ones(ROWS, "float32"))).batch(BATCH)
    return data.map(lambda x, y: (tf.ensure_shape(tf.numpy_function(slow, [x], tf.float32), (None, 4)), y))


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_every_example_is_counted_and_the_training_is_keras_own(steps_per_execution: int) -> None:
    keras.utils.set_random_seed(0)
    plain = _model(steps_per_execution)
    expected = plain.fit(_dataset(0), epochs=EPOCHS, shuffle=False, verbose=0).history["loss"]
    keras.utils.set_random_seed(0)
    model, meter = _model(steps_per_execution), InputMeter()
    found = model.fit(meter.timed(_dataset(0)), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[meter]).history[
        "loss"
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert meter.examples == ROWS * EPOCHS
    assert meter.images_per_second == pytest.approx(ROWS * EPOCHS / meter.seconds)


def test_an_example_counts_once_whatever_its_label() -> None:
    """With several labels and a weight."""
    meter = InputMeter()
    rows = np.ones((ROWS, 4), "float32"), np.ones((ROWS, 3), "float32"), np.ones(ROWS, "float32")
    for _ in meter.timed(tf.data.Dataset.from_tensor_slices(rows).batch(BATCH)):
        pass
    assert meter.examples == ROWS


def test_a_slow_input_is_seen_as_waiting() -> None:
    model, meter = _model(), InputMeter()
    delay = 0.05
    model.fit(meter.timed(_dataset(delay)), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[meter])
    asleep = delay * EPOCHS * ROWS / BATCH
    assert 0.8 * asleep <= meter.waited < asleep + 1  # tf.data itself reads a little ahead
    assert meter.waited <= meter.seconds


def test_a_fast_input_is_not_waited_for_and_validation_does_not_count() -> None:
    model, meter = _model(), InputMeter()
    quick = tf.data.Dataset.from_tensor_slices((np.ones((ROWS, 4), "float32"), np.ones(ROWS, "float32"))).batch(BATCH)
    start = time.perf_counter()
    model.fit(meter.timed(quick), validation_data=_dataset(0.1), epochs=2, shuffle=False, verbose=0, callbacks=[meter])
    total = time.perf_counter() - start
    asleep = 0.1 * 2 * ROWS / BATCH
    assert meter.seconds < total - asleep
    assert meter.waiting_share < 0.5


def test_loading_counts_as_waiting() -> None:
    meter = InputMeter(load_seconds=2.0)
    assert meter.waited == meter.seconds == 2.0 and meter.waiting_share == 1.0
