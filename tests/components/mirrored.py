"""Train on two logical CPUs, which a process must configure before anything else: `python -m ... FOLDER`.

Writes `report.json` and `weights.npz`, by the name of the training; and the outputs of the Trainer, which runs with
`arguments.json` of the folder and a tf.data service.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.data.experimental import service

from components.models.build import build_for_training
from components.task.task import Task
from components.task.train_config import FineTune, Train
from components.training.batches import Splits, prepare_batches
from components.training.checkpoints import Checkpoints
from components.training.fit import fit_task
from components.training.replicas import Replicas
from data.input.reader import Batches, InputShard
from data.sources import Arrays, Csv
from data.spec import Classes, Feature, Labels, Vector
from tests.tasks.tiny import TASK

ROWS, SIZE, BATCH, CLASSES = 21, 4, 5, 3  # the last batch has one example: one replica gets none
STEPS = -(-ROWS // BATCH)
NAMES = ("ash", "beech", "cedar")
# What depends on the gradients of the whole batch, and on the examples' weights.
RICH = {
    "optimizer": "adam(global_clipnorm=0.1, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.8,"
    " ema_overwrite_frequency=3)",
    "metrics": ("f1_score(average='macro')", "top_k_categorical_accuracy(k=2)", "auc"),
    "class_weight": "balanced",
    "label_smoothing": 0.1,
    "steps_per_epoch": 7,
    "keep": "best",
}
HALF = {
    "optimizer": "sgd(use_ema=True, momentum=0.9, clipnorm=0.5)",
    "loss": "sparse_categorical_crossentropy(reduction='sum')",
    "mixed_precision": "float16",
}


def plain_network(feature: Feature, classes: int, activation: str = "softmax") -> keras.Model:
    """Return a model with a regularization loss and a frozen layer, in which no example depends on the others."""
    inputs = keras.Input(feature.shape)
    hidden = keras.layers.Dense(6, "relu", kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    hidden = keras.layers.Dense(6, "tanh", trainable=False)(hidden)
    return keras.Model(inputs, keras.layers.Dense(classes, activation)(hidden))


def noisy_network(feature: Feature, classes: int) -> keras.Model:
    """Return a model with dropout, and with statistics that each replica gathers separately."""
    inputs = keras.Input(feature.shape)
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(6, "relu")(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax")(keras.layers.Dropout(0.4)(hidden)))


def task(model: Any, **train: Any) -> Task:
    settings = {"epochs": 3, "batch_size": BATCH, "learning_rate": 0.01, "checkpoint_seconds": None, **train}
    return dataclasses.replace(
        TASK, source=Csv(), feature=Vector(SIZE), label=Classes(), model=model, train=Train(**settings)
    )


def several_labels(**train: Any) -> Task:
    """Return a task whose rows may have any number of the labels."""
    wanted = task(functools.partial(plain_network, activation="sigmoid"))
    settings = dataclasses.replace(wanted.train, **train)
    return dataclasses.replace(wanted, source=Arrays(), label=Labels(), train=settings)


def rows(multi_hot: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(ROWS, SIZE)).astype("float32")
    if multi_hot:
        return features, (rng.uniform(size=(ROWS, CLASSES)) < 0.4).astype("float32")
    return features, rng.integers(0, CLASSES, ROWS)


def batches(shard: InputShard, multi_hot: bool) -> Batches:
    """Return batches in the same order in each epoch."""

    def passes(epoch: int, batch: int) -> tf.data.Dataset:
        data = tf.data.Dataset.from_tensor_slices(rows(multi_hot)).batch(BATCH).repeat().skip(batch)
        return data.map(lambda features, labels: (shard.rows(features), shard.rows(labels)))

    return Batches(passes, STEPS, in_memory=True)


def train(wanted: Task, folder: Path, replicas: Replicas) -> tuple[keras.Model, dict[str, Any]]:
    keras.utils.set_random_seed(1)
    with replicas.scope():
        model = build_for_training(wanted, CLASSES)
    data = batches(replicas.shard, wanted.is_multi_label)
    counts = dict(zip(NAMES, np.bincount(rows(False)[1]).tolist(), strict=True))
    ready = prepare_batches(Splits(data, data, NAMES, counts), wanted, CLASSES)
    return model, fit_task(model, wanted, *ready, Checkpoints(str(folder)), str(folder / "logs"), replicas)


class Killed(BaseException):
    """Simulates the end of the process."""


def run_trainer(arguments: dict[str, Any]) -> None:
    """Call the Trainer's `run_fn`, with a tf.data service of two workers in this process."""
    from components.training import trainer  # loads TFX

    dispatcher = service.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    kept = [service.WorkerServer(service.WorkerConfig(address)) for _ in range(2)]
    arguments["custom_config"]["skewless"]["settings"]["train.data_service"] = dispatcher.target
    trainer.run_fn(SimpleNamespace(**arguments))
    del kept


def main(folder: Path) -> None:
    """Train without a strategy, with one, and with one in two parts."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    alone, mirrored = Replicas(), Replicas.local("mirrored")
    reports: dict[str, Any] = {"replicas": mirrored.strategy.num_replicas_in_sync}
    weights = {}

    def run(name: str, wanted: Task, replicas: Replicas, place: str = "") -> keras.Model:
        model, reports[name] = train(wanted, folder / (place or name), replicas)
        weights.update({f"{name}/{number}": one for number, one in enumerate(model.get_weights())})
        return model

    plain = task(plain_network, fine_tune=FineTune(2, 1e-3), keep="best", monitor="val_accuracy")
    run("alone", plain, alone)
    run("mirrored", plain, mirrored)
    for name, settings in (("rich", RICH), ("half", HALF)):
        run(f"{name} alone", task(plain_network, **settings), alone)
        run(f"{name} mirrored", task(plain_network, **settings), mirrored)
    several = several_labels(keep="best", monitor="val_auc")
    run("several alone", several, alone)
    run("several mirrored", several, mirrored)
    unsaved, noisy = task(noisy_network), task(noisy_network, checkpoint_seconds=0)
    (mean,) = (one for one in run("whole", unsaved, mirrored).non_trainable_weights if one.name == "moving_mean")
    reports["statistics"] = [one.numpy().tolist() for one in mirrored.strategy.experimental_local_results(mean.value)]
    steps = iter(range(100))

    class KillAtStep8(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if next(steps) == 8:
                raise Killed

    try:
        train(
            dataclasses.replace(noisy, train=dataclasses.replace(noisy.train, callbacks=(KillAtStep8,))),
            folder / "killed",
            mirrored,
        )
    except Killed:
        run("resumed", noisy, mirrored, "killed")
    np.savez(folder / "weights.npz", **weights)
    run_trainer(json.loads((folder / "arguments.json").read_text()))
    (folder / "report.json").write_text(json.dumps(reports))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
