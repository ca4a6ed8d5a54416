"""Export: one SavedModel that holds preprocessing and model, and answers raw bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from data.records import parse_spec
from data.spec import Feature, Image, Label
from serving import signatures
from serving.export.batching import Batching, batched

Tensors = Mapping[str, tf.Tensor]


@dataclass(frozen=True)
class Exported:
    """What goes into the SavedModel.

    Attributes:
      model: trained; its output is [N, C] probabilities, [N, 1] a sigmoid (two classes) or [N, 1] a number.
      transform: a trackable callable, raw tensors to transformed ones: the TransformGraph.
      feature, label: what the records hold.
      classes: their names in the order of the model's outputs; empty for a number.
      batching: of `serving_default`.
    """

    model: keras.Model
    transform: Callable[[Tensors], Tensors]
    feature: Feature
    label: Label
    classes: Sequence[str]
    batching: Batching = Batching()

    def predict(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Raw features of a batch (encoded pictures, string [N]; or numbers, float32 [N, size]) to the outputs.

        Returns:
          `classes` string [N, C], the same in each row, and `scores` float32 [N, C], both in label order; for a
          number `outputs` float32 [N].
        """
        return self._named(self._answers(self._features(raw)))

    def predict_batched(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`predict`, the model run on the rows of several callers together where `batching` says so.

        Each call decodes its own rows before they are joined: a batch fails as a whole, and decoding is what can fail.
        """
        answers = batched(self._answers, self.batching)(self._features(raw))
        # The shape is lost on the way, and of no rows it comes as [0].
        return self._named(tf.reshape(answers, [-1, self.model.output_shape[-1]]))

    def _features(self, raw: tf.Tensor) -> tf.Tensor:
        """What the model takes: the TransformGraph's feature, of its own dtype, [N, ...]."""
        return tf.ensure_shape(self.transform({self.feature.name: raw})[self.feature.name], (None, *self.feature.shape))

    def _answers(self, features: tf.Tensor) -> tf.Tensor:
        """The model's own output, float32 [N, width]."""
        return tf.cast(self.model(features, training=False), tf.float32)

    def _named(self, output: tf.Tensor) -> dict[str, tf.Tensor]:
        if not self.classes:
            return {signatures.OUTPUTS: tf.reshape(output, [-1])}
        scores = class_scores(output)
        names = tf.tile(tf.constant([list(self.classes)]), [tf.shape(scores)[0], 1])
        return {signatures.CLASSES: names, signatures.SCORES: scores}


def class_scores(output: tf.Tensor) -> tf.Tensor:
    """Scores of every class, float32 [N, C]; a single sigmoid [N, 1] is that of the second class."""
    if output.shape[-1] == 1:
        return tf.concat([1.0 - output, output], axis=1)
    return output


def write(exported: Exported, folder: str) -> None:
    """Writes the SavedModel with its signatures.

    `serving_default`: `image_bytes` string [N] (or `features` float32 [N, size]) to `classes` and `scores`, or
    `outputs`. `serving_examples`: `inputs`, serialized tf.Examples string [N], to the same. `transform_features`:
    `examples` string [N] to the transformed features, the label included.

    Args:
      exported: model, transform and classes.
      folder: must not hold a SavedModel yet.
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

    # ExportArchive and not tf.saved_model.save: the latter fails on augmentation layers, whose seeds it cannot reach.
    archive = keras.export.ExportArchive()
    archive.track(exported.model)
    archive.track(exported.transform)
    archive.add_endpoint(signatures.DEFAULT, exported.predict_batched, [raw])
    archive.add_endpoint(signatures.EXAMPLES, serving_examples, [_strings("inputs")])
    archive.add_endpoint(signatures.TRANSFORM, transform_features, [_strings("examples")])
    archive.write_out(folder, verbose=False)


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)
