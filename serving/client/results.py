"""Answers of a server, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Prediction:
    """The class scores of one picture.

    Attributes:
      scores: Score of each class by its name, in label order.
      thresholds: Threshold of each label by its name, if a picture may have several labels; otherwise empty.
    """

    scores: dict[str, float]
    thresholds: dict[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Class with the highest score, whether or not it reaches a threshold."""
        return max(self.scores, key=self.scores.__getitem__)

    @property
    def labels(self) -> list[str]:
        """Labels whose score is at least their threshold, highest score first; may be empty.

        Without thresholds, the class with the highest score alone.
        """
        if not self.thresholds:
            return [self.label]
        return [name for name, score in self.top(len(self.scores)) if score >= self.thresholds[name]]

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
