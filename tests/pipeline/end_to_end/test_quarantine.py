"""Broken pictures are left out and listed; too many of them stop the run before training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.simulator_in_process import Attempt, assert_told, attempt

Make = Callable[..., Path]


def _break(picture: Path) -> str:
    picture.write_bytes(picture.read_bytes()[:60])
    return picture.name


def test_too_many_broken_pictures_stop_before_training(tmp_path: Path, picture_folder: Make) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 20, "dogs": 20})
    names = [_break(data / "cats" / f"{number:04d}.{kind}") for number, kind in ((2, "jpg"), (3, "png"))]
    (data / "dogs" / "0004.jpg").write_bytes(b"")
    found = attempt(data, tmp_path / "root")
    assert_told(found.error, 3, "3 of 40 examples (7.5%)", "more than 5.0%", "1 empty file, 2 not decodable")
    assert found.error and "--set ingest.max_quarantine=" in found.error.hint
    assert found.states["ExampleValidator"] == "failed" and "Trainer" not in found.states
    assert found.record["data"]["quarantined"] == {"not decodable": 2, "empty file": 1}
    report = Path(str(found.error).rpartition("listed in ")[2])
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [one["source"] for one in lines] == [f"cats/{name}" for name in names] + ["dogs/0004.jpg"]
    assert [one["reason"] for one in lines] == ["not decodable", "not decodable", "empty file"]
    assert "JPEG" in lines[0]["message"] and "PNG" in lines[1]["message"] and lines[2]["message"] == "0 bytes"


def test_where_nothing_is_left_a_broken_picture_is_named(tmp_path: Path, picture_folder: Make) -> None:
    """The report is deleted with the failed component's outputs."""
    data = picture_folder(tmp_path / "data", {"cats": 2, "dogs": 2})
    for picture in data.glob("*/*"):
        _break(picture)
    found = attempt(data, tmp_path / "root")
    words = ["no examples for training (0 in all, 4 in quarantine)", "cats/0000.jpg: not decodable (", "JPEG"]
    assert_told(found.error, 3, *words)


def test_a_class_that_is_lost_whole_is_named(tmp_path: Path, picture_folder: Make) -> None:
    """Otherwise the model would be trained without a class, although the quarantine is under the limit."""
    data = picture_folder(tmp_path / "data", {"birds": 1, "cats": 30, "dogs": 30})
    _break(data / "birds" / "0000.jpg")
    found = attempt(data, tmp_path / "root")
    assert_told(found.error, 3, "class 'birds' has no picture that can be decoded", "birds/0000.jpg: not decodable")


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory, picture_folder: Make) -> tuple[Path, Attempt]:
    """A complete run on a folder that has a bit of everything."""
    data = tmp_path_factory.mktemp("messy") / "data"
    picture_folder(data, {"train/cats": 30, "train/dogs": 30, "validation/cats": 8, "validation/dogs": 8})
    _break(data / "train" / "cats" / "0000.jpg")
    (data / "train" / "dogs" / "gone.png").symlink_to("/no/such/picture.png")
    for name in (".DS_Store", "train/.DS_Store", "train/cats/.DS_Store", "train/dogs/Thumbs.db", "notes.txt"):
        (data / name).write_bytes(b"?")
    twin = (data / "train" / "dogs" / "0007.png").read_bytes()
    (data / "validation" / "dogs" / "0001.png").write_bytes(twin)
    return data, attempt(data, data.parent / "root", evaluate__min_accuracy="0")


@pytest.mark.slow
def test_a_few_broken_pictures_do_not_stop_a_run(messy: tuple[Path, Attempt]) -> None:
    _, found = messy
    assert found.error is None and found.record["status"] == "pushed" and found.record["exit_code"] == 0
    assert found.record["data"]["quarantined"] == {"not decodable": 1, "unreadable": 1}
    assert found.record["data"]["examples"] == {"train": 59, "eval": 16}
    report = Path(found.record["data"]["folder"], "quarantine.jsonl").read_text()
    lines = {one["source"]: one for one in map(json.loads, report.splitlines())}
    assert lines.keys() == {"train/cats/0000.jpg", "train/dogs/gone.png"}
    assert lines["train/dogs/gone.png"]["message"] == "a link to nowhere: /no/such/picture.png"


@pytest.mark.slow
def test_what_is_no_picture_is_counted(messy: tuple[Path, Attempt]) -> None:
    assert messy[1].record["data"]["not_pictures"] == {".DS_Store": 3, ".db": 1, ".txt": 1}


@pytest.mark.slow
def test_a_picture_in_both_splits_is_named_on_both_sides(messy: tuple[Path, Attempt]) -> None:
    data = messy[1].record["data"]
    assert data["duplicate_count"] == 1
    assert data["duplicates"] == [{"train": "train/dogs/0007.png", "eval": "validation/dogs/0001.png"}]
