"""Run the real Evaluator on small models of rows of numbers, or of pictures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.evaluator import executor
from tfx.types import standard_artifacts
from tfx.utils import io_utils, proto_utils

from components.prepare.schema import curate
from components.release.evaluation import Evaluation
from components.release.evaluator import NO_BASELINE, Evaluator, eval_config
from components.release.limits import metric_of
from components.task.task import Evaluate, Task
from data.images import ops
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardFile
from data.sources import Csv
from data.spec import IMAGE, Image, Number
from pipeline.runners.beam import DIRECT
from serving.export import saved_model
from tests.records import vector_row

CLASSES = ("1", "2", "10")
THRESHOLDS = (0.25, 0.5, 0.75)


class AsTheyAre(tf.Module):
    """Stands for the TransformGraph."""

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return dict(raw)


class Decoding(tf.Module):
    """Stands for the TransformGraph of pictures."""

    def __init__(self, spec: Image) -> None:
        super().__init__()
        self._spec = spec

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {IMAGE: ops.decode_batch(raw[IMAGE], self._spec)}


def place_records(features: np.ndarray, labels: Sequence[Any]) -> list[bytes]:
    """Rows of numbers as records, with a feature `place` that is the same for ten of them."""
    found = []
    for number, (row, label) in enumerate(zip(features.tolist(), labels, strict=True)):
        example = tf.train.Example.FromString(vector_row(row, label).example)
        example.features.feature["place"].bytes_list.value.append(str(number // 10).encode())
        found.append(example.SerializeToString())
    return found


class Judge:
    """Evaluates models, as the pipeline does.

    Attributes:
      model: Folder of the last candidate's SavedModel.
      baseline: Folder of the last baseline's; it may not exist.
      evaluation: Folder of the last evaluation.
    """

    def __init__(self, root: Path, task: Task, records: Sequence[bytes], slices: Sequence[str] = ()) -> None:
        """Write the records.

        Args:
          root: An empty folder.
          task: Of the models.
          records: To evaluate on.
          slices: Features of the records by which the evaluation is sliced, besides those of the task.
        """
        self._root, self._task, self._slices = root, task, slices
        self._examples = _write_examples(root / "examples", records)
        schema = curate(schema_pb2.Schema(), task, () if task.label == Number() else CLASSES)
        for name in slices:
            feature = schema.feature.add(name=name, type=schema_pb2.BYTES)
            feature.presence.min_fraction = 1.0
            feature.shape.SetInParent()
        io_utils.write_pbtxt_file(str(root / "schema" / "schema.pbtxt"), schema)
        self._count = 0

    def __call__(
        self,
        weights: np.ndarray,
        baseline: np.ndarray | None = None,
        before: dict[str, Any] | None = None,
        told: str = "",
        candidate: dict[str, Any] | None = None,
        **evaluate: Any,
    ) -> tuple[Evaluation, bool]:
        """Evaluate a model, beside a baseline if one is given.

        Args:
          weights: Of the model, float32 [3, C].
          baseline: Weights of the baseline.
          before: More of the baseline: arguments of `_model`.
          told: What the blessing gives as the reason for no baseline.
          candidate: More of the model.
          **evaluate: Settings of the Evaluator.

        Returns:
          What was found, and whether the model was blessed.
        """
        self._count += 1
        folder = self._root / str(self._count)
        self.model, self.baseline = (str(folder / name / "Format-Serving") for name in ("model", "baseline"))
        judged = dataclasses.replace(self._task, evaluate=Evaluate(**evaluate))
        inputs = {
            "examples": [self._examples],
            "model": [_model(folder / "model", judged, weights, **(candidate or {}))],
            "baseline_model": [],
            "schema": [_artifact("Schema", self._root / "schema")],
        }
        if baseline is not None:
            inputs["baseline_model"] = [_model(folder / "baseline", judged, baseline, **(before or {}))]
        outputs = {
            "evaluation": [_artifact("ModelEvaluation", folder / "evaluation")],
            "blessing": [_artifact("ModelBlessing", folder / "blessing")],
        }
        config = eval_config(judged)
        for name in self._slices:
            config.slicing_specs.add(feature_keys=[name])
        context = executor.Executor.Context(beam_pipeline_args=list(DIRECT), tmp_dir=str(folder), unique_id="1")
        Evaluator.EXECUTOR_SPEC.executor_class(context).Do(
            inputs, outputs, {"eval_config": proto_utils.proto_to_json(config), "example_splits": '["eval"]'}
        )
        (blessing,) = outputs["blessing"]
        assert re.fullmatch(told, blessing.get_string_custom_property(NO_BASELINE))
        self.evaluation = str(folder / "evaluation")
        found = Evaluation.load(self.evaluation, metric_of(self._task))
        return found, blessing.get_int_custom_property("blessed") == 1


def _write_examples(folder: Path, records: Sequence[bytes]) -> Any:
    path = folder / "Split-eval" / "data_tfrecord-00000-of-00001"
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    file = ShardFile(f"{path.parent.name}/{path.name}", len(records), path.stat().st_size, "", {})
    Manifest({"eval": [file]}).save(str(folder))
    artifact = _artifact("Examples", folder)
    artifact.split_names = '["eval"]'
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    artifact.set_string_custom_property("file_format", "tfrecords_gzip")
    return artifact


def _artifact(kind: str, folder: Path) -> Any:
    artifact = getattr(standard_artifacts, kind)()
    artifact.uri = str(folder)
    return artifact


def _model(
    folder: Path,
    task: Task,
    weights: np.ndarray,
    names: tuple[str, ...] = CLASSES,
    transform: tf.Module | None = None,
    label: Any = None,
) -> Any:
    """A softmax of, sigmoids of, or a number from, the numbers or the pixels (0 to 1) times the weights."""
    task = dataclasses.replace(task, source=Csv(), label=label) if label else task
    activation = "sigmoid" if task.is_multi_label else "softmax" if task.is_classification else None
    dense = keras.layers.Dense(weights.shape[1], activation, use_bias=False)
    inputs, transform = [keras.Input(task.feature.shape)], transform or AsTheyAre()
    if isinstance(task.feature, Image):
        inputs = [keras.Input(task.feature.shape, dtype="uint8"), keras.layers.Rescaling(1 / 255)]
        transform = Decoding(task.feature)
    model = keras.Sequential([*inputs, keras.layers.Flatten(), dense])
    dense.set_weights([weights])
    exported = saved_model.ModelExport(
        model,
        transform,
        task.feature,
        task.label,
        () if task.label == Number() else names,
        thresholds=THRESHOLDS[: len(names)] if task.is_multi_label else (),
    )
    saved_model.write(exported, str(folder / "Format-Serving"))
    return _artifact("Model", folder)
