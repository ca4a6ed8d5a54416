"""Transform: decoding, resizing and the mapping of labels, frozen once in the TransformGraph.

The classes come from the schema, so nothing is analysed, and TFX builds the graph without reading a single picture
("in-place Transform": no analyzers, no statistics, nothing materialised).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.components import Transform as TfxTransform
from tfx.components.transform import executor
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_component_specs

from components.executor import ComponentExecutor, Execution
from components.prepare.schema import classes_of, read_schema
from components.task.reference import task_of
from data.images import ops
from data.spec import IMAGE, LABEL, VECTOR, Image

CLASSES = "classes"  # of the schema, handed to preprocessing_fn in the custom_config


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """The transform of a batch.

    Args:
      inputs: `image` string [N] or `features` float32 [N, size]; `label` string or float32 [N]; facts are dropped.
      custom_config: the reference to the task, and the classes in order.

    Returns:
      `image` float32 [N, h, w, c] of whole numbers 0..255 (TFT's outputs know no uint8; `Preprocessing` makes it so)
      or `features` float32 [N, size]; `label` int64 [N] (index of the class) or float32.
    """
    task = task_of(custom_config)
    outputs = {}
    if isinstance(task.feature, Image):
        outputs[IMAGE] = tf.cast(ops.decode_batch(inputs[IMAGE], task.feature), tf.float32)
    else:
        outputs[VECTOR] = tf.identity(inputs[VECTOR])
    outputs[LABEL] = (
        class_index(inputs[LABEL], custom_config[CLASSES]) if task.is_classification else tf.identity(inputs[LABEL])
    )
    return outputs


def class_index(label: tf.Tensor, classes: list[str]) -> tf.Tensor:
    """Index of each label (string [N]) among the classes, int64 [N]; -1 where it is none of them."""
    matches = tf.equal(label[:, tf.newaxis], tf.constant(list(classes))[tf.newaxis, :])
    return tf.where(tf.reduce_any(matches, axis=1), tf.argmax(matches, axis=1), tf.constant(-1, tf.int64))


class Preprocessing(tf.Module):
    """The TransformGraph as training, evaluation and serving call it: raw tensors in, transformed ones out.

    `image` string [N] to uint8 [N, h, w, c], a quarter of the bytes that TFT's float32 would carry on; `features`
    float32 [N, size] as they are; `label`, if given, to int64 [N] or float32 [N].
    """

    def __init__(self, transform_output: str) -> None:
        """Args:
        transform_output: folder of the TransformGraph artifact.
        """
        super().__init__()
        self._layer = tft.TFTransformOutput(transform_output).transform_features_layer()

    # Without this, AutoGraph converts all of TFT's and Keras' Python on the first call, for nothing: 4 s.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Transforms a batch."""
        outputs = dict(self._layer(dict(raw)))
        if IMAGE in outputs:
            outputs[IMAGE] = tf.cast(outputs[IMAGE], tf.uint8)
        return outputs


class TransformExecutor(ComponentExecutor, executor.Executor):
    """TFX's executor; passes the schema's classes to `preprocessing_fn`, which has no access to the schema."""

    def execute(self, execution: Execution) -> None:
        """Build the TransformGraph."""
        schema = read_schema(execution.input(standard_component_specs.SCHEMA_KEY).uri)
        self.run_stock(execution.with_config(**{CLASSES: list(classes_of(schema))}))


class Transform(TfxTransform):
    """TFX's Transform with the project's preprocessing."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(TransformExecutor)

    def __init__(self, examples: types.Channel, schema: types.Channel, config: dict[str, Any]) -> None:
        """Args:
        examples, schema: what is transformed.
        config: from `TaskReference.config`.
        """
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=f"{__name__}.preprocessing_fn",
            materialize=False,  # floats of 300x300 pictures would be 1.5 times the JPEGs' size, and slower to read
            disable_statistics=True,
            custom_config=config,
        )
