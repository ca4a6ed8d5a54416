"""Search for the skew of pixels: apply every known skew to training's own preprocessing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from serving.diagnosis.base import Array, ReferenceModel, allowed_residual
from serving.diagnosis.skews import PixelSkew, PixelStep, describe_skews, known_skews, training_steps
from serving.parity.compare import score_differences
from serving.parity.report import Diagnosis

_SCREENED = 2  # records that a hypothesis must explain before it is tried on all
_MAX_RECORDS = 64  # records that may distinguish hypotheses that explain equally well
_CHUNK = 8  # images that the model scores at a time: few shapes, and enough memory for a large model
SkewSet = tuple[PixelSkew, ...]
"""Skews that are applied together, in the order of their steps."""


@dataclass(frozen=True)
class _Trial:
    """Skews and how well they explain the served scores.

    Attributes:
      skews: The skews.
      residual: Largest difference that they leave on the records that were tried.
    """

    skews: SkewSet
    residual: float


def diagnose_pixels(
    values: Sequence[bytes],
    records: Sequence[int],
    reference: Array,
    served: Array,
    model: ReferenceModel,
    allowed: float,
) -> tuple[Diagnosis | None, str]:
    """Try each known skew alone, then pairs of different steps, until one reproduces the served scores.

    Args:
      values: Encoded images.
      records: Indices of the images to search on, the one that differs most first.
      reference: Training's scores of all images, float32 [N, C].
      served: Served scores of all images, float32 [N, C].
      model: The trained model, with a `spec`.
      allowed: Largest difference of a score that counts as equal.

    Returns:
      The diagnosis if a skew explains the difference, otherwise None; and a line on the nearest skew, empty with a
      diagnosis.
    """
    assert model.spec is not None
    search = _Search(values, records, reference, served, model, allowed)
    skews = known_skews(model.spec, model.scaling)
    singles = [search.try_skews((skew,), search.most) for skew in skews]
    explained = search.rank(singles)
    if explained and explained[0].residual > allowed:  # perhaps a small skew in addition
        explained = search.with_second(explained[0].skews[0], skews) or explained
    if not explained:
        pairs = (pair for pair in itertools.combinations(skews, 2) if pair[0].step != pair[1].step)
        explained = search.rank([search.try_skews(pair, search.most) for pair in pairs])
    if explained:
        return search.diagnosis(explained), ""
    return None, search.describe_nearest(singles)


class _LatestResults:
    """Results by record of the variant of a step that was used last; keeping all would fill the memory."""

    def __init__(self) -> None:
        self._variant: object = None
        self._results: dict[int, Array] = {}

    def get(self, variant: object, record: int, compute: Callable[[], Array]) -> Array:
        if variant != self._variant:
            self._variant, self._results = variant, {}
        if record not in self._results:
            self._results[record] = compute()
        return self._results[record]


class _Search:
    """Compares served scores with those of training's preprocessing under skews.

    Attributes:
      most: Largest residual of a skew that explains the difference.
    """

    def __init__(
        self,
        values: Sequence[bytes],
        records: Sequence[int],
        reference: Array,
        served: Array,
        model: ReferenceModel,
        allowed: float,
    ) -> None:
        assert model.spec is not None
        self._values, self._records = values, list(records)
        self._reference, self._served, self._score, self._allowed = reference, served, model.score, allowed
        self._steps = training_steps(model.spec)
        self._decoded, self._resized = _LatestResults(), _LatestResults()
        differences = score_differences(reference, served)
        self._largest = float(differences.max())
        self.most = allowed_residual(differences[self._records], allowed)

    def try_skews(self, skews: SkewSet, most: float) -> _Trial:
        """Apply skews to the records, and stop at one with a residual above `most` or that cannot be decoded."""
        return self._try_on((self._records[:_SCREENED], self._records[_SCREENED:]), skews, most)

    def rank(self, trials: Sequence[_Trial]) -> list[_Trial]:
        """Return the trials that explain the difference, the best first; all within `allowed` are equally good.

        Several of them are tried on more records, which may distinguish them.
        """
        explained = [trial for trial in trials if trial.residual <= self.most]
        if len(explained) > 1:
            others = [record for record in range(len(self._values)) if record not in self._records]
            others = others[: _MAX_RECORDS - len(self._records)]
            chunks = [others[start : start + _CHUNK] for start in range(0, len(others), _CHUNK)]
            more = [self._try_on(chunks, trial.skews, self.most) for trial in explained]
            explained = [
                _Trial(trial.skews, max(trial.residual, other.residual))
                for trial, other in zip(explained, more, strict=True)
            ]
        best = [trial for trial in explained if trial.residual <= self.most]
        return sorted(best, key=lambda trial: max(self._allowed, trial.residual))

    def with_second(self, first: PixelSkew, skews: Sequence[PixelSkew]) -> list[_Trial]:
        """Return pairs of a skew with one of another step that explain the difference entirely."""
        pairs = (_in_order(first, skew) for skew in skews if skew.step != first.step)
        trials = [self.try_skews(pair, self._allowed) for pair in pairs]
        return [trial for trial in trials if trial.residual <= self._allowed]

    def diagnosis(self, explained: Sequence[_Trial]) -> Diagnosis:
        """Return the diagnosis from trials that explain the difference, the best first."""
        best = self._equally_good(explained)
        detail = f"explains all but {explained[0].residual:.2g} of a difference of {self._largest:.2g}"
        detail += f" on {len(self._records)} records"
        first = min((skew for trial in best for skew in trial.skews), key=lambda skew: skew.step.order)
        return Diagnosis(first.step.stage, _describe(best), self._records[0], detail)

    def describe_nearest(self, singles: Sequence[_Trial]) -> str:
        """Describe the skew that comes nearest to an explanation, in one line."""
        nearest = min(singles, key=lambda trial: trial.residual)
        text = f"the nearest of {len(singles)} known skews, {describe_skews(nearest.skews)}, "
        text += f"leaves {nearest.residual:.2g} of {self._largest:.2g}"
        again = float(score_differences(self._scores((), self._records), self._reference[self._records]).max())
        if again > self._allowed:
            text += f"; the trained model itself, called again, differs by {again:.2g}"
        return text

    def _equally_good(self, explained: Sequence[_Trial]) -> list[_Trial]:
        """Return the trials that explain as well as the best one; of pairs, only those with the same steps."""
        steps = [skew.step for skew in explained[0].skews]
        comparable = [trial for trial in explained if len(steps) == 1 or [skew.step for skew in trial.skews] == steps]
        return [trial for trial in comparable if trial.residual <= max(self._allowed, 2 * explained[0].residual)]

    def _try_on(self, chunks: Iterable[Sequence[int]], skews: SkewSet, most: float) -> _Trial:
        residual = 0.0
        for records in filter(len, chunks):
            try:
                differences = score_differences(self._scores(skews, records), self._served[list(records)])
            except tf.errors.OpError:  # an image that this skew cannot decode
                return _Trial(skews, float("inf"))
            residual = max(residual, float(differences.max()))
            if residual > most:
                break
        return _Trial(skews, residual)

    def _scores(self, skews: SkewSet, records: Sequence[int]) -> Array:
        """Return the trained model's scores of records under skews, float32 [N, C]."""
        steps = {**self._steps, **{skew.step: skew for skew in skews}}
        pixels = [self._pixels(steps, record) for record in records]
        return np.asarray(self._score(np.stack(pixels).astype(np.float32)), np.float32)

    def _pixels(self, steps: dict[PixelStep, PixelSkew], record: int) -> Array:
        decode, resize, *others = (steps[step] for step in sorted(steps))
        decoded = self._decoded.get(decode, record, lambda: decode.run(self._values[record]))
        pixels = self._resized.get((decode, resize), record, lambda: resize.run(decoded))
        for other in others:
            pixels = other.run(pixels)
        return pixels


def _in_order(*skews: PixelSkew) -> SkewSet:
    return tuple(sorted(skews, key=lambda skew: skew.step.order))


def _describe(trials: Sequence[_Trial]) -> str:
    """Describe trials that explain equally well: "nearest instead of bilinear and BGR instead of RGB"."""
    by_step = zip(*(trial.skews for trial in trials), strict=True)
    return " and ".join(describe_skews(skews) for skews in by_step)
