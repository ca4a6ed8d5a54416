"""The sample on which a model is evaluated, if the held-out examples are very many."""

from __future__ import annotations

import json
import posixpath
import zlib
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

MOST = 500_000  # examples, about; the standard error of an accuracy of 0.9 is then 0.0004
FILE = "sample.json"  # in the ModelEvaluation artifact
_HASHES = 1 << 32


@dataclass(frozen=True)
class EvaluationSample:
    """A share of the held-out examples, the same ones in each evaluation: the hash of a record decides.

    Attributes:
      held_out: Number of held-out examples.
      share: Of these that is evaluated, 0..1.
    """

    held_out: int
    share: float = 1.0

    @classmethod
    def of(cls, held_out: int) -> EvaluationSample:
        """Choose the share of a number of examples, so that about `MOST` of them are evaluated, or all if fewer."""
        return cls(held_out, min(1.0, MOST / max(1, held_out)))

    @property
    def is_whole(self) -> bool:
        """Whether all examples are evaluated."""
        return self.share >= 1

    def __contains__(self, record: Any) -> bool:
        """Return whether a serialized record, bytes or a buffer, is in the sample."""
        return self.is_whole or zlib.crc32(record) < self.share * _HASHES

    def save(self, evaluation: str) -> None:
        """Write it into the folder of a ModelEvaluation artifact."""
        with tf.io.gfile.GFile(posixpath.join(evaluation, FILE), "w") as file:
            file.write(json.dumps({"held_out": self.held_out, "share": self.share}))


def read_held_out(evaluation: str) -> int:
    """Return the number of held-out examples of which a sample was evaluated; 0 if all were."""
    path = posixpath.join(evaluation, FILE)
    if not tf.io.gfile.exists(path):
        return 0
    with tf.io.gfile.GFile(path) as file:
        found: dict[str, Any] = json.load(file)
    return int(found["held_out"])
