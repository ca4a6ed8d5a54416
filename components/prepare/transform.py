"""Transform: decodes and resizes pictures and maps labels to numbers, in one graph for training and serving.

The names come from the schema, so there is nothing to analyse, and TFX builds the graph without reading a picture
("in-place Transform": no analyzers, no statistics, no materialised examples).
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
from components.prepare.pruned_graph import load_pruned
from components.prepare.schema import classes_of, read_schema
from components.task.reference import task_of
from components.task.task import Task
from data.images import ops
from data.spec import IMAGE, LABEL, VECTOR, Image

CLASSES = "classes"  # key of the names in the custom_config of `preprocessing_fn`


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Transform a batch.

    Args:
      inputs: `image` string [N] or `features` float32 [N, size]; `label` string or float32 [N], or of `Labels` sparse
        string [N, any]; facts about pictures are dropped.
      custom_config: The reference to the task, and the names of the labels in order.

    Returns:
      `image` float32 [N, h, w, c] with whole numbers 0 to 255 (TFT has no uint8 outputs; `Preprocessing` returns
      uint8) or `features` float32 [N, size]; `label` int64 [N] (index of the class), float32 [N] or, of `Labels`,
      float32 [N, names].
    """
    task = task_of(custom_config)
    outputs = {}
    if isinstance(task.feature, Image):
        outputs[IMAGE] = tf.cast(ops.decode_batch(inputs[IMAGE], task.feature), tf.float32)
    else:
        outputs[VECTOR] = tf.identity(inputs[VECTOR])
    outputs[LABEL] = _transform_label(inputs[LABEL], task, custom_config[CLASSES])
    return outputs


def _transform_label(label: tf.Tensor | tf.SparseTensor, task: Task, names: list[str]) -> tf.Tensor:
    if task.is_classification:
        return class_index(label, names)
    return multi_hot(label, names) if task.is_multi_label else tf.identity(label)


def class_index(label: tf.Tensor, classes: list[str]) -> tf.Tensor:
    """Return the index of each label (string [N]) in the classes, int64 [N]; -1 for any other label."""
    matches = tf.equal(label[:, tf.newaxis], tf.constant(list(classes))[tf.newaxis, :])
    return tf.where(tf.reduce_any(matches, axis=1), tf.argmax(matches, axis=1), tf.constant(-1, tf.int64))


def multi_hot(labels: tf.SparseTensor, names: list[str]) -> tf.Tensor:
    """Return 1 for each of the names that a row contains and 0 for each other one, float32 [N, names].

    Args:
      labels: Sparse string [N, any]. A row may be empty; a label that is not among the names is ignored.
      names: In the order of the result.
    """
    matches = tf.equal(labels.values[:, tf.newaxis], tf.constant(list(names))[tf.newaxis, :])
    counts = tf.math.unsorted_segment_sum(tf.cast(matches, tf.float32), labels.indices[:, 0], labels.dense_shape[0])
    return tf.minimum(counts, 1.0)


class Preprocessing(tf.Module):
    """The TransformGraph, as training, evaluation and serving call it: raw tensors in, transformed tensors out.

    `image` string [N] becomes uint8 [N, h, w, c], a quarter of the memory of TFT's float32; `features` float32
    [N, size] stays as it is; `label`, if present, becomes int64 [N] or float32 [N], or of `Labels` float32 [N, names].
    """

    def __init__(self, transform_output: str) -> None:
        """Load the graph.

        Args:
          transform_output: Folder of the TransformGraph artifact.
        """
        super().__init__()
        pruned = load_pruned(transform_output)
        self._transform = pruned or tft.TFTransformOutput(transform_output).transform_features_layer()

    # Without this, AutoGraph converts all of TFT's and Keras' Python on the first call, which takes 4 s and is useless.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Transform a batch."""
        outputs = dict(self._transform(dict(raw)))
        if IMAGE in outputs:
            outputs[IMAGE] = tf.cast(outputs[IMAGE], tf.uint8)  # no op if it is pruned
        return outputs


class TransformExecutor(ComponentExecutor, executor.Executor):
    """TFX's executor; passes the schema's names to `preprocessing_fn`, which has no access to the schema."""

    def execute(self, execution: Execution) -> None:
        """Build the TransformGraph."""
        schema = read_schema(execution.input(standard_component_specs.SCHEMA_KEY).uri)
        self.run_stock(execution.with_config(**{CLASSES: list(classes_of(schema))}))


class Transform(TfxTransform):
    """TFX's component with `preprocessing_fn`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(TransformExecutor)

    def __init__(self, examples: types.Channel, schema: types.Channel, config: dict[str, Any]) -> None:
        """Create the component.

        Args:
          examples: Records to transform.
          schema: Of the records.
          config: From `TaskReference.config`.
        """
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=f"{__name__}.preprocessing_fn",
            materialize=False,  # float pictures of 300x300 would be 1.5 times as large as the JPEGs, and slower to read
            disable_statistics=True,
            custom_config=config,
        )
