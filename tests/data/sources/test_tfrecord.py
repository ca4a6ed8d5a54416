"""TFRecords: files as TensorFlow's own writer makes them, plain and gzipped, good and bad."""

from __future__ import annotations

import pytest
import tensorflow as tf

from data.errors import DataError
from data.records import Record, Rejected
from data.sources import TFRecords
from data.spec import Classes, Image, Number, Vector

FEATURE = Image(8, 8)


def example(**values) -> bytes:
    """bytes, int or float values to a serialized example."""
    built = tf.train.Example()
    for key, value in values.items():
        feature, some = built.features.feature[key], value if isinstance(value, list) else [value]
        kinds = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        kinds[type(some[0])].value.extend(some)
    return built.SerializeToString()


def write(path, records: list[bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP" if path.name.endswith(".gz") else "")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)


def found_in(outcome: Record):
    feature = tf.train.Example.FromString(outcome.example).features.feature
    value, label = (
        (f, f.WhichOneof("kind"))
        for f in (feature["image"] if "image" in feature else feature["features"], feature["label"])
    )
    return getattr(*value).value, getattr(*label).value[0]


@pytest.fixture
def pictures(smooth, encode) -> list[bytes]:
    return [encode(smooth(seed, 6, 7), ("PNG", "JPEG")[seed % 2]) for seed in range(5)]


@pytest.mark.parametrize("name", ["d.tfrecord", "d.tfrecord.gz", "tfrecords-00000-of-00001"])
@pytest.mark.parametrize("rows", [1, 64, 150])
def test_every_record_once(name, rows, pictures, read_all, tmp_path):
    write(tmp_path / name, [example(image=pictures[i % 5], label=str(i).encode()) for i in range(rows)])
    outcomes = read_all(TFRecords(), tmp_path, FEATURE, Classes())[""]
    labels = [int(one.labels[0]) for one in outcomes]
    assert sorted(labels) == list(range(rows))
    assert (labels == sorted(labels)) == (name.endswith(".gz") or rows == 1)  # a gzipped file keeps its order
    assert len({one.source for one in outcomes}) == rows
    for one in outcomes:
        image, label = found_in(one)
        assert list(image) == [pictures[int(one.labels[0]) % 5]] and label == one.labels[0].encode()


@pytest.mark.parametrize("name", ["d.tfrecord", "d.tfrecord.gz"])
@pytest.mark.parametrize(
    ("stored", "names", "expected"),
    [
        ([2, 0, 1], ("a", "b", "c"), ["c", "a", "b"]),
        ([2, 0, 11], (), ["2", "0", "11"]),
        ([b"dog", b"cat", "犬".encode()], (), ["dog", "cat", "犬"]),
        ([1.0, 0.0, 1.0], ("a", "b"), ["b", "a", "b"]),
    ],
)
def test_labels_of_every_kind(name, stored, names, expected, pictures, read_all, tmp_path):
    write(tmp_path / name, [example(x=pictures[i], y=label) for i, label in enumerate(stored)])
    outcomes = read_all(TFRecords(feature="x", label="y"), tmp_path, FEATURE, Classes(names))[""]
    by_picture = {found_in(one)[0][0]: one.labels[0] for one in outcomes}
    assert [by_picture[pictures[i]] for i in range(3)] == expected


def test_vectors_and_numbers(read_all, tmp_path):
    rows = [([1.0, 2.0], 0.5), ([3.0, 4.0], -1.5)]
    write(tmp_path / "a.tfrecord", [example(features=x, label=y) for x, y in rows])
    write(tmp_path / "b.tfrecord", [example(features=[5.0, 6.0], label=7)])
    outcomes = read_all(TFRecords(feature="features"), tmp_path, Vector(2), Number())[""]
    got = sorted((list(x), y) for x, y in map(found_in, outcomes))
    assert got == [*rows, ([5.0, 6.0], 7.0)]


@pytest.mark.parametrize("name", ["d.tfrecord", "d.tfrecord.gz"])
def test_bad_records_are_rejected_and_the_others_stay(name, pictures, read_all, tmp_path):
    write(
        tmp_path / name,
        [
            example(image=pictures[0], label=0),
            b"\xff\xff\xff no example",
            example(label=1),
            example(image=pictures[0]),
            example(image=1, label=1),
            example(image=b"text", label=1),
            example(image=b"", label=1),
            example(image=pictures[0][:-30], label=1),
            example(image=pictures[1], label=2),
            tf.train.Example(
                features=tf.train.Features(
                    feature={
                        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[pictures[0]])),
                        "label": tf.train.Feature(int64_list=tf.train.Int64List()),
                    }
                )
            ).SerializeToString(),
            example(image=pictures[2], label=1),
        ],
    )
    outcomes = read_all(TFRecords(), tmp_path, FEATURE, Classes(("a", "b")))[""]
    reasons = sorted(one.reason for one in outcomes if isinstance(one, Rejected))
    expected = ["empty file", "not a tf.Example"] + ["missing feature"] * 3 + ["not decodable"] * 2
    assert reasons == sorted([*expected, "unknown label", "unknown label"])
    assert sorted(one.labels[0] for one in outcomes if isinstance(one, Record)) == ["a", "b"]
    assert all(one.source.startswith(name) and one.message for one in outcomes if isinstance(one, Rejected))


