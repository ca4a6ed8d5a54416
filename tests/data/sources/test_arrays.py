"""Idx and Arrays: rows become the very pixels, numbers and labels that numpy holds."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf

from data.errors import DataError
from data.records import Rejected, digest
from data.sources import Arrays, Idx
from data.sources import arrays as module
from data.spec import Classes, Image, Number, Vector

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (150, 6, 5), np.uint8)
LABELS = RNG.integers(0, 3, 150).astype(np.uint8)


def rows(outcomes: list) -> list[tuple[int, np.ndarray, str]]:
    """(row, pixels, label) of each record, in the rows' order."""
    found = []
    for one in outcomes:
        feature = tf.train.Example.FromString(one.example).features.feature
        assert feature["image/source"].bytes_list.value[0].decode() == one.source
        assert feature["image/format"].bytes_list.value[0] == b"png"
        pixels = tf.io.decode_png(feature["image"].bytes_list.value[0]).numpy()
        found.append((int(one.source.split("[")[1][:-1]), pixels, feature["label"].bytes_list.value[0].decode()))
    return sorted(found, key=lambda row: row[0])


def same_rows(outcomes: list, pixels: np.ndarray, labels: list[str]) -> None:
    found = rows(outcomes)
    assert [row for row, _, _ in found] == list(range(len(pixels)))
    np.testing.assert_array_equal(np.stack([picture for _, picture, _ in found]), pixels)
    assert [label for _, _, label in found] == labels


def write_idx(path, array: np.ndarray, zipped: bool) -> None:
    content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    if zipped:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(zipped, read_all, tmp_path):
    for prefix, part in (("train", slice(0, 100)), ("t10k", slice(100, 150))):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", GREY[part], zipped)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", LABELS[part], zipped)
    found = read_all(Idx(), tmp_path, Image(6, 5, 1), Classes())
    same_rows(found["train"], GREY[:100, ..., None], [str(label) for label in LABELS[:100]])
    same_rows(found["eval"], GREY[100:, ..., None], [str(label) for label in LABELS[100:]])
    assert found["train"][0].source.startswith(f"train-images-idx3-ubyte{'.gz' * zipped}[")
    alone = read_all(Idx(eval=""), tmp_path, Image(6, 5, 1), Classes(("a", "b", "c")))
    same_rows(alone[""], GREY[:100, ..., None], ["abc"[label] for label in LABELS[:100]])


def test_idx_that_is_not_there_or_does_not_match(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", GREY, True)
    with pytest.raises(DataError, match="no train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz") as raised:
        Idx(eval="").plan(str(tmp_path), Image(6, 5, 1))
    assert "train-images-idx3-ubyte.gz" in raised.value.hint
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS[:-1], False)
    with pytest.raises(DataError, match="has 150 rows, .* has 149 rows"):
        Idx(eval="").plan(str(tmp_path), Image(6, 5, 1))


def save(folder, how: str, **arrays: np.ndarray) -> None:
    if how == "npy":
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
    else:
        (np.savez if how == "npz" else np.savez_compressed)(folder / "data.npz", **arrays)


@pytest.mark.parametrize("how", ["npy", "npz", "compressed"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_of_pictures(how, channels, read_all, tmp_path):
    x = RNG.integers(0, 256, (70, 4, 3, channels), np.uint8)
    save(tmp_path, how, x_train=x, y_train=LABELS[:70], x_test=x[:5], y_test=LABELS[:5, None])
    found = read_all(Arrays(), tmp_path, Image(4, 3), Classes())
    same_rows(found["train"], x, [str(label) for label in LABELS[:70]])
    same_rows(found["eval"], x[:5], [str(label) for label in LABELS[:5]])


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (np.array([2, 0, 1]), ("a", "b", "c"), ["c", "a", "b"]),
        (np.array([2.0, 0.0, 1.0]), ("a", "b", "c"), ["c", "a", "b"]),
        (np.array([True, False, True]), ("no", "yes"), ["yes", "no", "yes"]),
        (np.array(["dog", "cat", "dog"]), (), ["dog", "cat", "dog"]),
        (np.array([b"dog", b"cat", b"dog"]), (), ["dog", "cat", "dog"]),
        (np.array([7, -1, 10]), (), ["7", "-1", "10"]),
        (np.array([7.0, -2.0, 1e3]), (), ["7", "-2", "1000"]),
        (np.array(["7", "7.0", " 8 "]), (), ["7", "7", "8"]),
    ],
)
def test_names_of_labels(labels, names, expected, read_all, tmp_path):
    save(tmp_path, "npy", x=GREY[:3], y=labels)
    found = read_all(Arrays(train=("x", "y"), eval=()), tmp_path, Image(6, 5, 1), Classes(names))
    same_rows(found[""], GREY[:3, ..., None], expected)


