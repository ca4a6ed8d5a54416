"""The artifacts that a run has before training: shards and a TransformGraph, from the pipeline's own components."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfx import v1 as tfx

from components.prepare.example_gen import ExampleGen
from components.prepare.schema import SchemaGen, classes_of, read_schema
from components.prepare.statistics import statistics_gen
from components.prepare.transform import Preprocessing, Transform
from components.task.reference import TaskReference
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.input.reader import ReadConfig
from pipeline.runners.beam import DIRECT


@dataclass(frozen=True)
class Prepared:
    """Inputs of a run's Trainer.

    Attributes:
      reference: Reference to the task.
      examples: Folder of the Examples artifact.
      transform_graph: Folder of the TransformGraph artifact.
      classes: Class names, in the model's order.
    """

    reference: TaskReference
    examples: str
    transform_graph: str
    classes: tuple[str, ...]

    def reading(self, split: str, batch_size: int) -> ReadConfig:
        """Return the configuration with which the Trainer reads a split."""
        task, shards = self.reference.load(), Manifest.load(self.examples)
        files = shard_paths(self.examples, shards.splits[split])
        transform = Preprocessing(self.transform_graph)
        return ReadConfig(files, shards.examples(split), task.feature, task.label, transform, batch_size)


def prepare(reference: TaskReference, data: Path, root: Path) -> Prepared:
    """Run the components up to the Transform, wired as in `pipeline.graph`.

    Args:
      reference: Reference to the task.
      data: Folder with the task's data.
      root: Folder for the artifacts.
    """
    task = reference.load()
    config = reference.config("feature", "label")
    ingest = reference.config("source", "feature", "label", "ingest")
    examples = ExampleGen(str(data), task.source, task.ingest, ingest)
    statistics = statistics_gen(examples.outputs["examples"], task.feature)
    schema = SchemaGen(examples.outputs["examples"], statistics.outputs["statistics"], config)
    transform = Transform(examples.outputs["examples"], schema.outputs["schema"], config)
    pipeline = tfx.dsl.Pipeline(
        pipeline_name=task.name,
        pipeline_root=str(root / "artifacts"),
        components=[examples, statistics, schema, transform],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(root / "metadata.db")
        ),
        beam_pipeline_args=list(DIRECT),
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)

    def artifact(component: str, key: str) -> str:
        (folder,) = (root / "artifacts" / component / key).iterdir()
        return str(folder)

    return Prepared(
        reference,
        artifact(examples.id, "examples"),
        artifact(transform.id, "transform_graph"),
        tuple(classes_of(read_schema(artifact(schema.id, "schema") + "/schema.pbtxt"))),
    )
