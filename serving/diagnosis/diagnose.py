"""Find the cause of a route's differences from training.

The diagnosis is a search through hypotheses. `HYPOTHESES` lists the causes to try in order, the certain and cheap ones
first; the first one that explains all records is the diagnosis. To add a cause, write a function that returns a
`Diagnosis` or None, and add it to `HYPOTHESES`. A new skew of pixels needs only a `PixelSkew` in
`serving.diagnosis.skews`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from serving.diagnosis.activations import diagnose_activation, diagnose_constant
from serving.diagnosis.base import Array, ReferenceModel
from serving.diagnosis.labels import diagnose_columns, diagnose_names, diagnose_thresholds, stale_assets
from serving.diagnosis.model import diagnose_batch, diagnose_draws, diagnose_structure, diagnose_weights
from serving.diagnosis.pixels import diagnose_pixels
from serving.graph.checks import Finding, random_ops
from serving.parity.compare import score_differences
from serving.parity.proof import Difference
from serving.parity.report import Diagnosis
from serving.signatures import DEFAULT, EXAMPLES

_DIFFERING, _AGREEING = 8, 4  # records to search on: a hypothesis must explain both


class Case:
    """A difference to explain, and what several hypotheses need of it.

    Attributes:
      difference: The difference between the reference and the route.
      model: The trained model; None if only the signatures are known.
      notes: Results of hypotheses that failed, for the detail of a diagnosis without a cause.
    """

    def __init__(self, difference: Difference, model: ReferenceModel | None) -> None:
        self.difference, self.model = difference, model
        self.notes: list[str] = []

    @cached_property
    def differences(self) -> Array:
        """The largest difference of a score in each record, [N]."""
        return score_differences(self.difference.reference.scores, self.difference.served.scores)

    @cached_property
    def noise(self) -> float:
        """The tolerance for two answers of the route: relative to the largest score, which for logits is above 1."""
        served, reference = (
            np.abs(one.scores[np.isfinite(one.scores)]).max(initial=1.0)
            for one in (self.difference.served, self.difference.reference)
        )
        return self.difference.tolerance * max(1.0, float(served / reference))

    @cached_property
    def by_difference(self) -> list[int]:
        """All records, those that differ most first."""
        return [int(record) for record in np.argsort(-self.differences, kind="stable")]

    @property
    def worst(self) -> int:
        """The record that differs most."""
        return self.by_difference[0]

    @cached_property
    def records(self) -> list[int]:
        """Records to search on: those that differ most, then some that agree or else differ least."""
        order = self.by_difference
        differing = [record for record in order if self.differences[record] > self.difference.tolerance] or order
        first = differing[:_DIFFERING]
        return first + [record for record in reversed(order) if record not in first][:_AGREEING]

    @cached_property
    def findings(self) -> list[Finding]:
        """Findings in the graph of the route's signature."""
        signature = EXAMPLES if self.difference.served.route.startswith(EXAMPLES) else DEFAULT
        return random_ops(self.difference.folder, [signature])


def diagnose(difference: Difference, model: ReferenceModel | None) -> Diagnosis:
    """Return the cause of a difference.

    Args:
      difference: The difference between the reference and the route.
      model: The trained model. None for a model of which only the signatures are known: a skew of pixels is not found
        then.

    Raises:
      UsageError: If the folder holds no SavedModel, or lacks the route's signature.
    """
    case = Case(difference, model)
    for hypothesis in HYPOTHESES.values():
        diagnosis = hypothesis(case)
        if diagnosis is not None:
            return diagnosis
    names = difference.reference.classes
    stale = stale_assets(difference.folder, names[case.worst]) if names is not None else []
    return Diagnosis("unknown", "no known skew explains it", case.worst, "; ".join([*case.notes, *stale]))


def _names(case: Case) -> Diagnosis | None:
    this = case.difference
    return diagnose_names(this.folder, this.reference, this.served, this.tolerance)


def _number_of_scores(case: Case) -> Diagnosis | None:
    expected, served = case.difference.reference.scores.shape, case.difference.served.scores.shape
    if expected == served:
        return None
    return Diagnosis("unknown", "another number of scores", 0, f"shape {list(served)}, in training {list(expected)}")


def _thresholds(case: Case) -> Diagnosis | None:
    this = case.difference
    return diagnose_thresholds(this.reference, this.served, this.tolerance)


def _draws(case: Case) -> Diagnosis | None:
    return diagnose_draws(case.difference.ask, case.records, case.findings, case.noise)


def _batch(case: Case) -> Diagnosis | None:
    return diagnose_batch(case.difference.ask, case.records, case.findings, case.noise)


def _weights(case: Case) -> Diagnosis | None:
    return diagnose_weights(case.difference.folder, case.model.weights, case.worst) if case.model else None


def _columns(case: Case) -> Diagnosis | None:
    this = case.difference
    return diagnose_columns(this.reference, this.served, case.worst, this.tolerance)


def _activation(case: Case) -> Diagnosis | None:
    this = case.difference
    return diagnose_activation(this.reference, this.served, case.worst, this.tolerance)


def _pixels(case: Case) -> Diagnosis | None:
    if case.model is None:
        case.notes.append("the trained model is not known, so skews of pixels were not tried")
        return None
    if case.model.spec is None:
        case.notes.append("the inputs are not images, so skews of pixels were not tried")
        return None
    this = case.difference
    diagnosis, nearest = diagnose_pixels(
        this.values, case.records, this.reference.scores, this.served.scores, case.model, this.tolerance
    )
    case.notes.append(nearest)
    return diagnosis


def _constant(case: Case) -> Diagnosis | None:
    this = case.difference
    pixels_tried = case.model is not None and case.model.spec is not None
    return diagnose_constant(this.reference, this.served, case.worst, this.tolerance, pixels_tried)


def _structure(case: Case) -> Diagnosis | None:
    return diagnose_structure(case.findings, case.worst)


HYPOTHESES: dict[str, Callable[[Case], Diagnosis | None]] = {
    "the names of the scores": _names,
    "the number of scores": _number_of_scores,
    "the thresholds": _thresholds,
    "random draws": _draws,
    "other rows in the batch": _batch,
    "other weights": _weights,
    "the order of the scores": _columns,
    "the last step of the model": _activation,
    "a known skew of pixels": _pixels,
    "the same answer to all records": _constant,
    "ops that belong to training": _structure,
}
"""Causes to try, in this order."""
