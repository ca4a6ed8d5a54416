"""SchemaGen: the schema that TFDV infers, corrected by what the task defines."""

from __future__ import annotations

import posixpath
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.utils import io_utils, json_utils

from components.executor import ComponentExecutor, Execution
from components.task.task import Task
from data.images.formats import DECODED
from data.ingest import manifest
from data.records import FACTS
from data.spec import IMAGE, LABEL, VECTOR, Image

FILE_NAME = "schema.pbtxt"


def curate(inferred: schema_pb2.Schema, task: Task, classes: tuple[str, ...]) -> schema_pb2.Schema:
    """Return the schema of a task's records: the inferred schema is only used for what the task does not define.

    Inference makes integers of classes named by digits and long strings of pictures, and cannot know the order of the
    classes. In the result, the domain of the label lists the names in the order of the model's outputs.

    Args:
      inferred: TFDV's schema of the training split.
      task: With the feature and the kind of label.
      classes: Names of the labels in order; empty for a number.
    """
    schema = schema_pb2.Schema()
    known = {feature.name: feature for feature in inferred.feature}
    if isinstance(task.feature, Image):
        # The statistics do not cover the bytes (`components.prepare.statistics`), so the schema cannot require that
        # they are present; the representation defines what otherwise a fixed shape would.
        schema.feature.add(name=IMAGE, type=schema_pb2.BYTES).image_domain.SetInParent()
        representations = schema.tensor_representation_group[""].tensor_representation
        representations[IMAGE].dense_tensor.column_name = IMAGE
        representations[IMAGE].dense_tensor.shape.SetInParent()
        for name in FACTS:
            kind = schema_pb2.BYTES if name in ("image/format", "image/source") else schema_pb2.INT
            feature = _scalar(schema, name, kind)
            if name == "image/format" and name in known:
                feature.string_domain.value.extend(sorted(DECODED))
    else:
        feature = schema.feature.add(name=VECTOR, type=schema_pb2.FLOAT)
        feature.presence.min_fraction = 1.0
        feature.shape.dim.add(size=task.feature.size)
    if task.is_classification:
        _scalar(schema, LABEL, schema_pb2.BYTES).string_domain.value.extend(classes)
    elif task.is_multi_label:
        label = schema.feature.add(name=LABEL, type=schema_pb2.BYTES)
        label.presence.min_fraction = 1.0
        label.value_count.min, label.value_count.max = 0, len(classes)
        label.string_domain.value.extend(classes)
    else:
        _scalar(schema, LABEL, schema_pb2.FLOAT)
    for name in task.source.extra_features:  # a record may lack them, and later data may have other values
        schema.feature.add(name=name, type=schema_pb2.BYTES).value_count.max = 1
    return schema


def _scalar(schema: schema_pb2.Schema, name: str, kind: int) -> schema_pb2.Feature:
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_fraction = 1.0
    feature.shape.SetInParent()
    return feature


def classes_of(schema: schema_pb2.Schema) -> tuple[str, ...]:
    """Return the names of the labels in the order of the model's outputs; empty if the label is a number."""
    label = next(feature for feature in schema.feature if feature.name == LABEL)
    return tuple(label.string_domain.value)


def read_schema(folder_or_file: str) -> schema_pb2.Schema:
    """Read the schema from a Schema artifact (its folder) or from a file."""
    path = folder_or_file
    if not path.endswith(FILE_NAME):
        path = posixpath.join(path, FILE_NAME)
    return io_utils.SchemaReader().read(path)


class SchemaGenExecutor(ComponentExecutor):
    """Creates the schema from the statistics and the manifest of the examples."""

    def execute(self, execution: Execution) -> None:
        """Write the schema of the training split.

        Raises:
          DataError: If the manifest does not fit the label (`data.ingest.manifest`).
        """
        task = execution.task
        statistics = stats_artifact_utils.load_statistics(execution.input("statistics"), "train")
        examples = execution.input("examples").uri
        classes = manifest.check_manifest(manifest.Manifest.load(examples), task.label)
        schema = curate(tfdv.infer_schema(statistics.proto()), task, classes)
        io_utils.write_pbtxt_file(posixpath.join(execution.output("schema").uri, FILE_NAME), schema)


class _SchemaSpec(component_spec.ComponentSpec):
    PARAMETERS = {"custom_config": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
    }
    OUTPUTS = {"schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class SchemaGen(base_component.BaseComponent):
    """Replaces TFX's SchemaGen, which only infers."""

    SPEC_CLASS = _SchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SchemaGenExecutor)

    def __init__(self, examples: types.Channel, statistics: types.Channel, config: dict[str, Any]) -> None:
        """Create the component.

        Args:
          examples: With the manifest.
          statistics: Of the same examples.
          config: From `TaskReference.config`.
        """
        super().__init__(
            _SchemaSpec(
                examples=examples,
                statistics=statistics,
                custom_config=json_utils.dumps(config),
                schema=types.Channel(type=standard_artifacts.Schema),
            )
        )
