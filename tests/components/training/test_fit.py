"""Phases, callbacks and checkpoints, on models that train in a moment."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.build import build_for_training, flat_layers, unfreeze
from components.task.task import Task
from components.task.train_config import FineTune, Train
from components.training.callbacks import CountingTensorBoard, higher_is_better
from components.training.checkpoints import Checkpoints
from components.training.fit import fit_task
from components.training.replicas import Replicas
from data.errors import QualityError, UsageError
from data.input.reader import Batches
from data.sources import Arrays, Csv
from data.spec import Classes, Feature, Labels, Vector
from tests.components.training.keras_fit import BATCH, ROWS, SIZE, STEPS, Killed, batches_of
from tests.tasks.tiny import TASK

CLASSES = 3


def network(feature: Feature, classes: int, activation: str = "softmax") -> keras.Model:
    """With dropout, whose seeds a checkpoint must hold, and a frozen part."""
    inner = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(6, name="frozen"), keras.layers.BatchNormalization()]
    )
    inner.trainable = False
    inputs = keras.Input(feature.shape)
    hidden = keras.layers.Dropout(0.4)(inner(keras.layers.Dense(6, "relu")(inputs), training=False))
    return keras.Model(inputs, keras.layers.Dense(classes, activation, name="head")(hidden))


def settings_of(train: dict[str, Any]) -> Train:
    return Train(**{"batch_size": BATCH, "learning_rate": 0.01, "checkpoint_seconds": None, **train})


def task(**train: Any) -> Task:
    parts: dict[str, Any] = {"feature": Vector(SIZE), "model": network, "train": settings_of(train)}
    return dataclasses.replace(TASK, source=Csv(), label=Classes(), **parts)


def several(**train: Any) -> Task:
    """The same with several labels."""
    model = functools.partial(network, activation="sigmoid")
    return dataclasses.replace(task(), source=Arrays(), label=Labels(), model=model, train=settings_of(train))


def rows(multi_hot: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(ROWS, SIZE)).astype("float32")
    if multi_hot:
        return features, (rng.uniform(size=(ROWS, CLASSES)) < 0.4).astype("float32")
    return features, rng.integers(0, CLASSES, ROWS)


def data(after: Callable[[int], None] | None = None, multi_hot: bool = False) -> Batches:
    return batches_of(*rows(multi_hot), after)


def train(wanted: Task, folder: Path, batches: Batches | None = None) -> tuple[keras.Model, dict[str, Any]]:
    keras.utils.set_random_seed(1)
    model = build_for_training(wanted, CLASSES)
    evaluation = data(multi_hot=wanted.is_multi_label)
    checkpoints = Checkpoints(str(folder / "c"))
    report = fit_task(model, wanted, batches or evaluation, evaluation, checkpoints, str(folder / "logs"), Replicas())
    return model, report


@pytest.mark.parametrize("make", [task, several])
def test_the_report_tells_what_keras_did(make: Callable[..., Task], tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    plain, given = build_for_training(make(), CLASSES), data(multi_hot=make is several)
    expected = plain.fit(
        given.passes(), steps_per_epoch=STEPS, validation_data=given.one_pass(), epochs=3, shuffle=False, verbose=0
    ).history
    model, report = train(make(epochs=3), tmp_path)
    assert {"loss", *make().metrics} <= expected.keys()
    rates = report["history"].pop("learning_rate")
    assert rates == pytest.approx([0.01] * 3) and report["history"].keys() == expected.keys()
    for name, values in expected.items():
        assert report["history"][name] == pytest.approx(values, rel=1e-5)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert report["epochs"] == report["best_epoch"] == 3 and report["stopped"] == ""
    assert report["phases"] == [{"name": "training", "epoch": 1}]
    assert json.loads(json.dumps(report)) == report


# Checkpoints


def killed(wanted: Task, at: int, evaluating: bool = False) -> Task:
    """The task with a training that ends before its step number `at` of all phases, or in the evaluation before it."""
    begun = itertools.count()
    trained = itertools.count(1)

    class Kill(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if next(begun) == at:
                raise Killed

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.trained = next(trained)

        def on_test_begin(self, logs: Any = None) -> None:
            if evaluating and self.trained == at:
                raise Killed

    return dataclasses.replace(wanted, train=dataclasses.replace(wanted.train, callbacks=(Kill,)))


@functools.cache
def in_one_go(make: Callable[..., Task], keep: str) -> tuple[Task, keras.Model, dict[str, Any]]:
    """A training in two phases that nothing disturbs."""
    monitor = f"val_{make().metrics[-1]}"
    settings = make(epochs=2, fine_tune=FineTune(3, 1e-3), keep=keep, monitor=monitor, checkpoint_seconds=0)
    with tempfile.TemporaryDirectory() as folder:
        return (settings, *train(settings, Path(folder)))


@pytest.mark.parametrize(
    ("at", "keep"),
    [
        (1, "last"),
        (5, "last"),
        (7, "best"),
        (-10, "last"),
        (10, "last"),
        (11, "last"),
        (13, "best"),
        (-20, "best"),
        (24, "best"),
    ],
)
@pytest.mark.parametrize("make", [task, several])
def test_killed_anywhere_it_goes_on_as_if_nothing_had_been(
    make: Callable[..., Task], at: int, keep: str, tmp_path: Path
) -> None:
    """2 epochs of 5 steps and 3 of fine-tuning: weights, history and the best epoch are those of one go. A negative
    number: killed after that step, in the evaluation of its epoch."""
    settings, whole, expected = in_one_go(make, keep)
    with pytest.raises(Killed):
        train(killed(settings, abs(at), evaluating=at < 0), tmp_path / "killed")
    read: list[int] = []
    again, report = train(settings, tmp_path / "killed", data(read.append, settings.is_multi_label))
    epoch, step = divmod(at, STEPS)
    place = f"epoch {epoch + 1}, step {step + 1}" if at > 0 else f"epoch {-at // STEPS}, evaluation"
    assert report.pop("resumed_at") == place and expected["resumed_at"] == ""
    at = abs(at)
    assert len(read) <= 5 * STEPS - at + 3  # tf.data reads a little ahead, but never what was trained on
    assert report.keys() | {"resumed_at"} == expected.keys()
    for name, values in expected["history"].items():
        assert report["history"][name] == pytest.approx(values, rel=1e-5), name
    for name in ("epochs", "best_epoch", "phases", "stopped"):
        assert report[name] == expected[name]
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("more", [{}, {"stop_when": "loss < 100"}, {"fine_tune": FineTune(1)}])
def test_killed_after_the_last_epoch_it_exports_what_was_trained(more: dict[str, Any], tmp_path: Path) -> None:
    settings = task(epochs=2, checkpoint_seconds=0, **more)
    whole, expected = train(settings, tmp_path)
    again, report = train(settings, tmp_path, data(lambda _: pytest.fail("there was nothing left to train")))
    assert report["history"] == expected["history"] and report["stopped"] == expected["stopped"]
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_latest_checkpoint_stays_and_none_after_the_end(tmp_path: Path) -> None:
    train(task(epochs=2, checkpoint_seconds=0), tmp_path)
    assert len(list((tmp_path / "c").glob("*.index"))) == 1
    Checkpoints(str(tmp_path / "c")).clear()
    assert not (tmp_path / "c").exists()


def test_without_checkpoints_nothing_is_written(tmp_path: Path) -> None:
    train(task(epochs=1), tmp_path)
    assert not list(tmp_path.iterdir())


# When it stops, and what it keeps


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    """With a rate that grows until the loss does, too."""
    settings = task(epochs=6, keep="best", monitor="loss", schedule=((2, 0.02), (3, 3.0)))
    model, report = train(settings, tmp_path)
    losses = report["history"]["loss"]
    assert report["best_epoch"] == int(np.argmin(losses)) + 1 < 6
    shorter, _ = train(task(epochs=report["best_epoch"], schedule=((2, 0.02), (3, 3.0))), tmp_path / "shorter")
    for one, other in zip(model.get_weights(), shorter.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_best_epoch_of_several_labels_has_the_largest_area(tmp_path: Path) -> None:
    _, report = train(several(epochs=6, keep="best", monitor="auc", schedule=((2, 0.5), (4, 3.0))), tmp_path)
    areas = report["history"]["auc"]
    assert report["best_epoch"] == int(np.argmax(areas)) + 1 != int(np.argmin(areas)) + 1


def test_it_stops_when_the_condition_holds(tmp_path: Path) -> None:
    _, free = train(task(epochs=8), tmp_path / "free")
    losses = free["history"]["loss"]
    limit = float(np.median(losses))
    first = next(epoch for epoch, loss in enumerate(losses, 1) if loss < limit)
    assert 1 < first < 8
    _, report = train(task(epochs=8, stop_when=f"loss < {limit}", fine_tune=FineTune(2)), tmp_path)
    assert report["epochs"] == first and report["stopped"] == f"loss < {limit} after epoch {first}"
    assert [one["name"] for one in report["phases"]] == ["training"]


def test_patience_ends_a_phase(tmp_path: Path) -> None:
    settings = task(epochs=9, patience=2, monitor="loss", schedule=((2, 30.0),), fine_tune=FineTune(1, 1e-3))
    _, report = train(settings, tmp_path)
    best = int(np.argmin(report["history"]["loss"][:-1])) + 1
    assert report["phases"] == [{"name": "training", "epoch": 1}, {"name": "fine-tuning", "epoch": best + 3}]
    assert report["epochs"] == best + 3 and report["stopped"] == ""


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("loss", False), ("accuracy", True), ("mean_absolute_error", False), ("auc", True), ("poisson", False)],
)
def test_a_metric_has_the_direction_that_keras_finds(metric: str, higher: bool) -> None:
    model = network(Vector(SIZE), CLASSES)
    model.compile(metrics=["accuracy", "mean_absolute_error", keras.metrics.AUC(name="auc"), keras.metrics.Poisson()])
    blank = np.zeros((1, CLASSES), "float32")
    model.compute_metrics(blank, blank, blank)
    stopping = keras.callbacks.EarlyStopping(monitor=metric)
    stopping.set_model(model)
    stopping._set_monitor_op()
    assert higher_is_better(model, metric) == higher == (stopping.monitor_op is keras.ops.greater)
    assert higher_is_better(model, f"val_{metric}") == higher


def test_a_metric_without_direction_is_refused_before_the_first_step(tmp_path: Path) -> None:
    def mine(labels: Any, outputs: Any) -> Any:
        return keras.ops.mean(outputs, axis=-1)

    read: list[int] = []
    settings = task(epochs=1, metrics=(mine,), monitor="val_mine", keep="best")
    with pytest.raises(UsageError, match="train.monitor=val_mine: it is not known whether a higher value") as caught:
        train(settings, tmp_path, data(read.append))
    assert "_direction" in caught.value.hint and not read
    _, report = train(task(epochs=1, metrics=(mine,), monitor="val_mine"), tmp_path)  # nothing compares it
    assert "val_mine" in report["history"]


def test_a_training_that_diverges_is_told(tmp_path: Path) -> None:
    def exploding(feature: Feature, classes: int) -> keras.Model:
        class Explode(keras.layers.Layer):
            def call(self, inputs: Any, training: bool = False) -> Any:
                return inputs * np.nan if training else inputs

        return keras.Sequential([keras.Input(feature.shape), Explode(), keras.layers.Dense(classes, "softmax")])

    with pytest.raises(QualityError, match="the training diverged: the loss is nan after epoch 1") as caught:
        train(dataclasses.replace(task(), model=exploding), tmp_path)
    assert "--set train.learning_rate=0.001" in caught.value.hint


# The learning rate


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ((), [0.01, 0.01, 0.01, 0.01]),
        (((1, 0.005), (3, 0.001)), [0.01, 0.005, 0.005, 0.001]),
        (((0, 0.5),), [0.5, 0.5, 0.5, 0.5]),
        (lambda epoch, rate: rate / 2 if epoch else rate, [0.01, 0.005, 0.0025, 0.00125]),
    ],
)
def test_the_rate_follows_the_schedule(schedule: Any, rates: list[float], tmp_path: Path) -> None:
    _, report = train(task(epochs=4, schedule=schedule), tmp_path)
    assert report["history"]["learning_rate"] == pytest.approx(rates)


def test_each_phase_has_its_rate_and_unfreezes(tmp_path: Path) -> None:
    settings = task(epochs=2, fine_tune=FineTune(2, 1e-4), schedule=((1, 0.002), (3, 5e-5)))
    keras.utils.set_random_seed(1)
    start = [one.numpy() for layer in flat_layers(build_for_training(settings, CLASSES)) for one in layer.weights]
    model, report = train(settings, tmp_path)
    assert report["history"]["learning_rate"] == pytest.approx([0.01, 0.002, 1e-4, 5e-5])
    assert report["phases"] == [{"name": "training", "epoch": 1}, {"name": "fine-tuning", "epoch": 3}]
    moved = [
        (layer.name, not np.array_equal(one.numpy(), before))
        for (layer, one), before in zip(
            ((layer, one) for layer in flat_layers(model) for one in layer.weights), start, strict=True
        )
    ]
    assert dict(moved)["frozen"] and not any(change for name, change in moved if "normalization" in name)
    only_first, _ = train(task(epochs=2), tmp_path / "first")
    assert np.array_equal(next(leaf for leaf in flat_layers(only_first) if leaf.name == "frozen").kernel, start[2])


def test_unfreezing_begins_at_the_named_layer() -> None:
    model = network(Vector(SIZE), CLASSES)
    with pytest.raises(UsageError, match="no frozen layer 'frosen'. Did you mean 'frozen'?"):
        unfreeze(model, "frosen")
    assert unfreeze(model, "frozen") == 1
    with pytest.raises(UsageError, match="has no frozen layer"):
        unfreeze(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "")


# TensorBoard and the user's own


def test_tensorboard_gets_scalars_and_histograms_and_a_profile(tmp_path: Path) -> None:
    train(task(epochs=2, histogram_epochs=1, profile_steps=(2, 4)), tmp_path)
    files = sorted((tmp_path / "logs").rglob("events*"))
    tags = {
        value.tag
        for file in files
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert {"epoch_loss", "epoch_accuracy"} <= tags and any("kernel" in tag for tag in tags)
    assert list((tmp_path / "logs").rglob("*.xplane.pb"))


def test_tensorboard_counts_the_steps_of_all_phases_and_those_before_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 steps of two epochs and 5 of fine-tuning; the steps 8 and 13 are profiled once, in the restart, too."""
    begun: list[int] = []
    monkeypatch.setattr(CountingTensorBoard, "_start_trace", lambda self: begun.append(self._global_train_batch))
    settings = task(epochs=2, fine_tune=FineTune(1, 1e-3), checkpoint_seconds=0, profile_steps=(13, 13))
    train(settings, tmp_path / "whole")
    assert begun == [13]
    early = dataclasses.replace(settings, train=dataclasses.replace(settings.train, profile_steps=(8, 8)))
    with pytest.raises(Killed):
        train(killed(early, 6), tmp_path / "killed")
    assert begun == [13]
    train(early, tmp_path / "killed")
    assert begun == [13, 8]


