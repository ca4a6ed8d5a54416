"""Fixtures that run real components in this process, with TFX's LocalDagRunner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb
from tfx import v1 as tfx

from components.prepare.example_gen import ExampleGen
from components.prepare.example_validator import ExampleValidator
from components.prepare.schema import SchemaGen
from components.prepare.statistics import statistics_gen
from components.prepare.transform import Transform
from components.task.reference import TaskReference
from pipeline.runners.beam import DIRECT

RunComponents = Callable[[Sequence[Any], Path], dict[str, pb.Artifact]]
DIGIT_NAMES = {"1": 14, "2": 14, "10": 14}
SEVERAL, LABELS = 50, ((), ("2",), ("10",), ("2", "10"), ("10", "2", "9"))  # records, and what each fifth of them has


def run_components(components: Sequence[Any], root: Path) -> dict[str, pb.Artifact]:
    """Run a pipeline of the components; return the newest artifact of each type by the type's name."""
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "metadata.db"))
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="test",
        pipeline_root=str(root / "artifacts"),
        components=list(components),
        metadata_connection_config=connection,
        enable_cache=True,
        beam_pipeline_args=list(DIRECT),
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    store = metadata_store.MetadataStore(connection)
    names = {kind.id: kind.name for kind in store.get_artifact_types()}
    return {names[one.type_id]: one for one in sorted(store.get_artifacts(), key=lambda one: one.id)}


def example_gen(reference: TaskReference, data: Path) -> ExampleGen:
    task = reference.load()
    return ExampleGen(str(data), task.source, task.ingest, reference.config("source", "feature", "label", "ingest"))


def examples_to_transform(reference: TaskReference, data: Path) -> list[Any]:
    """Return the components up to the Transform, connected as in `pipeline.graph`."""
    examples = example_gen(reference, data)
    statistics = statistics_gen(examples.outputs["examples"], reference.load().feature)
    config = reference.config("feature", "label")
    schema = SchemaGen(examples.outputs["examples"], statistics.outputs["statistics"], config)
    transform = Transform(examples.outputs["examples"], schema.outputs["schema"], config)
    return [examples, statistics, schema, transform]


@pytest.fixture(scope="session")
def digit_named(tmp_path_factory: pytest.TempPathFactory, picture_folder: Callable[..., Path]) -> SimpleNamespace:
    """Pictures in folders named 1, 2 and 10, and the outputs of the components up to the Transform.

    `data`: the folder; `examples`, `statistics`, `schema`, `transform`: the artifacts' folders; `artifacts`: by type.
    """
    data = picture_folder(tmp_path_factory.mktemp("digit_named"), DIGIT_NAMES)
    reference = TaskReference("tests.tasks.tiny:TASK")
    found = run_components(examples_to_transform(reference, data), tmp_path_factory.mktemp("digit_named_root"))
    return SimpleNamespace(
        data=data,
        artifacts=found,
        examples=found["Examples"].uri,
        statistics=found["ExampleStatistics"].uri,
        schema=found["Schema"].uri,
        transform=found["TransformGraph"].uri,
    )


@pytest.fixture(scope="session")
def several(
    tmp_path_factory: pytest.TempPathFactory, smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]
) -> SimpleNamespace:
    """50 records, and the outputs of the components; "9" is in records for training only."""
    data, pictures = tmp_path_factory.mktemp("data"), {}
    for split, first in (("train", 0), ("validation", 40)):
        with tf.io.TFRecordWriter(str(data / f"{split}.tfrecord")) as writer:
            for number in range(first, 40 if split == "train" else SEVERAL):
                names = [name for name in LABELS[number % 5] if split == "train" or name != "9"]
                contents = encode(smooth(number, 9, 12), ("JPEG", "PNG")[number % 2])
                pictures[contents] = set(names)
                example = tf.train.Example()
                feature = example.features.feature
                feature["image"].bytes_list.value.append(contents)
                feature["label"].bytes_list.SetInParent()
                feature["label"].bytes_list.value.extend(name.encode() for name in names)
                writer.write(example.SerializeToString())
    reference = TaskReference("tests.tasks.several:RECORDS")
    components = examples_to_transform(reference, data)
    examples, statistics, schema, _ = components
    validator = ExampleValidator(
        examples.outputs["examples"],
        statistics.outputs["statistics"],
        schema.outputs["schema"],
        reference.config("ingest"),
        "eval",
    )
    found = run_components([*components, validator], tmp_path_factory.mktemp("root"))
    return SimpleNamespace(
        pictures=pictures,
        examples=found["Examples"].uri,
        statistics=found["ExampleStatistics"].uri,
        schema=found["Schema"].uri,
        transform=found["TransformGraph"].uri,
        anomalies=found["ExampleAnomalies"].uri,
    )
