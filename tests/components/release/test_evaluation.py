"""The Evaluator for real, through TFX's executor on exported models; its metrics against sums by hand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.evaluator import executor
from tfx.types import standard_artifacts
from tfx.utils import io_utils, proto_utils

from components.prepare.schema import curate
from components.release.evaluation import ACCURACY, ERROR, Evaluation, metric_of
from components.release.evaluator import NO_BASELINE, Evaluator, eval_config
from components.task.task import Evaluate, Task
from data.sources import Csv
from data.spec import Classes, Number, Vector
from pipeline.runners.beam import DIRECT
from serving.export import saved_model
from tests.records import vector_row
from tests.tasks.tiny import TASK

CLASSES = ("1", "2", "10")
ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Classes())
NUMBERS = dataclasses.replace(ROWS, label=Number())
RIGHT = 7  # of ten
SAME = np.eye(3, dtype=np.float32)


class _AsTheyAre(tf.Module):
    """Stands for the TransformGraph."""

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return dict(raw)


class _NoneAbove(_AsTheyAre):
    """Refuses rows with a feature above the limit, as a picture's limit on its pixels does."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_less(raw["features"], self._limit, "too large")]):
            return {name: tf.identity(value) for name, value in raw.items()}


def _model(
    folder: Path,
    task: Task,
    weights: np.ndarray,
    names: tuple[str, ...] = CLASSES,
    transform: _AsTheyAre | None = None,
) -> standard_artifacts.Model:
    """A softmax of, or a number from, the features times the weights."""
    dense = keras.layers.Dense(weights.shape[1], "softmax" if task.is_classification else None, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), dense])
    dense.set_weights([weights])
    classes = names if task.is_classification else ()
    exported = saved_model.ModelExport(model, transform or _AsTheyAre(), task.feature, task.label, classes)
    saved_model.write(exported, str(folder / "Format-Serving"))
    return _artifact("Model", folder)


def _artifact(kind: str, folder: Path) -> Any:
    artifact = getattr(standard_artifacts, kind)()
    artifact.uri = str(folder)
    return artifact


def _examples(folder: Path, features: np.ndarray, labels: list[Any]) -> standard_artifacts.Examples:
    path = folder / "Split-eval" / "data_tfrecord-00000-of-00001"
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row, label in zip(features.tolist(), labels, strict=True):
            writer.write(vector_row(row, label).example)
    artifact = _artifact("Examples", folder)
    artifact.split_names = '["eval"]'
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    artifact.set_string_custom_property("file_format", "tfrecords_gzip")
    return artifact


Judge = Callable[..., tuple[Evaluation, bool]]


def _judge(root: Path, task: Task, features: np.ndarray, labels: list[Any]) -> Judge:
    """A function that evaluates weights, beside a baseline's: what was found, and whether it was blessed.

    `before` and `candidate` are more of the two models, `told` is what the blessing says of the missing baseline.
    """
    examples = _examples(root / "examples", features, labels)
    schema = curate(schema_pb2.Schema(), task, CLASSES if task.is_classification else ())
    io_utils.write_pbtxt_file(str(root / "schema" / "schema.pbtxt"), schema)
    count = iter(range(100))

    def judge(
        weights: np.ndarray,
        baseline: np.ndarray | None = None,
        before: dict[str, Any] | None = None,
        told: str = "",
        candidate: dict[str, Any] | None = None,
        **evaluate: Any,
    ) -> tuple[Evaluation, bool]:
        folder = root / str(next(count))
        judged = dataclasses.replace(task, evaluate=Evaluate(**evaluate))
        inputs = {
            "examples": [examples],
            "model": [_model(folder / "model", task, weights, **(candidate or {}))],
            "baseline_model": [],
            "schema": [_artifact("Schema", root / "schema")],
        }
        if baseline is not None:
            inputs["baseline_model"] = [_model(folder / "baseline", task, baseline, **(before or {}))]
        outputs = {
            "evaluation": [_artifact("ModelEvaluation", folder / "evaluation")],
            "blessing": [_artifact("ModelBlessing", folder / "blessing")],
        }
        config = proto_utils.proto_to_json(eval_config(judged))
        context = executor.Executor.Context(beam_pipeline_args=list(DIRECT), tmp_dir=str(folder), unique_id="1")
        Evaluator.EXECUTOR_SPEC.executor_class(context).Do(
            inputs, outputs, {"eval_config": config, "example_splits": '["eval"]'}
        )
        assert re.fullmatch(told, outputs["blessing"][0].get_string_custom_property(NO_BASELINE))
        blessed = outputs["blessing"][0].get_int_custom_property("blessed") == 1
        return Evaluation.load(outputs["evaluation"][0].uri, metric_of(task)), blessed

    return judge


# Classes


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, list[str]]:
    """Features whose largest is at the label's place in the first seven of ten."""
    rng = np.random.default_rng(0)
    places = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    features = rng.uniform(-1, 1, (10, 3)).astype(np.float32)
    for number, place in enumerate(places):
        features[number, place if number < RIGHT else (place + 1) % 3] = 2 + number / 10
    return features, [CLASSES[place] for place in places]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory, rows: tuple[np.ndarray, list[str]]) -> Judge:
    return _judge(tmp_path_factory.mktemp("classes"), ROWS, *rows)


