"""The common part of `label_metrics` and `class_metrics`: metrics of the scores of all labels or classes, for TFMA.

TFMA's own metrics compute one class after the other in Python, do not read several names of a record, approximate
areas with equidistant thresholds, which do not distinguish the small scores of rare labels, and know a class by its
place, which may be another one in the last model. Here an example is a row with the scores of all names, in one order
for all models. Areas are scikit-learn's, exact for up to `EXACT` scores of a slice. Beyond that the scores are counted
in bins, so that the memory for a slice does not grow with its examples. What follows from numbers of right and wrong
decisions (precision, recall, F1 ...) is TFMA's formula.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma
from sklearn.metrics import average_precision_score, roc_auc_score
from tensorflow_model_analysis.metrics.confusion_matrix_metrics import ConfusionMatrixMetric
from tensorflow_model_analysis.metrics.metric_types import registered_metrics

from components.task.keras_text import snake_case
from serving import signatures

EXACT = 2**21  # scores, examples times names: 10 MB
BINS = 4096  # of the logit, each 1 % of the odds wide: 64 KB a name
CALIBRATION_BINS = 15  # equally wide ones of the score, as in Guo et al., "On Calibration of Modern Neural Networks"
_LIMIT = 20.0  # of the logit; its probability is 1 in float32
_BLOCK = 256  # examples that are joined to one array

Row = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]  # scores and whether each name applies, [C] or [n, C]
Sums = dict[str, Any]  # what is summed over examples: numbers, arrays, or `collections.Counter`
# What TFMA leaves undefined without a positive answer, and scikit-learn, too, with its warning and this value.
_WITHOUT_ANSWER = {"precision": 0.0, "ppv": 0.0, "false_discovery_rate": 1.0, "matthews_correlation_coefficient": 0.0}


class ToRow(tfma.metrics.Preprocessor):
    """Reads an example's scores and labels, in the order of the metric's names."""

    def __init__(self, names: Sequence[str], model: str) -> None:
        super().__init__(name=f"score_row:{model}")
        self._model = model
        self._places = {name.encode(): place for place, name in enumerate(names)}

    def process(self, extracts: dict[str, Any]) -> Iterator[Row]:
        """Yield one row; labels that the metric does not know are ignored."""
        inputs = tfma.metrics.StandardMetricInputs(extracts)
        answers, labels = inputs.get_predictions(self._model), inputs.get_labels(self._model)
        scores, truth = np.zeros(len(self._places), np.float32), np.zeros(len(self._places), bool)
        names = np.ravel(answers[signatures.CLASSES])
        scores[[self._places[name] for name in names]] = np.ravel(answers[signatures.SCORES])
        if labels is not None:
            truth[[self._places[name] for name in np.ravel(labels) if name in self._places]] = True
        yield scores, truth


@dataclass
class Seen:
    """What is known of the examples of a slice.

    Attributes:
      rows: Single examples, each [C].
      blocks: Further examples, each [n, C].
      counts: Numbers of further examples by name, by whether it applies, and by bin of the score, int64
        [C, 2, BINS]; None: there are none.
      sums: Of the counted examples: their number `examples`, the number with each name `positive` [C], and
        `CombineScores.sum_up`.
    """

    rows: list[Row] = field(default_factory=list)
    blocks: list[Row] = field(default_factory=list)
    counts: Any = None
    sums: Sums = field(default_factory=dict)


@dataclass
class Measured:
    """The metrics of a slice; NaN where one is not defined.

    Attributes:
      of_all: Metrics of all names together.
      of_each: Metrics of each name, [C].
      others: Values that are no numbers.
    """

    of_all: dict[str, float]
    of_each: dict[str, npt.NDArray[np.float64]]
    others: dict[str, Any] = field(default_factory=dict)


class CombineScores(beam.CombineFn, ABC):
    """Combines rows, in any order and grouping, to the metrics of a model in a slice."""

    def __init__(
        self,
        names: Sequence[str],
        key: tfma.metrics.MetricKey,
        by_name: bool,
        limited: Iterable[Sequence[str]],
    ) -> None:
        """Create the combiner.

        Args:
          names: Of the classes or labels.
          key: Of the metric.
          by_name: Whether to give the metrics of each name, too.
          limited: Name of the metric and of the class or label ("": all) of each limit. These metrics are in the result
            even if they are not defined: TFMA takes a missing one for a violation, in slices without a limit, too.
        """
        self._names, self._key, self._by_name = list(names), key, by_name
        self._limited = [(metric, name) for metric, name in limited]

    @abstractmethod
    def sum_up(self, scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> Sums:
        """Return what is summed over examples [n, C]."""

    @abstractmethod
    def measure(self, seen: Seen, areas: Callable[[], dict[str, npt.NDArray[np.float64]]]) -> Measured:
        """Return the metrics.

        Args:
          seen: With all examples counted.
          areas: Returns "average_precision" and "auc" of each name.
        """

    def create_accumulator(self) -> Seen:
        return Seen()

    def add_input(self, seen: Seen, row: Row) -> Seen:
        seen.rows.append(row)
        return self.compact(seen) if len(seen.rows) >= _BLOCK else seen

    def merge_accumulators(self, several: Iterable[Seen]) -> Seen:
        merged = Seen()
        for seen in several:
            merged.rows += seen.rows
            merged.blocks += seen.blocks
            merged.counts = seen.counts if merged.counts is None else merged.counts + _or_0(seen.counts)
            merged.sums = _add(merged.sums, seen.sums)
        return self.compact(merged)

    def compact(self, seen: Seen) -> Seen:
        """Join single rows to a block, and count the blocks if they are large."""
        if seen.rows:
            scores, truth = (np.stack(parts) for parts in zip(*seen.rows, strict=True))
            seen.rows, seen.blocks = [], [*seen.blocks, (scores, truth)]
        if sum(scores.size for scores, _ in seen.blocks) > EXACT:
            self._count(seen)
        return seen

    def extract_output(self, seen: Seen) -> dict[tfma.metrics.MetricKey, Any]:
        """Return the metrics; one that is not defined has no key, unless it has a limit."""
        self.compact(seen)
        blocks, is_exact = seen.blocks, seen.counts is None
        self._sum(seen) if is_exact else self._count(seen)
        areas = (lambda: _areas_of_blocks(blocks)) if is_exact else (lambda: _areas_of_counts(seen.counts))
        found = self.measure(seen, areas)
        metrics = {(name, ""): value for name, value in found.of_all.items() if not np.isnan(value)}
        if self._by_name:
            metrics |= {
                (metric, self._names[place]): float(values[place])
                for metric, values in found.of_each.items()
                for place in np.flatnonzero(~np.isnan(values))
            }
        for metric, name in self._limited:
            value = found.of_each[metric][self._names.index(name)] if name in self._names else found.of_all.get(metric)
            metrics[metric, name] = float("nan") if value is None else float(value)
        metrics |= {(name, ""): value for name, value in found.others.items()}
        return {self._key_of(metric, name): value for (metric, name), value in metrics.items()}

    def _key_of(self, metric: str, name: str) -> tfma.metrics.MetricKey:
        """Return the key of a value.

        TFMA knows the metric by its name; limits of other names are `MetricsSpec.per_slice_thresholds`, which TFMA
        looks up without a choice of weights.
        """
        if (metric, name) == (self._key.name, ""):
            return self._key
        return self._key._replace(name=metric, output_name=name, example_weighted=None)

    def _count(self, seen: Seen) -> None:
        """Count the examples of the blocks, and forget their scores."""
        shape = (len(self._names), 2, BINS)
        seen.counts = np.zeros(shape, np.int64) if seen.counts is None else seen.counts
        for scores, truth in seen.blocks:
            cells = (np.arange(shape[0]) * 2 + truth) * BINS + bins_of(scores)
            seen.counts += np.bincount(cells.ravel(), minlength=seen.counts.size).reshape(shape)
        self._sum(seen)

    def _sum(self, seen: Seen) -> None:
        """Add what is summed over the blocks, and forget their scores."""
        for scores, truth in seen.blocks:
            counts: Sums = {"examples": len(truth), "positive": truth.sum(axis=0)}
            seen.sums = _add(seen.sums, {**counts, **self.sum_up(scores, truth)})
        seen.blocks = []


def _or_0(counts: Any) -> Any:
    return 0 if counts is None else counts


def _add(sums: Sums, more: Sums) -> Sums:
    return {name: sums[name] + more[name] for name in sums} if sums and more else sums or more


def mean_of(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Return the mean of the values that are defined; NaN if none is."""
    found = np.asarray(values, np.float64)
    defined = found[~np.isnan(found)]
    return float(defined.mean()) if len(defined) else float("nan")


