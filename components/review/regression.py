"""The errors of a model whose answer is a number."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from components.release.predictions import Predictions
from components.review.decisions import with_values
from components.review.intervals import mean_of_squares
from components.review.record import Histogram, Interval, Picture, Residuals

POINTS = 1000  # examples of the plot, sampled
SHOWN = 24  # worst examples
_BINS = 40  # at most

Floats = npt.NDArray[np.float64]


def residuals_of(found: Predictions) -> Residuals:
    """Return the errors; answers that are not finite are left out.

    Args:
      found: The answers.
    """
    errors = errors_of(found.scores, found.numbers)
    rows = np.flatnonzero(np.isfinite(errors))
    sample = np.sort(np.random.default_rng(0).permutation(rows)[:POINTS])
    worst = rows[np.argsort(-np.abs(errors[rows]), kind="stable")][:SHOWN]
    return Residuals(
        found.numbers[sample].astype(np.float64).tolist(),
        found.scores[sample, 0].astype(np.float64).tolist(),
        _histogram(errors[rows]),
        [picture_of_number(found, row) for row in worst.tolist()],
    )


def errors_of(answers: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> Floats:
    """Return answer minus label, [N].

    Args:
      answers: [N, 1].
      labels: [N].
    """
    return answers[:, 0].astype(np.float64) - labels


def squared_error(answers: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> Interval | None:
    """Return the mean squared error with its interval; see `mean_of_squares`.

    Args:
      answers: [N, 1].
      labels: [N].
    """
    return mean_of_squares(np.square(errors_of(answers, labels)))


def picture_of_number(found: Predictions, row: int, detail: str = "") -> Picture:
    """Return an example as the page shows it, without its thumbnail.

    Args:
      found: The answers.
      row: Its place.
      detail: One more line.
    """
    answer, label = float(found.scores[row, 0]), float(found.numbers[row])
    before = "" if found.before is None else f"{float(found.before[row, 0]):.6g}"
    line = with_values(found, row, f"error {answer - label:+.4g}{'; ' if detail else ''}{detail}")
    return Picture(found.sources[row], label=f"{label:.6g}", answer=f"{answer:.6g}", before=before, detail=line)


def _histogram(errors: Floats) -> Histogram:
    """Return the errors in equally wide bins, at most `_BINS`."""
    if not len(errors):
        return Histogram()
    counts, edges = np.histogram(errors, min(_BINS, math.ceil(math.sqrt(len(errors)))))
    return Histogram(edges.tolist(), counts.astype(np.float64).tolist())
