"""Data as a run has them when training begins: shards and a TransformGraph, made by the pipeline's own components."""

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
from data.ingest.shards import shard_files
from data.input.reader import Reading
from pipeline.runners.beam import DIRECT


@dataclass(frozen=True)
class Prepared:
    """What a run's Trainer is given.

    Attributes:
      reference: the task.
      examples, transform_graph: folders of the artifacts.
      classes: names, in the model's order.
    """

    reference: TaskReference
    examples: str
    transform_graph: str
    classes: tuple[str, ...]

    def reading(self, split: str, batch_size: int) -> Reading:
        """How the Trainer reads the split."""
        task, shards = self.reference.load(), Manifest.load(self.examples)
        files = shard_files(self.examples, shards.splits[split])
        transform = Preprocessing(self.transform_graph)
        return Reading(files, shards.examples(split), task.feature, task.label, transform, batch_size)


def prepare(reference: TaskReference, data: Path, root: Path) -> Prepared:
    """Runs the components up to the Transform, as `pipeline.graph` wires them.

    Args:
      reference: to the task.
      data: folder of its data.
      root: gets the artifacts.
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

    def made(component: str, key: str) -> str:
        (folder,) = (root / "artifacts" / component / key).iterdir()
        return str(folder)

    return Prepared(
        reference,
        made(examples.id, "examples"),
        made(transform.id, "transform_graph"),
        tuple(classes_of(read_schema(made(schema.id, "schema") + "/schema.pbtxt"))),
    )
