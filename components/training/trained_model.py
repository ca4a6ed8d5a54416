"""The trained model: the task builds it again, with the weights that the Trainer kept next to its report.

It uses nothing of the SavedModel.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import posixpath
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.models.input_scaling import scaling_of, with_float_input
from components.models.outputs import with_probabilities
from components.models.precision import build_as_trained
from components.task.task import Task
from data.errors import DataError, first_line
from data.spec import Image
from serving.diagnosis.base import ReferenceModel
from serving.export.saved_model import class_scores

log = logging.getLogger(__name__)
WEIGHTS, REPORT = "model.weights.h5", "training.json"  # in the ModelRun artifact
THRESHOLDS = "thresholds"  # key of the report: thresholds by name, if the label is `Labels`
_BATCH = 32  # pictures scored at a time: 256 of 300x300 need a gigabyte in the first layer


def read_thresholds(model_run: str, classes: Sequence[str]) -> tuple[float, ...]:
    """Return the thresholds that the Trainer chose, in the order of the classes; empty if it chose none.

    Args:
      model_run: Folder of the Trainer's ModelRun artifact.
      classes: Names in the order of the model's outputs.
    """
    try:
        with tf.io.gfile.GFile(posixpath.join(model_run, REPORT)) as file:
            found = json.load(file).get(THRESHOLDS, {})
    except tf.errors.NotFoundError:
        return ()
    return tuple(found[name] for name in classes) if found else ()


def keep_weights(model: keras.Model, folder: str) -> None:
    """Write the weights into a local or remote folder; h5py itself can only write local files."""
    with tempfile.TemporaryDirectory() as local:
        file = os.path.join(local, WEIGHTS)
        model.save_weights(file)
        tf.io.gfile.makedirs(folder)
        tf.io.gfile.copy(file, posixpath.join(folder, WEIGHTS), overwrite=True)


class TrainedModel:
    """The task's model with its trained weights, `training=False`: in float32, with probabilities as outputs.

    Attributes:
      task: The task.
      classes: Names in the order of the model's outputs; empty for a number.
      thresholds: Of the classes, if the label is `Labels`; otherwise empty.
      model: The model.
      mixed: The one that computes in mixed precision, if the task trains so; otherwise None.
    """

    def __init__(self, task: Task, classes: Sequence[str], model_run: str) -> None:
        """Build the model and load its weights.

        Args:
          task: The task, which builds the model.
          classes: Names in the order of the model's outputs; empty for a number.
          model_run: Folder of the Trainer's ModelRun artifact.

        Raises:
          DataError: If there are no weights, or they do not fit the task's model.
        """
        self.task, self.classes = task, tuple(classes)
        self.thresholds = read_thresholds(model_run, classes) if task.is_multi_label else ()
        self.model, self.mixed = self._load(posixpath.join(model_run, WEIGHTS))
        self._answer = tf.function(
            functools.partial(self._scored, self.model),
            [tf.TensorSpec([None, *task.feature.shape], self.model.inputs[0].dtype)],
            autograph=False,
        )

    def answer(self, features: Any) -> np.ndarray:
        """Return scores, float32 [N, C], of features [N, ...], which are pixels in uint8 or rows of numbers."""
        return np.asarray(self._answer(features))

    def answer_mixed(self, features: Any) -> np.ndarray:
        """Return the scores of the model in mixed precision."""
        assert self.mixed is not None, "the task trains in float32"
        return np.asarray(self._scored(self.mixed, features))

    def score(self, pixels: np.ndarray) -> np.ndarray:
        """Return scores, float32 [N, C], of pixels, uint8 [N, height, width, channels], a few at a time."""
        starts = range(0, len(pixels), _BATCH)
        return np.concatenate([self.answer(pixels[start : start + _BATCH]) for start in starts])

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All weights by path, including those of frozen layers."""
        return {one.path: np.asarray(one) for one in self.model.weights}

    def function(self) -> ReferenceModel:
        """Return the model as a function of pixels, for a diagnosis; without scaling if it is not functional."""
        spec, scaling, model = None, None, self.model
        if isinstance(self.task.feature, Image):
            try:
                spec, scaling, model = self.task.feature, scaling_of(self.model), with_float_input(self.model)
            except ValueError:
                log.info("%s is not a functional model: faults in its pixels cannot be diagnosed", self.model.name)
        answer = tf.function(functools.partial(self._scored, model), reduce_retracing=True, autograph=False)
        return ReferenceModel(
            spec, lambda pixels: np.asarray(answer(tf.constant(pixels, tf.float32))), scaling, self.weights
        )

    def _load(self, path: str) -> tuple[keras.Model, keras.Model | None]:
        """Return the model in float32, and the one that computes in mixed precision, if the task trains so."""
        task, classes = self.task, len(self.classes)
        models = [task.model(task.feature, classes)]
        if task.train.mixed_precision:
            models.append(build_as_trained(task, classes))
        load_weights(models, path)
        model, *mixed = [with_probabilities(one, task) for one in models]
        return model, mixed[0] if mixed else None

    def _scored(self, model: keras.Model, features: tf.Tensor) -> tf.Tensor:
        output = tf.cast(model(features, training=False), tf.float32)
        return class_scores(output) if self.task.is_classification else output


_kept: list[tuple[Any, TrainedModel]] = []  # the last model and what it was built from


def restore_model(task: Task, classes: Sequence[str], model_run: str) -> TrainedModel:
    """Return the trained model; a second call in the same process returns the same one.

    In a local run the gate and the review share it: a large model takes seconds to build and to load. Only the last one
    is kept.

    Args:
      task: The task, which builds the model.
      classes: Names in the order of the model's outputs; empty for a number.
      model_run: Folder of the Trainer's ModelRun artifact.

    Raises:
      DataError: If there are no weights, or they do not fit the task's model.
    """
    weights = posixpath.join(model_run, WEIGHTS)
    found = tf.io.gfile.stat(weights) if tf.io.gfile.exists(weights) else None
    written = found and (found.length, found.mtime_nsec)
    source = (weights, written, tuple(classes), task.model, task.feature, task.label, task.train)
    if not _kept or _kept[0][0] != source:
        _kept[:] = [(source, TrainedModel(task, classes, model_run))]
    return _kept[0][1]


def load_weights(models: Sequence[keras.Model], path: str) -> None:
    """Load the weights that `keep_weights` wrote.

    Args:
      models: Of the task, each with the same weights.
      path: Of the file, local or remote.

    Raises:
      DataError: If there are no weights, or they do not fit the task's model.
    """
    with tempfile.TemporaryDirectory() as local:
        file = os.path.join(local, WEIGHTS)
        try:
            tf.io.gfile.copy(path, file)
            for model in models:
                model.load_weights(file)
        except tf.errors.NotFoundError:
            raise DataError(f"no weights at {path}", hint="Train again: the Trainer writes them.") from None
        except ValueError as error:
            raise DataError(
                f"the weights at {path} do not fit the task's model: {first_line(error)}",
                hint="If the task has changed, run it again first.",
            ) from None
