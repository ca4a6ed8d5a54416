"""Plan, ingest, describe and evaluate one folder of pictures: `python -m benchmarks.scale_once FOLDER SCRATCH`.

`benchmarks.scale` starts it as a process for each size, so that each has a peak of memory of its own, and reads the
last line that it prints.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")

import apache_beam as beam
import keras
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.dsl.components.base import base_beam_executor
from tfx.types import channel_utils, standard_artifacts

from components.prepare.example_gen import ExampleGen
from components.prepare.merge_shards import MergeShards
from components.prepare.schema import SchemaGen, classes_of, read_schema
from components.prepare.statistics import statistics_gen
from components.prepare.transform import Preprocessing, Transform
from components.release.evaluator import evaluator
from components.task.reference import TaskReference
from components.task.task import Task
from data.files.fingerprint import folder_fingerprint
from data.ingest.manifest import Manifest
from data.ingest.plan_files import Shard, make_shards
from data.ingest.shards import write_shard
from data.sources import Plan
from pipeline.runners.beam import DIRECT
from serving.export import saved_model

SIDE = 8  # of the pictures


@dataclass
class Stages:
    """What each stage took.

    Attributes:
      found: by stage, `seconds`, `processor` (CPU seconds) and `peak` (of the resident memory, in MB).
      artifacts: folders of the artifacts.
    """

    artifacts: Path
    found: dict[str, dict[str, float]] = field(default_factory=dict)

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work of a stage, and return its result."""
        gc.collect()
        _reset_peak()
        start, used = time.perf_counter(), time.process_time()
        result = work()
        seconds, processor = time.perf_counter() - start, time.process_time() - used
        self.found[name] = {"seconds": seconds, "processor": processor, "peak": _peak()}
        return result

    def run(self, component: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run a component's executor as the local runner does, and return its output artifacts by key."""
        outputs = {key: channel.type() for key, channel in component.outputs.items()}
        for key, artifact in outputs.items():
            artifact.uri = str(self.artifacts / component.id / key)
            os.makedirs(artifact.uri)
        executor = component.executor_spec.executor_class
        in_beam = issubclass(executor, base_beam_executor.BaseBeamExecutor)
        options = {"beam_pipeline_args": list(DIRECT)} if in_beam else {}
        context = executor.Context(tmp_dir=str(self.artifacts / "tmp"), unique_id="1", **options)
        given, made = ({key: [one] for key, one in found.items()} for found in (inputs, outputs))
        executor(context).Do(given, made, dict(component.exec_properties))
        return outputs


def _reset_peak() -> None:
    """Let the kernel forget the largest resident memory so far."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Return the largest resident memory since `_reset_peak`, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(folder: str, scratch: Path) -> None:
    """Measure each stage on a folder of pictures."""
    settings = {"feature.height": str(SIDE), "feature.width": str(SIDE)}
    reference = TaskReference("benchmarks.tasks:FOLDER", settings)
    task, stages = reference.load(), Stages(scratch / "artifacts")
    stages.measure("fingerprint", lambda: folder_fingerprint(folder))
    plan, shards = stages.measure("plan", lambda: _plan(task, folder, scratch))
    graph = _graph_bytes(plan, shards, task, folder, scratch)
    ingest, config = reference.config("source", "feature", "label", "ingest"), reference.config("feature", "label")
    generated = ExampleGen(folder, task.source, task.ingest, ingest)
    examples = stages.measure("ExampleGen", lambda: stages.run(generated, {}))["examples"]
    described = statistics_gen(generated.outputs["examples"], task.feature)
    inputs = {"examples": examples}
    inputs |= stages.measure("statistics", lambda: stages.run(described, inputs))
    schema = SchemaGen(generated.outputs["examples"], described.outputs["statistics"], config)
    inputs |= stages.run(schema, inputs)
    transform = Transform(generated.outputs["examples"], schema.outputs["schema"], config)
    graphs = stages.run(transform, {key: inputs[key] for key in ("examples", "schema")})
    model = _export(task, graphs["transform_graph"].uri, inputs["schema"].uri, scratch)
    judge = evaluator(task, generated.outputs["examples"], _channel(model), None, schema.outputs["schema"])
    judged = {"examples": examples, "schema": inputs["schema"], "model": model}
    stages.measure("evaluation", lambda: stages.run(judge, judged))
    counts = {split: Manifest.load(examples.uri).examples(split) for split in ("train", "eval")}
    print(json.dumps({"stages": stages.found, "graph_bytes": graph, "shards": len(shards), "examples": counts}))


def _plan(task: Task, folder: str, scratch: Path) -> tuple[Plan, list[Shard]]:
    plan = task.source.plan(folder, task.feature, task.label)
    return plan, make_shards(plan, task.ingest.seed, str(scratch / "plan"))


def _graph_bytes(plan: Plan, shards: list[Shard], task: Task, folder: str, scratch: Path) -> int:
    """Return the size of the job graph that a Beam service would get, in bytes."""

    def write(shard: Shard) -> Any:
        return write_shard(shard, folder, "target", task.source, task.feature, task.label, task.ingest)

    pipeline = beam.Pipeline(options=PipelineOptions(list(DIRECT)))
    reports = pipeline | beam.Create(shards, reshuffle=True) | beam.Map(write)
    _ = reports | MergeShards(dataclasses.replace(plan), str(scratch), len(shards), remove_duplicates=True)
    return len(pipeline.to_runner_api().SerializeToString())


def _export(task: Task, transform_graph: str, schema: str, scratch: Path) -> standard_artifacts.Model:
    """Write a linear model, as the Trainer exports it."""
    classes = classes_of(read_schema(schema))
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(len(classes), "softmax")]
    model = keras.Sequential([keras.Input(task.feature.shape, dtype="uint8"), *layers])
    exported = saved_model.ModelExport(model, Preprocessing(transform_graph), task.feature, task.label, classes)
    artifact = standard_artifacts.Model()
    artifact.uri = str(scratch / "model")
    saved_model.write(exported, f"{artifact.uri}/Format-Serving")
    return artifact


def _channel(artifact: Any) -> Any:
    return channel_utils.as_channel([artifact])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
