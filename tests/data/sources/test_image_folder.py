"""ImageFolder: what it lists, passes over and refuses, in the folders that people have."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from data.errors import DataError, UsageError
from data.families import IS_NEW
from data.images.validate import check_files
from data.records import Record, Rejected
from data.sources import ImageFolder
from data.spec import Classes, Image, Vector

FEATURE = Image(8, 8)


def facts(record: Record) -> dict:
    """The example's features, by key."""
    features = tf.train.Example.FromString(record.example).features.feature
    return {key: getattr(value, value.WhichOneof("kind")).value[0] for key, value in features.items()}


@pytest.fixture
def read(read_all, tmp_path):
    return lambda: read_all(ImageFolder(), tmp_path, FEATURE, Classes())


def test_a_folder_per_class(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {"cats": 3, "dogs": 2})
    outcomes = read()[""]
    assert [(one.source, one.labels[0]) for one in outcomes] == [
        ("cats/0000.jpg", "cats"),
        ("cats/0001.png", "cats"),
        ("cats/0002.jpg", "cats"),
        ("dogs/0000.jpg", "dogs"),
        ("dogs/0001.png", "dogs"),
    ]
    for one in outcomes:
        contents = (tmp_path / one.source).read_bytes()
        expected = {
            "image": contents,
            "image/height": 9,
            "image/width": 12,
            "image/channels": 3,
            "image/bytes": len(contents),
            "image/format": b"jpeg" if one.source.endswith("jpg") else b"png",
            "image/source": one.source.encode(),
            "label": one.labels[0].encode(),
        }
        assert facts(one) == expected


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "validation"), {"train": "train", "eval": "validation"}),
        (("Training", "Test"), {"train": "Training", "eval": "Test"}),
        (("train", "val", "test"), {"train": "train", "eval": "val", "test": "test"}),
    ],
)
def test_folders_for_the_splits(folders, splits, read, picture_folder, tmp_path):
    picture_folder(tmp_path, {f"{split}/{name}": 2 for split in folders for name in ("a", "b")})
    found = read()
    assert set(found) - {"plan"} == set(splits)
    for split, folder in splits.items():
        files = [f"{folder}/{name}/{file}" for name in "ab" for file in ("0000.jpg", "0001.png")]
        assert [one.source for one in found[split]] == files
        assert [one.labels[0] for one in found[split]] == ["a", "a", "b", "b"]


def test_folders_below_a_class_belong_to_it(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {"a": 1, "a/2020": 1, "a/2020/may": 1, "b/x": 1, "a/.hidden": 5, "a/__MACOSX": 5})
    assert [(one.source, one.labels[0]) for one in read()[""]] == [
        ("a/0000.jpg", "a"),
        ("a/2020/0000.jpg", "a"),
        ("a/2020/may/0000.jpg", "a"),
        ("b/x/0000.jpg", "b"),
    ]


def test_other_files_are_counted_and_ignored(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {"a": 2, "b": 2, ".git/objects": 3})
    for name in (".DS_Store", "a/.DS_Store", "a/Thumbs.db", "b/notes.TXT", "b/README", "readme.md"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a/._0000.jpg").write_bytes(b"\0\5\x16\7AppleDouble")
    found = read()
    assert len(found[""]) == 4 and all(isinstance(one, Record) for one in found[""])
    expected = {".DS_Store": 2, ".db": 1, ".txt": 1, "without a suffix": 1, ".md": 1, ".jpg": 1, ".git/": 1}
    assert found["plan"].not_pictures == Counter(expected)


def test_loose_pictures_next_to_split_folders_are_counted(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1, "test": 1, ".": 1})
    plan = read()["plan"]
    assert plan.unused == {"in no folder of a split": 1, "in no class folder": 1} and not plan.not_pictures


