"""Export preprocessing and model as one SavedModel, which takes encoded images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from data.records import parse_spec
from data.spec import Feature, Image, Label, Labels
from serving import signatures
from serving.export import label_file
from serving.export.batching import Batching, batch_calls

Tensors = Mapping[str, tf.Tensor]


@dataclass(frozen=True)
class ModelExport:
    """The contents of a SavedModel.

    Attributes:
      model: Trained model. Its output is [N, C] probabilities, [N, 1] a sigmoid (two classes), [N, C] a sigmoid for
        each of several labels, or [N, 1] a number.
      transform: The TransformGraph, as a trackable callable from raw tensors to transformed ones.
      feature: Feature of the records.
      label: Label of the records.
      classes: Names of the classes or labels in the order of the model's outputs; empty in a regression.
      batching: Batching of `serving_default`.
      thresholds: Of each of several labels, values of float32; empty for any other label.
    """

    model: keras.Model
    transform: Callable[[Tensors], Tensors]
    feature: Feature
    label: Label
    classes: Sequence[str]
    batching: Batching = Batching()
    thresholds: Sequence[float] = ()

    def __post_init__(self) -> None:
        if len(self.thresholds) != (len(self.classes) if isinstance(self.label, Labels) else 0):
            raise ValueError(f"{len(self.thresholds)} thresholds for {type(self.label).__name__} {self.classes}")

    def predict(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the outputs for a batch.

        Args:
          raw: Encoded images, string [N]; or numbers, float32 [N, size].

        Returns:
          `classes` string [N, C], equal in each row, and `scores` float32 [N, C], both in label order. In a regression
          `outputs` float32 [N].
        """
        return self._named(self._answers(self._features(raw)))

    def predict_batched(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the same as `predict`, but run the model on the rows of several callers if `batching` is on.

        Each call decodes its own rows first: a batch fails as a whole, and decoding is what can fail.

        Returns:
          The outputs of `predict`; with several labels `thresholds`, too: float32 [N, C], equal in each row.
        """
        answers = batch_calls(self._answers, self.batching)(self._features(raw))
        # The batch op loses the shape, and returns [0] for a call without rows.
        outputs = self._named(tf.reshape(answers, [-1, self.model.output_shape[-1]]))
        if self.thresholds:
            outputs[signatures.THRESHOLDS] = _in_each_row(self.thresholds, outputs[signatures.SCORES])
        return outputs

    def _features(self, raw: tf.Tensor) -> tf.Tensor:
        """Return the model's input: the TransformGraph's feature, in its dtype, [N, ...]."""
        return tf.ensure_shape(self.transform({self.feature.name: raw})[self.feature.name], (None, *self.feature.shape))

    def _answers(self, features: tf.Tensor) -> tf.Tensor:
        """Return the model's output, float32 [N, width]."""
        return tf.cast(self.model(features, training=False), tf.float32)

    def _named(self, output: tf.Tensor) -> dict[str, tf.Tensor]:
        if not self.classes:
            return {signatures.OUTPUTS: tf.reshape(output, [-1])}
        scores = output if isinstance(self.label, Labels) else class_scores(output)
        names = _in_each_row(self.classes, scores)
        return {signatures.CLASSES: names, signatures.SCORES: scores}


def _in_each_row(values: Sequence[Any], scores: tf.Tensor) -> tf.Tensor:
    """Repeat C values for each row of the scores [N, C]."""
    return tf.tile(tf.constant([list(values)]), [tf.shape(scores)[0], 1])


def class_scores(output: tf.Tensor) -> tf.Tensor:
    """Return the scores of every class, float32 [N, C]; not for several labels, whose outputs are the scores.

    Args:
      output: Probabilities [N, C]; or a sigmoid [N, 1], the score of the second class.
    """
    if output.shape[-1] == 1:
        return tf.concat([1.0 - output, output], axis=1)
    return output


def write(exported: ModelExport, folder: str) -> None:
    """Write a SavedModel with three signatures; with several labels also a file with their thresholds.

    * `serving_default` takes `image_bytes` string [N] (or `features` float32 [N, size]) and returns `classes` and
      `scores`, or `outputs`. With several labels it returns `thresholds`, too.
    * `serving_examples` takes `inputs`, serialized tf.Examples string [N], and returns the same without `thresholds`:
      Classify needs exactly two outputs.
    * `transform_features` takes `examples` string [N] and returns the transformed features, the label included.

    Args:
      exported: Model, transform and classes.
      folder: Folder for the SavedModel; it must not hold one yet.
    """
    feature, label = exported.feature, exported.label
    if isinstance(feature, Image):
        raw = tf.TensorSpec([None], tf.string, name=signatures.IMAGES)
    else:
        raw = tf.TensorSpec([None, *feature.shape], tf.float32, name=feature.name)

    def serving_examples(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return exported.predict(tf.io.parse_example(inputs, parse_spec(feature, None))[feature.name])

    def transform_features(examples: tf.Tensor) -> Tensors:
        return exported.transform(tf.io.parse_example(examples, parse_spec(feature, label)))

    # Not tf.saved_model.save, which fails on augmentation layers: it cannot track their seeds.
    archive = keras.export.ExportArchive()
    archive.track(exported.model)
    archive.track(exported.transform)
    archive.add_endpoint(signatures.DEFAULT, exported.predict_batched, [raw])
    archive.add_endpoint(signatures.EXAMPLES, serving_examples, [_strings("inputs")])
    archive.add_endpoint(signatures.TRANSFORM, transform_features, [_strings("examples")])
    archive.write_out(folder, verbose=False)
    if exported.thresholds:
        label_file.write_thresholds(folder, dict(zip(exported.classes, exported.thresholds, strict=True)))


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)
