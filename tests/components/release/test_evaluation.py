"""The Evaluator for real, through TFX's executor on exported models; its metrics against sums by hand."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
    roc_auc_score,
)

from components.release.evaluation import check_quality
from components.release.label_metrics import MEAN_AVERAGE_PRECISION
from components.release.limits import metric_of
from components.release.measures import ACCURACY, ERROR
from components.release.predictions import read_predictions
from components.task.task import Evaluate, Task
from data.errors import QualityError
from data.sources import Arrays, Csv
from data.spec import Classes, Labels, Number, Vector
from tests.components.release.judge import CLASSES, THRESHOLDS, AsTheyAre, Judge, place_records
from tests.tasks.tiny import TASK

ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Classes())
NUMBERS = dataclasses.replace(ROWS, label=Number())
SEVERAL = dataclasses.replace(ROWS, source=Arrays(), label=Labels())
RIGHT = 7  # of ten
SAME = np.eye(3, dtype=np.float32)


class _NoneAbove(AsTheyAre):
    """Refuses rows with a feature above the limit, as a picture's limit on its pixels does."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_less(raw["features"], self._limit, "too large")]):
            return {name: tf.identity(value) for name, value in raw.items()}


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
    return Judge(tmp_path_factory.mktemp("classes"), ROWS, place_records(*rows))


