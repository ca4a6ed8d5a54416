"""The search for what was done to the pixels: every known skew applied to training's own route."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from serving.diagnosis.base import Trained, limit
from serving.diagnosis.skews import Skew, Step, known_skews, phrase, training_route
from serving.parity.compare import score_differences
from serving.parity.report import Diagnosis

_SCREENED = 2  # records that a hypothesis must explain before it is tried on all
_TELLING = 64  # records that may tell apart those that explain equally well
_AT_ONCE = 8  # pictures that the model scores: few shapes, and memory for a large model's
Change = tuple[Skew, ...]


@dataclass(frozen=True)
class _Tried:
    """A change of the route, and the most that it leaves of the difference on the records that it was tried on."""

    change: Change
    residual: float


def diagnose_pixels(
    values: Sequence[bytes],
    records: Sequence[int],
    reference: np.ndarray,
    served: np.ndarray,
    trained: Trained,
    allowed: float,
) -> tuple[Diagnosis | None, str]:
    """First each known skew alone, then two of different steps: what reproduces the served scores is the fault.

    Args:
      values: encoded pictures.
      records: to search on, the one that differs most first.
      reference, served: scores float32 [N, C] of all values.
      trained: with a `spec`.
      allowed: difference of scores that means nothing.

    Returns:
      The fault, if one is found, and how near the nearest comes, one line.
    """
    search = _Search(values, records, served, trained)
    differences = score_differences(reference, served)
    most = limit(differences[list(records)], allowed)
    assert trained.spec is not None
    skews = known_skews(trained.spec, trained.scaling)
    singles = [search.tried((one,), most) for one in skews]
    explained = search.told_apart([one for one in singles if one.residual <= most], most, allowed)
    if explained and explained[0].residual > allowed:  # something small may be beside it
        beside = (_ordered(explained[0].change[0], one) for one in skews if one.step != explained[0].change[0].step)
        both = [found for found in (search.tried(pair, allowed) for pair in beside) if found.residual <= allowed]
        explained = both or explained
    if not explained:
        pairs = (search.tried(pair, most) for pair in itertools.combinations(skews, 2) if pair[0].step != pair[1].step)
        explained = search.told_apart([one for one in pairs if one.residual <= most], most, allowed)
    largest = float(differences.max())
    if not explained:
        near = min(singles, key=lambda one: one.residual)
        again = float(score_differences(search.scores((), records), reference[list(records)]).max())
        told = f"the nearest of {len(singles)}, {phrase(near.change)}, leaves {near.residual:.2g} of {largest:.2g}"
        off = f"; the trained model itself, asked again, is off by {again:.2g}" if again > allowed else ""
        return None, told + off
    tied = _tied(explained, allowed)
    worst = explained[0].residual
    told = f"explains all but {worst:.2g} of a difference of {largest:.2g} on {len(records)} records"
    first = min((one for found in tied for one in found.change), key=lambda one: one.step.order)
    return Diagnosis(first.step.stage, _phrase(tied), records[0], told), ""


def _ordered(*skews: Skew) -> Change:
    return tuple(sorted(skews, key=lambda one: one.step.order))


def _tied(explained: Sequence[_Tried], allowed: float) -> list[_Tried]:
    """Those that explain as well as the best, which comes first: among pairs, of the same steps."""
    steps = [one.step for one in explained[0].change]
    alike = [one for one in explained if len(steps) == 1 or [skew.step for skew in one.change] == steps]
    return [one for one in alike if one.residual <= max(allowed, 2 * explained[0].residual)]


def _phrase(tied: Sequence[_Tried]) -> str:
    if len(tied[0].change) == 1:
        return phrase([one.change[0] for one in tied])
    return " and ".join(phrase(skews) for skews in zip(*(one.change for one in tied), strict=True))


class _Latest:
    """The results, by record, of the way to do a step that was asked for last: others would fill the memory."""

    def __init__(self) -> None:
        self._way: object = None
        self._results: dict[int, np.ndarray] = {}

    def of(self, way: object, record: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        if way != self._way:
            self._way, self._results = way, {}
        if record not in self._results:
            self._results[record] = make()
        return self._results[record]


class _Search:
    """Scores of training's route with some of its steps changed, against those that were served."""

    def __init__(self, values: Sequence[bytes], records: Sequence[int], served: np.ndarray, trained: Trained) -> None:
        assert trained.spec is not None
        self._values, self._served, self._score = values, served, trained.score
        self._records, self._route = list(records), training_route(trained.spec)
        self._decoded, self._resized = _Latest(), _Latest()

    def tried(self, change: Change, most: float) -> _Tried:
        """Stops where it leaves more than `most`; a picture that it cannot decode is not explained."""
        return self._on((self._records[:_SCREENED], self._records[_SCREENED:]), change, most)

    def told_apart(self, explained: Sequence[_Tried], most: float, allowed: float) -> list[_Tried]:
        """The best first, all within `allowed` being as good; where there are several, more records are asked which."""
        more = [one for one in range(len(self._values)) if one not in self._records][: _TELLING - len(self._records)]
        if len(explained) > 1:
            chunks = [more[start : start + _AT_ONCE] for start in range(0, len(more), _AT_ONCE)]
            seen = [(one, self._on(chunks, one.change, most)) for one in explained]
            explained = [_Tried(one.change, max(one.residual, found.residual)) for one, found in seen]
        return sorted((one for one in explained if one.residual <= most), key=lambda one: max(allowed, one.residual))

    def scores(self, change: Change, records: Sequence[int]) -> np.ndarray:
        """float32 [N, C] of these records."""
        pixels = [self._pixels({**self._route, **{one.step: one for one in change}}, record) for record in records]
        return np.asarray(self._score(np.stack(pixels).astype(np.float32)), np.float32)

    def _on(self, chunks: Iterable[Sequence[int]], change: Change, most: float) -> _Tried:
        residual = 0.0
        for records in filter(len, chunks):
            try:
                found = score_differences(self.scores(change, records), self._served[list(records)])
            except tf.errors.OpError:
                return _Tried(change, float("inf"))
            residual = max(residual, float(found.max()))
            if residual > most:
                break
        return _Tried(change, residual)

    def _pixels(self, route: dict[Step, Skew], record: int) -> np.ndarray:
        decode, resize, *others = (route[step] for step in sorted(route))
        decoded = self._decoded.of(decode, record, lambda: decode.run(self._values[record]))
        pixels = self._resized.of((decode, resize), record, lambda: resize.run(decoded))
        for step in others:
            pixels = step.run(pixels)
        return pixels