def test_vectors_of_another_size_and_labels_that_are_no_numbers(read_all, tmp_path):
    rows = [([1.0], 1.0), ([1.0, 2.0], b"old"), ([1.0, 2.0], b"2.5")]
    write(tmp_path / "d.tfrecord", [example(features=x, label=y) for x, y in rows])
    outcomes = read_all(TFRecords(feature="features"), tmp_path, Vector(2), Number())[""]
    assert sorted(one.reason for one in outcomes if isinstance(one, Rejected)) == ["unknown label", "wrong size"]
    (record,) = (one for one in outcomes if isinstance(one, Record))
    assert tf.train.Example.FromString(record.example).features.feature["label"].float_list.value[:] == [2.5]


def test_files_and_folders_for_the_splits(pictures, read_all, tmp_path):
    for root, names in (
        (tmp_path / "files", ("train-0.tfrecord", "train-1.tfrecord", "validation-0.tfrecord.gz")),
        (tmp_path / "folders", ("train/a.tfrecord", "train/b.tfrecord", "val/c.tfrecord")),
    ):
        root.mkdir()
        for name in names:
            write(root / name, [example(image=picture, label=name.encode()) for picture in pictures[:2]])
        found = read_all(TFRecords(), root, FEATURE, Classes())
        assert sorted({one.labels[0] for one in found["train"]}) == sorted(names[:2]) and len(found["train"]) == 4
        assert [one.labels[0] for one in found["eval"]] == [names[2]] * 2


def test_files_that_are_cut_off_or_something_else(pictures, read_all, tmp_path):
    path = tmp_path / "d.tfrecord"
    write(path, [example(image=picture, label=1) for picture in pictures])
    whole = path.read_bytes()
    last = len(whole) - (16 + len(example(image=pictures[4], label=1)))
    for content, at in ((whole[:-1], last), (whole[: last + 5], last), (b"text" * 9, 0)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"d.tfrecord is not a TFRecord file, or is cut off at byte {at}"):
            TFRecords().plan(str(tmp_path), FEATURE)


def test_a_gzipped_file_that_is_cut_off(pictures, read_all, tmp_path):
    path = tmp_path / "d.tfrecord.gz"
    write(path, [example(image=picture, label=1) for picture in pictures])
    for content in (path.read_bytes()[:-100], b"text" * 9):
        path.write_bytes(content)
        with pytest.raises(
            DataError,
            match="d.tfrecord.gz is (not a TFRecord file, or is cut off at byte 0|cut off, or its compression is )",
        ):
            read_all(TFRecords(), tmp_path, FEATURE, Classes())


def test_no_records(tmp_path):
    (tmp_path / "readme.md").touch()
    with pytest.raises(DataError, match="no records: no file named"):
        TFRecords().plan(str(tmp_path), FEATURE)
