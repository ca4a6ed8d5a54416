"""The trained model as training itself asks it: records through the reader and the TransformGraph into its weights.

The route that all others are compared with. Nothing of the SavedModel is in it: the model is built by the task again
and takes the weights that the Trainer kept beside its report.
"""

from __future__ import annotations

import functools
import logging
import os
import posixpath
import tempfile
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from components.models.input_scaling import scaling_of, with_float_input
from components.prepare.transform import Preprocessing
from components.task.task import Task
from data.errors import DataError, first_line
from data.input import reader
from data.spec import Image
from serving.diagnosis.base import Trained
from serving.export.saved_model import class_scores
from serving.parity.compare import Answers

log = logging.getLogger(__name__)
WEIGHTS = "model.weights.h5"  # in the ModelRun artifact
_BATCH = 32  # pictures that are scored at a time: 256 of 300x300 take a gigabyte in the first layer


def keep_weights(model: keras.Model, folder: str) -> None:
    """Writes the weights into a folder, local or remote; h5py knows local files only."""
    with tempfile.TemporaryDirectory() as local:
        file = os.path.join(local, WEIGHTS)
        model.save_weights(file)
        tf.io.gfile.makedirs(folder)
        tf.io.gfile.copy(file, posixpath.join(folder, WEIGHTS), overwrite=True)


class TrainedModel:
    """The task's model with its trained weights, `training=False`."""

    def __init__(self, task: Task, classes: Sequence[str], model_run: str, transform_graph: str) -> None:
        """
        Args:
          task: builds the model.
          classes: in the order of the model's outputs; empty for a number.
          model_run: folder of the Trainer's ModelRun artifact.
          transform_graph: folder of the TransformGraph artifact.

        Raises:
          DataError: the Trainer kept no weights there, or they are not of the task's model.
        """
        self.task, self.classes = task, tuple(classes)
        self.model = task.model(task.feature, len(self.classes))
        _load(self.model, posixpath.join(model_run, WEIGHTS))
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

    def answers(self, records: Sequence[bytes]) -> tuple[list[Answers], list[int]]:
        """What training's own route says of serialized tf.Examples, label included: all at once, and one by one.

        Returns:
          The two answers, and for classes the index that the TransformGraph gives each record's label.
        """
        count = len(records)
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "records")
            with tf.io.TFRecordWriter(file) as writer:
                for record in records:
                    writer.write(record)
            read = tf.data.TFRecordDataset(file)
            # As one dataset: each would lay out the whole of the TransformGraph for itself.
            batches = self._reading([file], count).transform_batches(read.batch(count).concatenate(read.batch(1)))
            (features, labels), *single = list(batches)
        scores = self._answer(features).numpy(), np.concatenate([self._answer(one).numpy() for one, _ in single])
        names = np.array([[name.encode() for name in self.classes]] * count, object) if self.classes else None
        ways = (f"batches of {count}", "one by one")
        found = [Answers(f"training, {way}", some, names) for way, some in zip(ways, scores, strict=True)]
        return found, labels.numpy().tolist() if self.classes else []

    def pixels(self, contents: Sequence[bytes]) -> np.ndarray:
        """Encoded pictures as the model gets them, uint8 [N, height, width, channels]."""
        return np.asarray(self._preprocess(tf.constant(list(contents))))

    def score(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [N, height, width, channels] to scores, float32 [N, C]."""
        starts = range(0, len(pixels), _BATCH)
        return np.concatenate([self._answer(pixels[start : start + _BATCH]).numpy() for start in starts])

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """By path; those of frozen layers, too."""
        return {one.path: np.asarray(one) for one in self.model.weights}

    def function(self) -> Trained:
        """The model as a function of pixels, for a diagnosis; without one of them where it is no functional model."""
        spec, scaling, model = None, None, self.model
        if isinstance(self.task.feature, Image):
            try:
                spec, scaling, model = self.task.feature, scaling_of(self.model), with_float_input(self.model)
            except ValueError:
                log.info("%s is no functional model: what was done to pixels cannot be told", self.model.name)
        answer = tf.function(functools.partial(self._scored, model), reduce_retracing=True, autograph=False)
        return Trained(spec, lambda pixels: np.asarray(answer(tf.constant(pixels, tf.float32))), scaling, self.weights)

    def _reading(self, files: Sequence[str], count: int) -> reader.ReadConfig:
        return reader.ReadConfig(files, count, self.task.feature, self.task.label, self._preprocessing, count)

    def _scored(self, model: keras.Model, features: tf.Tensor) -> tf.Tensor:
        output = tf.cast(model(features, training=False), tf.float32)
        return class_scores(output) if self.classes else output


def _load(model: keras.Model, path: str) -> None:
    with tempfile.TemporaryDirectory() as local:
        file = os.path.join(local, WEIGHTS)
        try:
            tf.io.gfile.copy(path, file)
            model.load_weights(file)
        except tf.errors.NotFoundError:
            raise DataError(f"no weights at {path}", hint="Train again: the Trainer keeps them.") from None
        except ValueError as error:
            raise DataError(
                f"the weights at {path} are not of the task's model: {first_line(error)}",
                hint="Has the task been edited? Run it again, then ask for the proof.",
            ) from None
