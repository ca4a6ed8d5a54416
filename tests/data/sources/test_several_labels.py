"""`Labels` in every source that can hold them: the same names, no names, and what is refused."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from data.errors import DataError, UsageError
from data.ingest.plan_files import make_shards
from data.ingest.shards import Ingest, write_shard
from data.records import Outcome, Record, Rejected, parse_spec
from data.sources import Arrays, Csv, FirstMatch, Idx, ImageFolder, ImageTable, Source, TFRecords
from data.spec import LABEL, Classes, Image, Labels, Number, Vector
from tests.conftest import encode_picture

FEATURE = Image(6, 5)
NAMES = ("bird", "cat", "dog")
SETS = (("cat",), ("cat", "dog"), ("bird", "cat", "dog"), ("dog",), ("bird", "dog"))


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (6, 5, 3), np.uint8)


# Writers: each writes pictures 0, 1, ... with their labels in the form of one source.


def write_folders(folder: Path, labels: Sequence[tuple[str, ...]]) -> None:
    for number, names in enumerate(labels):
        for name in names:
            path = folder / name / "deep" / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_picture(pixels(number), "PNG"))


def write_records(folder: Path, labels: Sequence[tuple[str, ...]], encode: Callable[[Any, Any], None]) -> None:
    with tf.io.TFRecordWriter(str(folder / "d.tfrecord")) as writer:
        for number, names in enumerate(labels):
            example = tf.train.Example()
            feature = example.features.feature
            feature["image"].bytes_list.value.append(encode_picture(pixels(number), "PNG"))
            encode(feature["label"], names)
            writer.write(example.SerializeToString())


def as_texts(feature: Any, names: tuple[str, ...]) -> None:
    feature.bytes_list.SetInParent()
    feature.bytes_list.value.extend(name.encode() for name in reversed(names))


def as_indices(feature: Any, names: tuple[str, ...]) -> None:
    feature.int64_list.SetInParent()
    feature.int64_list.value.extend(NAMES.index(name) for name in names)


def as_truths(feature: Any, names: tuple[str, ...]) -> None:
    feature.float_list.value.extend(float(name in names) for name in NAMES)


def write_arrays(folder: Path, labels: Sequence[tuple[str, ...]]) -> None:
    matrix = np.array([[name in names for name in NAMES] for names in labels])
    np.save(folder / "x_train.npy", np.stack([pixels(number) for number in range(len(labels))]))
    np.save(folder / "y_train.npy", matrix)


def write_table(folder: Path, labels: Sequence[tuple[str, ...]], header: str, row: Callable[[Any], list[str]]) -> None:
    lines = [header]
    for number, names in enumerate(labels):
        (folder / f"{number}.png").write_bytes(encode_picture(pixels(number), "PNG"))
        lines += [f"{number}.png,{values}" for values in row(names)]
    (folder / "table.csv").write_text("\n".join(lines))


def as_cells(folder: Path, labels: Sequence[tuple[str, ...]]) -> None:
    write_table(folder, labels, "path,label", lambda names: ["|".join(reversed(names))])


def as_rows(folder: Path, labels: Sequence[tuple[str, ...]]) -> None:
    write_table(folder, labels, "path,label", list)


def as_columns(folder: Path, labels: Sequence[tuple[str, ...]]) -> None:
    def columns(names: tuple[str, ...]) -> list[str]:
        return [",".join(str(int(name in names)) for name in NAMES)]

    write_table(folder, labels, f"path,{','.join(NAMES)}", columns)


class Case(NamedTuple):
    """A source, and what writes data for it.

    Attributes:
      empty: whether a picture without labels can be written.
    """

    source: Source
    write: Callable[[Path, Sequence[tuple[str, ...]]], None]
    names: tuple[str, ...] = NAMES
    empty: bool = True


CASES = {
    "folders": Case(ImageFolder(), write_folders, (), empty=False),
    "folders, names given": Case(ImageFolder(), write_folders, empty=False),
    "texts": Case(TFRecords(), lambda folder, labels: write_records(folder, labels, as_texts), ()),
    "indices": Case(TFRecords(), lambda folder, labels: write_records(folder, labels, as_indices)),
    "truth values": Case(TFRecords(), lambda folder, labels: write_records(folder, labels, as_truths)),
    "a matrix": Case(Arrays(eval=()), write_arrays),
    "cells of a table": Case(ImageTable(), as_cells, (), empty=False),
    "rows of a table": Case(ImageTable(), as_rows, (), empty=False),
    "columns of a table": Case(ImageTable(label=NAMES), as_columns, ()),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def written(case: Case) -> list[tuple[str, ...]]:
    return [(SETS + ((),))[number % (5 + case.empty)] for number in range(150)]


def found(outcomes: Sequence[Outcome]) -> Counter[tuple[bytes, tuple[str, ...]]]:
    """Pixels and labels of the records, read as training reads them."""
    counts: Counter[tuple[bytes, tuple[str, ...]]] = Counter()
    for one in outcomes:
        assert isinstance(one, Record), one
        values = tf.io.parse_single_example(one.example, parse_spec(FEATURE, Labels()))
        names = tuple(name.decode() for name in values[LABEL].values.numpy())
        assert names == one.labels
        counts[tf.io.decode_png(values["image"], 3).numpy().tobytes(), names] += 1
    return counts


def test_each_picture_once_with_all_its_labels(case, read_all, tmp_path):
    labels = written(case)
    case.write(tmp_path, labels)
    outcomes = read_all(case.source, tmp_path, FEATURE, Labels(case.names))[""]
    assert found(outcomes) == Counter((pixels(number).tobytes(), names) for number, names in enumerate(labels))
    assert len({one.source for one in outcomes}) == len(labels)


def test_shards_count_each_name_and_are_the_same_again(case, tmp_path):
    labels = written(case)
    (tmp_path / "in").mkdir()
    case.write(tmp_path / "in", labels)
    plan = pickle.loads(pickle.dumps(case.source.plan(str(tmp_path / "in"), FEATURE, Labels(case.names))))
    for target in ("one", "two"):
        counts: Counter[str] = Counter()
        examples, splits = 0, {}
        for shard in make_shards(plan, 0, str(tmp_path / "plan")):
            report = write_shard(
                *(shard, str(tmp_path / "in"), str(tmp_path / target), case.source, FEATURE, Labels(case.names)),
                Ingest(),
            )
            for split, file in report.files.items():
                counts.update(file.labels)
                examples += file.examples
                splits.update(dict.fromkeys(report.digests[split].tolist(), split))
        assert counts == Counter(name for names in labels for name in names)
        assert examples == len(splits) == len(labels) and set(splits.values()) == {"train", "eval"}
    for path in (tmp_path / "one").rglob("data_tfrecord-*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


# Folders


def save(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_picture(pixels(number), "PNG"))


def labels_of(outcomes: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    return {one.source: one.labels if isinstance(one, Record) else (one.reason,) for one in outcomes}


def test_equal_names_with_different_bytes_are_different_pictures(read_all, tmp_path):
    for name, number in (("a/1.png", 1), ("b/1.png", 1), ("c/1.png", 2), ("d/1.png", 2), ("e/1.png", 3)):
        save(tmp_path / name, number)
    save(tmp_path / "b/other.png", 1)  # equal bytes, another name
    outcomes = read_all(ImageFolder(), tmp_path, FEATURE, Labels())[""]
    assert labels_of(outcomes) == {
        "a/1.png": ("a", "b"),
        "c/1.png": ("c", "d"),
        "e/1.png": ("e",),
        "b/other.png": ("b",),
    }


def test_links_count_and_broken_ones_are_rejected(read_all, tmp_path):
    save(tmp_path / "a/1.png", 1)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/1.png").symlink_to("../a/1.png")
    (tmp_path / "c").mkdir()
    os.link(tmp_path / "a/1.png", tmp_path / "c/1.png")
    (tmp_path / "b/gone.png").symlink_to("nowhere.png")
    for name in "ac":
        (tmp_path / name / "broken.png").write_bytes(b"text")
    outcomes = read_all(ImageFolder(), tmp_path, FEATURE, Labels())[""]
    assert labels_of(outcomes) == {
        "a/1.png": ("a", "b", "c"),
        "b/gone.png": ("unreadable",),
        "a/broken.png": ("not decodable",),
        "c/broken.png": ("not decodable",),
    }


def test_the_path_below_the_class_folder_is_the_name(read_all, tmp_path):
    for name in ("a/x/1.png", "b/x/1.png", "b/y/1.png", "a/1.png", "[b/1.png"):
        save(tmp_path / name, 1)
    found = sorted(one.labels for one in read_all(ImageFolder(), tmp_path, FEATURE, Labels())[""])
    assert found == [("[b", "a"), ("a", "b"), ("b",)]


def test_pictures_of_two_splits_are_never_one(read_all, tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "val/b/1.png", "val/a/2.png"):
        save(tmp_path / name, 1)
    outcomes = read_all(ImageFolder(), tmp_path, FEATURE, Labels())
    assert labels_of(outcomes["train"]) == {"train/a/1.png": ("a", "b")}
    assert labels_of(outcomes["eval"]) == {"val/b/1.png": ("b",), "val/a/2.png": ("a",)}


def test_a_folder_may_be_an_index(read_all, tmp_path):
    for name in ("0/1.png", "1/1.png", "cat/1.png", "2/1.png"):
        save(tmp_path / name, 1)
    (one,) = read_all(ImageFolder(), tmp_path, FEATURE, Labels(NAMES))[""]
    assert one.labels == ("bird", "cat", "dog")
    (one,) = read_all(ImageFolder(), tmp_path, FEATURE, Labels(NAMES[:2]))[""]
    assert isinstance(one, Rejected) and "'2' is not among the task's label.names" in one.message


def test_many_folders_with_the_same_names_are_read_in_parts(read_all, tmp_path):
    """As numbered pictures have: 40 folders with the names 0.png to 4.png, all of different content."""
    for number in range(200):
        save(tmp_path / f"class {number % 40}" / f"{number // 40}.png", number)
    outcomes = read_all(ImageFolder(), tmp_path, FEATURE, Labels())[""]
    assert found(outcomes) == Counter((pixels(number).tobytes(), (f"class {number % 40}",)) for number in range(200))


# TFRecords


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ([1, 0, 1], NAMES, ("bird", "dog")),
        ([0.0, 1.0, 0.0], NAMES, ("cat",)),
        ([0, 0, 0], NAMES, ()),
        ([0, 2, 1], NAMES, NAMES),  # not all are 0 or 1
        ([1, 2], NAMES, ("cat", "dog")),
        ([1], NAMES, ("cat",)),
        ([1], ("a", "b"), ("b",)),
        ([7, 3], (), ("3", "7")),
        ([b"x", b"y", b"x"], (), ("x", "y")),
        ([0, 1], ("a", "b"), "[0, 1] may be two indices, or a 0 or 1 for each label: write names instead"),
        ([1, 1], ("a", "b"), "2 numbers with repeats: a 0 or 1 for each label needs label.names"),
        ([1, 0, 1], (), "3 numbers with repeats"),
        ([1, 0, 1, 0], NAMES, "4 numbers with repeats"),
        ([3], NAMES, "'3' is not among the task's label.names"),
        ([b""], (), "empty"),
        ([b"x", b"fish"], ("x", "y"), "'fish' is not among"),
    ],
)
def test_lists_of_tfrecords(values, names, expected, read_all, tmp_path):
    def encode(feature: Any, _: Any) -> None:
        kinds = {int: feature.int64_list, float: feature.float_list, bytes: feature.bytes_list}
        kinds[type(values[0])].value.extend(values)

    write_records(tmp_path, [()], encode)
    (one,) = read_all(TFRecords(), tmp_path, FEATURE, Labels(names))[""]
    if isinstance(expected, tuple):
        assert isinstance(one, Record) and one.labels == expected
    else:
        assert isinstance(one, Rejected) and one.reason == "unknown label" and expected in one.message


def test_a_record_without_the_feature_is_not_one_without_labels(read_all, tmp_path):
    write_records(tmp_path, [()], lambda feature, names: None)
    (one,) = read_all(TFRecords(), tmp_path, FEATURE, Labels())[""]
    assert isinstance(one, Rejected) and one.reason == "missing feature"


# Arrays


def read_rows(read_all, folder: Path, labels: np.ndarray, label: Labels) -> list[Any]:
    np.savez(folder / "d.npz", x_train=np.arange(len(labels))[:, np.newaxis], y_train=labels)
    outcomes = read_all(Arrays(eval=()), folder, Vector(1), label)[""]
    return [getattr(one, "labels", getattr(one, "message", None)) for one in sorted(outcomes, key=_row)]


def _row(outcome: Outcome) -> int:
    return int(outcome.source.split("[")[1][:-1])


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_a_matrix(kind, read_all, tmp_path):
    labels = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]]).astype(kind)
    assert read_rows(read_all, tmp_path, labels, Labels(NAMES)) == [("bird",), ("cat", "dog"), ()]
    assert read_rows(read_all, tmp_path, labels, Labels()) == [("0",), ("1", "2"), ()]


def test_columns_without_names_are_in_the_order_of_their_numbers(read_all, tmp_path):
    assert read_rows(read_all, tmp_path, np.ones((1, 12), bool), Labels()) == [tuple(map(str, range(12)))]


def test_a_matrix_of_one_column(read_all, tmp_path):
    labels = np.array([[1], [0], [2]])
    one, other, wrong = read_rows(read_all, tmp_path, labels, Labels(("sick",)))
    assert (one, other) == (("sick",), ()) and wrong == "'2' for the label 'sick' is neither 0 nor 1"


def test_a_row_that_holds_no_truth_values_is_rejected(read_all, tmp_path):
    one, other = read_rows(read_all, tmp_path, np.array([[1.0, 0, 1], [0, np.nan, 1]]), Labels(NAMES))
    assert one == ("bird", "dog") and other == "'nan' for the label 'cat' is neither 0 nor 1"


def test_an_array_of_one_label_each(read_all, tmp_path):
    assert read_rows(read_all, tmp_path, np.array(["cat", "dog"]), Labels()) == [("cat",), ("dog",)]
    assert read_rows(read_all, tmp_path, np.array([2, 0]), Labels(NAMES)) == [("dog",), ("bird",)]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array([["cat", "dog"]]), r"y_train holds <U3 of shape \(1, 2\): several labels are a matrix \[N, labels\]"),
        (np.ones((1, 2, 3)), r"of shape \(1, 2, 3\): several labels are a matrix"),
        (np.ones((1, 4)), "y_train has 4 columns, but label.names has 3 names"),
        (np.ones((1, 0)), "y_train has 0 columns"),
    ],
)
def test_arrays_that_are_no_labels(labels, said, read_all, tmp_path):
    with pytest.raises(DataError, match=said):
        read_rows(read_all, tmp_path, labels, Labels(NAMES))


def test_one_hot_rows_of_classes_are_still_refused(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.ones((2, 1)), y_train=np.eye(2))
    with pytest.raises(DataError, match="2 values per row: a label has one value") as raised:
        Arrays(eval=()).plan(str(tmp_path), Vector(1), Classes())
    assert "argmax" in raised.value.hint


# Sources with one label


@pytest.mark.parametrize("source", [Csv(), Idx(), FirstMatch(first=Csv(), second=Arrays())])
def test_sources_of_one_label_refuse_several(source):
    source.check_label(Classes())
    source.check_label(Number())
    with pytest.raises(UsageError, match="reads one label a (row|picture): the label must be Classes or N") as raised:
        source.check_label(Labels())
    assert "Arrays" in raised.value.hint


def test_folders_have_names():
    ImageFolder().check_label(Classes())
    ImageFolder().check_label(Labels())
    with pytest.raises(UsageError, match="the labels of an ImageFolder are its folders"):
        ImageFolder().check_label(Number())
