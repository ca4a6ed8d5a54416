"""Equal images: found, against a count in plain Python, and removed from the shards."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.ingest.duplicates import (
    ContentIndex,
    DuplicatePair,
    Duplicates,
    Place,
    describe_labels,
    join_ranges,
    keys_by_range,
)
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardReport
from data.sources import Arrays, ImageFolder
from data.spec import Image, Labels, Vector
from tests.data.ingest.ingest_folder import ingest_folder


def sources(target: Path, split: str) -> list[str]:
    """`image/source` of the records in the shards of a split."""
    files = sorted(map(str, (target / f"Split-{split}").glob("data_tfrecord-*")))
    return sorted(
        tf.train.Example.FromString(record).features.feature["image/source"].bytes_list.value[0].decode()
        for record in tf.data.TFRecordDataset(files).as_numpy_iterator()
    )


@pytest.fixture
def folder(picture_folder, tmp_path) -> Path:
    """train and val with copies across splits, under two labels, and within a split."""
    made = picture_folder(tmp_path / "in", {f"{split}/{name}": 4 for split in ("train", "val") for name in "ab"})
    for original, copy in (
        ("train/a/0001.png", "val/a/across.png"),
        ("train/a/0000.jpg", "train/b/two_labels.jpg"),
        ("train/b/0002.jpg", "train/b/again.jpg"),
        ("train/b/0002.jpg", "train/b/and_again.jpg"),
        ("val/b/0003.png", "val/a/two_labels.png"),
    ):
        (made / copy).write_bytes((made / original).read_bytes())
    return made


def test_equal_images_are_reported(folder, tmp_path):
    manifest = ingest_folder(folder, tmp_path / "out")
    assert manifest.duplicate_count == 1
    assert manifest.duplicates == [{"train": "train/a/0001.png", "eval": "val/a/across.png"}]
    assert manifest.contradiction_count == 4
    assert sorted(manifest.contradictions, key=str) == [
        {"a": "train/a/0000.jpg", "b": "train/b/two_labels.jpg"},
        {"a": "val/a/two_labels.png", "b": "val/b/0003.png"},
    ]
    assert manifest.removed == 0 and manifest.examples() == 16 + 5


def test_equal_images_are_removed(folder, tmp_path):
    manifest = ingest_folder(folder, tmp_path / "out", remove_duplicates=True)
    train = sources(tmp_path / "out", "train")
    # Which of three equal ones stays is the order in the shards; the other names are certain.
    of_three = {"train/b/0002.jpg", "train/b/again.jpg", "train/b/and_again.jpg"}
    assert len(of_three & set(train)) == 1
    assert set(train) - of_three == {
        *("train/a/0002.jpg", "train/a/0003.png"),
        *("train/b/0000.jpg", "train/b/0001.png", "train/b/0003.png"),
    }
    assert sources(tmp_path / "out", "eval") == [
        *("val/a/0000.jpg", "val/a/0001.png", "val/a/0002.jpg", "val/a/0003.png", "val/a/across.png"),
        *("val/b/0000.jpg", "val/b/0001.png", "val/b/0002.jpg"),
    ]
    assert manifest.labels("train") == {"a": 2, "b": 4} and manifest.labels("eval") == {"a": 5, "b": 3}
    assert manifest.removed == 21 - 14 == 16 + 5 - manifest.examples()
    assert Manifest.load(str(tmp_path / "out")) == manifest
    again = ingest_folder(folder, tmp_path / "again", remove_duplicates=True)
    for shard in manifest.splits["train"]:  # the counts and checksums are those of the new files
        path = tmp_path / "out" / shard.file
        assert shard.bytes == path.stat().st_size
        assert sum(1 for _ in tf.data.TFRecordDataset(str(path))) == shard.examples
    assert dataclasses.asdict(again) == dataclasses.asdict(manifest)


def test_a_shard_of_copies_alone_goes(tmp_path):
    x = np.tile(np.random.default_rng(0).integers(0, 256, (1, 4, 4), np.uint8), (200, 1, 1))
    other = np.random.default_rng(1).integers(0, 256, (40, 4, 4), np.uint8)
    np.savez(
        tmp_path / "d.npz",
        x_train=np.concatenate([x, other]),
        y_train=np.arange(240) % 1,
        x_test=other[:5],
        y_test=np.zeros(5),
    )
    manifest = ingest_folder(tmp_path, tmp_path / "out", Arrays(), Image(4, 4, 1), remove_duplicates=True)
    assert manifest.examples("train") == 1 + 35 and manifest.examples("eval") == 5
    assert manifest.removed == 199 + 5


@pytest.mark.parametrize("seed", range(5))
def test_counts_against_plain_python(seed, tmp_path):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (12, 4, 4), np.uint8)
    picks, labels = rng.integers(0, 12, 60), rng.integers(0, 2, 60)
    test_picks, test_labels = rng.integers(0, 12, 20), rng.integers(0, 2, 20)
    np.savez(tmp_path / "d.npz", x_train=pixels[picks], y_train=labels, x_test=pixels[test_picks], y_test=test_labels)
    manifest = ingest_folder(tmp_path, tmp_path / "out", Arrays(), Image(4, 4, 1))
    seen: dict[int, set[int]] = {}
    for pick, label in zip([*picks, *test_picks], [*labels, *test_labels], strict=True):
        seen.setdefault(int(pick), set()).add(int(label))
    assert manifest.contradiction_count == sum(len(seen[int(pick)]) > 1 for pick in [*picks, *test_picks])
    assert manifest.duplicate_count == sum(pick in picks for pick in test_picks)
    removed = ingest_folder(tmp_path, tmp_path / "removed", Arrays(), Image(4, 4, 1), remove_duplicates=True)
    sure = {pick for pick, found in seen.items() if len(found) == 1}
    assert removed.examples("eval") == len(sure & set(test_picks.tolist()))
    assert removed.examples("train") == len((sure & set(picks.tolist())) - set(test_picks.tolist()))


@pytest.mark.parametrize("seed", range(20))
def test_any_number_of_ranges_gives_what_plain_python_finds(seed):
    rng = np.random.default_rng(seed)
    sets = [("a",), ("b",), ("a", "b"), ()][: rng.integers(1, 5)]
    records: Records = {}
    reports = []
    for shard in range(rng.integers(1, 5)):
        report = ShardReport(shard)
        for split in ("eval", "test", "train"):
            count = int(rng.integers(0, 40))
            codes, own = rng.integers(0, len(sets), count), rng.permutation(len(sets)).tolist()
            kinds = rng.integers(0, 100, count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            report.digests[split], report.label_ids[split] = kinds, codes.astype(np.int32)
            report.label_sets[split] = [sets[place] for place in own]
            for position, (kind, code) in enumerate(zip(kinds.tolist(), codes.tolist(), strict=True)):
                records[split, shard, position] = kind, sets[own[code]]
        reports.append(report)
    for ranges in (1, 2, 7):
        keys = defaultdict(list)
        for number, one in (pair for report in reports[::-1] for pair in keys_by_range(report, ranges)):
            assert 0 <= number < ranges
            keys[number].append(one)
        contents = [ContentIndex(one) for one in keys.values()]
        assert join_ranges([one.duplicates() for one in contents]) == count_by_hand(records)
        redundant = {
            (one.split, one.shard, position): labels
            for found in contents
            for one in found.redundant()
            for position, labels in zip(one.positions, one.labels, strict=True)
        }
        assert redundant == {place: records[place][1] for place in redundant_by_hand(records)}


Records = dict[Place, tuple[int, tuple[str, ...]]]


def in_order(places: Iterable[Place]) -> list[Place]:
    return sorted(places, key=lambda place: (("train", "eval", "test").index(place[0]), *place[1:]))


def equal(records: Records, place: Place) -> list[Place]:
    return in_order(other for other in records if records[other][0] == records[place][0])


def count_by_hand(records: Records) -> Duplicates:
    found = Duplicates()
    for place in in_order(records):
        twins = equal(records, place)
        labels = records[place][1]
        if place[0] != "train" and twins[0][0] == "train":
            found.across += 1
            found.across_pairs.append(DuplicatePair(twins[0], place, (records[twins[0]][1], labels)))
        sets = sorted({records[twin][1] for twin in twins})
        found.contradictions += len(sets) > 1
        if len(sets) > 1 and place == next(twin for twin in twins if records[twin][1] == sets[0]):
            other = next(twin for twin in twins if records[twin][1] == sets[1])
            found.contradiction_pairs.append(DuplicatePair(place, other, (sets[0], sets[1])))
    del found.across_pairs[20:], found.contradiction_pairs[20:]
    return found


def redundant_by_hand(records: Records) -> Iterator[Place]:
    for place in records:
        twins = equal(records, place)
        held_out = twins[-1][0] != "train"
        first = next(twin for twin in twins if twin[0] == place[0])
        if len({records[twin][1] for twin in twins}) > 1 or (place[0] == "train" and held_out) or place != first:
            yield place


# Several labels


def test_a_picture_with_two_sets_of_labels_is_a_contradiction(picture_folder, tmp_path):
    made = picture_folder(tmp_path / "in", {f"{split}/{name}": 4 for split in ("train", "val") for name in "abc"})
    for original, copies in (
        ("train/a/0001.png", ["train/b/0001.png", "train/c/other.png"]),  # a and b; and c, under another name
        ("train/a/0002.jpg", ["train/b/0002.jpg", "val/a/x.jpg", "val/b/x.jpg"]),  # a and b, in both splits
    ):
        for copy in copies:
            (made / copy).write_bytes((made / original).read_bytes())
    manifest = ingest_folder(made, tmp_path / "out", ImageFolder(), label=Labels())
    assert manifest.contradictions == [{"a, b": "train/a/0001.png", "c": "train/c/other.png"}]
    assert manifest.contradiction_count == 2
    assert manifest.duplicates == [{"train": "train/a/0002.jpg", "eval": "val/a/x.jpg"}]
    assert manifest.labels("train") == {"a": 4, "b": 4, "c": 5} and manifest.examples("train") == 11
    removed = ingest_folder(made, tmp_path / "removed", ImageFolder(), label=Labels(), remove_duplicates=True)
    assert removed.removed == 3 and removed.examples("train") == 8
    assert removed.labels("train") == {"a": 2, "b": 2, "c": 4} and removed.labels("eval") == {"a": 5, "b": 5, "c": 4}
    assert Manifest.load(str(tmp_path / "removed")) == removed


def test_no_label_is_another_set(tmp_path):
    x, y = np.array([[1.0], [1.0], [2.0], [3.0], [3.0]]), np.array([[1, 0], [0, 0], [0, 1], [0, 0], [0, 0]])
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[2:3], y_test=y[2:3])
    manifest = ingest_folder(tmp_path, tmp_path / "out", Arrays(), Vector(1), Labels(("a", "b")))
    assert manifest.contradiction_count == 2
    assert [set(one) for one in manifest.contradictions] == [{"a", "no label"}]
    assert (manifest.unlabelled("train"), manifest.unlabelled("eval"), manifest.unlabelled()) == (3, 0, 3)
    label, target = Labels(("a", "b")), tmp_path / "removed"
    removed = ingest_folder(tmp_path, target, Arrays(), Vector(1), label, remove_duplicates=True)
    assert (removed.examples("train"), removed.unlabelled("train")) == (1, 1)


def test_sets_of_labels_as_text():
    assert describe_labels(()) == "no label" and describe_labels(("cat",)) == "cat"
    texts = [describe_labels(names) for names in ((), ("no label",), ("a", "b"), ("a, b",), ("a",))]
    assert len(set(texts)) == len(texts)
