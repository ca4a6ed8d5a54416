"""Copies, the quarantine and TFDV's anomalies, read from files of ingestion and of TFDV."""

from __future__ import annotations

import json

import pandas as pd
import tensorflow_data_validation as tfdv

from components.review.left_out import QUARANTINED, read_anomalies, read_quarantine, read_twins
from components.review.record import Picture, Twin
from data.images.previews import Preview
from data.ingest.manifest import QUARANTINE, Manifest
from data.ingest.previews import read_previews
from tests.data.ingest.ingest_folder import ingest_folder

_PREVIEW = Preview("data:image/png;base64,x", 30, 20)


def test_copies_have_their_picture_and_both_places(picture_folder, tmp_path):
    folder = picture_folder(tmp_path / "in", {f"{split}/{name}": 4 for split in ("train", "val") for name in "ab"})
    (folder / "val/b/copy.png").write_bytes((folder / "train/b/0001.png").read_bytes())
    (folder / "train/a/other.png").write_bytes((folder / "train/b/0003.png").read_bytes())
    ingest_folder(folder, tmp_path / "out")
    manifest, previews = Manifest.load(str(tmp_path / "out")), read_previews(str(tmp_path / "out"))
    (across,) = read_twins(manifest.duplicates, previews)
    assert across.places == {"train": "train/b/0001.png", "eval": "val/b/copy.png"}
    (labels,) = read_twins(manifest.contradictions, previews)
    assert labels.places == {"a": "train/a/other.png", "b": "train/b/0003.png"}
    for one in (across, labels):
        assert one.picture.thumbnail.startswith("data:image/") and (one.picture.width, one.picture.height) == (12, 9)
    assert read_twins(manifest.duplicates, {}) == [Twin(Picture("train/b/0001.png"), across.places)]


def test_of_a_large_quarantine_pictures_come_first_and_reasons_take_turns(tmp_path):
    lines = [{"source": f"{reason} {n}", "reason": reason, "message": "m"} for reason in "xyz" for n in range(200)]
    (tmp_path / QUARANTINE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    previews = {f"y {number}": _PREVIEW for number in range(190, 200)}
    found = read_quarantine(str(tmp_path), previews)
    assert len(found) == QUARANTINED
    assert [one.picture.source for one in found[:12]] == [*(f"y {number}" for number in range(190, 200)), "x 0", "y 0"]
    assert (found[0].picture.thumbnail, found[0].picture.width, found[0].picture.height) == tuple(_PREVIEW)
    assert found[10].picture == Picture("x 0") and found[0].reason == "y" and found[0].message == "m"
    assert [one.reason for one in found[10:16]] == ["x", "y", "z"] * 2


def test_no_quarantine(tmp_path):
    assert read_quarantine(str(tmp_path), {}) == []
    (tmp_path / QUARANTINE).write_text("")
    assert read_quarantine(str(tmp_path), {}) == []


def test_anomalies_of_tfdv(tmp_path):
    train = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"colour": ["red", "blue"] * 20}))
    schema = tfdv.infer_schema(train)
    later = pd.DataFrame({"colour": ["red", "green"] * 20, "size": [1.0] * 40})
    anomalies = tfdv.validate_statistics(tfdv.generate_statistics_from_dataframe(later), schema)
    for split, found in (("train", tfdv.validate_statistics(train, schema)), ("eval", anomalies)):
        (tmp_path / f"Split-{split}").mkdir()
        (tmp_path / f"Split-{split}" / "SchemaDiff.pb").write_bytes(found.SerializeToString())
    colour, size = read_anomalies(str(tmp_path))
    assert (colour.split, colour.feature, colour.summary) == ("eval", "colour", "Unexpected string values")
    assert "green" in colour.detail
    assert (size.split, size.feature, size.summary) == ("eval", "size", "New column")
    assert read_anomalies(str(tmp_path / "none")) == []
