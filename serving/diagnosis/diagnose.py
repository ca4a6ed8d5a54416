"""Names the fault of a route that answers otherwise than training did.

Bisection by hypotheses: what a fault may be is tried in turn, the certain and cheap first, until one explains all
records: names, chance, the batch, weights, columns, and then each known skew of the pixels (`serving.diagnosis.skews`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serving.diagnosis.base import Trained
from serving.diagnosis.labels import diagnose_columns, diagnose_names, stale_assets
from serving.diagnosis.model import diagnose_batch, diagnose_draws, diagnose_weights, suspected
from serving.diagnosis.pixels import diagnose_pixels
from serving.diagnosis.scaling import Scaling
from serving.graph.checks import random_ops
from serving.parity.compare import score_differences
from serving.parity.proof import Difference
from serving.parity.report import Diagnosis
from serving.signatures import DEFAULT, EXAMPLES

__all__ = ["Diagnosis", "Scaling", "Trained", "diagnose"]

_DIFFERING, _AGREEING = 8, 4  # records to search on: a hypothesis must explain both


def diagnose(difference: Difference, trained: Trained | None) -> Diagnosis:
    """Names the fault.

    Args:
      difference: between the reference and the route that differs.
      trained: None for a model of which the signatures alone are known; what was done to pixels is not told then.

    Raises:
      UsageError: the folder is no SavedModel, or lacks the route's signature.
    """
    folder, ask, allowed = difference.folder, difference.ask, difference.tolerance
    reference, served = difference.reference, difference.served
    named = diagnose_names(folder, reference, served, allowed)
    if named is not None:
        return named
    if reference.scores.shape != served.scores.shape:
        told = f"{list(served.scores.shape)} scores, training gives {list(reference.scores.shape)}"
        return Diagnosis("unknown", "another number of scores", 0, told)
    differences = score_differences(reference.scores, served.scores)
    order = [int(one) for one in np.argsort(-differences, kind="stable")]
    worst = order[0]
    records = _chosen(order, differences, allowed)
    findings = random_ops(folder, [EXAMPLES if served.route.startswith(EXAMPLES) else DEFAULT])
    found = (
        diagnose_draws(ask, records, findings, allowed)
        or diagnose_batch(ask, records, findings, allowed)
        or (diagnose_weights(folder, trained.weights, worst) if trained else None)
        or diagnose_columns(reference, served, worst, allowed)
    )
    if found is not None:
        return found
    near = "the trained model is not known, so that pixels were not tried"
    if trained is not None and trained.spec is not None:
        found, near = diagnose_pixels(difference.values, records, reference.scores, served.scores, trained, allowed)
    elif trained is not None:
        near = "the inputs are no pictures, so that pixels were not tried"
    found = found or suspected(findings, worst)
    if found is not None:
        return found
    stale = stale_assets(folder, reference.classes[worst]) if reference.classes is not None else []
    return Diagnosis("unknown", "no known skew explains it", worst, "; ".join([near, *stale]))


def _chosen(order: Sequence[int], differences: np.ndarray, allowed: float) -> list[int]:
    """The records that differ most, and after them some that agree, or else differ least."""
    differing = [one for one in order if differences[one] > allowed] or list(order)
    first = differing[:_DIFFERING]
    return first + [one for one in reversed(order) if one not in first][:_AGREEING]
