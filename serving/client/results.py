"""Answers of a server, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The class scores of one picture.

    Attributes:
      scores: Score of each class by its name, in label order.
    """

    scores: dict[str, float]

    @property
    def label(self) -> str:
        """Class with the highest score."""
        return max(self.scores, key=self.scores.__getitem__)

    @property
    def score(self) -> float:
        """Highest score."""
        return self.scores[self.label]

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the `count` best classes with their scores, highest first; equal scores in label order."""
        return sorted(self.scores.items(), key=lambda pair: -pair[1])[:count]


@dataclass(frozen=True)
class VersionStatus:
    """One version of a model.

    Attributes:
      version: Number of the version.
      state: START, LOADING, AVAILABLE, UNLOADING or END.
      error: Reason why it failed to load; empty if it did not fail.
    """

    version: int
    state: str
    error: str = ""

    def __str__(self) -> str:
        line = self.error.partition("\n")[0]
        return f"version {self.version} is {self.state}" + (f" ({line})" if line else "")
