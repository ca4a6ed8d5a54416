"""The metrics of several labels for TFMA: average precision, AUC and F1 of each label, and their means.

TFMA's own metrics do not read several names of a record, and approximate areas with equidistant thresholds, which do
not distinguish the small scores of rare labels. Here the areas are scikit-learn's, exact for up to `EXACT` scores of a
slice. Beyond that the scores are counted in bins, so that the memory for a slice does not grow with its examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma
from sklearn.metrics import average_precision_score, roc_auc_score

from serving import signatures

MEAN_AVERAGE_PRECISION = "mean_average_precision"
EXACT = 2**21  # scores, examples times labels: 10 MB
BINS = 4096  # of the logit, each 1 % of the odds wide: 64 KB a label
_LIMIT = 20.0  # of the logit; its probability is 1 in float32
_BLOCK = 256  # examples that are joined to one array
_EPSILON = 1e-7  # Keras' smallest probability in a logarithm

Row = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]  # scores and whether each label applies, [C] or [n, C]


class LabelMetrics(tfma.metrics.Metric):
    """The metrics of several labels.

    `mean_average_precision`, `auc` and `f1` are means over the labels that have a positive example (for `auc` also a
    negative one), `binary_crossentropy` is the mean over all scores. Each label's `average_precision`, `auc`, `f1` and
    `example_count` (of positive examples) have its name as output name.
    """

    def __init__(
        self,
        labels: Sequence[str] = (),
        thresholds: Sequence[float] = (),
        by_label: bool = True,
        name: str = MEAN_AVERAGE_PRECISION,
    ) -> None:
        """Create the metric; TFMA does it, from a configuration.

        Args:
          labels: Names; the models' outputs may have another order.
          thresholds: Of each label in the candidate; empty: no F1. A baseline, which has other thresholds, gets no F1.
          by_label: Whether to give the metrics of each label, too.
          name: Name of the metric that has limits.
        """
        super().__init__(_computations, labels=list(labels), thresholds=list(thresholds), by_label=by_label, name=name)


def _computations(
    labels: Sequence[str],
    thresholds: Sequence[float],
    by_label: bool,
    name: str,
    eval_config: tfma.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
) -> list[Any]:
    """Return one computation for each model; TFMA passes the last two arguments."""
    baselines = {spec.name for spec in eval_config.model_specs if spec.is_baseline} if eval_config else set()
    found = []
    for model in model_names or [""]:
        key = tfma.metrics.MetricKey(name, model)
        combiner = _CombineRows(labels, [] if model in baselines else thresholds, by_label, key)
        found.append(tfma.metrics.MetricComputation([key], [_ToRow(labels, model)], combiner))
    return found


class _ToRow(tfma.metrics.Preprocessor):
    """Reads an example's scores and labels, in the order of the metric's labels."""

    def __init__(self, labels: Sequence[str], model: str) -> None:
        super().__init__(name=f"label_metrics:{model}")
        self._model = model
        self._places = {label.encode(): place for place, label in enumerate(labels)}

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
class _Seen:
    """What is known of the examples of a slice.

    Attributes:
      rows: Single examples, each [C].
      blocks: Further examples, each [n, C].
      counts: Numbers of further examples by label, by whether it applies, and by bin of the score, int64
        [C, 2, BINS]; None: there are none.
      chosen: For each label the number of the counted examples from its threshold on, and of those to which it applies,
        int64 [2, C].
      loss: Sum of the binary cross-entropies of the counted examples.
    """

    rows: list[Row] = field(default_factory=list)
    blocks: list[Row] = field(default_factory=list)
    counts: Any = None
    chosen: Any = 0
    loss: float = 0.0


class _CombineRows(beam.CombineFn):
    """Combines rows, in any order and grouping, to the metrics of a model in a slice."""

    def __init__(
        self, labels: Sequence[str], thresholds: Sequence[float], by_label: bool, key: tfma.metrics.MetricKey
    ) -> None:
        self._labels, self._by_label, self._key = list(labels), by_label, key
        self._has_thresholds = len(thresholds) > 0
        self._thresholds = np.array(thresholds if self._has_thresholds else [0.5] * len(labels), np.float32)

    def create_accumulator(self) -> _Seen:
        return _Seen()

    def add_input(self, seen: _Seen, row: Row) -> _Seen:
        seen.rows.append(row)
        return self.compact(seen) if len(seen.rows) >= _BLOCK else seen

    def merge_accumulators(self, several: Iterable[_Seen]) -> _Seen:
        merged = _Seen()
        for seen in several:
            merged.rows += seen.rows
            merged.blocks += seen.blocks
            merged.counts = seen.counts if merged.counts is None else merged.counts + _or_0(seen.counts)
            merged.chosen = merged.chosen + seen.chosen
            merged.loss += seen.loss
        return self.compact(merged)

    def compact(self, seen: _Seen) -> _Seen:
        """Join single rows to a block, and count the blocks if they are large."""
        if seen.rows:
            scores, truth = (np.stack(parts) for parts in zip(*seen.rows, strict=True))
            seen.rows, seen.blocks = [], [*seen.blocks, (scores, truth)]
        if sum(scores.size for scores, _ in seen.blocks) > EXACT:
            self._count(seen)
        return seen

    def extract_output(self, seen: _Seen) -> dict[tfma.metrics.MetricKey, float]:
        """Return the metrics; one that is not defined has no key, except that the one with limits is NaN."""
        self.compact(seen)
        blocks, is_exact = seen.blocks, seen.counts is None
        self._count(seen)
        if np.isnan(seen.loss):  # of a model whose answers are no numbers
            precision, auc = 2 * [[float("nan")] * len(self._labels)]
        else:
            precision, auc = _areas_of_blocks(blocks) if is_exact else _areas_of_counts(seen.counts)
        of_labels: dict[str, Any] = {"average_precision": precision, "auc": auc}
        if self._has_thresholds:
            of_labels["f1"] = _f1(seen)
        found = {name: _mean(values) for name, values in of_labels.items()}
        found["binary_crossentropy"] = seen.loss / seen.counts.sum()
        mean = found.pop("average_precision")
        defined = {name: value for name, value in found.items() if not np.isnan(value)}
        metrics = {self._key: mean, **{self._key._replace(name=name): value for name, value in defined.items()}}
        if self._by_label:
            metrics |= self._metrics_by_label({**of_labels, "example_count": seen.counts[:, 1].sum(axis=1)})
        return metrics

    def _metrics_by_label(self, of_labels: dict[str, Any]) -> dict[tfma.metrics.MetricKey, float]:
        return {
            self._key._replace(name=name, output_name=label): float(value)
            for name, values in of_labels.items()
            for label, value in zip(self._labels, values, strict=True)
            if not np.isnan(value)
        }

    def _count(self, seen: _Seen) -> None:
        """Count the examples of the blocks, and forget their scores."""
        shape = (len(self._labels), 2, BINS)
        seen.counts = np.zeros(shape, np.int64) if seen.counts is None else seen.counts
        for scores, truth in seen.blocks:
            cells = (np.arange(shape[0]) * 2 + truth) * BINS + _bins(scores)
            seen.counts += np.bincount(cells.ravel(), minlength=seen.counts.size).reshape(shape)
            above = scores >= self._thresholds
            seen.chosen = seen.chosen + np.stack([above.sum(axis=0), (above & truth).sum(axis=0)])
            seen.loss += _crossentropy(scores, truth)
        seen.blocks = []


def _or_0(counts: Any) -> Any:
    return 0 if counts is None else counts


def _bins(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the bin of each score; of two scores, the larger one never has the lower bin."""
    values = scores.astype(np.float64)
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(values) - np.log1p(-values), -_LIMIT, _LIMIT)
    return np.rint((np.nan_to_num(logits) + _LIMIT) / (2 * _LIMIT) * (BINS - 1)).astype(np.int64)


