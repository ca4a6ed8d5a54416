"""The metrics of classes, against scikit-learn's and TensorFlow's; `test_evaluation` runs them through TFMA."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from components.release import score_metrics
from components.release.class_metrics import CONFUSION_MATRIX, ClassMetrics, top_k
from components.release.score_metrics import decision_metrics

CLASSES = tuple("abcdefg")


def _examples(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that favour their class somewhat, and the place of the class."""
    rng = np.random.default_rng(seed)
    places = rng.choice(classes, count, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    logits = rng.normal(0, 1, (count, classes)) + 1.5 * np.eye(classes)[places]
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32), places


def _measured(scores: np.ndarray, places: np.ndarray, parts: int = 3, **more: Any) -> dict[tuple[str, str], Any]:
    """The metrics by name and class, after Beam has combined parts of the examples."""
    classes = CLASSES[: scores.shape[1]]
    (computation,) = ClassMetrics(classes, **more).computations()
    combiner, truth = computation.combiner, np.eye(len(classes), dtype=bool)[places]
    seen = []
    for part in range(parts):
        one = combiner.create_accumulator()
        for row in range(part, len(scores), parts):
            one = combiner.add_input(one, (scores[row], truth[row]))
        seen.append(pickle.loads(pickle.dumps(combiner.compact(one))))
    found = combiner.extract_output(combiner.merge_accumulators(seen))
    return {(key.name, key.output_name): value for key, value in found.items()}


@pytest.mark.parametrize("classes", [2, 7])
def test_they_are_those_of_scikit_learn_and_tensorflow(classes: int) -> None:
    scores, places = _examples(400, classes)
    answers, one_hot = scores.argmax(axis=1), np.eye(classes)[places]
    found = _measured(scores, places)
    for k in (3, 5):
        if classes > k:
            expected = np.mean(tf.math.in_top_k(places, scores, k))
            assert found[f"top_{k}_accuracy", ""] == pytest.approx(expected)
        else:
            assert (f"top_{k}_accuracy", "") not in found
    brier = np.square(scores.astype(np.float64) - one_hot).sum(axis=1).mean()
    assert found["brier_score", ""] == pytest.approx(brier / 2 if classes == 2 else brier)
    report = precision_recall_fscore_support(places, answers, zero_division=0.0)
    by_class = dict(zip(("precision", "recall", "f1"), report, strict=False))
    by_class["auc"] = np.array([roc_auc_score(one_hot[:, one], scores[:, one]) for one in range(classes)])
    by_class["average_precision"] = average_precision_score(one_hot, scores, average=None)
    for name, values in by_class.items():
        assert found[name, ""] == pytest.approx(values.mean()), name
        for one, value in zip(CLASSES, values, strict=False):
            assert found[name, one] == pytest.approx(value), (name, one)
    (matrix,) = found[CONFUSION_MATRIX, ""].values()
    dense = np.zeros((classes, classes))
    for entry, count in matrix.items():
        dense[entry.actual_class_id, entry.predicted_class_id] = count
    assert (dense == confusion_matrix(places, answers)).all()


def test_limits_on_other_metrics_of_decisions() -> None:
    scores, places = _examples(300, 7)
    answers = scores.argmax(axis=1)
    names = ("balanced_accuracy", "specificity", "matthews_correlation_coefficient", "false_discovery_rate")
    limited = [*([name, ""] for name in names), *([name, "c"] for name in names), ["top_2_accuracy", ""]]
    found = _measured(scores, places, limited=limited, by_class=False)
    assert {key for key in found if key[1]} == {(name, "c") for name in names}
    is_c, chosen = places == 2, answers == 2
    assert found["balanced_accuracy", ""] == pytest.approx(balanced_accuracy_score(places, answers))
    assert found["balanced_accuracy", "c"] == pytest.approx(balanced_accuracy_score(is_c, chosen))
    assert found["specificity", "c"] == pytest.approx((~chosen)[~is_c].mean())
    each = [matthews_corrcoef(places == one, answers == one) for one in range(7)]
    assert found["matthews_correlation_coefficient", ""] == pytest.approx(np.mean(each))
    assert found["matthews_correlation_coefficient", "c"] == pytest.approx(each[2])
    assert found["false_discovery_rate", "c"] == pytest.approx((~is_c)[chosen].mean())
    assert found["top_2_accuracy", ""] == pytest.approx(np.mean(tf.math.in_top_k(places, scores, 2)))


def test_a_class_that_is_never_the_answer_has_the_values_of_scikit_learn() -> None:
    scores = np.tile(np.array([0.6, 0.3, 0.1], np.float32), (6, 1))
    places = np.array([0, 0, 0, 1, 1, 2])
    limited = [["matthews_correlation_coefficient", "b"], ["false_discovery_rate", "b"]]
    found = _measured(scores, places, limited=limited)
    assert (found["precision", "b"], found["recall", "b"], found["f1", "b"]) == (0, 0, 0)
    assert found["matthews_correlation_coefficient", "b"] == 0 and found["false_discovery_rate", "b"] == 1
    assert found["precision", ""] == pytest.approx(0.5 / 3)


def test_a_slice_of_one_class_has_only_what_means_something_there() -> None:
    """A limit on a metric that is not defined is not met, in TFMA's eyes: it has to be there, and NaN."""
    scores, _ = _examples(20, 3)
    found = _measured(scores, np.ones(20, int), limited=[["auc", ""], ["recall", "a"]])
    names = {key for key, value in found.items() if isinstance(value, float) and not np.isnan(value)}
    assert names == {("brier_score", ""), ("expected_calibration_error", "")}
    assert np.isnan(found["auc", ""]) and np.isnan(found["recall", "a"])


def test_answers_that_are_no_numbers_are_never_right() -> None:
    scores, places = _examples(30, 7)
    scores[4, 2] = np.nan
    found = _measured(scores, places)
    assert ("auc", "") not in found and ("brier_score", "") not in found
    others = np.arange(30) != 4
    assert found["top_3_accuracy", ""] == pytest.approx(
        np.mean(tf.math.in_top_k(places[others], scores[others], 3)) * 29 / 30
    )


def test_very_many_scores_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows from decisions stays exact."""
    scores, places = _examples(3000, 7)
    exact = _measured(scores, places)
    monkeypatch.setattr(score_metrics, "EXACT", 2000)
    found = _measured(scores, places)
    assert found.keys() == exact.keys() and found["auc", "a"] != exact["auc", "a"]
    for (name, one), value in exact.items():
        if isinstance(value, float):
            assert found[name, one] == pytest.approx(value, abs=1e-3 if name in ("auc", "average_precision") else 1e-12)
    assert found[CONFUSION_MATRIX, ""] == exact[CONFUSION_MATRIX, ""]


def test_each_of_tfmas_metrics_of_decisions_is_one() -> None:
    """They are called with numbers alone; some are not defined, but none raises."""
    scores, places = _examples(100, 3)
    found = _measured(scores, places, limited=[[name, "a"] for name in decision_metrics()])
    assert len(decision_metrics()) > 30 and {name for name, one in found if one == "a"} >= decision_metrics().keys()


@pytest.mark.parametrize(
    ("name", "k"), [("top_5_accuracy", 5), ("top_12_accuracy", 12), ("top_0_accuracy", None), ("top_accuracy", None)]
)
def test_the_k_of_a_name(name: str, k: int | None) -> None:
    assert top_k(name) == k
