"""ExampleGen: converts files to shards of checked records. One Beam element is one shard."""

from __future__ import annotations

import json
import logging
import posixpath
from typing import Any

import apache_beam as beam
import tensorflow as tf
from google.protobuf import json_format, struct_pb2
from tfx.components.example_gen import component
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from components.executor import ComponentExecutor, Execution
from components.prepare.merge_shards import MergeShards
from components.prepare.resolve_input import Driver
from components.task.reference import task_of
from data.errors import DataError
from data.files.known import known_listing
from data.files.missing import no_folder
from data.ingest import manifest
from data.ingest.plan_files import Shard, make_shards
from data.ingest.shards import ShardReport, write_shard
from data.names import printable
from data.sources import Source

log = logging.getLogger(__name__)


class _WriteShard(beam.DoFn):
    """Shard -> ShardReport: reads, checks and writes the records of a shard."""

    def __init__(self, folder: str, target: str, config: str) -> None:
        self._folder, self._target, self._config = folder, target, config

    def setup(self) -> None:
        self._task = task_of(self._config)

    def process(self, shard: Shard) -> list[ShardReport]:
        task = self._task
        return [write_shard(shard, self._folder, self._target, task.source, task.feature, task.label, task.ingest)]


class ExampleGenExecutor(ComponentExecutor, base_beam_executor.BaseBeamExecutor):
    """Plans the shards, lets Beam's workers write them, and checks the result."""

    def execute(self, execution: Execution) -> None:
        """Write `Split-*/data_tfrecord-*`, `manifest.json`, `quarantine.jsonl` and `previews.jsonl` into the artifact.

        Raises:
          DataError: If there are no data, no examples for a split, only one class, or a class only in evaluation.
        """
        examples = execution.output(standard_component_specs.EXAMPLES_KEY)
        config = custom_config(execution.properties)
        task = task_of(config)
        folder = _folder(execution.properties)
        with known_listing(folder):
            plan = task.source.plan(folder, task.feature, task.label)
        partial = posixpath.join(examples.uri, ".partial")
        shards = make_shards(plan, task.ingest.seed, posixpath.join(partial, "plan"))
        log.info("%d shards planned from %s", len(shards), folder)
        remove = task.ingest.duplicates == "remove"
        with self._make_beam_pipeline() as pipeline:
            # fmt: off
            (pipeline
             | "Plan" >> beam.Create(shards, reshuffle=len(shards) > 1)
             | "WriteShard" >> beam.ParDo(_WriteShard(folder, examples.uri, config))
             | "Merge" >> MergeShards(plan, examples.uri, len(shards), remove_duplicates=remove))
            # fmt: on
        if tf.io.gfile.exists(partial):
            tf.io.gfile.rmtree(partial)
        written = manifest.Manifest.load(examples.uri)
        try:
            names = manifest.check_manifest(written, task.label, plan.classes)
        except DataError as error:
            raise DataError(f"{error}{_first_rejected(examples.uri)}", hint=error.hint) from None
        if task.is_multi_label:
            written.notes += manifest.label_notes(written, names)
            written.save(examples.uri)
        examples.split_names = artifact_utils.encode_split_names(sorted(written.splits, key=_split_rank))
        examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
        # TFX has no other format; Beam recognizes uncompressed files by their suffix.
        examples.set_string_custom_property("file_format", "tfrecords_gzip")
        examples.set_int_custom_property("examples", written.examples())


def _first_rejected(folder: str) -> str:
    """Describe the first entry of the quarantine report; TFX deletes the report with all outputs of a failed component.

    Args:
      folder: Of the Examples artifact.

    Returns:
      A clause that continues an error message; empty if nothing is in quarantine.
    """
    with tf.io.gfile.GFile(posixpath.join(folder, manifest.QUARANTINE)) as report:
        line = report.readline()
    if not line:
        return ""
    first = json.loads(line)
    return f"; in quarantine e.g. {printable(first['source'])}: {first['reason']} ({first['message']})"


def _split_rank(name: str) -> int:
    return ("train", "eval", "test").index(name)


def custom_config(exec_properties: dict[str, Any]) -> str:
    """Return the JSON of the reference to the task, which an ExampleGen has in a `CustomConfig` message."""
    message = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], message)
    packed = struct_pb2.Struct()
    message.custom_config.Unpack(packed)
    return json.dumps(json_format.MessageToDict(packed))


def _folder(exec_properties: dict[str, Any]) -> str:
    """Return the data folder; the driver has filled in span and version."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
    base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
    folder = posixpath.dirname(posixpath.join(base, config.splits[0].pattern))
    if not tf.io.gfile.isdir(folder):
        raise no_folder(folder)
    return folder


class ExampleGen(component.FileBasedExampleGen):
    """TFX's FileBasedExampleGen for the sources of `data.sources`; its driver resolves spans and versions."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ExampleGenExecutor)
    DRIVER_CLASS = Driver

    def __init__(self, input_base: str, source: Source, ingest: Any, config: dict[str, Any]) -> None:
        """Create the component.

        Args:
          input_base: The data folder.
          source: The task's; its `folder` is below the data folder, with TFX's patterns of span and version.
          ingest: The task's `data.ingest.shards.Ingest`; its buckets become TFX's `SplitConfig`.
          config: From `TaskReference.config`.
        """
        pattern = posixpath.join(source.folder, "*")
        splits = (("train", ingest.train_buckets), ("eval", ingest.eval_buckets))
        packed = struct_pb2.Struct()
        packed.update(config)
        custom = example_gen_pb2.CustomConfig()
        custom.custom_config.Pack(packed)
        super().__init__(
            input_base=input_base,
            input_config=example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern=pattern)]),
            output_config=example_gen_pb2.Output(
                split_config=example_gen_pb2.SplitConfig(
                    splits=[example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=n) for name, n in splits]
                )
            ),
            custom_config=custom,
        )