def test_without_the_settings_there_are_no_logs(tmp_path: Path) -> None:
    train(task(epochs=1), tmp_path)
    assert not (tmp_path / "logs").exists()


def test_callbacks_of_ones_own_are_called(tmp_path: Path) -> None:
    seen: list[int] = []

    class Mine(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(epoch)

    train(task(epochs=2, callbacks=(Mine,)), tmp_path)
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"monitor": "val_acuracy"}, "no metric for train.monitor 'val_acuracy'. Did you mean 'val_accuracy'?"),
        ({"stop_when": "acc > 0.5"}, "no metric for train.stop_when 'acc'"),
    ],
)
def test_an_unknown_metric_is_told_when_the_task_is_made(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        task(**settings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stop_when": "accuracy"}, "a metric, a sign and a number"),
        ({"stop_when": "accuracy > high"}, "a metric, a sign and a number"),
        ({"stop_when": "accuracy > 1e"}, "a metric, a sign and a number"),
        ({"schedule": ((5, 0.1), (3, 0.2))}, "increasing epochs"),
        ({"schedule": ((5, 0.0),)}, "rates above 0"),
        ({"profile_steps": (5,)}, "first and the last step"),
        ({"profile_steps": (5, 2)}, "first and the last step"),
        ({"patience": 0}, "train.patience must be at least 1"),
        ({"optimizer": "adamm"}, "Did you mean 'adam'?"),
        ({"checkpoint_seconds": -1}, "must not be below 0"),
        ({"strategy": "mirored"}, "no strategy 'mirored'. Did you mean 'mirrored'?"),
        ({"data_service": "localhost:5050"}, "train.data_service must be grpc://HOST:PORT, got 'localhost:5050'"),
        ({"data_service": "grpc://a:1", "strategy": "multi_worker"}, "each worker takes its share"),
        ({"fine_tune": (1, 1)}, None),
    ],
)
def test_a_wrong_setting_is_told_when_the_task_is_made(settings: dict[str, Any], words: str | None) -> None:
    if words is None:
        with pytest.raises(UsageError, match="fine_tune.learning_rate must be above 0"):
            FineTune(1, 0)
        return
    with pytest.raises(UsageError) as caught:
        Train(**settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)
