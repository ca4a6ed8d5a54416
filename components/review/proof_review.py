"""The proof part of a review: the records on which routes differ most."""

from __future__ import annotations

import base64
import math
import posixpath
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.release import skew_check
from components.release.record_labels import read_text, read_texts
from components.release.skew_check import ProvedSample
from components.review.client_pictures import answer_text
from components.review.decoding import decode_file
from components.review.inputs import ReviewInputs
from components.review.record import Picture, ProofReview, ProvedRecord, RoutePicture, ServedExample
from components.review.thumbnails import thumbnail
from data.images.formats import read_header
from data.spec import IMAGE, LABEL, VECTOR, Feature, Image
from serving.parity.compare import Answers
from serving.parity.report import SkewReport

_GENERATED = "generated: "  # how the sources of the sample's generated pictures begin
_LARGE = 3000  # bytes of a file from which on the example is a reduced copy
_REDUCED = 64  # pixels of its longer side
_SUFFIXES = {"jpeg": "jpg"}  # by format; others have the format's name


def review_proof(inputs: ReviewInputs) -> ProofReview | None:
    """Return the proof part; None if the gate did not check the model.

    Args:
      inputs: The artifacts of the run.
    """
    if not inputs.gate or not tf.io.gfile.exists(posixpath.join(inputs.gate, skew_check.REPORT)):
        return None
    report, sample = skew_check.read_report(inputs.gate), skew_check.read_sample(inputs.gate)
    shown = _Shown(sample, inputs.task.feature)
    return ProofReview(
        routes=[RoutePicture(*one) for one in _worst_records(report, shown)],
        records=[
            ProvedRecord(shown.source(row), sample.reasons[row].removeprefix(_GENERATED))
            for row in range(len(sample.reasons))
        ],
        differences=_differences(report, sample),
        example=_example(shown),
    )


class _Shown:
    """The records of a sample as pictures of the page; each is decoded once."""

    def __init__(self, sample: ProvedSample, feature: Feature) -> None:
        self.sample = sample
        self.features: list[Any] = [tf.train.Example.FromString(one).features.feature for one in sample.records]
        self._spec = feature if isinstance(feature, Image) else None
        self._made: dict[int, Picture] = {}

    @property
    def is_pictures(self) -> bool:
        return self._spec is not None

    def source(self, row: int) -> str:
        return read_text(self.sample.records[row], "image/source") or f"record {row}"

    def is_generated(self, row: int) -> bool:
        return self.source(row).startswith(_GENERATED)

    def content(self, row: int) -> bytes:
        found: bytes = self.features[row][IMAGE].bytes_list.value[0]
        return found

    def pixels(self, row: int) -> npt.NDArray[np.uint8]:
        """Return the decoded picture: uint8 [height, width, channels]."""
        assert self._spec
        return decode_file(self.content(row), self._spec)

    def picture(self, row: int) -> Picture:
        """Return a record with training's answer."""
        if row not in self._made:
            self._made[row] = self._make(row)
        return self._made[row]

    def _make(self, row: int) -> Picture:
        label, answer, score = _texts_of(self.sample, row)
        found = Picture(self.source(row), label=label, answer=answer, score=score)
        if self.sample.reasons:
            found.detail = self.sample.reasons[row]
        if self.is_pictures:
            pixels = self.pixels(row)
            found.height, found.width = pixels.shape[:2]
            found.thumbnail = thumbnail(pixels)
        return found


def _texts_of(sample: ProvedSample, row: int) -> tuple[str, str, float | None]:
    """Return the label, training's answer and its score; the score is None for numbers and several labels."""
    names, (numbers, scores) = _names(sample.answers, row), (_numbers(sample, row), sample.answers.scores[row])
    if not names:
        return ", ".join(f"{one:.6g}" for one in numbers), f"{float(scores[0]):.6g}", None
    label = ", ".join(read_texts(sample.records[row], LABEL)) or "none"
    thresholds = () if sample.answers.thresholds is None else sample.answers.thresholds[row].tolist()
    return label, answer_text(scores, names, thresholds), None if thresholds else float(scores.max())


def _names(answers: Answers, row: int) -> list[str]:
    return [] if answers.classes is None else [one.decode("utf-8", "replace") for one in answers.classes[row]]


def _numbers(sample: ProvedSample, row: int) -> list[float]:
    return list(tf.train.Example.FromString(sample.records[row]).features.feature[LABEL].float_list.value)


def _worst_records(report: SkewReport, shown: _Shown) -> list[tuple[str, Picture]]:
    """Return the record with the largest difference of each route that differs."""
    count = len(shown.sample.records)
    return [
        (route.route, shown.picture(route.record))
        for route in report.routes
        if (route.largest or route.fault) and route.record < count
    ]


def _differences(report: SkewReport, sample: ProvedSample) -> dict[str, list[float | None]]:
    """Return the differences by route and record; a route that could not be compared is left out."""
    rows = zip(report.routes, sample.differences, strict=False)  # no rows from a gate of an earlier version
    return {
        route.route: [one if math.isfinite(one) else None for one in row.tolist()]
        for route, row in rows
        if not np.isnan(row).all()
    }


def _example(shown: _Shown) -> ServedExample | None:
    """Return the smallest example of the data that training answers right, or the first of the data."""
    rows = [row for row in range(len(shown.sample.records)) if not shown.is_generated(row)]
    if not rows:
        return None
    right = [row for row in rows if len(set(_texts_of(shown.sample, row)[:2])) == 1]
    if not shown.is_pictures:
        row = (right or rows)[0]
        return ServedExample(shown.picture(row), numbers=list(shown.features[row][VECTOR].float_list.value))
    row = min(right or rows, key=lambda one: len(shown.content(one)))
    picture, content = shown.picture(row), shown.content(row)
    if len(content) <= _LARGE:
        kind = read_header(content).format
        return ServedExample(picture, base64.b64encode(content).decode(), _SUFFIXES.get(kind, kind))
    kind, _, text = thumbnail(shown.pixels(row), _REDUCED).removeprefix("data:image/").partition(";base64,")
    # The answer to the copy is not known: its pixels are others.
    unknown = Picture(picture.source, picture.thumbnail, picture.width, picture.height, picture.label)
    return ServedExample(unknown, text, _SUFFIXES.get(kind, kind), is_reduced=True)
