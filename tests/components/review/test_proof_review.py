"""The proof part of a review, from folders as the gate writes them."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

from components.release import skew_check
from components.review.client_pictures import ChangedAnswer
from components.review.client_pixels import client_picture, largest_part
from components.review.inputs import ReviewInputs
from components.review.proof_review import review_proof
from components.review.record import ProofReview, Review, from_json
from components.task.task import Task
from data.images.formats import read_header
from data.input.probe_sample import Probe
from data.records import Record, image_record, vector_record
from serving.parity.compare import Answers, compare_answers
from serving.parity.report import SkewReport
from tests.tasks import line, several, skewable

NAMES = ("bright", "dark")


def probe_of(contents: bytes, label: Any, source: str, reason: str) -> Probe:
    with Pil.open(io.BytesIO(contents)) as picture:
        size = picture.size[::-1]
    return Probe(image_record(contents, size, read_header(contents), label, source).example, reason)


def write_gate(folder: Path, probes: Sequence[Probe], reference: Answers, served: Sequence[Answers]) -> None:
    routes = [compare_answers(reference, one, 1e-5) for one in served]
    report = SkewReport(len(probes), "", reference.route, 1e-5, "image", routes=routes)
    skew_check._write(str(folder), report, probes, reference)


def reviewed(task: Task, gate: Path | str) -> ProofReview | None:
    return review_proof(ReviewInputs(task, "", "", "", "", "", "", str(gate)))


def answers_of(route: str, scores: Any, names: Sequence[str] = NAMES, thresholds: Any = None) -> Answers:
    found = np.array(scores, np.float32)
    classes = np.array([[name.encode() for name in names]] * len(found), object) if names else None
    limits = None if thresholds is None else np.array([thresholds] * len(found), np.float32)
    return Answers(route, found, classes, limits)


@pytest.fixture(scope="module")
def files(smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> list[bytes]:
    """A large JPEG, a small PNG, and a smaller one."""
    return [
        encode(smooth(1, 300, 400), "JPEG", quality=95),
        encode(smooth(2, 12, 16), "PNG"),
        encode(np.full((9, 9, 3), 77, np.uint8), "PNG"),
    ]


@pytest.fixture
def gate(files: list[bytes], tmp_path: Path) -> Path:
    """Four records, of which training answers the third wrong, and three routes: equal, near, and of another shape."""
    probes = [
        probe_of(files[0], "bright", "bright/0.jpg", "class bright"),
        probe_of(files[1], "dark", "dark/1.png", "class dark, smallest"),
        probe_of(files[2], "dark", "dark/2.png", "random"),
        probe_of(files[2], "dark", "generated: BMP", "generated: BMP"),
    ]
    scores = [[0.75, 0.25], [0.25, 0.75], [0.75, 0.25], [0.25, 0.75]]
    near = np.array(scores, np.float32) + np.array([[0, 0], [0, 0.5], [0, 0], [0.25, 0]], np.float32)
    served = [answers_of("a", scores), answers_of("b", near), answers_of("c", [[1.0]] * 4, ["x"])]
    write_gate(tmp_path, probes, answers_of("training", scores), served)
    return tmp_path


def test_the_records_with_the_largest_difference(gate: Path, files: list[bytes]) -> None:
    found = reviewed(skewable.TASK, gate)
    assert found and from_json(Review, json.loads(json.dumps(dataclasses.asdict(Review(proof=found))))).proof == found
    assert [one.route for one in found.routes] == ["b", "c"]  # all of "a" is equal
    picture = found.routes[0].picture
    assert (picture.source, picture.label, picture.answer) == ("dark/1.png", "dark", "dark")
    assert (picture.score, picture.width, picture.height) == (0.75, 16, 12)
    kind, _, content = picture.thumbnail.partition(";base64,")
    with Pil.open(io.BytesIO(base64.b64decode(content))) as shown, Pil.open(io.BytesIO(files[1])) as whole:
        assert kind == "data:image/png" and np.array_equal(np.asarray(shown), np.asarray(whole))
    assert found.differences == {"a": [0, 0, 0, 0], "b": [0, 0.5, 0, 0.25]}
    assert [(one.source, one.reason) for one in found.records] == [
        ("bright/0.jpg", "class bright"),
        ("dark/1.png", "class dark, smallest"),
        ("dark/2.png", "random"),
        ("generated: BMP", "BMP"),
    ]


def test_an_infinite_difference_has_a_place_in_json(files: list[bytes], tmp_path: Path) -> None:
    probes = [probe_of(files[1], "dark", "1.png", "random"), probe_of(files[2], "dark", "2.png", "random")]
    reference = answers_of("training", [[0.5, 0.5], [0.5, 0.5]])
    write_gate(tmp_path, probes, reference, [answers_of("a", [[0.5, 0.5], [np.nan, 0.5]])])
    found = reviewed(skewable.TASK, tmp_path)
    assert found and found.differences == {"a": [0.0, None]}
    assert [one.picture.source for one in found.routes] == ["2.png"]


def test_the_example_is_the_smallest_file_that_is_answered_right(gate: Path, files: list[bytes]) -> None:
    found = reviewed(skewable.TASK, gate)
    assert found and found.example
    assert found.example.picture.source == "dark/1.png"  # dark/2.png is smaller, but answered wrong
    assert base64.b64decode(found.example.content) == files[1]
    assert (found.example.suffix, found.example.is_reduced, found.example.picture.answer) == ("png", False, "dark")


def test_of_a_large_file_the_example_is_a_reduced_copy_without_an_answer(files: list[bytes], tmp_path: Path) -> None:
    scores = [[0.75, 0.25]]
    probes = [probe_of(files[0], "bright", "bright/0.jpg", "random")]
    write_gate(tmp_path, probes, answers_of("training", scores), [])
    found = reviewed(skewable.TASK, tmp_path)
    assert found and found.example and found.example.is_reduced
    content = base64.b64decode(found.example.content)
    with Pil.open(io.BytesIO(content)) as picture, Pil.open(io.BytesIO(files[0])) as whole:
        assert picture.size == (64, 48) and picture.format == {"jpg": "JPEG", "png": "PNG"}[found.example.suffix]
        expected = np.asarray(whole.resize((64, 48), Pil.Resampling.LANCZOS), np.int16)
        assert np.abs(np.asarray(picture, np.int16) - expected).mean() < 4
    assert (found.example.picture.answer, found.example.picture.label) == ("", "bright")


def test_numbers_have_rows_in_place_of_pictures(tmp_path: Path) -> None:
    records = [vector_record([0.5 * row, -1.5], float(row), f"points.csv:{row}") for row in range(3)]
    assert all(isinstance(one, Record) for one in records)
    probes = [Probe(one.example, "random") for one in records if isinstance(one, Record)]
    reference = answers_of("training", [[0.0], [1.0], [2.5]], ())
    write_gate(tmp_path, probes, reference, [answers_of("a", [[0.0], [1.0], [2.75]], ())])
    found = reviewed(line.TASK, tmp_path)
    assert found and found.example
    (worst,) = found.routes
    assert (worst.picture.source, worst.picture.thumbnail) == ("record 2", "")
    assert (worst.picture.label, worst.picture.answer, worst.picture.score) == ("2", "2.5", None)
    assert found.example.numbers == [0.0, -1.5] and found.example.content == ""


def test_several_labels_by_their_thresholds(files: list[bytes], tmp_path: Path) -> None:
    probes = [
        probe_of(files[1], ("red", "blue"), "1.png", "random"),
        probe_of(files[2], (), "2.png", "no label"),
    ]
    names = ("blue", "green", "red")
    reference = answers_of("training", [[0.4, 0.1, 0.9], [0.2, 0.1, 0.5]], names, [0.3, 0.5, 0.6])
    served = answers_of("a", [[0.4, 0.2, 0.9], [0.2, 0.1, 0.5]], names, [0.3, 0.5, 0.6])
    write_gate(tmp_path, probes, reference, [served])
    found = reviewed(several.TASK, tmp_path)
    assert found and found.example
    picture = found.routes[0].picture
    assert (picture.answer, picture.score) == ("blue, red", None)
    assert sorted(picture.label.split(", ")) == ["blue", "red"]
    assert (found.example.picture.label, found.example.picture.answer) == ("none", "none")


def test_a_gate_that_did_not_run_or_check_has_no_proof(tmp_path: Path) -> None:
    assert reviewed(skewable.TASK, "") is None
    (tmp_path / "INFRA_NOT_BLESSED").write_text("")
    assert reviewed(skewable.TASK, tmp_path) is None


def test_a_folder_of_an_earlier_version_has_no_map(gate: Path) -> None:
    with np.load(gate / skew_check.ANSWERS) as arrays:
        np.savez_compressed(gate / skew_check.ANSWERS, scores=arrays["scores"], classes=arrays["classes"])
    found = reviewed(skewable.TASK, gate)
    assert found and (found.differences, found.records) == ({}, [])
    assert [one.route for one in found.routes] == ["b", "c"] and found.example


# The pixels of clients


def png_of(pixels: np.ndarray) -> str:
    content = io.BytesIO()
    Pil.fromarray(pixels.squeeze()).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def pixels_of(uri: str) -> np.ndarray:
    with Pil.open(io.BytesIO(base64.b64decode(uri.partition(";base64,")[2]))) as picture:
        return np.asarray(picture)


def changed_answer(served: np.ndarray, sent: np.ndarray | None) -> ChangedAnswer:
    return ChangedAnswer(
        *("BGR", "sends BGR", "cats/1.jpg", 640, 480, "cat", "cat", "dog" if sent is not None else ""),
        *(0.9, 0.6 if sent is not None else None, "", "" if sent is None else png_of(sent), png_of(served)),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_picture_is_shown_as_a_whole(channels: int) -> None:
    served = np.random.default_rng(0).integers(0, 200, (20, 30, channels), np.uint8)
    sent = served.copy()
    sent[3, 4, 0] += 50
    sent[5, 6, 0] += 25
    found = client_picture(changed_answer(served, sent))
    assert (found.client, found.answer, found.score, found.picture.answer) == ("BGR", "dog", 0.6, "cat")
    assert (found.picture.label, found.picture.score, found.picture.width) == ("cat", 0.9, 640)
    np.testing.assert_array_equal(pixels_of(found.sent), sent.squeeze())
    np.testing.assert_array_equal(pixels_of(found.served), served.squeeze())
    assert (found.height, found.width, found.largest, found.whole_sent) == (20, 30, 50, "")
    expected = np.zeros((20, 30), np.uint8)
    expected[3, 4], expected[5, 6] = 255, 128
    np.testing.assert_array_equal(pixels_of(found.difference), expected)


def test_of_a_large_picture_the_part_that_differs_most_is_shown_pixel_by_pixel() -> None:
    served = np.random.default_rng(0).integers(0, 200, (224, 300, 3), np.uint8)
    sent = served.copy()
    sent[150:170, 201:221] += 30
    sent[0, 0] += 55
    found = client_picture(changed_answer(served, sent))
    shown = pixels_of(found.served)
    assert shown.shape == (48, 48, 3) and (found.height, found.width, found.largest) == (48, 48, 55)
    differing = (pixels_of(found.sent).astype(int) - shown).any(axis=2)
    assert differing.sum() == 400  # the whole square of 20 by 20 is inside
    assert max(pixels_of(found.whole_sent).shape) == max(pixels_of(found.picture.thumbnail).shape) == 112


def test_a_file_that_the_client_cannot_read() -> None:
    found = client_picture(changed_answer(np.zeros((8, 8, 3), np.uint8), None))
    assert (found.sent, found.difference, found.answer, found.score) == ("", "", "", None)
    assert pixels_of(found.served).shape == (8, 8, 3)


@pytest.mark.parametrize("shape", [(17, 19), (9, 7), (3, 9), (7, 2), (4, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_the_largest_part_is_that_of_all_squares(shape: tuple[int, int], seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 100, shape)
    down, across = (min(4, size) for size in shape)
    sums = {
        (top, left): weights[top : top + down, left : left + across].sum()
        for top in range(shape[0] - down + 1)
        for left in range(shape[1] - across + 1)
    }
    rows, columns = largest_part(weights, 4)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (down, across)
    assert sums[rows.start, columns.start] == max(sums.values())
