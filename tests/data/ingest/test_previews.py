"""Previews of the quarantine and of copies: which are made, and where they are kept."""

from __future__ import annotations

import json

import numpy as np
import tensorflow as tf

from data.images.previews import preview_file
from data.ingest.manifest import QUARANTINE
from data.ingest.previews import MOST, PREVIEWS, choose_previews, read_previews
from data.records import Rejected
from data.sources import Arrays, TFRecords
from data.spec import Classes, Labels, Number, Vector
from tests.data.ingest.ingest_folder import PICTURES, SMALL, ingest_folder


def test_the_quarantine_shows_what_pillow_can(picture_folder, smooth, encode, tmp_path):
    folder = picture_folder(tmp_path / "in", {"a": 6, "b": 6})
    whole = encode(smooth(77, 60, 90), "JPEG")
    broken = {"a/cut.jpg": whole[:900], "b/scan.tif": encode(smooth(78), "TIFF"), "a/note.jpg": b"text"}
    for name, contents in broken.items():
        (folder / name).write_bytes(contents)
    ingest_folder(folder, tmp_path / "out")
    found = read_previews(str(tmp_path / "out"))
    assert found == {name: preview_file(broken[name]) for name in ("a/cut.jpg", "b/scan.tif")}
    lines = [json.loads(line) for line in (tmp_path / "out" / QUARANTINE).read_text().splitlines()]
    assert [sorted(line) for line in lines] == [["message", "reason", "source"]] * 3  # as in earlier versions


def test_nothing_is_written_without_previews(picture_folder, tmp_path):
    ingest_folder(picture_folder(tmp_path / "in", {"a": 6, "b": 6}), tmp_path / "out")
    assert not (tmp_path / "out" / PREVIEWS).exists() and read_previews(str(tmp_path / "out")) == {}


def test_a_picture_with_an_unknown_label_and_a_broken_record_are_shown(picture_folder, smooth, encode, tmp_path):
    folder = picture_folder(tmp_path / "in", {"1": 6, "2": 6, "seven": 1})
    ingest_folder(folder, tmp_path / "out", label=Labels(("1", "2")))
    (shown,) = read_previews(str(tmp_path / "out"))
    assert shown == "seven/0000.jpg"
    (tmp_path / "records").mkdir()
    for first, name in ((0, "train"), (100, "eval")):
        with tf.io.TFRecordWriter(str(tmp_path / f"records/{name}.tfrecord")) as writer:
            for number in range(first, first + 20):
                example = tf.train.Example()
                contents = encode(smooth(number), "PNG")
                example.features.feature["image"].bytes_list.value.append(contents[:600] if number == 7 else contents)
                example.features.feature["label"].int64_list.value.append(number % 2)
                writer.write(example.SerializeToString())
    ingest_folder(tmp_path / "records", tmp_path / "there", TFRecords(), label=Classes(("x", "y")))
    ((source, preview),) = read_previews(str(tmp_path / "there")).items()
    assert source.startswith("train.tfrecord@") and preview == preview_file(encode(smooth(7), "PNG")[:600])


def test_copies_are_shown_although_they_are_removed(picture_folder, tmp_path):
    folder = picture_folder(tmp_path / "in", {f"{split}/{name}": 4 for split in ("train", "val") for name in "ab"})
    for original, copy in (("train/a/0001.png", "val/b/copy.png"), ("train/b/0002.jpg", "train/a/other.jpg")):
        (folder / copy).write_bytes((folder / original).read_bytes())
    for remove in (False, True):
        manifest = ingest_folder(folder, tmp_path / f"out{remove}", remove_duplicates=remove)
        found = read_previews(str(tmp_path / f"out{remove}"))
        twins = [*manifest.duplicates, *manifest.contradictions]
        assert len(twins) == 3  # the copy in val has another label, too
        for twin in twins:
            (source,) = set(twin.values()) & found.keys()
            assert found[source] == preview_file((folder / source).read_bytes())


def test_numbers_have_none(tmp_path):
    x = np.arange(10.0).reshape(5, 2)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=np.arange(5), x_test=x[3:4], y_test=np.arange(1))
    assert ingest_folder(tmp_path, tmp_path / "out", Arrays(), Vector(2), Number()).duplicate_count == 1
    assert read_previews(str(tmp_path / "out")) == {}


def test_of_many_broken_pictures_each_reason_keeps_its_share(picture_folder, smooth, encode, tmp_path):
    folder = picture_folder(tmp_path / "in", {"a": 6, "b": 6})
    tiff, jpeg = encode(smooth(1), "TIFF"), encode(smooth(2), "JPEG")[:700]
    for number in range(90):
        (folder / f"a/{number:03d}.tif").write_bytes(tiff)
    for number in range(3):
        (folder / f"b/cut{number}.jpg").write_bytes(jpeg)
    ingest_folder(folder, tmp_path / "out", PICTURES, SMALL)
    found = read_previews(str(tmp_path / "out"))
    assert len(found) == MOST and {f"b/cut{number}.jpg" for number in range(3)} <= found.keys()


def test_reasons_take_turns():
    preview = preview_file(b"P5 1 1 255\n\x07")
    assert preview
    rejected = [Rejected(f"{reason}{number}", reason) for reason in ("r", "s") for number in range(50)]
    found = {one.source: preview for one in rejected if one.source != "s0"}
    chosen = list(choose_previews(rejected, found))
    assert chosen[:4] == ["r0", "s1", "r1", "s2"] and len(chosen) == MOST
