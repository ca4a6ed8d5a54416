"""What the model decides for each held-out example, and how one example is shown."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.release.predictions import Predictions
from components.review.record import Picture

NOTHING = "(none)"  # of several labels, where none applies
_UNKNOWN = 0.5  # threshold of several labels in an evaluation without thresholds
_VALUES = 6  # of a row of numbers, shown at most

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Decisions:
    """The answers to N examples of C classes or labels, as decisions.

    Attributes:
      found: The answers.
      several: Whether any number of the names applies to an example, not just one.
    """

    found: Predictions
    several: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The classes or labels."""
        return self.found.names

    @functools.cached_property
    def truth(self) -> Flags:
        """Which names apply, [N, C]; a name that the model does not know is left out."""
        places = {name: place for place, name in enumerate(self.names)}
        applies = np.zeros(self.found.scores.shape, bool)
        for row, labels in enumerate(self.found.labels):
            applies[row, [places[label] for label in labels if label in places]] = True
        return applies

    @functools.cached_property
    def chosen(self) -> Flags:
        """Which names the model answers with, [N, C]."""
        return self._choose(self.found.scores, self.found.thresholds)

    @functools.cached_property
    def right(self) -> Flags:
        """Whether the answer is right, of several labels all of them, [N]."""
        return self._are_right(self.chosen)

    @functools.cached_property
    def right_before(self) -> Flags | None:
        """The same of the baseline; None without one."""
        chosen = self._chosen_before
        return None if chosen is None else self._are_right(chosen)

    @functools.cached_property
    def label_places(self) -> npt.NDArray[np.int64]:
        """Of classes the place of the right one, [N]; -1 if the model does not know it."""
        return np.where(self.truth.any(axis=1), self.truth.argmax(axis=1), -1)

    @functools.cached_property
    def answer_places(self) -> npt.NDArray[np.int64]:
        """Of classes the place of the answer, [N]."""
        return self.found.scores.argmax(axis=1)

    @functools.cached_property
    def answer_scores(self) -> npt.NDArray[np.float32]:
        """The largest score of each example, [N]."""
        return np.nan_to_num(self.found.scores.max(axis=1))

    @functools.cached_property
    def label_scores(self) -> npt.NDArray[np.float32]:
        """Of classes the score of the right one, [N]; 0 if the model does not know it."""
        rows = np.arange(len(self.found.scores))
        return np.where(self.label_places < 0, 0, np.nan_to_num(self.found.scores[rows, self.label_places]))

    def picture(self, row: int, detail: str = "") -> Picture:
        """Return an example as the page shows it, without its thumbnail.

        Args:
          row: Its place.
          detail: One more line.
        """
        before = self._chosen_before
        shown = Picture(
            self.found.sources[row],
            label=", ".join(self.found.labels[row]) or NOTHING,
            answer=self._text(self.chosen[row]),
            before=self._text(before[row]) if before is not None else "",
            detail=with_values(self.found, row, detail),
        )
        if not self.several:
            shown.score = round(float(self.answer_scores[row]), 6)
            shown.label_score = round(float(self.label_scores[row]), 6) if self.label_places[row] >= 0 else None
        return shown

    @property
    def thresholds(self) -> npt.NDArray[np.float32]:
        """Of several labels, the threshold of each, [C]."""
        return _thresholds(self.found.thresholds, self.names)

    @functools.cached_property
    def _chosen_before(self) -> Flags | None:
        before = self.found.before
        return None if before is None else self._choose(before, self.found.thresholds_before)

    def _choose(self, scores: npt.NDArray[np.float32], thresholds: tuple[float, ...]) -> Flags:
        if self.several:
            return np.asarray(scores >= _thresholds(thresholds, self.names))
        return np.asarray(np.arange(len(self.names)) == scores.argmax(axis=1)[:, np.newaxis])

    def _are_right(self, chosen: Flags) -> Flags:
        """Return whether the choice is the truth; a label that the model does not know is never right."""
        known = np.array([len(set(labels)) for labels in self.found.labels]) == self.truth.sum(axis=1)
        return np.asarray((chosen == self.truth).all(axis=1) & known)

    def _text(self, chosen: Flags) -> str:
        return ", ".join(self.names[place] for place in np.flatnonzero(chosen)) or NOTHING


def _thresholds(given: Sequence[float], names: Sequence[str]) -> npt.NDArray[np.float32]:
    return np.array(given or [_UNKNOWN] * len(names), np.float32)


def with_values(found: Predictions, row: int, detail: str = "") -> str:
    """Return a line about an example, of numbers with the first of them: a row has no picture.

    Args:
      found: The answers.
      row: Place of the example.
      detail: What the line has besides.
    """
    values = found.vectors[row]
    if not len(values):
        return detail
    shown = ", ".join(f"{value:.4g}" for value in values[:_VALUES].tolist())
    more = ", ..." if len(values) > _VALUES else ""
    return f"{detail}{'; ' if detail else ''}input {shown}{more}"
