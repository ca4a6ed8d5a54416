"""How far the scores of a training in mixed precision may be from those of the same weights in float32."""

from __future__ import annotations

import numpy as np

from serving.parity.compare import Answers, score_differences

ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Largest relative error u of one rounding: half of the distance from 1 to the next number (11 and 8 bits)."""
LEAST, MOST = 16.0, 64.0
"""Limits of the tolerance in roundings u, relative to the scale of the scores."""
ROUNDINGS = 8.0
"""Roundings of the size of a weight's that a layer adds: of its input, products, sum, bias, activation and result."""


def mixed_tolerance(reference: Answers, rounded: Answers, dtype: str) -> float:
    """Return the largest difference of a score that the roundings of mixed precision explain.

    A layer in mixed precision rounds its weights, its input and its result to `dtype`, each by at most u of its value.
    A dot product that is computed so is the exact one of weights that are off by a few u (the backward error analysis
    of Wilkinson; Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). How far the scores move
    if all weights are off by up to u is a property of the model, and is measured: `rounded` are the answers in float32
    of rounded weights. The other roundings of a layer are as large and are independent of these, so `ROUNDINGS` times
    the measured difference covers them. The tolerance is at least 16 u, as `compare.FLOOR` is 16 roundings of float32,
    because the largest difference of a small sample may be small by chance; and at most 64 u, 0.03 for float16 and
    0.25 for bfloat16, so that a model that amplifies errors cannot hide a skew.

    Measured on 32 pictures: a ConvNet differs by 0.2 u to 0.7 u, MobileNetV2 of 53 convolutions by 8 u in float16 and
    16 u in bfloat16, where rounded weights alone move its scores by 23 u.

    Args:
      reference: Answers of the model in float32.
      rounded: Answers in float32 of the model with weights that are rounded to `dtype`.
      dtype: "float16" or "bfloat16".
    """
    scale = max(1.0, float(np.max(np.abs(reference.scores), initial=0.0)))
    unit = scale * ROUNDOFF[dtype]
    moved = float(score_differences(reference.scores, rounded.scores).max(initial=0.0))
    return float(np.clip(ROUNDINGS * moved, LEAST * unit, MOST * unit))
