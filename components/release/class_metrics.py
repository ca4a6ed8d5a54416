"""The metrics of classes for TFMA, besides the accuracy: top-k, calibration, confusion matrix, each class by itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import multi_class_confusion_matrix_metrics as matrices

from components.release.label_metrics import F1
from components.release.score_metrics import (
    CombineScores,
    Measured,
    Seen,
    Sums,
    ToRow,
    calibration_bins,
    calibration_error,
    decided,
    decision_metrics,
    mean_of,
)

CONFUSION_MATRIX = "confusion_matrix"
REPORTED = ("precision", "recall")
TOP = (3, 5)  # reported where there are more classes
_TOP_K = re.compile(r"top_([1-9]\d{0,5})_accuracy")


def top_k(metric: str) -> int | None:
    """Return k of "top_K_accuracy"; None if it is another name."""
    found = _TOP_K.fullmatch(metric)
    return int(found[1]) if found else None


class ClassMetrics(tfma.metrics.Metric):
    """The metrics of classes.

    `confusion_matrix` is in TFMA's form, with a class's place in `classes` as its ID, and `calibration_bins` has the
    bins of the largest scores. `top_3_accuracy` and `top_5_accuracy` count an example as right if no more than 2 (4)
    classes have a larger score than its own. `expected_calibration_error` compares the largest score with the
    accuracy, `brier_score` is the mean squared distance of the scores from the truth, summed over the classes; for two
    classes half of it, as in scikit-learn. `auc`, `precision`, `recall` and `f1` are means over the classes that have
    an example, each against all others; a class's own value has its name as output name. Precision, recall and F1 are
    those of the class with the largest score, as in scikit-learn's report, not of a threshold. `balanced_accuracy` of
    all classes is the mean recall, as in scikit-learn.
    """

    def __init__(
        self,
        classes: Sequence[str] = (),
        by_class: bool = True,
        limited: Sequence[Sequence[str]] = (),
        name: str = CONFUSION_MATRIX,
    ) -> None:
        """Create the metric; TFMA does it, from a configuration.

        Args:
          classes: Names; the models' outputs may have another order.
          by_class: Whether to give the metrics of each class, too.
          limited: Metric and class ("": all) of each limit; see `CombineScores`.
          name: Name of the confusion matrix.
        """
        super().__init__(
            _computations,
            classes=list(classes),
            by_class=by_class,
            limited=[list(one) for one in limited],
            name=name,
        )


def _computations(
    classes: Sequence[str],
    by_class: bool,
    limited: Sequence[Sequence[str]],
    name: str,
    model_names: Sequence[str] | None = None,
) -> list[Any]:
    """Return one computation for each model; TFMA passes the last argument."""
    found = []
    for model in model_names or [""]:
        key = tfma.metrics.MetricKey(name, model)
        combiner = _CombineClasses(classes, key, by_class, limited)
        found.append(tfma.metrics.MetricComputation([key], [ToRow(classes, model)], combiner))
    return found


class _CombineClasses(CombineScores):
    """Sums the confusion matrix, the ranks of the right classes, and the scores in bins."""

    def __init__(
        self,
        classes: Sequence[str],
        key: tfma.metrics.MetricKey,
        by_class: bool,
        limited: Iterable[Sequence[str]],
    ) -> None:
        super().__init__(classes, key, by_class, limited)
        asked = {metric for metric, _ in self._limited}
        self._decisions = list(dict.fromkeys([*REPORTED, *sorted(asked & decision_metrics().keys())]))
        self._tops = sorted({k for k in TOP if k < len(classes)} | {k for k in map(top_k, asked) if k})

    def sum_up(self, scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> Sums:
        """Return the sums; the rank of an example is the number of classes with a larger score than its own."""
        answers, classes, known = scores.argmax(axis=1), truth.argmax(axis=1), truth.any(axis=1)
        own = np.where(known, scores[np.arange(len(scores)), classes], -1)
        ranks = np.where(np.isnan(scores).any(axis=1), truth.shape[1], (scores > own[:, None]).sum(axis=1))
        pairs = zip(classes[known].tolist(), answers[known].tolist(), strict=True)
        return {
            "pairs": Counter(pairs),
            "ranks": np.bincount(ranks, minlength=truth.shape[1] + 1),
            "brier": float(np.square(scores.astype(np.float64) - truth).sum()),
            "bins": calibration_bins(scores.max(axis=1), known & (answers == classes)),
        }

    def measure(self, seen: Seen, areas: Callable[[], dict[str, npt.NDArray[np.float64]]]) -> Measured:
        """Return the metrics. Means over the classes say nothing about a slice with one class: it has none."""
        sums, positive, total = seen.sums, seen.sums["positive"], seen.sums["examples"]
        nothing = np.full(len(positive), np.nan)
        of_all = {f"top_{k}_accuracy": sums["ranks"][:k].sum() / total for k in self._tops}
        of_all["brier_score"] = sums["brier"] / total / (2 if len(positive) == 2 else 1)
        of_all["expected_calibration_error"] = calibration_error(sums["bins"])
        of_each = {"average_precision": nothing, "auc": nothing}
        if (positive > 0).sum() > 1:
            of_each = of_each if np.isnan(sums["brier"]) else areas()
            chosen, right = (np.array(values) for values in _decisions(sums["pairs"], len(positive)))
            names = {F1: "f1_score", **{name: name for name in self._decisions}}
            of_each |= {key: decided(name, chosen, right, positive, total) for key, name in names.items()}
        else:
            of_each |= dict.fromkeys((F1, *self._decisions), nothing)
        of_all |= {name: mean_of(values) for name, values in of_each.items()}
        if "balanced_accuracy" in of_all:
            of_all["balanced_accuracy"] = of_all["recall"]
        entries = {matrices.MatrixEntryKey(*pair): float(count) for pair, count in sums["pairs"].items()}
        others = {self._key.name: matrices.Matrices({0.0: entries}), "calibration_bins": sums["bins"]}
        return Measured(of_all, of_each, others)


def _decisions(pairs: Counter[tuple[int, int]], classes: int) -> tuple[list[int], list[int]]:
    """Return for each class how often it is the answer, and how often it is the right one."""
    chosen, right = [0] * classes, [0] * classes
    for (label, answer), count in pairs.items():
        chosen[answer] += count
        right[answer] += count * (label == answer)
    return chosen, right
