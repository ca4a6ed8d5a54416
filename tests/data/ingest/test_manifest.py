"""The manifest: its counts, the quarantine report, the duplicates, and every error of `check_manifest`."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from data.errors import DataError
from data.ingest.manifest import MANIFEST, QUARANTINE, Manifest, check_manifest, label_notes
from data.ingest.shards import ShardFile
from data.sources import Arrays
from data.sources.labels import label_order
from data.spec import Classes, Image, Labels, Number, Vector
from tests.data.ingest.ingest_folder import ingest_folder


def test_it_counts_the_contents_of_the_folder(picture_folder, tmp_path):
    counts = {"train/a": 7, "train/b": 5, "val/a": 2, "val/b": 3, "test/a": 1, "test/b": 1}
    folder = picture_folder(tmp_path / "in", counts)
    (folder / "train/a/.DS_Store").touch()
    manifest = ingest_folder(folder, tmp_path / "out")
    assert manifest.labels("train") == {"a": 7, "b": 5} and manifest.labels("eval") == {"a": 2, "b": 3}
    assert manifest.labels() == {"a": 10, "b": 9} and manifest.labels("absent") == {}
    assert [manifest.examples(split) for split in ("train", "eval", "test", None, "absent")] == [12, 5, 2, 19, 0]
    for split in ("train", "eval", "test"):
        files = list((tmp_path / "out" / f"Split-{split}").iterdir())
        assert manifest.bytes(split) == sum(file.stat().st_size for file in files)
    assert manifest.bytes() == sum(manifest.bytes(split) for split in ("train", "eval", "test"))
    assert manifest.not_pictures == {".DS_Store": 1}
    assert manifest.duplicate_count == 0 and manifest.quarantine_share() == 0
    assert (tmp_path / "out" / QUARANTINE).read_text() == ""


def test_it_is_read_back_as_it_was_written(picture_folder, tmp_path):
    folder = picture_folder(tmp_path / "in", {"train/a": 3, "train/b": 2, "val/a": 1, "val/b": 1})
    (folder / "val/b/again.jpg").write_bytes((folder / "train/a/0000.jpg").read_bytes())
    (folder / "val/b/broken.jpg").write_bytes(b"text")
    manifest = ingest_folder(folder, tmp_path / "out")
    assert Manifest.load(str(tmp_path / "out")) == manifest
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["duplicate_count"] == 1
    assert not list((tmp_path / "out").rglob("*.partial/*"))


def test_a_manifest_of_another_version_is_read(picture_folder, tmp_path):
    """Unknown fields are ignored: `rotated` was one. Missing ones have their defaults."""
    manifest = ingest_folder(picture_folder(tmp_path / "in", {"a": 6, "b": 6}), tmp_path / "out")
    file = tmp_path / "out" / MANIFEST
    values = json.loads(file.read_text())
    del values["remarks"]
    for shard in [shard for shards in values["splits"].values() for shard in shards]:
        del shard["unlabelled"]
    file.write_text(json.dumps({**values, "rotated": 3}))
    assert Manifest.load(str(tmp_path / "out")) == manifest


def test_the_quarantine_names_each_file_with_its_reason(picture_folder, tmp_path):
    folder = picture_folder(tmp_path / "in", {"a": 6, "b": 6})
    for name, contents in (("b/z.jpg", b"text"), ("a/é\n.jpg", b"text"), ("a/y.png", b"")):
        (folder / name).write_bytes(contents)
    manifest = ingest_folder(folder, tmp_path / "out")
    assert manifest.quarantined == {"not decodable": 2, "empty file": 1}
    assert manifest.quarantine_share() == 3 / 15
    lines = [json.loads(line) for line in (tmp_path / "out" / QUARANTINE).read_text().splitlines()]
    found = [(line["source"], line["reason"]) for line in lines]
    assert found == [("a/y.png", "empty file"), ("a/é\n.jpg", "not decodable"), ("b/z.jpg", "not decodable")]
    assert lines[2]["message"] == "text, not a picture"


def test_duplicates_across_given_splits_are_named_with_both_paths(picture_folder, tmp_path):
    folder = picture_folder(
        tmp_path / "in", {f"{split}/{name}": 4 for split in ("train", "val", "test") for name in "ab"}
    )
    copies = [("train/a/0001.png", "val/b/copy.png"), ("train/b/0002.jpg", "test/a/other.jpg")]
    for original, copy in copies:
        (folder / copy).write_bytes((folder / original).read_bytes())
    (folder / "train/b/within.jpg").write_bytes((folder / "train/a/0000.jpg").read_bytes())  # not across
    (folder / "test/b/aside.jpg").write_bytes((folder / "val/a/0000.jpg").read_bytes())  # not with training
    manifest = ingest_folder(folder, tmp_path / "out")
    assert manifest.duplicate_count == 2
    assert manifest.duplicates == [
        {"train": "train/a/0001.png", "eval": "val/b/copy.png"},
        {"train": "train/b/0002.jpg", "test": "test/a/other.jpg"},
    ]


def test_of_many_duplicates_twenty_are_named_and_all_counted(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (300, 4, 4), np.uint8)
    arrays = {"x_train": x, "y_train": np.arange(300) % 2, "x_test": x[::-1][:25], "y_test": np.arange(25) % 2}
    np.savez(tmp_path / "d.npz", **arrays)
    manifest = ingest_folder(tmp_path, tmp_path / "out", Arrays(), Image(4, 4, 1))
    assert manifest.duplicate_count == 25 and len(manifest.duplicates) == 20
    for pair in manifest.duplicates:
        train, other = (int(pair[split].split("[")[1][:-1]) for split in ("train", "eval"))
        assert train == 299 - other
        assert pair["train"].startswith("d.npz!x_train[")


def test_a_duplicate_row_of_numbers_is_named_by_its_shard(tmp_path):
    x = np.arange(10.0).reshape(5, 2)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=np.arange(5), x_test=x[3:4], y_test=np.arange(1))
    manifest = ingest_folder(tmp_path, tmp_path / "out", Arrays(), Vector(2), Number())
    (pair,) = manifest.duplicates
    assert pair["eval"] == "Split-eval/data_tfrecord-00000-of-00002[0]"
    assert pair["train"].startswith("Split-train/data_tfrecord-00001-of-00002[")


def test_where_content_decides_there_are_no_duplicates(picture_folder, tmp_path):
    folder = picture_folder(tmp_path / "in", {"a": 20, "b": 0})
    for path in list((folder / "a").iterdir()):
        (folder / "b" / path.name).write_bytes(path.read_bytes())
    manifest = ingest_folder(folder, tmp_path / "out")
    assert manifest.examples("train") and manifest.examples("eval") and manifest.duplicate_count == 0


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "1", "0"], ["0", "1", "9", "10"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["b", "a", "B", "A"], ["A", "B", "a", "b"]),
        (["01", "1", "0"], ["0", "01", "1"]),
        (["-1", "10", "2", "-10"], ["-10", "-1", "2", "10"]),
        ([], []),
    ],
)
def test_the_order_of_labels(names, expected):
    assert label_order(names) == label_order(Counter(names)) == expected


def a_manifest(train: dict[str, int], held_out: dict[str, int], **more) -> Manifest:
    splits = {"train": train, "eval": held_out}
    files = {split: [ShardFile("f", sum(of.values()), 1, "", of)] for split, of in splits.items() if of}
    return Manifest(files, **more)


def test_the_classes():
    assert check_manifest(a_manifest({"10": 1, "9": 2}, {"9": 1}), Classes()) == ("9", "10")
    assert check_manifest(a_manifest({"b": 1, "a": 2}, {"a": 1}), Classes()) == ("a", "b")
    assert check_manifest(a_manifest({"b": 1, "a": 2}, {"a": 1}), Classes(("b", "a"))) == ("b", "a")
    allowing = Classes(("c", "b", "a"), allow_untrained=True)
    assert check_manifest(a_manifest({"b": 1, "a": 2}, {"a": 1}), allowing) == ("c", "b", "a")
    assert check_manifest(a_manifest({"1.5": 1}, {"9.5": 1}), Number()) == ()


def test_the_names_of_several_labels():
    assert check_manifest(a_manifest({"10": 1, "9": 2}, {"9": 1}), Labels()) == ("9", "10")
    assert check_manifest(a_manifest({"only": 1}, {"only": 1}), Labels()) == ("only",)
    assert check_manifest(a_manifest({"b": 1, "a": 2}, {"a": 1}), Labels(("b", "a"))) == ("b", "a")
    allowing = Labels(("c", "b", "a"), allow_untrained=True)
    assert check_manifest(a_manifest({"b": 1, "a": 2}, {"a": 1}), allowing, ["a", "b"]) == ("c", "b", "a")


def several(train: tuple[int, dict[str, int]], held_out: tuple[int, dict[str, int]], unlabelled: int) -> Manifest:
    splits = {"train": train, "eval": held_out}
    return Manifest({split: [ShardFile("f", count, 1, "", of, unlabelled)] for split, (count, of) in splits.items()})


def test_what_is_unusual_about_several_labels():
    usual = several((5, {"a": 4, "b": 4}), (2, {"a": 1, "b": 2}), 0)
    assert label_notes(usual, ("a", "b")) == []
    unusual = several((5, {"a": 5, "b": 4}), (2, {"a": 2}), 1)
    assert label_notes(unusual, ("a", "b", "c")) == [
        "2 of 7 examples have no label",
        "all training examples have the label 'a': the model can only learn to say yes",
        "no example for evaluation has the label 'b', 'c': its threshold stays 0.5",
    ]


@pytest.mark.parametrize(
    ("manifest", "label", "said"),
    [
        (several((3, {}), (1, {"a": 1}), 3), Labels(), "label 'a' occurs only in evaluation"),
        (several((3, {}), (1, {}), 3), Labels(), "no training example has a label: there is nothing to learn"),
        (several((3, {}), (1, {}), 3), Labels(("a",)), "no training example has a label"),
        (a_manifest({"a": 1}, {}), Labels(), "no examples for evaluation"),
        (a_manifest({"a": 1, "x": 1}, {"a": 1}), Labels(("a",)), "label 'x' is not among the task's label.names: a"),
        (a_manifest({"a": 2}, {"a": 1}), Labels(("c", "a")), "no training example of 'c', which label.names lists"),
        (a_manifest({}, {"a": 1}), Classes(), r"no examples for training \(1 in all, 0 in quarantine\)"),
        (
            a_manifest({"a": 1, "b": 1}, {}, quarantined={"empty file": 2, "unreadable": 1}),
            Classes(),
            r"no examples for evaluation \(2 in all, 3 in quarantine\)",
        ),
        (a_manifest({}, {}), Number(), "no examples for training"),
        (a_manifest({"a": 1, "b": 1}, {"c": 1}), Classes(), "label 'c' occurs only in evaluation"),
        (a_manifest({"a": 1, "b": 1}, {"c": 1}), Classes(("a", "b", "c")), "label 'c' occurs only in evaluation"),
        (
            a_manifest({"a": 1, "x": 1}, {"a": 1}),
            Classes(("a", "b")),
            "label 'x' is not among the task's label.names: a, b",
        ),
        (
            a_manifest({"a": 1, "b": 1}, {"x": 1}),
            Classes(("a", "b")),
            "label 'x' is not among the task's label.names: a, b",
        ),
        (a_manifest({"a": 1}, {"a": 1}), Classes(), "only one class, 'a'"),
        (a_manifest({"a": 1}, {"a": 1}), Classes(("a", "b")), "only one class, 'a'"),
        (a_manifest({"b": 1, "a": 2}, {"a": 1}), Classes(("c", "b", "a")), "no training example of 'c', which label.n"),
    ],
)
def test_what_cannot_be_trained_on(manifest, label, said):
    with pytest.raises(DataError, match=said):
        check_manifest(manifest, label)
