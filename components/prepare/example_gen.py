"""ExampleGen: converts files to shards of checked records. One Beam element is one shard."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import posixpath
from typing import Any

import apache_beam as beam
import tensorflow as tf
from google.protobuf import json_format, struct_pb2
from tfx.components.example_gen import component, driver, input_processor
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from components.executor import ComponentExecutor, Execution
from components.task.reference import task_of
from data.errors import DataError, UsageError
from data.files.listing import no_folder, walk
from data.files.remote import is_remote
from data.ingest import manifest
from data.ingest.shards import Shard, ShardReport, make_shards, write_shard
from data.names import printable
from data.sources import Plan, Source

log = logging.getLogger(__name__)


class InputProcessor(input_processor.FileBasedInputProcessor):
    """TFX's resolution of span and version, with a fingerprint of every file below the folder.

    TFX's fingerprint covers only the files that one pattern matches, and whole seconds of their time stamps: a picture
    replaced within a second, or in a deeper folder, would be missed and give a stale cache hit.
    """

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """Return the latest span and its latest version; 0 and None if `source.folder` has no pattern.

        Raises:
          DataError: If nothing matches the pattern, or if a match has no number.
        """
        pattern = posixpath.dirname(self._splits[0].pattern)
        if not (self._is_match_span or self._is_match_date):
            return 0, None  # TFX would stat every file for its fingerprint, and fail at a dangling link
        try:
            span, version = super().resolve_span_and_version()
        except (ValueError, fileio.NotFoundError) as error:
            raise DataError(
                f"no span of '{pattern}' in {self._input_base_uri}: {error or 'a link there is broken'}",
                hint="Give the folder above the spans with --data DIR, or another pattern with --set source.folder=...",
            ) from None
        folder = self._data_folder(span, version)
        if not tf.io.gfile.isdir(folder):
            raise DataError(
                f"the latest span of '{pattern}' is {span}, but the folder {folder} does not exist",
                hint="Numbers with leading zeros need a width: {SPAN:2}, {VERSION:2}.",
            )
        return span, version

    def _data_folder(self, span: int | None, version: int | None) -> str:
        pattern = self.get_pattern_for_span_version(self._splits[0].pattern, span, version)
        return posixpath.dirname(posixpath.join(self._input_base_uri, pattern))

    def get_input_fingerprint(self, span: int | None, version: int | None) -> str:
        """Return the number of files below the folder, and a hash of their paths, sizes and modification times."""
        folder = self._data_folder(span, version)
        found, count = hashlib.sha256(), 0
        for entry in walk(folder):
            name = os.fsencode(entry.path)
            try:
                size, modified = _size_and_time(posixpath.join(folder, entry.path))
            except (OSError, tf.errors.OpError):  # a dangling link: only its name counts
                found.update(b"%s\n" % name)
                continue
            found.update(b"%s %d %d\n" % (name, size, modified))
            count += 1
        return f"files:{count},sha256:{found.hexdigest()[:16]}"


def _size_and_time(path: str) -> tuple[int, int]:
    """Return the size in bytes and the time of the last modification in nanoseconds since 1970.

    TensorFlow's `stat` truncates the time of a local file to whole seconds, in spite of the name `mtime_nsec`.
    """
    if is_remote(path):
        stat = tf.io.gfile.stat(path)
        return stat.length, stat.mtime_nsec
    local = os.stat(path)
    return local.st_size, local.st_mtime_ns


class Driver(driver.FileBasedDriver):
    """TFX's driver with that input processor."""

    def get_input_processor(
        self, splits: Any, range_config: Any = None, input_base_uri: str | None = None
    ) -> InputProcessor:
        """Return the input processor; see the base class for the arguments.

        Raises:
          UsageError: If the pattern of the folder is invalid, for example a version without a span.
        """
        try:
            return InputProcessor(input_base_uri, splits, range_config)
        except ValueError as error:
            raise UsageError(f"source.folder: {error}") from None


class _WriteShard(beam.DoFn):
    """Shard -> ShardReport: reads, checks and writes the records of a shard."""

    def __init__(self, folder: str, target: str, config: str) -> None:
        self._folder, self._target, self._config = folder, target, config

    def setup(self) -> None:
        self._task = task_of(self._config)

    def process(self, shard: Shard) -> list[ShardReport]:
        task = self._task
        return [write_shard(shard, self._folder, self._target, task.source, task.feature, task.label, task.ingest)]


class _Merge(beam.DoFn):
    """All reports -> the manifest in the folder of the shards."""

    def __init__(self, target: str, plan: Plan, remove_duplicates: bool) -> None:
        self._target, self._remove = target, remove_duplicates
        self._plan = dataclasses.replace(plan, splits={})  # the splits may be large, and merging does not need them

    def process(self, reports: list[ShardReport]) -> list[str]:
        manifest.merge_reports(reports, self._plan, self._target, remove_duplicates=self._remove)
        return [self._target]


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
        plan = task.source.plan(folder, task.feature, task.label)
        shards = make_shards(plan, task.ingest.seed)
        log.info("%d shards planned from %s", len(shards), folder)
        with self._make_beam_pipeline() as pipeline:
            # fmt: off
            (pipeline
             | "Plan" >> beam.Create(shards, reshuffle=len(shards) > 1)
             | "WriteShard" >> beam.ParDo(_WriteShard(folder, examples.uri, config))
             | "Collect" >> beam.combiners.ToList()
             | "Manifest" >> beam.ParDo(_Merge(examples.uri, plan, task.ingest.duplicates == "remove")))
            # fmt: on
        partial = posixpath.join(examples.uri, ".partial")
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