def test_a_label_beyond_the_names_is_rejected(read_all, tmp_path):
    save(tmp_path, "npy", x=GREY[:3], y=np.array([0, 2, -1]))
    outcomes = read_all(Arrays(train=("x", "y"), eval=()), tmp_path, Image(6, 5, 1), Classes(("a", "b")))[""]
    rejected = {one.source: one for one in outcomes if isinstance(one, Rejected)}
    assert set(rejected) == {"x.npy[1]", "x.npy[2]"}
    assert {one.reason for one in rejected.values()} == {"unknown label"}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_vectors_and_numbers(dtype, read_all, tmp_path):
    x = (RNG.normal(size=(100, 2, 2)) * 9).astype(dtype)
    y = RNG.normal(size=(100, 1))
    save(tmp_path, "npz", x=x, y=y)
    outcomes = read_all(Arrays(train=("x", "y"), eval=()), tmp_path, Vector(4), Number())[""]
    for one in outcomes:
        feature = tf.train.Example.FromString(one.example).features.feature
        (row,) = np.flatnonzero(np.float32(y[:, 0]) == np.float32(feature["label"].float_list.value[0]))
        np.testing.assert_array_equal(np.float32(feature["features"].float_list.value), np.float32(x[row].ravel()))
    assert len(outcomes) == 100


def test_a_picture_with_a_number(read_all, tmp_path):
    """An age, say: the label is a float in the record, as `parse_spec` reads it."""
    save(tmp_path, "npy", x=GREY[:3], y=np.array([1.5, 2.5, 4]))
    outcomes = read_all(Arrays(train=("x", "y"), eval=()), tmp_path, Image(6, 5, 1), Number())[""]
    labels = [tf.train.Example.FromString(one.example).features.feature["label"] for one in outcomes]
    assert sorted(label.float_list.value[0] for label in labels) == [1.5, 2.5, 4]


def test_words_where_numbers_are_wanted_are_rejected(read_all, tmp_path):
    save(tmp_path, "npy", x=GREY[:2], y=np.array(["1.5", "old"]))
    outcomes = read_all(Arrays(train=("x", "y"), eval=()), tmp_path, Image(6, 5, 1), Number())[""]
    assert [one.message for one in outcomes if isinstance(one, Rejected)] == ["'old' is not a number"]


def test_the_digest_is_the_pixels(read_all, tmp_path):
    save(tmp_path, "npy", x=GREY[:3], y=LABELS[:3])
    outcomes = read_all(Arrays(train=("x", "y"), eval=()), tmp_path, Image(6, 5, 1), Classes())[""]
    assert {one.digest for one in outcomes} == {digest(picture.tobytes()) for picture in GREY[:3]}


@pytest.mark.parametrize(
    ("x", "y", "feature", "said"),
    [
        (GREY, LABELS[:-1], Image(6, 5), "x.npy has 150 rows, y.npy has 149 rows"),
        (GREY, np.array(3), Image(6, 5), "y.npy has no rows"),
        (GREY[:0], LABELS[:0], Image(6, 5), "x.npy has no rows"),
        (GREY / 255, LABELS, Image(6, 5), "x.npy holds float64: pictures must be uint8"),
        (GREY[..., None].repeat(2, 3), LABELS, Image(6, 5), r"shape \(150, 6, 5, 2\)"),
        (GREY[:, 0], LABELS, Image(6, 5), r"shape \(150, 5\)"),
        (GREY, LABELS, Vector(29), "x.npy has 30 values of uint8 per row, but the task's feature has 29 numbers"),
        (LABELS.astype(str), LABELS, Vector(1), "x.npy has 1 values of <U3 per row|x.npy has 1 values of <U1 per row"),
        (GREY, np.eye(3)[LABELS], Image(6, 5), "y.npy has 3 values per row: a label has one value"),
    ],
)
def test_arrays_that_do_not_fit(x, y, feature, said, tmp_path):
    save(tmp_path, "npy", x=x, y=y)
    with pytest.raises(DataError, match=said):
        Arrays(train=("x", "y"), eval=()).plan(str(tmp_path), feature)


def test_arrays_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="no array 'x_train' in .*: no x_train.npy, and no .npz that contains it"):
        Arrays().plan(str(tmp_path), Image(6, 5))
    save(tmp_path, "npz", x=GREY, y=LABELS)
    with pytest.raises(DataError, match="no array 'x_train' in .*data.npz") as raised:
        Arrays().plan(str(tmp_path), Image(6, 5))
    assert raised.value.hint == "It contains: x, y."


def test_reading_holds_three_chunks_at_most(monkeypatch, tmp_path):
    save(tmp_path, "npy", x=np.zeros((2000, 2, 2), np.uint8), y=np.zeros(2000, int))
    source, sizes, encode_rows = Arrays(train=("x", "y"), eval=()), [], module._encode_rows

    def counted(part, feature):
        sizes.append(len(part))
        return encode_rows(part, feature)

    monkeypatch.setattr(module, "_encode_rows", counted)
    plan = source.plan(str(tmp_path), Image(2, 2))
    assert max(last - first for _, _, first, last in plan.splits[""]) == plan.records_per_item == 64
    outcomes = source.read(str(tmp_path), plan.splits[""], Image(2, 2), Classes(), np.random.default_rng(0))
    next(outcomes)
    assert len(sizes) <= 3 and sum(sizes) <= 256
    assert sum(1 for _ in outcomes) == 1999
