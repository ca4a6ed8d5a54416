"""The metrics of several labels, against scikit-learn's; `test_evaluation` runs them through TFMA."""

from __future__ import annotations

import pickle
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score
from tensorflow_model_analysis.metrics import MetricKey

from components.release import score_metrics
from components.release.label_metrics import LabelMetrics

LABELS = ("cat", "dog", "owl")
THRESHOLDS = (0.3, 0.5, 0.9)


def _examples(count: int, labels: int, seed: int = 0, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Scores as of a trained model, most of them small, and labels that they predict."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-3, 2, (count, labels))
    scores = (1 / (1 + np.exp(-logits))).round(decimals).astype(np.float32)
    return scores, rng.uniform(size=scores.shape) < scores**0.7


def _combiner(labels: tuple[str, ...], thresholds: Any = (), **more: Any) -> Any:
    (computation,) = LabelMetrics(labels, thresholds, **more).computations()
    return computation.combiner


def _combined(combiner: Any, scores: np.ndarray, truth: np.ndarray, parts: int) -> dict[str, dict[str, float]]:
    """The metrics by output name, after Beam has combined parts of the examples in some order."""
    order = np.random.default_rng(1).integers(0, parts, len(scores))
    seen = []
    for part in range(parts):
        one = combiner.create_accumulator()
        for row in np.flatnonzero(order == part):
            one = combiner.add_input(one, (scores[row], truth[row]))
        seen.append(pickle.loads(pickle.dumps(combiner.compact(one))))
    half = parts // 2
    both = [combiner.merge_accumulators(some) for some in (seen[:half], seen[half:]) if some]
    found: dict[str, dict[str, float]] = {}
    for key, value in combiner.extract_output(combiner.merge_accumulators(both)).items():
        assert isinstance(key, MetricKey)
        if isinstance(value, np.ndarray):
            continue
        found.setdefault(key.output_name, {})[key.name] = value
    return found


def _expected(scores: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> dict[str, dict[str, float]]:
    by_label = {}
    for place, name in enumerate(labels):
        one, applies = scores[:, place], truth[:, place]
        decided = applies, one >= np.float32(THRESHOLDS[place % 3])
        by_label[name] = {
            "average_precision": average_precision_score(applies, one),
            "auc": roc_auc_score(applies, one),
            "f1": f1_score(*decided),
            "precision": precision_score(*decided, zero_division=0.0),
            "recall": recall_score(*decided),
            "example_count": applies.sum(),
        }
    mean = {name: np.mean([one[name] for one in by_label.values()]) for name in ("auc", "f1", "precision", "recall")}
    mean["mean_average_precision"] = average_precision_score(truth, scores, average="macro")
    loss = keras.losses.binary_crossentropy(truth.astype("float32"), scores)
    mean["binary_crossentropy"] = float(np.mean(loss))
    mean["brier_score"] = np.square(scores.astype(np.float64) - truth).mean()
    mean["exact_match"] = (truth == (scores >= np.array(THRESHOLDS, np.float32))).all(axis=1).mean()
    places = np.minimum((scores.ravel() * 15).astype(int), 14)  # no score is on the edge of a bin
    inside = [(scores.ravel()[places == place], truth.ravel()[places == place]) for place in range(15)]
    gaps = [abs(some.sum(dtype=np.float64) - right.sum()) for some, right in inside]
    mean["expected_calibration_error"] = sum(gaps) / scores.size
    return {"": mean, **by_label}


def _check(found: dict[str, dict[str, float]], expected: dict[str, dict[str, float]], **tolerance: Any) -> None:
    assert found.keys() == expected.keys()
    for name, metrics in expected.items():
        assert found[name] == pytest.approx(metrics, **tolerance), name


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("decimals", [9, 1], ids=["no ties", "ties"])
def test_they_are_those_of_scikit_learn(parts: int, decimals: int) -> None:
    scores, truth = _examples(700, 3, decimals=decimals)
    found = _combined(_combiner(LABELS, THRESHOLDS), scores, truth, parts)
    _check(found, _expected(scores, truth, LABELS), rel=1e-6)


@pytest.mark.parametrize("parts", [1, 5])
def test_of_very_many_scores_within_a_thousandth(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in bins, in some parts already and in others only when they are merged; counts and F1 stay exact."""
    monkeypatch.setattr(score_metrics, "EXACT", 3000)
    scores, truth = _examples(5000, 3)
    combiner = _combiner(LABELS, THRESHOLDS)
    found, expected = _combined(combiner, scores, truth, parts), _expected(scores, truth, LABELS)
    _check(found, expected, abs=1e-3)
    assert found["cat"]["f1"] == pytest.approx(expected["cat"]["f1"], rel=1e-12)
    assert found["cat"] != expected["cat"]  # they are approximations
    one = combiner.create_accumulator()
    for row in zip(scores, truth, strict=True):
        one = combiner.add_input(one, row)
    assert len(pickle.dumps(one)) < 250_000  # no more for more examples


def test_the_bins_keep_the_order_of_scores() -> None:
    tiny, huge = np.logspace(-45, -0.31, 3000), 1 - np.logspace(-8, -0.31, 3000)[::-1]
    scores = np.unique(np.concatenate([[0], tiny, [0.5], huge, [1]]).astype(np.float32))
    found = score_metrics.bins_of(scores)
    assert found[0] == 0 and found[-1] == score_metrics.BINS - 1 and (np.diff(found) >= 0).all()
    assert len(np.unique(found)) > 1500


def test_a_label_without_an_example_is_left_out_of_the_means() -> None:
    """So is, of AUC, a label that each example has."""
    scores, truth = _examples(50, 3)
    truth[:, 1], truth[:, 2] = False, True
    found = _combined(_combiner(LABELS, THRESHOLDS), scores, truth, 2)
    cat = average_precision_score(truth[:, 0], scores[:, 0])
    assert found[""]["mean_average_precision"] == pytest.approx((cat + 1) / 2)
    assert found[""]["auc"] == pytest.approx(roc_auc_score(truth[:, 0], scores[:, 0]))
    assert found["dog"] == {"example_count": 0}
    assert found["owl"].keys() == {"average_precision", "f1", "precision", "recall", "example_count"}
    assert found["owl"]["example_count"] == 50


def test_without_any_example_of_a_label_only_the_deciding_metric_stays() -> None:
    scores = _examples(9, 1)[0]
    found = _combined(_combiner(("cat",), by_label=False), scores, np.zeros((9, 1), bool), 2)
    assert np.isnan(found[""].pop("mean_average_precision")) and found == {"": pytest.approx(found[""])}
    assert found[""].keys() == {"binary_crossentropy", "brier_score", "expected_calibration_error"}


@pytest.mark.parametrize("most", [10, 10**6], ids=["counted", "exact"])
def test_answers_that_are_no_numbers(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_metrics, "EXACT", most)
    scores, truth = _examples(50, 3)
    scores[7, 1] = np.nan
    found = _combined(_combiner(LABELS, THRESHOLDS), scores, truth, 2)
    assert np.isnan(found[""]["mean_average_precision"])


def test_one_label() -> None:
    scores, truth = _examples(40, 1)
    found = _combined(_combiner(("cat",), THRESHOLDS[:1]), scores, truth, 3)
    expected = average_precision_score(truth[:, 0], scores[:, 0])
    assert found[""]["mean_average_precision"] == found["cat"]["average_precision"] == pytest.approx(expected)


def test_a_row_has_the_order_of_the_metric() -> None:
    """Names of the record that the model does not know are ignored; without any label, TFMA has no array."""
    (computation,) = LabelMetrics(LABELS).computations(model_names=["candidate"])
    (reader,) = computation.preprocessors
    answers = {
        "classes": np.array([b"owl", b"cat", b"dog"], object),
        "scores": np.array([0.25, 0.5, 0.75], np.float32),
        "thresholds": np.zeros(3),
    }
    for labels, expected in (([b"owl", b"cat", b"cow"], [1, 0, 1]), ([], [0, 0, 0]), (None, [0, 0, 0])):
        given = labels if labels is None else np.array(labels, object)
        ((scores, truth),) = reader.process({"predictions": {"candidate": answers}, "labels": given})
        assert scores.tolist() == [0.5, 0.75, 0.25] and truth.tolist() == expected
