"""Whole runs on data that are laid out like well-known archives: the archives' splits are used and reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipeline.report.record import RunRecord
from pipeline.report.summary import list_facts, list_warnings
from tests.pipeline.simulator_in_process import attempt

pytestmark = pytest.mark.slow


def printed(record: dict[str, Any]) -> str:
    """Return the warnings and the facts of the summary."""
    found = RunRecord.from_json(record)
    return "\n".join([*list_warnings(found), *list_facts(found).values()])


def test_tfds(smooth, encode, tmp_path: Path) -> None:
    """`tfds.load("cifar10")`: a prefix before the split, a shard number after it, other files in the folder."""
    folder = tmp_path / "cifar10/3.0.2"
    folder.mkdir(parents=True)
    for split, count in (("train", 60), ("test", 20)):
        path = folder / f"cifar10-{split}.tfrecord-00000-of-00001"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for number in range(count):
                example = tf.train.Example()
                feature = example.features.feature
                feature["image"].bytes_list.value.append(encode(smooth(count + number), "PNG"))
                feature["label"].int64_list.value.append(number % 2)
                feature["id"].bytes_list.value.append(f"{split}_{number:05d}".encode())
                writer.write(example.SerializeToString())
    for name in ("dataset_info.json", "features.json", "label.labels.txt"):
        (folder / name).write_text("{}")
    found = attempt(folder, tmp_path / "root", "tests.tasks.tiny:RECORDS")
    assert found.error is None and found.record["status"] == "pushed"
    assert found.record["data"]["examples"] == {"train": 60, "eval": 20}
    assert found.record["data"]["labels"]["eval"] == {"0": 10, "1": 10}
    assert "20 eval from cifar10-test.tfrecord-00000-of-00001" in printed(found.record)


def test_kaggle(picture_folder, tmp_path: Path) -> None:
    """Kaggle's cats and dogs: other names of the splits, and each folder nested in one of the same name."""
    counts = {"training_set/training_set": 30, "test_set/test_set": 10}
    folder = picture_folder(
        tmp_path / "archive", {f"{split}/{name}": n for split, n in counts.items() for name in ("cats", "dogs")}
    )
    (folder / "training_set/training_set/cats/_DS_Store").touch()
    found = attempt(folder, tmp_path / "root")
    assert found.error is None and found.record["status"] == "pushed"
    assert found.record["data"]["examples"] == {"train": 60, "eval": 20}
    assert set(found.record["data"]["labels"]["train"]) == {"cats", "dogs"}
    assert "60 train from training_set/training_set" in printed(found.record)
    assert "1 without a suffix" in printed(found.record)


def test_intel_scenes(picture_folder, tmp_path: Path) -> None:
    """Pictures to predict, which have no class, in a folder next to the splits."""
    counts = {"seg_train/seg_train": 20, "seg_test/seg_test": 8}
    folder = picture_folder(
        tmp_path / "archive",
        {f"{split}/{name}": n for split, n in counts.items() for name in ("sea", "street", "forest")},
    )
    picture_folder(folder, {"seg_pred/seg_pred": 7}, seed=500)
    found = attempt(folder, tmp_path / "root")
    assert found.error is None and found.record["status"] == "pushed"
    assert found.record["data"]["examples"] == {"train": 60, "eval": 24}
    assert "7 pictures or data files are not used: 7 in seg_pred/" in printed(found.record)


def test_equal_pictures_are_removed(picture_folder, tmp_path: Path) -> None:
    folder = picture_folder(
        tmp_path / "in", {f"{split}/{name}": 20 for split in ("train", "val") for name in ("a", "b")}
    )
    (folder / "val/a/copy.jpg").write_bytes((folder / "train/a/0000.jpg").read_bytes())
    (folder / "train/b/two.png").write_bytes((folder / "train/a/0001.png").read_bytes())
    first = attempt(folder, tmp_path / "root")
    assert first.record["data"]["examples"] == {"train": 41, "eval": 41}
    words = printed(first.record)
    assert "train/a/0001.png (a) = train/b/two.png (b); --set ingest.duplicates=remove" in words
    assert "1 evaluation pictures are also in the training data" in words
    second = attempt(folder, tmp_path / "root", ingest__duplicates="remove", evaluate__max_drop="1")
    assert second.error is None and second.record["data"]["examples"] == {"train": 38, "eval": 41}
    assert "3 copies were removed" in printed(second.record)