def test_what_cannot_be_decoded_goes_to_quarantine(read, picture_folder, encode, smooth, tmp_path):
    picture_folder(tmp_path, {"a": 3, "b": 2})
    whole = (tmp_path / "a/0000.jpg").read_bytes()
    (tmp_path / "a/cut.jpg").write_bytes(whole[:-60])
    (tmp_path / "a/empty.png").touch()
    (tmp_path / "b/modern.webp").write_bytes(encode(smooth(1), "WEBP"))
    picture_folder(tmp_path, {"b/folder.jpg": 1})
    (tmp_path / "b/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "b/linked.jpg").symlink_to(tmp_path / "a/0000.jpg")
    outcomes = read()[""]
    rejected = {one.source: one.reason for one in outcomes if isinstance(one, Rejected)}
    expected = {"a/cut.jpg": "not decodable", "a/empty.png": "empty file", "b/gone.jpg": "unreadable"}
    assert rejected == expected | ({} if IS_NEW else {"b/modern.webp": "unsupported format"})
    assert all(one.message for one in outcomes if isinstance(one, Rejected))
    good = {one.source: facts(one)["image"] for one in outcomes if isinstance(one, Record)}
    assert len(good) == 7 + IS_NEW and good["b/linked.jpg"] == whole


def test_a_rotated_picture_is_kept_and_reported(read, picture_folder, encode, smooth, tmp_path):
    from PIL import Image as Pil

    picture_folder(tmp_path, {"a": 1, "b": 1})
    exif = Pil.Exif()
    exif[0x0112] = 6
    (tmp_path / "a/turned.jpg").write_bytes(encode(smooth(1, 30, 20), "JPEG", exif=exif))
    (turned,) = (one for one in read()[""] if one.remarks)
    assert (turned.source, turned.remarks) == ("a/turned.jpg", ("EXIF rotation",))
    assert (facts(turned)["image/height"], facts(turned)["image/width"]) == (30, 20)  # as stored, not turned


def refused(read, *said: str) -> None:
    with pytest.raises(DataError) as raised:
        read()
    assert all(part in str(raised.value) + raised.value.hint for part in said), str(raised.value)


def test_an_empty_folder(read, tmp_path):
    refused(read, f"no class in {tmp_path}", "the folder is empty")


def test_pictures_without_a_class(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {".": 3})
    refused(read, "no class in", "3 pictures are directly in it", "a folder of its own")


def test_a_split_without_a_class(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {"train/a": 1, "train/b": 1, "val": 2})
    refused(read, "'train'", "there is no validation part", "'val' holds no folder for each class", "source.splits")


def test_an_empty_class(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {"a": 2, "b": 0})
    (tmp_path / "b/notes.txt").touch()
    refused(read, "class 'b' has no pictures", f"{tmp_path}/b", ".jpg")


def test_one_class_is_planned(read, picture_folder, tmp_path):
    """`manifest.check_manifest` rejects a single class, when the labels of all splits are known."""
    picture_folder(tmp_path, {"only": 2})
    assert {one.labels[0] for one in read()[""]} == {"only"}


def test_the_feature_must_be_an_image(read_all, tmp_path):
    with pytest.raises(UsageError, match="must be an Image"):
        read_all(ImageFolder(), tmp_path, Vector(3), Classes())


def test_names_with_spaces_and_other_scripts(read, picture_folder, tmp_path):
    picture_folder(tmp_path, {"猫 cats": 1, "dogs & 'co'": 1, "[a-z]*": 1})
    assert sorted(one.labels[0] for one in read()[""]) == sorted(["猫 cats", "dogs & 'co'", "[a-z]*"])


def test_reading_holds_three_chunks_at_most(picture_folder, monkeypatch, tmp_path):
    """The first record comes when no more than three chunks were read, however long the shard."""
    picture_folder(tmp_path, {"a": 1})
    sizes = []

    def counted(paths, *limits):
        sizes.append(len(paths))
        return check_files(paths, *limits)

    monkeypatch.setattr("data.sources.image_folder.check_files", counted)
    items = [("a/0000.jpg", "a")] * 2000
    outcomes = ImageFolder().read(str(tmp_path), items, FEATURE, Classes(), np.random.default_rng(0))
    next(outcomes)
    assert len(sizes) <= 3 and sum(sizes) <= 256
    assert sum(1 for _ in outcomes) == 1999
    assert sum(sizes) == 2000
