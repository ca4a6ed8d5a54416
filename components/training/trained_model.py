"""The trained model with training's own input: reader, TransformGraph and weights.

This is the reference route for all others. It uses nothing of the SavedModel: the task builds the model again, with the
weights that the Trainer kept next to its report.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from components.models.input_scaling import scaling_of, with_float_input
from components.models.outputs import with_probabilities
from components.models.precision import build_as_trained
from components.prepare.transform import Preprocessing
from components.task.task import Task
from data.errors import DataError, first_line
from data.input import reader
from data.spec import Image
from serving.diagnosis.base import ReferenceModel
from serving.export.saved_model import class_scores
from serving.parity.compare import Answers

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


@dataclass(frozen=True)
class TrainedAnswers:
    """Training's answers to some records.

    Attributes:
      answers: As one batch first, and one by one.
      labels: What the TransformGraph makes of each record's label: for classes an index, for several labels a row of
        zeros and ones; empty for numbers.
      mixed: The answers of the model that computes in mixed precision; None without.
      rounded: The answers of the model in float32 whose weights are rounded to that precision; None without.
    """

    answers: list[Answers]
    labels: list[int] | list[list[float]]
    mixed: Answers | None = None
    rounded: Answers | None = None


class TrainedModel:
    """The task's model with its trained weights, `training=False`: in float32, with probabilities as outputs."""

    def __init__(self, task: Task, classes: Sequence[str], model_run: str, transform_graph: str) -> None:
        """Build the model and load its weights.

        Args:
          task: The task, which builds the model.
          classes: Names in the order of the model's outputs; empty for a number.
          model_run: Folder of the Trainer's ModelRun artifact.
          transform_graph: Folder of the TransformGraph artifact.

        Raises:
          DataError: If there are no weights, or they do not fit the task's model.
        """
        self.task, self.classes = task, tuple(classes)
        self.thresholds = read_thresholds(model_run, classes) if task.is_multi_label else ()
        self.model, self._mixed = self._load(posixpath.join(model_run, WEIGHTS))
        self._preprocessing = Preprocessing(transform_graph)
        name = task.feature.name
        self._preprocess = tf.function(
            lambda contents: self._preprocessing({name: contents})[name],
            [tf.TensorSpec([None], tf.string)],
            autograph=False,
        )
        self._answer = tf.function(
            functools.partial(self._scored, self.model),
            [tf.TensorSpec([None, *task.feature.shape], self.model.inputs[0].dtype)],
            autograph=False,
        )

    def answers(self, records: Sequence[bytes]) -> TrainedAnswers:
        """Return training's answers to serialized tf.Examples, label included."""
        count = len(records)
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "records")
            with tf.io.TFRecordWriter(file) as writer:
                for record in records:
                    writer.write(record)
            read = tf.data.TFRecordDataset(file)
            # One dataset for both: each dataset would build the whole TransformGraph again.
            batches = self._reading([file], count).transform_batches(read.batch(count).concatenate(read.batch(1)))
            (features, labels), *single = list(batches)
        together, way = self._answer(features).numpy(), f"batches of {count}"
        alone = np.concatenate([self._answer(one).numpy() for one, _ in single])
        found = [self._named(f"training, {way}", together), self._named("training, one by one", alone)]
        truth = labels.numpy().tolist() if self.classes else []
        if self._mixed is None:
            return TrainedAnswers(found, truth)
        policy = f"mixed_{self.task.train.mixed_precision}"
        mixed = self._named(f"training in {policy}, {way}", self._scored(self._mixed, features).numpy())
        with self._rounded_weights():
            rounded = self._named(f"rounded weights, {way}", self._answer(features).numpy())
        return TrainedAnswers(found, truth, mixed, rounded)

    def pixels(self, contents: Sequence[bytes]) -> np.ndarray:
        """Decode and resize pictures for the model: uint8 [N, height, width, channels]."""
        return np.asarray(self._preprocess(tf.constant(list(contents))))

    def score(self, pixels: np.ndarray) -> np.ndarray:
        """Return scores, float32 [N, C], of pixels, uint8 [N, height, width, channels]."""
        starts = range(0, len(pixels), _BATCH)
        return np.concatenate([self._answer(pixels[start : start + _BATCH]).numpy() for start in starts])

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

    def _reading(self, files: Sequence[str], count: int) -> reader.ReadConfig:
        task, label_shape = self.task, (len(self.classes),) if self.task.is_multi_label else ()
        return reader.ReadConfig(
            files, count, task.feature, task.label, self._preprocessing, count, label_shape=label_shape
        )

    def _named(self, route: str, scores: np.ndarray) -> Answers:
        count = len(scores)
        names = np.array([[name.encode() for name in self.classes]] * count, object) if self.classes else None
        limits = np.tile(np.array(self.thresholds, np.float32), (count, 1)) if self.thresholds else None
        return Answers(route, scores, names, limits)

    @contextlib.contextmanager
    def _rounded_weights(self) -> Iterator[None]:
        """Give the model weights that `train.mixed_precision` can hold, within the context."""
        kept = [(one, np.asarray(one)) for one in self.model.weights if "float" in str(one.dtype)]
        for weight, value in kept:
            weight.assign(keras.ops.cast(keras.ops.cast(value, self.task.train.mixed_precision), weight.dtype))
        try:
            yield
        finally:
            for weight, value in kept:
                weight.assign(value)

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
