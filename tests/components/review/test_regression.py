"""The errors of numbers, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from components.review.regression import POINTS, SHOWN, residuals_of, squared_error
from tests.components.review.answers import answers_of


def test_errors_their_histogram_and_the_worst() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=3000).astype(np.float32)
    answers = labels + rng.normal(0, 0.5, 3000).astype(np.float32)
    found = residuals_of(answers_of(answers[:, np.newaxis], labels, ()))
    pairs = set(zip(labels.tolist(), answers.tolist(), strict=True))
    assert len(found.labels) == POINTS and set(zip(found.labels, found.answers, strict=True)) <= pairs
    errors = answers.astype(np.float64) - labels
    assert sum(found.errors.counts) == 3000
    for low, high, count in zip(found.errors.edges[:-1], found.errors.edges[1:-1], found.errors.counts, strict=False):
        assert count == ((errors >= low) & (errors < high)).sum()
    worst = np.argsort(-np.abs(errors))[:SHOWN]
    assert [one.source for one in found.worst] == [f"{row:04d}.png" for row in worst]
    first = found.worst[0]
    assert (first.label, first.answer) == (f"{labels[worst[0]]:.6g}", f"{answers[worst[0]]:.6g}")
    assert first.detail == f"error {errors[worst[0]]:+.4g}" and first.score is None
    quality = squared_error(answers[:, np.newaxis], labels)
    assert quality is not None and quality.value == pytest.approx(np.square(errors).mean())


def test_answers_that_are_no_numbers_are_left_out() -> None:
    found = residuals_of(answers_of([[np.nan], [2.0], [np.inf]], [1.0, 2.5, 3.0], ()))
    assert (found.labels, found.answers) == ([2.5], [2.0]) and [one.source for one in found.worst] == ["0001.png"]
    nothing = residuals_of(answers_of([[np.nan]], [1.0], ()))
    assert nothing.labels == [] and nothing.errors.counts == []


def test_an_error_far_from_all_others_does_not_make_millions_of_bins() -> None:
    answers = np.append(np.random.default_rng(0).normal(size=999), 1e12)
    found = residuals_of(answers_of(answers[:, np.newaxis], np.zeros(1000), ()))
    assert len(found.errors.counts) <= 40 and sum(found.errors.counts) == 1000
