"""Csv: the numbers of the file, read back with Python's own csv module; bad rows and headers."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import tensorflow as tf

from data.errors import DataError, UsageError
from data.families import IS_NEW
from data.records import Record, Rejected
from data.sources import Csv
from data.spec import Classes, Image, Number, Vector


def table(rows: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    lines = [f"{rng.normal():.6g},{rng.normal() * 1e5:.3e},{rng.integers(0, 3)}" for _ in range(rows)]
    return "\n".join(["a,b,label", *lines]) + "\n"


def values(record: Record) -> tuple[list[float], object]:
    feature = tf.train.Example.FromString(record.example).features.feature
    label = feature["label"]
    return list(feature["features"].float_list.value), getattr(label, label.WhichOneof("kind")).value[0]


@pytest.fixture
def read(read_all, tmp_path):
    def run(text: str | bytes | None = None, source: Csv | None = None, size: int = 2, label=None) -> dict:
        if text is not None:
            (tmp_path / "d.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return read_all(source or Csv(), tmp_path, Vector(size), label or Classes())

    return run


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
def test_every_row_once_with_its_line(rows, end, read):
    text = table(rows).replace("\n", end)
    expected = {f"d.csv:{i + 2}": row for i, row in enumerate(csv.DictReader(io.StringIO(text)))}
    outcomes = read(text)[""]
    assert sorted(one.source for one in outcomes) == sorted(expected) and len(outcomes) == rows
    for one in outcomes:
        row = expected[one.source]
        assert values(one) == ([np.float32(row["a"]), np.float32(row["b"])], row["label"].encode())


def test_numbers_as_labels_columns_by_name_and_quotes(read):
    text = '\ufeffextra, y ,"x 1"\r\nz,1.5,"2"\r\n\r\nz, 3e2 ,4'
    outcomes = read(text, Csv(label="y", columns=("x 1",)), 1, Number())[""]
    assert sorted((one.source, *values(one)) for one in outcomes) == [
        ("d.csv:2", [2.0], 1.5),
        ("d.csv:4", [4.0], 300.0),
    ]


def test_the_models_order_of_columns(read):
    (one,) = read("a,b,label\n1,2,x\n", Csv(columns=("b", "a")))[""]
    assert values(one) == ([2.0, 1.0], b"x")


@pytest.mark.parametrize(
    ("row", "reason", "said"),
    [
        ("1,two,x", "not numeric", "'two' is not a number"),
        ("1,,x", "not numeric", "empty"),
        ("1,2020_01,x", "not numeric", "'2020_01' is not a number"),
        ("1,50%,x", "not numeric", "'50%' is not a number"),
        ("1,2", "not a row", "2 fields, but the header has 3"),
        ("1,234,5,x", "not a row", "4 fields, but the header has 3"),
        ('1,2,"x', "not a row", "unexpected end of data"),
        ("1,nan,x", "not numeric", "not a finite number"),
        ("1,-inf,x", "not numeric", "not a finite number"),
        ("1,1e39,x", "not numeric", "not a finite number"),
        ("1,\0,x", "not numeric", "") if IS_NEW else ("1,\0,x", "not a row", "NUL"),  # Python's csv takes it since 3.11
        ("1,2,\xff\xfe", "not UTF-8", "byte 4 of the line is 0xff"),
        ("1,2,", "unknown label", "empty"),
        ("1,2,nan", "unknown label", "NaN"),
        ("1,2,2.5", "unknown label", "not whole"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_stay(row, reason, said, read):
    outcomes = read(f"a,b,label\n1,2,x\n{row}\n3,4,y\n".encode("latin-1"))[""]
    (rejected,) = (one for one in outcomes if isinstance(one, Rejected))
    assert (rejected.source, rejected.reason) == ("d.csv:3", reason)
    assert said in rejected.message
    assert sorted(values(one) for one in outcomes if isinstance(one, Record)) == [([1, 2], b"x"), ([3, 4], b"y")]


@pytest.mark.parametrize("label", ["much", "nan", "inf", "1e39"])
def test_a_bad_number_as_label_is_rejected(label, read):
    outcomes = read(f"a,b,label\n1,2,{label}\n1,2,3\n", label=Number())[""]
    assert sorted(one.source for one in outcomes if isinstance(one, Rejected)) == ["d.csv:2"]


def test_a_missing_column(read):
    with pytest.raises(DataError, match="d.csv has no column 'label'") as raised:
        read("a,b\n1,2\n")
    assert raised.value.hint == "It has: a, b."
    with pytest.raises(DataError, match="d.csv has no column 'c'"):
        read("a,b,label\n1,2,3\n", Csv(columns=("a", "c")))
    with pytest.raises(DataError, match="d.csv has no column 'label'") as raised:
        read("")
    assert raised.value.hint == "It has: no header."
    with pytest.raises(DataError, match="is UTF-16, not UTF-8"):
        read(b"\xff\xfe\0\n1\n")


def test_too_many_columns(read):
    with pytest.raises(DataError, match="d.csv has 2 feature columns, but the task's feature has size 3"):
        read("a,b,label\n1,2,3\n", size=3)


def test_no_rows(read):
    with pytest.raises(DataError, match=r"no file named \*.csv"):
        read()
    with pytest.raises(DataError, match=r"no records in .*: d.csv \(only a header\)"):
        read("a,b,label\n")


def test_the_feature_must_be_a_vector(read_all, tmp_path):
    (tmp_path / "d.csv").write_text("a,label\n1,2\n")
    with pytest.raises(UsageError, match="must be a Vector"):
        read_all(Csv(), tmp_path, Image(2, 2), Classes())


def test_files_for_the_splits(read, tmp_path):
    (tmp_path / "train.csv").write_text(table(3, 1))
    (tmp_path / "validation.csv").write_text(table(2, 2))
    (tmp_path / "notes.txt").write_text("x")
    found = read()
    assert sorted(one.source for one in found["train"]) == [f"train.csv:{line}" for line in (2, 3, 4)]
    assert sorted(one.source for one in found["eval"]) == [f"validation.csv:{line}" for line in (2, 3)]


def test_folders_for_the_splits(read, tmp_path):
    for folder, rows in (("train", 3), ("test", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part-1.csv").write_text(table(rows))
        (tmp_path / folder / "._part-1.csv").write_bytes(b"\0\5\x16\7\xff")
    found = read()
    assert {split: len(found[split]) for split in ("train", "eval")} == {"train": 3, "eval": 2}
    assert found["eval"][0].source.startswith("test/part-1.csv:")


def test_several_files_and_hidden_ones(read, tmp_path):
    (tmp_path / "one.csv").write_text(table(70))
    (tmp_path / "two.csv").write_text("label,b,a\n0,1,2\n")  # its own order of columns
    (tmp_path / "._one.csv").write_bytes(b"\0\5\x16\7AppleDouble\xff")
    outcomes = read(source=Csv(columns=("a", "b")))[""]
    assert len(outcomes) == 71
    assert [values(one) for one in outcomes if one.source == "two.csv:2"] == [([2.0, 1.0], b"0")]