def _crossentropy(scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> float:
    """Return the sum of the binary cross-entropies, each as Keras computes it."""
    likely = np.clip(scores.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return float(-np.log(np.where(truth, likely, 1 - likely)).sum())


def _areas_of_blocks(blocks: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Return the average precision and the AUC of each label; NaN where it is not defined."""
    scores, truth = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    areas = [_areas(truth[:, place], scores[:, place], None) for place in range(scores.shape[1])]
    return [precision for precision, _ in areas], [auc for _, auc in areas]


def _areas_of_counts(counts: npt.NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Return the same of examples in bins; those of a bin count as equal."""
    truth, bins = np.repeat([False, True], BINS), np.tile(np.arange(BINS), 2)
    areas = [_areas(truth[some > 0], bins[some > 0], some[some > 0]) for some in counts.reshape(len(counts), -1)]
    return [precision for precision, _ in areas], [auc for _, auc in areas]


def _areas(truth: npt.NDArray[np.bool_], scores: npt.NDArray[Any], weights: Any) -> tuple[float, float]:
    precision = average_precision_score(truth, scores, sample_weight=weights) if truth.any() else np.nan
    auc = roc_auc_score(truth, scores, sample_weight=weights) if truth.any() and not truth.all() else np.nan
    return float(precision), float(auc)


def _f1(seen: _Seen) -> npt.NDArray[np.float64]:
    """Return each label's F1 at its threshold; NaN without a positive example."""
    chosen, right = seen.chosen
    positive = seen.counts[:, 1].sum(axis=1)
    return np.divide(2 * right, chosen + positive, out=np.full(len(right), np.nan), where=positive > 0)


def _mean(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