# Decisions


@functools.cache
def decision_metrics() -> dict[str, type[ConfusionMatrixMetric]]:
    """Return TFMA's metrics that follow from the numbers of right and wrong decisions, by name."""
    other = ("MaxRecall", "ObjectDetection", "SetMatch")
    return {
        snake_case(name): metric
        for name, metric in registered_metrics().items()
        if issubclass(metric, ConfusionMatrixMetric) and not name.startswith(other)
    }


def decided(
    metric: str,
    chosen: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    positive: npt.NDArray[np.int64],
    total: int,
) -> npt.NDArray[np.float64]:
    """Return a metric of decisions for each name, [C]; NaN for a name without an example.

    Args:
      metric: One of `decision_metrics`.
      chosen: Number of examples for which the answer is this name, [C].
      right: Number of those to which it applies.
      positive: Number of examples to which it applies.
      total: Number of examples.
    """
    of = decision_metrics()[metric]()
    found = np.full(len(chosen), np.nan)
    for place in np.flatnonzero(positive):
        true, false = right[place], chosen[place] - right[place]
        missed = positive[place] - true
        value = float(of.result(*map(float, (true, total - true - false - missed, false, missed))))
        found[place] = _WITHOUT_ANSWER.get(metric, value) if np.isnan(value) and not chosen[place] else value
    return found


