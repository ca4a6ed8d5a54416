"""The metrics of several labels for TFMA: average precision, AUC and F1 of each label, and their means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma

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

MEAN_AVERAGE_PRECISION = "mean_average_precision"
F1 = "f1"
REPORTED = ("precision", "recall")  # of TFMA's metrics of decisions; F1 has its own name here
_EPSILON = 1e-7  # Keras' smallest probability in a logarithm


class LabelMetrics(tfma.metrics.Metric):
    """The metrics of several labels.

    `mean_average_precision`, `auc`, `f1`, `precision` and `recall` are means over the labels that have a positive
    example (for `auc` also a negative one), `binary_crossentropy` and `brier_score` means over all scores,
    `expected_calibration_error` is that of all scores, and `exact_match` the share of examples whose labels are all
    right. Each label's `average_precision`, `auc`, `f1`, `precision`, `recall` and `example_count` (of positive
    examples) have its name as output name. `calibration_bins` are those of `score_metrics.calibration_bins`.
    """

    def __init__(
        self,
        labels: Sequence[str] = (),
        thresholds: Sequence[float] = (),
        baseline_thresholds: Sequence[float] = (),
        by_label: bool = True,
        limited: Sequence[Sequence[str]] = (),
        name: str = MEAN_AVERAGE_PRECISION,
    ) -> None:
        """Create the metric; TFMA does it, from a configuration.

        Args:
          labels: Names; the models' outputs may have another order.
          thresholds: Of each label in the candidate; empty: no metrics of decisions, such as F1.
          baseline_thresholds: The same of the baseline.
          by_label: Whether to give the metrics of each label, too.
          limited: Metric and label ("": all) of each limit; see `CombineScores`.
          name: Name of the metric that decides.
        """
        super().__init__(
            _computations,
            labels=list(labels),
            thresholds=list(thresholds),
            baseline_thresholds=list(baseline_thresholds),
            by_label=by_label,
            limited=[list(one) for one in limited],
            name=name,
        )


def _computations(
    labels: Sequence[str],
    thresholds: Sequence[float],
    baseline_thresholds: Sequence[float],
    by_label: bool,
    limited: Sequence[Sequence[str]],
    name: str,
    eval_config: tfma.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
) -> list[Any]:
    """Return one computation for each model; TFMA passes the last two arguments."""
    baselines = {spec.name for spec in eval_config.model_specs if spec.is_baseline} if eval_config else set()
    found = []
    for model in model_names or [""]:
        key = tfma.metrics.MetricKey(name, model)
        own = baseline_thresholds if model in baselines else thresholds
        combiner = _CombineLabels(labels, key, by_label, limited, own)
        found.append(tfma.metrics.MetricComputation([key], [ToRow(labels, model)], combiner))
    return found


class _CombineLabels(CombineScores):
    """Sums the losses, and the decisions at each label's threshold."""

    def __init__(
        self,
        labels: Sequence[str],
        key: tfma.metrics.MetricKey,
        by_label: bool,
        limited: Iterable[Sequence[str]],
        thresholds: Sequence[float],
    ) -> None:
        super().__init__(labels, key, by_label, [(key.name, ""), *limited])
        self._has_thresholds = len(thresholds) > 0
        self._thresholds = np.array(thresholds if self._has_thresholds else [0.5] * len(labels), np.float32)
        asked = {metric for metric, _ in self._limited} & decision_metrics().keys()
        self._decisions = list(dict.fromkeys([*REPORTED, *sorted(asked)]))

    def sum_up(self, scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> Sums:
        """Return the decisions, the losses, and the scores in bins."""
        above = scores >= self._thresholds
        return {
            "chosen": np.stack([above.sum(axis=0), (above & truth).sum(axis=0)]),
            "exact": int((above == truth).all(axis=1).sum()),
            "loss": _crossentropy(scores, truth),
            "brier": float(np.square(scores.astype(np.float64) - truth).sum()),
            "bins": calibration_bins(scores, truth),
        }

    def measure(self, seen: Seen, areas: Callable[[], dict[str, npt.NDArray[np.float64]]]) -> Measured:
        """Return the metrics; of answers that are no numbers, those of the scores are NaN."""
        sums, positive, total = seen.sums, seen.sums["positive"], seen.sums["examples"]
        size = total * len(positive)
        nothing = np.full(len(positive), np.nan)
        of_each = {"average_precision": nothing, "auc": nothing} if np.isnan(sums["loss"]) else areas()
        if self._has_thresholds:
            names = {F1: "f1_score", **{name: name for name in self._decisions}}
            chosen, right = sums["chosen"]
            of_each |= {key: decided(name, chosen, right, positive, total) for key, name in names.items()}
        of_all = {name: mean_of(values) for name, values in of_each.items()}
        of_all[self._key.name] = of_all.pop("average_precision")
        of_all |= {"binary_crossentropy": sums["loss"] / size, "brier_score": sums["brier"] / size}
        of_all["expected_calibration_error"] = calibration_error(sums["bins"])
        if self._has_thresholds:
            of_all["exact_match"] = sums["exact"] / total
        of_each["example_count"] = positive.astype(float)
        return Measured(of_all, of_each, {"calibration_bins": sums["bins"]})


def _crossentropy(scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> float:
    """Return the sum of the binary cross-entropies, each as Keras computes it."""
    likely = np.clip(scores.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return float(-np.log(np.where(truth, likely, 1 - likely)).sum())
