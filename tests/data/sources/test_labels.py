"""The rule for labels, and that it is the same in every source."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from data.records import Record, Rejected
from data.sources import Arrays, Csv, TFRecords
from data.sources.labels import InvalidLabel, label_order, parse_label, parse_number, resolve_class
from data.spec import Classes, Number, Vector

NAMES = ("zero", "one", "two")


@pytest.mark.parametrize(
    ("value", "names", "expected"),
    [
        ("cat", (), "cat"),
        (" cat\t", (), "cat"),
        (b"cat", (), "cat"),
        ("猫".encode(), (), "猫"),
        (1, (), "1"),
        (1.0, (), "1"),
        ("1", (), "1"),
        ("1.0", (), "1"),
        (b"1.", (), "1"),
        (-1, (), "-1"),
        ("01", (), "01"),
        (True, (), "True"),
        (True, NAMES, "one"),
        (1, NAMES, "one"),
        ("1", NAMES, "one"),
        ("1.0", NAMES, "one"),
        (2.0, NAMES, "two"),
        ("two", NAMES, "two"),
        (1, ("1", "2", "3"), "1"),  # a name goes before an index
        (0, ("1", "2", "3"), "1"),
        (np.int64(2), NAMES, "two"),
        (np.float32(2), NAMES, "two"),
        (10**25, (), str(10**25)),
    ],
)
def test_what_is_a_class(value, names, expected):
    assert parse_label([value], Classes(names)) == expected


@pytest.mark.parametrize(
    ("values", "names", "said"),
    [
        ([], (), "empty"),
        ([""], (), "empty"),
        (["  "], (), "empty"),
        ([b""], (), "empty"),
        ([float("nan")], (), "NaN"),
        (["nan"], (), "NaN"),
        (["NaN"], (), "NaN"),
        ([1.5], (), "not whole"),
        (["1.5"], (), "not whole"),
        ([b"caf\xe9"], (), "not UTF-8"),
        (["a\0b"], (), "control characters"),
        (["a\nb"], (), "control characters"),
        (["caf\udce9"], (), "control characters"),
        ([1, 0], (), "2 values: a label has one value"),
        ([3], NAMES, "not among the task's label.names"),
        ([-1], NAMES, "not among"),
        (["three"], NAMES, "not among"),
        ([None], (), "NoneType"),
        ([(1, 2)], (), "tuple"),
        ([1j], (), "complex"),
        ([float("inf")], (), "not whole"),
    ],
)
def test_what_is_no_class(values, names, said):
    with pytest.raises(InvalidLabel, match=said):
        parse_label(values, Classes(names))


@pytest.mark.parametrize(("value", "expected"), [("3", 3.0), (b"2.5", 2.5), (7, 7.0), (True, 1.0), (" 1e3 ", 1000.0)])
def test_what_is_a_number(value, expected):
    assert parse_label([value], Number()) == expected


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1e39", "2020_01", "1,5", None, float("nan"), 10**400])
def test_what_is_no_number(value):
    with pytest.raises(InvalidLabel):
        parse_number(value)


def test_a_folder_is_its_name():
    assert resolve_class("1.0", Classes()) == "1.0" and resolve_class("1", Classes(NAMES)) == "one"
    assert resolve_class(unicodedata.normalize("NFD", "café"), Classes()) == "café"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["-1", "0", "10", "2", "1"], ["-1", "0", "1", "2", "10"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["b", "a", "B"], ["B", "a", "b"]),
    ],
)
def test_the_order(names, expected):
    assert label_order(names) == label_order(iter(names)) == expected


ROWS = [("cat", "cat"), ("", None), ("1", "1"), ("1.0", "1"), ("1.5", None), ("nan", None), (" x ", "x")]


def _as_csv(folder, texts) -> Csv:
    folder.joinpath("d.csv").write_text("a,label\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts)))
    return Csv()


def _as_tfrecord(folder, texts) -> TFRecords:
    with tf.io.TFRecordWriter(str(folder / "d.tfrecord")) as writer:
        for index, text in enumerate(texts):
            example = tf.train.Example()
            example.features.feature["a"].float_list.value.append(index)
            example.features.feature["label"].bytes_list.value.append(text.encode())
            writer.write(example.SerializeToString())
    return TFRecords(feature="a")


def _as_arrays(folder, texts) -> Arrays:
    np.savez(folder / "d.npz", x_train=np.arange(len(texts), dtype=np.float32)[:, None], y_train=np.array(texts))
    return Arrays(eval=())


@pytest.mark.parametrize("make", [_as_csv, _as_tfrecord, _as_arrays])
def test_the_same_text_is_the_same_label_in_every_source(make, read_all, tmp_path):
    source = make(tmp_path, [text for text, _ in ROWS])
    outcomes = read_all(source, tmp_path, Vector(1), Classes())[""]
    found: dict[int, str | None] = {}
    for one in outcomes:
        if isinstance(one, Record):
            features = tf.train.Example.FromString(one.example).features.feature
            found[int(features["features"].float_list.value[0])] = one.label
        else:
            assert isinstance(one, Rejected) and one.reason == "unknown label" and one.message
    assert [found.get(index) for index in range(len(ROWS))] == [label for _, label in ROWS]
