"""Shards: every record once, the order by the seed, the split by the content, and no partial files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.errors import UsageError
from data.ingest.plan_files import make_shards
from data.ingest.shards import (
    Ingest,
    assign_split,
    shard_paths,
    write_shard,
)
from data.records import Rejected
from data.sources import Arrays, ImageFolder, Plan
from data.spec import Classes, Image, Number, Vector

SOURCE, FEATURE, LABEL = Arrays(train=("x", "y"), eval=()), Vector(2), Classes()


@pytest.fixture
def folder(tmp_path) -> Path:
    """1,500 rows of numbers; every third is a copy of the one before it, under another label."""
    x = np.random.default_rng(0).normal(size=(1500, 2)).astype(np.float32)
    x[2::3] = x[1::3]
    path = tmp_path / "in"
    path.mkdir()
    np.save(path / "x.npy", x)
    np.save(path / "y.npy", np.arange(1500) % 7)
    return path


def write_all(folder, target, ingest=Ingest(), source=SOURCE, feature=FEATURE, label=LABEL, reverse=False):  # noqa: B008
    shards = make_shards(source.plan(str(folder), feature), ingest.seed, f"{target}-plan")
    reports = [
        write_shard(shard, str(folder), str(target), source, feature, label, ingest)
        for shard in (reversed(shards) if reverse else shards)
    ]
    return sorted(reports, key=lambda report: report.index)


def stored(target: Path, split: str) -> list[tuple[float, ...]]:
    """The vectors of a split's files, in order; read by TensorFlow."""
    found = []
    for path in sorted(target.glob(f"Split-{split}/*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            found.append(tuple(tf.train.Example.FromString(record).features.feature["features"].float_list.value))
    return found


def contents(target: Path) -> dict[str, bytes]:
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def test_every_record_once(folder, tmp_path):
    reports = write_all(folder, tmp_path / "out")
    everything = Counter(stored(tmp_path / "out", "train") + stored(tmp_path / "out", "eval"))
    assert everything == Counter(map(tuple, np.load(folder / "x.npy").tolist()))
    assert len(reports) > 1
    names = {file.file for report in reports for file in report.files.values()}
    assert f"Split-train/data_tfrecord-00000-of-{len(reports):05d}" in names
    assert shard_paths("/there", [reports[0].files["train"]]) == [f"/there/{reports[0].files['train'].file}"]
    assert set(contents(tmp_path / "out")) == names


def test_the_same_seed_writes_the_same_bytes_wherever_shards_are_written(folder, tmp_path):
    first = write_all(folder, tmp_path / "a", Ingest(seed=5))
    again = write_all(folder, tmp_path / "b", Ingest(seed=5), reverse=True)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert [report.files for report in first] == [report.files for report in again]


def test_another_seed_gives_another_order_and_the_same_splits(folder, tmp_path):
    for seed in (0, 1):
        write_all(folder, tmp_path / str(seed), Ingest(seed=seed))
    for split in ("train", "eval"):
        first, other = (stored(tmp_path / str(seed), split) for seed in (0, 1))
        assert first != other and Counter(first) == Counter(other)
    rows = {row: i for i, row in enumerate(map(tuple, np.load(folder / "x.npy").tolist()))}
    steps = np.diff([rows[row] for row in stored(tmp_path / "0", "train")])
    assert (steps == 1).mean() < 0.1  # not the order of the file


def test_equal_content_is_on_one_side(folder, tmp_path):
    write_all(folder, tmp_path / "out")
    train, held_out = (Counter(stored(tmp_path / "out", split)) for split in ("train", "eval"))
    assert not set(train) & set(held_out)
    assert max(train.values()) == max(held_out.values()) == 2  # each copy is in the same split as its original


@pytest.mark.parametrize("buckets", [(4, 1), (1, 1), (9, 1)])
def test_the_share_of_the_split(buckets, folder, tmp_path):
    write_all(folder, tmp_path / "out", Ingest(*buckets))
    share = len(stored(tmp_path / "out", "train")) / 1500
    assert share == pytest.approx(buckets[0] / sum(buckets), abs=0.05)  # 4 sigma of 1,000 draws, or more


def test_the_split_of_a_digest_by_hand():
    buckets = {"train": 4, "eval": 1}
    assert [assign_split(digest, buckets) for digest in range(10)] == (["train"] * 4 + ["eval"]) * 2
    assert assign_split(2**64 - 1, buckets) == "train"  # 18446744073709551615 ends in 5: a multiple of 5


def test_a_split_that_is_given_is_kept(folder, tmp_path):
    source = Arrays(train=("x", "y"), eval=("x", "y"))
    write_all(folder, tmp_path / "out", source=source)
    rows = Counter(map(tuple, np.load(folder / "x.npy").tolist()))
    assert Counter(stored(tmp_path / "out", "train")) == Counter(stored(tmp_path / "out", "eval")) == rows


def test_a_report_matches_its_files(folder, tmp_path):
    for report in write_all(folder, tmp_path / "out"):
        for split, file in report.files.items():
            path = tmp_path / "out" / file.file
            records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
            assert (file.examples, file.bytes) == (len(records), path.stat().st_size)
            assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
            parsed = [tf.train.Example.FromString(record).features.feature for record in records]
            assert file.labels == Counter(one["label"].bytes_list.value[0].decode() for one in parsed)
            digests = [
                hashlib.sha256(repr(list(one["features"].float_list.value)).encode()).hexdigest() for one in parsed
            ]
            assert report.digests[split].tolist() == [int(digest[:16], 16) for digest in digests]
            assert report.digests[split].dtype == np.uint64


def test_rejected_images_and_remarks_are_reported(picture_folder, encode, smooth, tmp_path):
    from PIL import Image as Pil

    folder = picture_folder(tmp_path / "in", {"a": 3, "b": 2})
    exif = Pil.Exif()
    exif[0x0112] = 3
    (folder / "a/turned.jpg").write_bytes(encode(smooth(1), "JPEG", exif=exif))
    (folder / "b/broken.jpg").write_bytes(b"text")
    (report,) = write_all(folder, tmp_path / "out", source=ImageFolder(), feature=Image(4, 4))
    assert report.remarks == {"EXIF rotation": 1}
    assert [(one.source, one.reason) for one in report.rejected] == [("b/broken.jpg", "not decodable")]
    assert sum(file.examples for file in report.files.values()) == 6
    turning = Image(4, 4, orientation="exif")
    (report,) = write_all(folder, tmp_path / "turned", source=ImageFolder(), feature=turning)
    assert report.remarks == {}


@dataclasses.dataclass(frozen=True)
class Dying(Arrays):
    """Ends after some records, as a worker does that is killed."""

    def read(self, folder, items, feature, label, rng):
        for number, outcome in enumerate(super().read(folder, items, feature, label, rng)):
            if number == 100:
                raise RuntimeError("killed")
            yield outcome


def test_a_crash_leaves_no_visible_file_and_the_shard_can_be_done_again(folder, tmp_path):
    target = tmp_path / "out"
    with pytest.raises(RuntimeError, match="killed"):
        write_all(folder, target, source=Dying(train=("x", "y"), eval=()))
    assert contents(target) == {}
    write_all(folder, target)
    write_all(folder, tmp_path / "undisturbed")
    assert contents(target) == contents(tmp_path / "undisturbed")


def test_no_file_is_visible_before_it_is_complete(folder, tmp_path):
    """The source looks at the folder while the shard is being written."""
    seen = []

    class Watched(Arrays):
        def read(self, *arguments):
            for outcome in super().read(*arguments):
                yield outcome
                seen.append(len(list((tmp_path / "out").glob("Split-*/*"))))

    shard = make_shards(SOURCE.plan(str(folder), FEATURE), 0, str(tmp_path / "plan"))[0]
    write_shard(shard, str(folder), str(tmp_path / "out"), Watched(train=("x", "y"), eval=()), FEATURE, LABEL, Ingest())
    assert len(seen) > 100 and set(seen) == {0}
    assert len(list((tmp_path / "out").glob("Split-*/*"))) == 2


def test_a_shard_written_again_replaces_its_files(folder, tmp_path):
    write_all(folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    np.save(folder / "x.npy", -np.load(folder / "x.npy"))
    write_all(folder, tmp_path / "out")
    write_all(folder, tmp_path / "fresh")
    after = contents(tmp_path / "out")
    assert after == contents(tmp_path / "fresh") and set(after) == set(before)
    assert all(after[name] != before[name] for name in after)


def test_a_shard_of_rejects_alone_writes_nothing(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"text")
    (shard,) = make_shards(Plan({"train": [("bad.jpg", "a")]}), 0, str(tmp_path / "plan"))
    report = write_shard(shard, str(tmp_path), str(tmp_path / "out"), ImageFolder(), Image(2, 2), LABEL, Ingest())
    assert report.files == {} and isinstance(report.rejected[0], Rejected)
    assert not (tmp_path / "out").exists()


def test_numbers_as_labels(folder, tmp_path):
    write_all(folder, tmp_path / "out", label=Number())
    (path, *_) = sorted((tmp_path / "out").glob("Split-train/*"))
    record = next(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert tf.train.Example.FromString(record).features.feature["label"].float_list.value[0] in range(7)


@pytest.mark.parametrize(
    "values", [{"train_buckets": 0}, {"eval_buckets": 0}, {"max_quarantine": 1.1}, {"max_quarantine": -0.1}]
)
def test_settings_out_of_range(values):
    with pytest.raises(UsageError, match=f"ingest.{next(iter(values))}|ingest.train_buckets and ingest.eval_buckets"):
        Ingest(**values)