def _by_hand(features: np.ndarray, labels: list[str], weights: np.ndarray) -> dict[str, dict[str, float]]:
    """Accuracy, cross-entropy and count, overall and by label."""
    logits = (features @ weights).astype(np.float64)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    places = np.array([CLASSES.index(label) for label in labels])
    found = {}
    for name in ("overall", *CLASSES):
        among = np.array([name in ("overall", label) for label in labels])
        right = scores[among].argmax(axis=1) == places[among]
        losses = -np.log(scores[among][np.arange(among.sum()), places[among]])
        found[name if name == "overall" else f"label:{name}"] = {
            ACCURACY: right.mean(),
            "sparse_categorical_crossentropy": losses.mean(),
            "example_count": among.sum(),
        }
    return found


def test_without_a_baseline(classes: Judge, rows: tuple[np.ndarray, list[str]]) -> None:
    """And with an accuracy that is just the limit, 7 of 10 for 0.7."""
    found, blessed = classes(SAME, min_accuracy=RIGHT / 10)
    expected = _by_hand(*rows, SAME)
    assert expected["overall"][ACCURACY] == RIGHT / 10
    assert found.metrics.keys() == expected.keys()
    for name, metrics in expected.items():
        assert found.metrics[name] == pytest.approx(metrics, rel=1e-5), name
    assert found.examples == 10 and found.baseline is None and blessed


@pytest.mark.parametrize(("max_drop", "verdict"), [(0.4, True), (0.399, False)])
def test_beside_a_baseline(classes: Judge, rows: tuple[np.ndarray, list[str]], max_drop: float, verdict: bool) -> None:
    """The candidate rolls the answers: 3 of 10 are right, where the baseline has 7."""
    rolled = np.roll(SAME, -1, axis=1)
    expected = _by_hand(*rows, rolled)
    assert expected["overall"][ACCURACY] == pytest.approx(0.3)
    found, blessed = classes(rolled, SAME, max_drop=max_drop)
    for name, metrics in expected.items():
        assert found.metrics[name] == pytest.approx(metrics, rel=1e-5), name
    assert found.baseline == pytest.approx(RIGHT / 10) and found.examples == 10
    assert blessed is verdict


def test_a_baseline_with_its_classes_in_another_order(classes: Judge) -> None:
    """It is right as often as before: labels are looked up by name."""
    order = [2, 0, 1]
    before = {"names": tuple(CLASSES[place] for place in order)}
    found, blessed = classes(np.roll(SAME, -1, axis=1), SAME[:, order], before, max_drop=0.39)
    assert found.baseline == pytest.approx(RIGHT / 10) and not blessed


@pytest.mark.parametrize(
    ("names", "before"), [(("1", "2", "ten"), 5 / 7), (("1", "2"), 6 / 7)], ids=["renamed", "added"]
)
def test_a_baseline_with_other_classes_decides_nothing(classes: Judge, names: tuple[str, ...], before: float) -> None:
    """The limits on the candidate alone do. Of the seven examples of 1 and 2, 2/7 are the candidate's."""
    told = (
        rf"the last model knew {', '.join(names)} \(on the 7 examples of 1, 2: {before:.4f} before, {2 / 7:.4f} now\)"
    )
    given = SAME[:, : len(names)], {"names": names}, told
    found, blessed = classes(np.roll(SAME, -1, axis=1), *given)
    assert found.baseline is None and found.examples == 10 and blessed
    assert classes(np.roll(SAME, -1, axis=1), *given, min_accuracy=0.31)[1] is False


def test_a_baseline_that_refuses_one_of_the_examples(classes: Judge, refusing: _NoneAbove) -> None:
    """Not the first, so that only TFMA meets it."""
    told = "the last model rejects examples of this run: .*too large.*"
    found, blessed = classes(SAME, SAME, {"transform": refusing}, told)
    assert found.metrics["overall"][ACCURACY] == pytest.approx(RIGHT / 10)
    assert found.baseline is None and found.examples == 10 and blessed


def test_a_candidate_that_fails_is_not_the_baselines_fault(
    classes: Judge, refusing: _NoneAbove, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="Fail to call signature"):
        classes(SAME, SAME, candidate={"transform": refusing})
    assert "no baseline" not in caplog.text


@pytest.fixture
def refusing(rows: tuple[np.ndarray, list[str]]) -> _NoneAbove:
    largest = rows[0].max(axis=1)
    assert largest[0] < largest.max()
    return _NoneAbove(float(largest.max()))


# Numbers


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Labels are the sum of the features and 0.5 more, in turn 0.5 less."""
    features = np.random.default_rng(1).normal(size=(10, 3)).astype(np.float32)
    labels = features.sum(axis=1) + np.tile([0.5, -0.5], 5)
    return _judge(tmp_path_factory.mktemp("numbers"), NUMBERS, features, labels.tolist())


SUM = np.ones((3, 1), np.float32)


def test_a_number_above_its_limit(numbers: Judge) -> None:
    found, blessed = numbers(SUM, max_error=0.2499)
    assert set(found.metrics) == {"overall"}
    expected = {ERROR: 0.25, "mean_absolute_error": 0.5, "example_count": 10}
    assert found.metrics["overall"] == pytest.approx(expected, rel=1e-4)
    assert not blessed and found.baseline is None


@pytest.mark.parametrize(("scale", "verdict"), [(1.0, True), (0.0, False)])
def test_a_number_beside_a_baseline(numbers: Judge, scale: float, verdict: bool) -> None:
    """As good as the baseline, without a limit; and far worse, allowed twice the error at most."""
    found, blessed = numbers(scale * SUM, SUM, max_drop=0.0 if verdict else 1.0)
    assert found.baseline == pytest.approx(0.25, rel=1e-4)
    assert (found.metrics["overall"][ERROR] > 0.5) is not verdict
    assert blessed is verdict