# Scores


def calibration_bins(scores: npt.NDArray[Any], right: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Count scores by bins of equal width; a bin includes its upper end.

    Returns:
      Number of scores, their sum, and the number of right ones, [3, CALIBRATION_BINS].
    """
    scores = scores.astype(np.float64).ravel()
    places = np.clip(np.ceil(np.nan_to_num(scores) * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    weights = (np.ones(len(scores)), scores, right.ravel().astype(np.float64))
    return np.stack([np.bincount(places, one, CALIBRATION_BINS) for one in weights])


def calibration_error(bins: npt.NDArray[np.float64]) -> float:
    """Return the expected calibration error of bins: the mean difference of score and share of right answers."""
    count, scores, right = bins
    return float(np.abs(scores - right).sum() / count.sum()) if count.sum() else float("nan")


def bins_of(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the bin of each score; of two scores, the larger one never has the lower bin."""
    values = scores.astype(np.float64)
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(values) - np.log1p(-values), -_LIMIT, _LIMIT)
    return np.rint((np.nan_to_num(logits) + _LIMIT) / (2 * _LIMIT) * (BINS - 1)).astype(np.int64)


def _areas_of_blocks(blocks: Sequence[Row]) -> dict[str, npt.NDArray[np.float64]]:
    """Return the average precision and the AUC of each name; NaN where it is not defined."""
    scores, truth = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return _named(_areas(truth[:, place], scores[:, place], None) for place in range(scores.shape[1]))


def _areas_of_counts(counts: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
    """Return the same of examples in bins; those of a bin count as equal."""
    truth, bins = np.repeat([False, True], BINS), np.tile(np.arange(BINS), 2)
    return _named(_areas(truth[some > 0], bins[some > 0], some[some > 0]) for some in counts.reshape(len(counts), -1))


def _named(areas: Iterable[tuple[float, float]]) -> dict[str, npt.NDArray[np.float64]]:
    precision, auc = np.array(list(areas)).T
    return {"average_precision": precision, "auc": auc}


def _areas(truth: npt.NDArray[np.bool_], scores: npt.NDArray[Any], weights: Any) -> tuple[float, float]:
    precision = average_precision_score(truth, scores, sample_weight=weights) if truth.any() else np.nan
    auc = roc_auc_score(truth, scores, sample_weight=weights) if truth.any() and not truth.all() else np.nan
    return float(precision), float(auc)
