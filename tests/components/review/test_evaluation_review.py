"""The evaluation part of a review as a whole, of classes, several labels and numbers."""

from __future__ import annotations

import dataclasses
import io
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

from components.review.evaluation_review import review_evaluation
from components.review.inputs import ReviewInputs
from components.review.record import EvaluationReview, Picture, Review
from components.training.trained_model import keep_weights
from data.sources import Arrays, Csv
from data.spec import Classes, Image, Labels, Number, Vector
from tests.components.review.answers import write_held_out
from tests.pipeline.report.page.kept_answers import write_answers
from tests.tasks.tiny import TASK, build_model

NAMES = ("cat", "<script>", 'dog"s')
COUNT = 60


def _pictures(found: Any) -> Iterator[Picture]:
    """All pictures of a review."""
    if isinstance(found, Picture):
        yield found
    elif isinstance(found, list):
        for one in found:
            yield from _pictures(one)
    elif dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            yield from _pictures(getattr(found, field.name))


def _checked(review: EvaluationReview | None, folder: Path) -> EvaluationReview:
    """The review, after a way through its file, which must be JSON that a browser reads, too."""
    assert review is not None
    Review(evaluation=review).write(str(folder))
    text = next(folder.glob("*.json")).read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert Review.read(str(folder)).evaluation == review
    return review


@pytest.fixture
def sources(tmp_path: Path, smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> list[str]:
    """Names of pictures below `examples`, larger than a thumbnail; one is no UTF-8."""
    files = {
        f"{NAMES[row % 3]}/{row:02d}.png" if row else "b\udcff.png": encode(smooth(row, 130, 260), "PNG")
        for row in range(COUNT)
    }
    write_held_out(
        tmp_path / "examples", {name: (one, NAMES[row % 3]) for row, (name, one) in enumerate(files.items())}
    )
    keep_weights(build_model(Image(8, 8, 3), 3), str(tmp_path / "model_run"))
    return list(files)


def _inputs(root: Path, label: Any, feature: Any = TASK.feature) -> ReviewInputs:
    source = TASK.source if isinstance(feature, Image) else Arrays() if isinstance(label, Labels) else Csv()
    task = dataclasses.replace(TASK, source=source, label=label, feature=feature)
    return ReviewInputs(task, str(root / "examples"), "", "", "", str(root / "model_run"), str(root / "evaluation"))


def test_classes_beside_a_baseline(tmp_path: Path, sources: list[str]) -> None:
    rng = np.random.default_rng(0)
    scores, before = rng.dirichlet(np.ones(3), (2, COUNT)).astype(np.float32)
    labels = [(NAMES[row % 3],) for row in range(COUNT)]
    write_answers(tmp_path / "evaluation", NAMES, sources, labels, scores, before=before)
    review = _checked(review_evaluation(_inputs(tmp_path, Classes())), tmp_path)
    places = np.arange(COUNT) % 3
    right, right_before = scores.argmax(axis=1) == places, before.argmax(axis=1) == places
    assert review.examples == COUNT and review.quality and review.quality_before and review.change
    assert (review.quality.value, review.quality_before.value) == (right.mean(), right_before.mean())
    assert review.mistake_count == (~right).sum() and len(review.mistakes) == 24
    assert (review.change.won, review.change.lost) == ((right & ~right_before).sum(), (right_before & ~right).sum())
    assert {one.name for one in review.classes} == {one.name for one in review.curves} == set(NAMES)
    assert len(review.confusion) == 9 and len(review.unusual) == 6 and review.unusual_among == COUNT
    assert [one.feature for one in review.slices] == ["label"] * 3 and review.residuals is None
    shown = list(_pictures(review))
    assert len(shown) > 100 and "b\udcff.png" in {one.source for one in shown}
    for one in shown:
        assert (one.width, one.height) == (260, 130)
        picture = Pil.open(io.BytesIO(b64decode(one.thumbnail.partition(",")[2])))
        assert picture.size == (112, 56)
        row = sources.index(one.source)
        assert (one.label, one.answer) == (NAMES[places[row]], NAMES[scores[row].argmax()])


def test_several_labels_that_are_rows_of_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random((COUNT, 3)) < 0.4, rng.random((COUNT, 3)).astype(np.float32)
    labels = [tuple(name for name, applies in zip(NAMES, row, strict=True) if applies) for row in truth]
    vectors = rng.normal(size=(COUNT, 4))
    write_answers(
        tmp_path / "evaluation", NAMES, [""] * COUNT, labels, scores, vectors=vectors, thresholds=(0.2, 0.5, 0.8)
    )
    review = _checked(review_evaluation(_inputs(tmp_path, Labels(), Vector(4))), tmp_path)
    right = (truth == (scores >= np.array([0.2, 0.5, 0.8]))).all(axis=1)
    assert review.quality and review.quality.value == right.mean()
    assert review.mistake_count == (~right).sum() and review.mistakes and review.label_errors
    assert [one.chosen for one in sorted(review.curves, key=lambda one: NAMES.index(one.name))] == pytest.approx(
        [0.2, 0.5, 0.8]
    )
    assert review.confusion == [] and review.slices == [] and review.change is None and review.quality_before is None
    assert len(review.unusual) == 6 and all("input " in one.detail and not one.thumbnail for one in _pictures(review))


def test_numbers_beside_a_baseline(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=COUNT).astype(np.float32)
    answers, before = labels + rng.normal(0, (0.1, 0.4), (COUNT, 2)).astype(np.float32).T
    write_answers(
        tmp_path / "evaluation",
        (),
        [""] * COUNT,
        labels,
        answers[:, np.newaxis],
        vectors=rng.normal(size=(COUNT, 2)),
        before=before[:, np.newaxis],
    )
    review = _checked(review_evaluation(_inputs(tmp_path, Number(), Vector(2))), tmp_path)
    assert review.quality and review.quality_before and review.residuals and review.change
    errors = answers.astype(np.float64) - labels
    assert review.quality.value == pytest.approx(np.square(errors).mean())
    assert review.quality_before.value == pytest.approx(np.square(before.astype(np.float64) - labels).mean())
    assert review.change.difference.value == pytest.approx(review.quality.value - review.quality_before.value)
    assert review.change.difference.high < 0 < review.change.lost < review.change.won
    assert len(review.residuals.labels) == COUNT and len(review.residuals.worst) == 24
    assert (review.classes, review.confusion, review.curves, review.mistakes) == ([], [], [], [])
    assert len(review.unusual) == 6 and review.unusual[0].detail.startswith("error ")


def test_an_evaluation_of_an_earlier_version(tmp_path: Path) -> None:
    assert review_evaluation(_inputs(tmp_path, Classes())) is None


def test_answers_that_are_no_numbers(tmp_path: Path, sources: list[str]) -> None:
    """A model that has diverged: the page of its run is what one looks at."""
    scores, labels = np.full((COUNT, 3), np.nan), [(NAMES[row % 3],) for row in range(COUNT)]
    write_answers(tmp_path / "evaluation", NAMES, sources, labels, scores, before=scores)
    review = _checked(review_evaluation(_inputs(tmp_path, Classes())), tmp_path)
    assert review.examples == COUNT and review.mistake_count == 40
    write_answers(
        tmp_path / "numbers" / "evaluation",
        (),
        [""] * COUNT,
        np.ones(COUNT, np.float32),
        scores[:, :1],
        vectors=np.ones((COUNT, 2)),
        before=scores[:, :1],
    )
    review = _checked(review_evaluation(_inputs(tmp_path / "numbers", Number(), Vector(2))), tmp_path)
    assert review.quality is None and review.change is None and review.residuals and review.residuals.labels == []
