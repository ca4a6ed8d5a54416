"""Inputs that feed one epoch after the other, and the span of each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.pictures import Pictures, idx_arrays, idx_pairs
from benchmarks.prepared import prepare
from benchmarks.timing import Laps, Span
from components.models import build
from components.task.reference import TaskReference
from components.training.input_meter import InputMeter
from data.input import reader


@dataclass(frozen=True)
class Epochs:
    """The span of each epoch, and the share of all of them spent waiting for input; None if not measured."""

    spans: list[Span]
    waiting_share: float | None = None


class _Clock(keras.callbacks.Callback):
    """Callback that ends the lap of each epoch."""

    def __init__(self, laps: Laps, pictures: int) -> None:
        super().__init__()
        self._laps, self._pictures = laps, pictures

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._laps.lap(self._pictures)


class Ways:
    """Fits Fashion-MNIST's model to the same pictures, as arrays and as shards."""

    def __init__(self, pictures: Pictures, scratch: Path) -> None:
        """Ingest the pictures, and write them as arrays.

        Args:
          pictures: IDX files; the first pair is the training split.
          scratch: Folder for the arrays, the shards and the TransformGraph.
        """
        pairs = idx_pairs(pictures.folder)
        settings = {"source.eval": ""} if len(pairs) == 1 else {}
        self._prepared = prepare(TaskReference("pipeline.tasks.fashion_mnist:TASK", settings), pictures.folder, scratch)
        self._task = self._prepared.reference.load()
        self.count = self._prepared.reading("train", 32).examples
        self.everything = self._prepared.reading("train", 32).memory
        images, labels = idx_arrays(pairs[0])
        self._arrays = scratch / "images.npy", scratch / "labels.npy"
        np.save(self._arrays[0], images[: self.count, ..., np.newaxis])
        np.save(self._arrays[1], labels[: self.count].astype(np.int64))

    def arrays(self, batch_size: int, epochs: int) -> Epochs:
        """Read arrays into memory, uncompressed, and fit on them, as Keras' guides do."""

        def read() -> dict[str, Any]:
            images, labels = (np.load(file) for file in self._arrays)
            return {"x": images, "y": labels, "batch_size": batch_size}

        return Epochs(self._fit(epochs, read))

    def reader(self, batch_size: int, epochs: int, cache_bytes: int) -> Epochs:
        """Load the TransformGraph and fit through the reader, as `components.training.trainer` does."""
        meters = []

        def read() -> dict[str, Any]:
            # A process loads a TransformGraph once, unless its file is newer: each run of this side loads it.
            Path(self._prepared.transform_graph, "transform_fn", "saved_model.pb").touch()
            reading = self._prepared.reading("train", batch_size)
            train = reader.read_batches(reading, cache_bytes=cache_bytes, seed=0)
            meters.append(InputMeter(train.load_seconds))
            batches = meters[0].timed(train.passes())
            return {"x": batches, "steps_per_epoch": train.steps, "callbacks": [meters[0]]}

        spans = self._fit(epochs, read)
        return Epochs(spans, meters[0].waiting_share)

    def _fit(self, epochs: int, read: Callable[[], dict[str, Any]]) -> list[Span]:
        """Fit a new model, and return the span of each epoch.

        The first begins before any file is opened, and includes the tracing of the training step.

        Args:
          epochs: Number of epochs.
          read: Opens the files and returns arguments of `fit`.
        """
        keras.utils.set_random_seed(0)
        model = build.build_for_training(self._task, len(self._prepared.classes))
        laps = Laps()
        arguments = read()
        callbacks = [*arguments.pop("callbacks", []), _Clock(laps, self.count)]
        model.fit(**arguments, epochs=epochs, callbacks=callbacks, verbose=0)
        return laps.spans
