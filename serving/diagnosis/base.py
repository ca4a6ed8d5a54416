"""What a diagnosis is made from, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from data.spec import Image
from serving.diagnosis.scaling import Scaling

EXPLAINED = 0.02
"""Share of the fault that its explanation may leave. The right one leaves rounding alone where it repeats the served
ops one by one; but ops may be joined otherwise (x * (1/255), x / 255), and a resized value that lies on x.5 then
rounds to the other side: a few pixels by 1 of 255, far below a hundredth of what any fault moves. Two different
faults, on the other hand, seldom move a dozen records by amounts that are alike to a tenth."""


@dataclass(frozen=True)
class Trained:
    """The model as it was trained, as a function of pixels.

    Attributes:
      spec: how it gets pictures; None where it gets numbers.
      score: pixels float32 [N, height, width, channels], 0..255 if they are right, to scores float32 [N, C] in label
        order; called with few shapes, but each may be another N.
      scaling: what the model does to a pixel first; None: not known.
      weights: by name; of the whole model.
    """

    spec: Image | None
    score: Callable[[np.ndarray], np.ndarray]
    scaling: Scaling | None
    weights: Mapping[str, np.ndarray]


def limit(differences: np.ndarray, allowed: float) -> float:
    """What an explanation may leave of these differences: `allowed`, or a small share of the largest finite one."""
    finite = differences[np.isfinite(differences)]
    return max(allowed, EXPLAINED * float(finite.max(initial=0.0)))


def some(names: list[str], most: int = 3) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