def _softmax(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    logits = (features @ weights).astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def _by_hand(features: np.ndarray, labels: list[str], weights: np.ndarray) -> dict[str, dict[str, float]]:
    """The metrics, overall and by label: sums, and scikit-learn's of each class against the others."""
    scores = _softmax(features, weights)
    places = np.array([CLASSES.index(label) for label in labels])
    one_hot, answers = np.eye(3)[places], scores.argmax(axis=1)
    found: dict[str, dict[str, float]] = {}
    for name in ("overall", *CLASSES):
        among = np.array([name in ("overall", label) for label in labels])
        right = answers[among] == places[among]
        losses = -np.log(scores[among][np.arange(among.sum()), places[among]])
        found[name if name == "overall" else f"label:{name}"] = {
            ACCURACY: right.mean(),
            "sparse_categorical_crossentropy": losses.mean(),
            "example_count": among.sum(),
            "brier_score": np.square(scores - one_hot)[among].sum(axis=1).mean(),
            "expected_calibration_error": _calibration_error(scores[among].max(axis=1), right),
        }
    report = precision_recall_fscore_support(places, answers, zero_division=0.0)
    for place, name in enumerate(CLASSES):
        found[f"label:{name}"] |= {
            **dict(zip(("precision", "recall", "f1"), (values[place] for values in report), strict=False)),
            "auc": roc_auc_score(one_hot[:, place], scores[:, place]),
            "average_precision": average_precision_score(one_hot[:, place], scores[:, place]),
        }
    for name in ("precision", "recall", "f1", "auc", "average_precision"):
        found["overall"][name] = float(np.mean([found[f"label:{one}"][name] for one in CLASSES]))
    return found


def _calibration_error(scores: np.ndarray, right: np.ndarray) -> float:
    """Of 15 bins, one after the other."""
    edges = np.linspace(0, 1, 16)
    inside = [(scores > low) & (scores <= high) for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return sum(abs(scores[one].mean() - right[one].mean()) * one.mean() for one in inside if one.any())


def test_without_a_baseline(classes: Judge, rows: tuple[np.ndarray, list[str]]) -> None:
    """And with an accuracy that is just the limit, 7 of 10 for 0.7."""
    found, blessed = classes(SAME, min_accuracy=RIGHT / 10)
    expected = _by_hand(*rows, SAME)
    assert expected["overall"][ACCURACY] == RIGHT / 10
    assert found.metrics.keys() == expected.keys()
    for name, metrics in expected.items():
        assert found.metrics[name] == pytest.approx(metrics, rel=1e-5), name
    assert found.examples == 10 and found.baseline is None and blessed and not found.violations
    answers = [CLASSES[place] for place in _softmax(rows[0], SAME).argmax(axis=1)]
    matrix = [[found.confusion[label].get(answer, 0) for answer in CLASSES] for label in CLASSES]
    assert matrix == confusion_matrix(rows[1], answers, labels=CLASSES).tolist()
    assert sum(one["examples"] for one in found.calibration) == 10
    error = sum(one["examples"] / 10 * abs(one["score"] - one["right"]) for one in found.calibration)
    assert error == pytest.approx(expected["overall"]["expected_calibration_error"], rel=1e-5)


def test_autograph_converts_no_metric(classes: Judge) -> None:
    """It would take three seconds of each run, and change nothing."""
    classes(SAME)
    converted = [one for name, one in sys.modules.items() if name.startswith("__autograph_generated_file")]
    assert not [one for one in converted if "def tf__update_state" in Path(str(one.__file__)).read_text()]


@pytest.mark.parametrize(("max_drop", "verdict"), [(0.4, True), (0.399, False)])
def test_beside_a_baseline(classes: Judge, rows: tuple[np.ndarray, list[str]], max_drop: float, verdict: bool) -> None:
    """The candidate rolls the answers: 3 of 10 are right, where the baseline has 7."""
    rolled = np.roll(SAME, -1, axis=1)
    expected = _by_hand(*rows, rolled)
    assert expected["overall"][ACCURACY] == pytest.approx(0.3)
    found, blessed = classes(rolled, SAME, max_drop=max_drop)
    for name, metrics in expected.items():
        assert found.metrics[name] == pytest.approx(metrics, rel=1e-5, abs=1e-7), name
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
    kept = read_predictions(classes.evaluation)  # of the second attempt only
    assert kept is not None and len(kept.sources) == 10 and kept.before is None


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


# Limits by metric


def _measured(features: np.ndarray, labels: list[str], weights: np.ndarray) -> dict[str, float]:
    """Metrics by the name of a limit, each from another source than TFMA."""
    by_slice, scores = _by_hand(features, labels, weights), _softmax(features, weights)
    truth, overall = np.array(labels), by_slice["overall"]
    answers = np.array(CLASSES)[scores.argmax(axis=1)]
    ranked = np.sort(scores, axis=1)[:, -2]
    return {
        "auc": overall["auc"],
        "f1_score": overall["f1"],
        "balanced_accuracy": overall["recall"],
        "recall/1": by_slice["label:1"]["recall"],
        "accuracy@label=2": by_slice["label:2"][ACCURACY],
        "matthews_correlation_coefficient/10": matthews_corrcoef(truth == "10", answers == "10"),
        "top_2_accuracy": (scores[np.arange(10), [CLASSES.index(label) for label in labels]] >= ranked).mean(),
        "auc_precision_recall/1": _keras_auc(truth == "1", scores[:, 0]),
        "mean_prediction": scores.mean(),
        "specificity(thresholds=0.3)/1": ((scores[:, 0] <= 0.3) & (truth != "1")).sum() / (truth != "1").sum(),
    }


def _keras_auc(truth: np.ndarray, scores: np.ndarray) -> float:
    metric = keras.metrics.AUC(10000, "PR")
    metric.update_state(truth, scores)
    return float(metric.result())


@pytest.mark.filterwarnings("ignore:.*encountered in divide:RuntimeWarning")  # in TFMA's AUC
def test_limits_of_all_kinds_that_are_just_met_or_just_not(classes: Judge, rows: tuple[np.ndarray, list[str]]) -> None:
    """The baseline's classes have another order, which must not matter for the change of one class."""
    weights, order = np.array([[1, 0.3, 0], [0.2, 0.7, 0.1], [0, 0.1, 1]], np.float32), [2, 0, 1]
    before = {"names": tuple(CLASSES[place] for place in order)}
    now, then = _measured(*rows, np.roll(weights, -1, axis=1)), _measured(*rows, weights)
    drops = {name: then[name] - now[name] for name in ("auc", "recall/1", "accuracy@label=2", "auc_precision_recall/1")}
    assert min(drops.values()) > 0.01
    for side in (-1e-3, 1e-3):
        limits: dict[str, Any] = {
            "minimum": {name: value + side for name, value in now.items()},
            "maximum": {name: value - side for name, value in now.items()} if side < 0 else {},
            "max_drop": {name: value - side for name, value in drops.items()},
        }
        found, blessed = classes(np.roll(weights, -1, axis=1), weights[:, order], before, **limits)
        assert blessed is (side < 0), found.violations
        judged = dataclasses.replace(ROWS, evaluate=Evaluate(**limits))
        if not blessed:
            with pytest.raises(QualityError) as caught:
                check_quality(found, judged, blessed)
            assert len(found.violations) == len(now) + len(drops)
            assert f"not pushed: auc {now['auc']:.4f} is below the limit {now['auc'] + side:.4f}; f1_score" in str(
                caught.value
            )
            assert str(caught.value).endswith(f" and {len(now) + len(drops) - 5} more limits")
            changes = ",".join(f"{name}:VALUE" for name in now)
            assert f"change the limit with --set evaluate.minimum={changes} The last" in caught.value.hint


def test_a_slice_that_does_not_exist(classes: Judge) -> None:
    """It is not met; nor is the limit of another slice, which is named by its value."""
    limits: dict[str, Any] = {
        "minimum": {"accuracy@label=ten": 0.0, "accuracy@label=1": 1.0, "accuracy@label=2": 0.1},
        "slices": (),
    }
    found, blessed = classes(np.roll(SAME, -1, axis=1), **limits)
    assert not blessed and len(found.violations) == 2
    told = "accuracy on label=1 0.2500 is below the limit 1.0000; no example has label=ten, which a limit names"
    with pytest.raises(QualityError, match=f"^not pushed: {told}$"):
        check_quality(found, dataclasses.replace(ROWS, evaluate=Evaluate(**limits)), blessed)


# Several labels


def _applying(number: int) -> tuple[str, ...]:
    """Of 30 examples; every fifth has no label, and none has the last."""
    return () if number % 5 == 0 else tuple(name for place, name in enumerate(CLASSES[:2]) if number % (place + 2) == 0)


@pytest.fixture(scope="module")
def tags() -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Features that are larger at the places of the labels, but with much noise."""
    labels = [_applying(number) for number in range(30)]
    features = np.random.default_rng(3).normal(size=(30, 3)).astype(np.float32)
    for row, applying in zip(features, labels, strict=True):
        row[[CLASSES.index(name) for name in applying]] += 1
    return features, labels


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tags: tuple[np.ndarray, list[Any]]) -> Judge:
    return Judge(tmp_path_factory.mktemp("several"), SEVERAL, place_records(*tags))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def _of_scikit_learn(
    features: np.ndarray, labels: list[Any], weights: np.ndarray, thresholds: tuple[float, ...] = THRESHOLDS
) -> dict[str, dict[str, float]]:
    scores = _sigmoid(features @ weights)
    truth = np.array([[name in applying for name in CLASSES] for applying in labels])
    found: dict[str, dict[str, float]] = {f"label:{CLASSES[2]}": {"example_count": 0}}
    for place, name in enumerate(CLASSES[:2]):
        one, applies = scores[:, place], truth[:, place]
        decided = applies, one >= thresholds[place]
        found[f"label:{name}"] = {
            "average_precision": average_precision_score(applies, one),
            "auc": roc_auc_score(applies, one),
            "f1": f1_score(*decided),
            "precision": precision_score(*decided),
            "recall": recall_score(*decided),
            "example_count": applies.sum(),
        }
    known = [found[f"label:{name}"] for name in CLASSES[:2]]
    means = ("auc", "f1", "precision", "recall")
    found["overall"] = {name: float(np.mean([one[name] for one in known])) for name in means}
    found["overall"] |= {
        "brier_score": np.square(scores - truth).mean(),
        "expected_calibration_error": _calibration_error(scores.ravel(), truth.ravel()),
        "exact_match": (truth == (scores >= thresholds)).all(axis=1).mean(),
        MEAN_AVERAGE_PRECISION: float(np.mean([one["average_precision"] for one in known])),
        "binary_crossentropy": -np.log(np.where(truth, scores, 1 - scores)).mean(),
        "example_count": len(features),
    }
    return found


WORSE = np.array([[1, 0, 0], [-1, 0.2, 0], [2, 1, 1]], np.float32)


@pytest.mark.parametrize("above", [-1e-4, 1e-4])
def test_several_labels_at_their_limit(several: Judge, tags: tuple[np.ndarray, list[Any]], above: float) -> None:
    expected = _of_scikit_learn(*tags, SAME)
    limit = expected["overall"][MEAN_AVERAGE_PRECISION] + above
    found, blessed = several(SAME, min_average_precision=limit)
    assert found.metrics.keys() == expected.keys()
    for name, metrics in expected.items():
        assert found.metrics[name] == pytest.approx(metrics, rel=1e-5), name
    assert found.examples == 30 and found.baseline is None and blessed is (above < 0)


@pytest.mark.filterwarnings("ignore:.*encountered in divide:RuntimeWarning")  # in TFMA's AUC
@pytest.mark.parametrize("above", [1e-4, -1e-4])
def test_several_labels_beside_a_baseline(several: Judge, tags: tuple[np.ndarray, list[Any]], above: float) -> None:
    """Its labels are in another order, and its decisions are those of its own thresholds."""
    order = [2, 0, 1]
    expected = _of_scikit_learn(*tags, WORSE)
    then = _of_scikit_learn(*tags, SAME, tuple(THRESHOLDS[order.index(place)] for place in range(3)))
    before = then["overall"]
    drop = before[MEAN_AVERAGE_PRECISION] - expected["overall"][MEAN_AVERAGE_PRECISION]
    precision = then["label:1"]["precision"] - expected["label:1"]["precision"]
    assert drop > 0.05 and precision > 0.05
    area = _keras_auc(np.array(["1" in one for one in tags[1]]), _sigmoid(tags[0] @ WORSE)[:, 0])
    other = {"names": tuple(CLASSES[place] for place in order)}
    limits: dict[str, Any] = {
        "max_drop": {MEAN_AVERAGE_PRECISION: drop + above, "precision/1": precision + above},
        "minimum": {"auc_precision_recall/1": area - above},
    }
    expected["label:1"]["auc_precision_recall"] = area
    found, blessed = several(WORSE, SAME[:, order], other, **limits)
    assert {violation.metric for violation in found.violations} == (
        set() if above > 0 else {MEAN_AVERAGE_PRECISION, "precision", "auc_precision_recall"}
    )
    for name, metrics in expected.items():
        assert found.metrics[name] == pytest.approx(metrics, rel=1e-5), name
    assert found.baseline == pytest.approx(before[MEAN_AVERAGE_PRECISION], rel=1e-5)
    assert found.examples == 30 and blessed is (above > 0)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ({"names": ("1", "2", "ten")}, "the last model knew 1, 2, ten"),
        ({"label": Classes()}, r"the last model answers with classes \(1, 2, 10\)"),
    ],
    ids=["other labels", "classes"],
)
def test_several_labels_beside_a_baseline_of_another_kind(several: Judge, before: dict[str, Any], told: str) -> None:
    found, blessed = several(WORSE, SAME, before, told)
    assert found.baseline is None and found.examples == 30 and blessed


def test_several_labels_by_a_feature_without_slices_by_label(
    tmp_path: Path, tags: tuple[np.ndarray, list[Any]]
) -> None:
    """The slices have the means alone; labels of no example are missing there, too."""
    features, labels = tags
    judge = Judge(tmp_path, SEVERAL, place_records(features[:20], [()] * 10 + labels[10:20]), slices=("place",))
    found, blessed = judge(SAME, slices=())
    expected = _of_scikit_learn(features[10:20], labels[10:20], SAME)["overall"]
    assert found.metrics.keys() == {"overall", "place:0", "place:1"} and blessed
    assert found.metrics["place:1"] == pytest.approx(expected, rel=1e-5)
    assert found.metrics["place:0"].keys() == {
        *("binary_crossentropy", "brier_score", "exact_match", "expected_calibration_error", "example_count"),
    }


# Numbers


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Labels are the sum of the features and 0.5 more, in turn 0.5 less."""
    features = np.random.default_rng(1).normal(size=(10, 3)).astype(np.float32)
    labels = features.sum(axis=1) + np.tile([0.5, -0.5], 5)
    return Judge(tmp_path_factory.mktemp("numbers"), NUMBERS, place_records(features, labels.tolist()))


SUM = np.ones((3, 1), np.float32)


def test_a_number_above_its_limit(numbers: Judge) -> None:
    found, blessed = numbers(SUM, max_error=0.2499)
    assert set(found.metrics) == {"overall"}
    expected = {ERROR: 0.25, "mean_absolute_error": 0.5, "example_count": 10}
    assert found.metrics["overall"] == pytest.approx(expected, rel=1e-4)
    assert not blessed and found.baseline is None


@pytest.mark.parametrize(
    ("judge", "task", "width"), [("numbers", NUMBERS, 1), ("several", SEVERAL, 3)], ids=["a number", "several labels"]
)
def test_answers_that_are_no_numbers(judge: str, task: Task, width: int, request: pytest.FixtureRequest) -> None:
    """TFMA writes them as a text."""
    found, blessed = request.getfixturevalue(judge)(np.full((3, width), np.nan, np.float32))
    assert np.isnan(found.metrics["overall"][metric_of(task)]) and not blessed
    with pytest.raises(QualityError, match="not pushed: mean .* is nan"):
        check_quality(found, task, blessed)


@pytest.mark.parametrize(("scale", "verdict"), [(1.0, True), (0.0, False)])
def test_a_number_beside_a_baseline(numbers: Judge, scale: float, verdict: bool) -> None:
    """As good as the baseline, without a limit; and far worse, allowed twice the error at most."""
    limits = {"rmse": 0.50001, "mean_absolute_error": 0.50001}
    found, blessed = numbers(scale * SUM, SUM, max_drop=0.0 if verdict else 1.0, maximum=limits)
    names = {violation.metric for violation in found.violations}
    assert names == (set() if verdict else {ERROR, "root_mean_squared_error", "mean_absolute_error"})
    assert found.baseline == pytest.approx(0.25, rel=1e-4)
    assert (found.metrics["overall"][ERROR] > 0.5) is not verdict
    assert blessed is verdict
