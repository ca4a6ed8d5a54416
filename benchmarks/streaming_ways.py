"""Inputs that feed one epoch after the other, and the seconds of each epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from benchmarks.pictures import Pictures, idx_arrays, idx_pairs
from benchmarks.prepared import prepare
from components.models import build
from components.task.reference import TaskReference
from components.training.input_meter import InputMeter
from data.input import reader


@dataclass(frozen=True)
class Epochs:
    """Seconds of each epoch, and the share of all of them spent waiting for input; None if not measured."""

    seconds: list[float]
    waiting_share: float | None = None


class _Clock(keras.callbacks.Callback):
    """Callback that records the seconds of each epoch; the first includes tracing and loading."""

    def __init__(self, before: float = 0.0) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._since = time.perf_counter() - before

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._since)
        self._since = now


class Ways:
    """Fits Fashion-MNIST's model to the same pictures, as arrays and as shards."""

    def __init__(self, pictures: Pictures, scratch: Path) -> None:
        """Ingest the pictures.

        Args:
          pictures: IDX files; the first pair is the training split.
          scratch: Folder for the shards and the TransformGraph.
        """
        pairs = idx_pairs(pictures.folder)
        images, labels = idx_arrays(pairs[0])
        self._images, self._labels = np.ascontiguousarray(images[..., np.newaxis]), labels.astype(np.int64)
        settings = {"source.eval": ""} if len(pairs) == 1 else {}
        self._prepared = prepare(TaskReference("pipeline.tasks.fashion_mnist:TASK", settings), pictures.folder, scratch)
        self._task = self._prepared.reference.load()
        self._reading = self._prepared.reading("train", 32)
        self.everything = self._reading.memory

    @property
    def count(self) -> int:
        """Number of pictures in an epoch."""
        return self._reading.examples

    def arrays(self, batch_size: int, epochs: int) -> Epochs:
        """Fit on arrays in memory, as Keras' guides do."""
        model, count = self._model(), self.count
        clock = _Clock()
        model.fit(
            self._images[:count],
            self._labels[:count],
            batch_size=batch_size,
            epochs=epochs,
            callbacks=[clock],
            verbose=0,
        )
        return Epochs(clock.seconds)

    def reader(self, batch_size: int, epochs: int, cache_bytes: int) -> Epochs:
        """Fit through the reader, as `components.training.trainer` does."""
        model = self._model()
        started = time.perf_counter()
        reading = replace(self._reading, batch_size=batch_size)
        train = reader.read_batches(reading, cache_bytes=cache_bytes, seed=0)
        meter = InputMeter(train.load_seconds)
        clock = _Clock(time.perf_counter() - started)
        model.fit(
            meter.timed(train.passes()), steps_per_epoch=train.steps, epochs=epochs, callbacks=[meter, clock], verbose=0
        )
        return Epochs(clock.seconds, meter.waiting_share)

    def _model(self) -> keras.Model:
        keras.utils.set_random_seed(0)
        return build.build_for_training(self._task, len(self._prepared.classes))
