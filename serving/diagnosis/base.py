"""What a diagnosis is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.spec import Image
from serving.diagnosis.scaling import Scaling

Array = npt.NDArray[Any]

EXPLAINED = 0.02
"""Share of a difference that its explanation may leave. The right explanation leaves only rounding if it repeats the
served ops one by one. But ops may be combined in another way (x * (1/255), x / 255), and a resized value of x.5 then
rounds to the other side: a few pixels differ by 1 of 255, far below a hundredth of the effect of any skew. On the other
hand, two different skews rarely move a dozen records by amounts that agree within a tenth."""
LISTED = 3  # names that a detail lists


@dataclass(frozen=True)
class ReferenceModel:
    """The trained model as a function of pixels.

    Attributes:
      spec: Image spec; None for a model on numbers.
      score: Computes scores, float32 [N, C] in label order, of pixels, float32 [N, height, width, channels], 0..255 if
        they are right. It is called with few shapes, but N may differ between calls.
      scaling: What the model first computes from a pixel; None if it is not known.
      weights: All weights of the model, by name.
    """

    spec: Image | None
    score: Callable[[Array], Array]
    scaling: Scaling | None
    weights: Mapping[str, Array]


def allowed_residual(differences: Array, allowed: float) -> float:
    """Return how much of these differences an explanation may leave.

    That is `allowed`, or the share `EXPLAINED` of the largest finite difference if that is more.
    """
    finite = differences[np.isfinite(differences)]
    return max(allowed, EXPLAINED * float(finite.max(initial=0.0)))
