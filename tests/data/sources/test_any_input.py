"""Any content of the data folder: no traceback, no hang, and each input counted (hypothesis).

The inputs are the sum of the records, the rejected ones, the files that are not images, and the unused images.
`SKEWLESS_EXAMPLES=20000` tries more examples.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from data.errors import DataError, UsageError
from data.files.listing import entries
from data.records import Record, Rejected
from data.sources import Arrays, Csv, ImageFolder, ImageTable, Source, TFRecords
from data.spec import Classes, Feature, Image, Label, Labels, Number, Vector

EXAMPLES = int(os.environ.get("SKEWLESS_EXAMPLES", "150"))
often = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 1000
)


@contextmanager
def a_folder() -> Iterator[str]:
    """A folder alone in its parent, so that a link to the parent leads to nothing else."""
    made = tempfile.mkdtemp()
    folder = os.path.join(made, "data")
    os.mkdir(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(os.fsencode(made), ignore_errors=True)


def read(source: Source, folder: str, feature: Feature, label: Label) -> tuple[int, int, int] | None:
    """Numbers of records, of rejected and of ignored inputs; None if the source rejects the folder with one line.

    A picture counts once for each folder that it is in.
    """
    try:
        assert source.split_names(folder)
        plan = source.plan(folder, feature, label)
        assert source.split_names(folder) == set(plan.splits)
        rng = np.random.default_rng(0)
        outcomes = [
            one for items in plan.splits.values() for one in source.read(folder, items, feature, label, rng) if one
        ]
    except (DataError, UsageError) as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 1000, str(error)
        assert "{{" not in str(error) and "Traceback" not in str(error)
        (str(error) + error.hint).encode()  # a terminal can show it
        return None
    for one in outcomes:
        if isinstance(one, Rejected):
            assert one.reason and one.message and "{{" not in one.message and "[Op:" not in one.message
        else:
            parsed = tf.train.Example.FromString(one.example).features.feature
            assert "label" in parsed and (not isinstance(label, Classes) or all(one.labels))
    records = [one for one in outcomes if isinstance(one, Record)]
    good = sum(len(one.labels) for one in records) if isinstance(source, ImageFolder) else len(records)
    return good, len(outcomes) - len(records), sum(plan.not_pictures.values()) + sum(plan.unused.values())


def encoded(kind: str, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Pil.new(mode, (3, 2)).save(out, kind)
    return out.getvalue()


PNG, JPEG, GIF, BMP = encoded("PNG"), encoded("JPEG"), encoded("GIF", "P"), encoded("BMP")
contents = st.sampled_from([PNG, JPEG, GIF, BMP, PNG[:-9], JPEG[:-9], b"", b"text", b"<html>"]) | st.binary(max_size=40)
stems = st.sampled_from(["train", "test", "val", "cats", "dogs", "a", "b", "train_set", "x-valid", "holdout", "1"])
odd_names = st.binary(min_size=1, max_size=6).filter(lambda name: b"/" not in name and b"\0" not in name)
folder_names = stems.map(os.fsencode) | odd_names.filter(lambda name: name not in (b".", b".."))
suffixes = st.sampled_from([b".jpg", b".png", b".PNG", b".gif", b".webp", b".txt", b"", b".db"])
file_names = st.tuples(odd_names, suffixes).map(b"".join).filter(lambda name: name not in (b".", b".."))
paths = st.tuples(st.lists(folder_names, max_size=3), file_names).map(lambda parts: (*parts[0], parts[1]))
things = contents | st.sampled_from(["pipe", "link .", "link ..", "link gone", "link /dev/zero"])


def build(root: bytes, tree: dict[tuple[bytes, ...], bytes | str]) -> None:
    for parts, thing in tree.items():
        path = os.path.join(root, *parts)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(thing, bytes):
                with open(path, "xb") as file:
                    file.write(thing)
            elif thing == "pipe":
                os.mkfifo(path)
            else:
                os.symlink(thing.removeprefix("link "), path)
        except OSError:  # two of the names do not go together: a file where a folder is
            continue


def count(folder: bytes) -> int:
    """Count everything but folders, and a hidden folder as one; without the code under test."""
    total = 0
    for entry in os.scandir(folder):
        hidden = entry.name.startswith((b".", b"__MACOSX"))
        if entry.is_dir(follow_symlinks=False) and not hidden:
            total += count(entry.path.encode() if isinstance(entry.path, str) else entry.path)
        else:
            total += 1
    return total


CLASSES = {(b"cats", b"good.jpg"): JPEG, (b"dogs", b"good.png"): PNG}
SPLITS = {(split, *path): one for split in (b"train", b"val") for path, one in CLASSES.items()}
inner = st.tuples(st.sampled_from([b"cats", b"dogs", b"train", b"val"]), odd_names, suffixes)
beside = inner.map(lambda parts: (parts[0], parts[1] + parts[2])).filter(lambda parts: parts[1] not in (b".", b".."))


@often
@given(st.sampled_from([{}, CLASSES, SPLITS]), st.dictionaries(paths | beside, things, max_size=25))
@example(CLASSES, {(b"dogs", b"up"): "link .."})
@example({}, {(b"train", b"a", b"1.jpg"): JPEG, (b"test", b"a", b"1.png"): PNG, (b"x", b"a", b"1.png"): PNG})
def test_any_tree_of_folders(base, extra):
    tree = {**base, **extra}
    with a_folder() as folder:
        build(os.fsencode(folder), tree)
        found = read(ImageFolder(), folder, Image(4, 4), Classes())
        event("refused" if found is None else "read")
        assert entries(folder) is not None
        assert read(ImageFolder(), folder, Image(4, 4), Labels()) == found
        if found is not None:
            assert sum(found) == count(os.fsencode(folder))


cells = st.sampled_from(["1", "2.5", "-3e2", "", " 7 ", "cat", "nan", '"x"', '"', "1,5", "é", "\r", "\0", ";"])
headers = st.sampled_from(["a,b,y", "a,y", "y,a,a", "a;b;y", "", "\ufeffa,b,y"])
lines = st.lists(cells, min_size=0, max_size=4).map(",".join)


@often
@given(st.lists(lines, max_size=12), headers, st.booleans())
def test_any_table(rows, header, as_number):
    with a_folder() as folder:
        text = "\n".join([header, *rows])
        Path(folder, "d.csv").write_bytes(text.encode())
        found = read(Csv(label="y"), folder, Vector(2), Number() if as_number else Classes())
        if found is not None:
            assert found[:2] == (found[0], sum(bool(row.strip()) for row in text.split("\n")[1:]) - found[0])


@often
@given(st.binary(max_size=200))
def test_any_bytes_as_a_table(content):
    with a_folder() as folder:
        Path(folder, "d.csv").write_bytes(b"a,b,y\n" + content)
        found = read(Csv(label="y"), folder, Vector(2), Classes())
        if found is not None:
            assert sum(found) == sum(bool(line.strip()) for line in content.split(b"\n"))


values = st.one_of(
    st.lists(contents, max_size=2),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.floats(width=32), max_size=3),
)


def an_example(features: dict[str, list]) -> bytes:
    built = tf.train.Example()
    for key, some in features.items():
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(some[0]) if some else int]
        getattr(built.features.feature[key], kind).value.extend(some)
    return built.SerializeToString()


def write(folder: str, records: list[bytes], compression: str) -> Path:
    path = Path(folder, "d.tfrecord")
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=compression)) as writer:
        for record in records:
            writer.write(record)
    return path


records = st.lists(
    st.dictionaries(st.sampled_from(["image", "label", "x"]), values, max_size=3).map(an_example)
    | st.binary(max_size=30),
    max_size=8,
)


@often
@given(
    *(records, st.sampled_from(["", "GZIP", "ZLIB"]), st.booleans()),
    st.sampled_from([Classes(), Number(), Labels(), Labels(("a", "b", "c"))]),
)
def test_any_records(some, compression, of_pictures, label):
    with a_folder() as folder:
        write(folder, some, compression)
        feature = Image(4, 4) if of_pictures else Vector(2)
        source = TFRecords(feature="image" if of_pictures else "x")
        found = read(source, folder, feature, label)
        assert found is None or sum(found) == len(some)


@often
@given(records, st.integers(0), st.integers(0, 7), st.sampled_from(["", "GZIP", "ZLIB"]))
def test_any_bit_that_is_flipped(some, place, bit, compression):
    """It is seen: the file is refused, or the very record is in quarantine."""
    with a_folder() as folder:
        path = write(folder, some, compression)
        good = read(TFRecords(), folder, Image(4, 4), Classes())
        content = bytearray(path.read_bytes())
        if not content or good is None:
            return
        content[place % len(content)] ^= 1 << bit
        path.write_bytes(content)
        found = read(TFRecords(), folder, Image(4, 4), Classes())
        assert found is None or sum(found) == len(some)
        if found is not None and not compression:  # gzip's header has bytes that mean nothing
            assert found[0] in (good[0], good[0] - 1) and found[1] in (good[1], good[1] + 1)
            assert found != good or good[1]


dtypes = st.sampled_from(["u1", "i4", "f4", "f8", "?", "U3", "S3", "O", "c8", "M8[s]", "f2", "u8"])


@often
@given(
    *(st.lists(st.integers(0, 4), max_size=4), dtypes, st.lists(st.integers(0, 4), max_size=3), dtypes, st.booleans()),
    st.sampled_from([Classes(), Number(), Labels(), Labels(("a", "b", "c"))]),
)
def test_any_arrays(shape, dtype, label_shape, label_dtype, of_pictures, label):
    with a_folder() as folder:
        np.save(Path(folder, "x_train.npy"), np.zeros(shape, dtype), allow_pickle=True)
        np.save(Path(folder, "y_train.npy"), np.zeros(label_shape, label_dtype), allow_pickle=True)
        found = read(Arrays(eval=()), folder, Image(4, 4) if of_pictures else Vector(2), label)
        assert found is None or sum(found) == shape[0] == label_shape[0]


@often
@given(st.binary(max_size=300))
def test_any_bytes_as_arrays(content):
    with a_folder() as folder:
        Path(folder, "d.npz").write_bytes(content)
        assert read(Arrays(eval=()), folder, Image(4, 4), Classes()) is None


listed = st.sampled_from(
    ["good.png", "bad.png", "good", "gone.jpg", "train", "test", "cat", "dog", "1", "", " ", "..", "/", "é", "\r", "\0"]
)
rows_of_pictures = st.lists(st.lists(listed | st.just('"'), max_size=4).map(",".join), max_size=12)
kinds_of_label = st.sampled_from([Classes(), Number(), Labels()])


def with_pictures(folder: str) -> None:
    Path(folder, "good.png").write_bytes(PNG)
    Path(folder, "bad.png").write_bytes(PNG[:-9])


@often
@given(rows_of_pictures, st.sampled_from(["path,label,s", "label;path;s", "path", "", "good.png,cat"]), kinds_of_label)
def test_any_table_of_pictures(rows, header, label):
    """Each line that is not blank is a row, if no quote joins lines; `Labels` joins the rows of a path."""
    with a_folder() as folder:
        with_pictures(folder)
        text = "\n".join([header, *rows])
        Path(folder, "t.csv").write_bytes(text.encode())
        found = read(ImageTable(split="s" if "s" in header else ""), folder, Image(4, 4), label)
        if found is not None and '"' not in text:
            lines = [line for line in text.split("\n") if line.strip(" \r")]
            expected = len(lines) - (not header.startswith("good"))
            assert sum(found[:2]) == expected if not isinstance(label, Labels) else sum(found[:2]) <= expected


@often
@given(st.binary(max_size=200), st.sampled_from(["csv", "jsonl", "parquet"]))
def test_any_bytes_as_a_table_of_pictures(content, form):
    with a_folder() as folder:
        with_pictures(folder)
        begin = {"csv": b"path,label\n", "jsonl": b'{"path": "good.png", "label": "a"}\n', "parquet": b""}[form]
        Path(folder, f"t.{form}").write_bytes(begin + content)
        found = read(ImageTable(), folder, Image(4, 4), Classes())
        assert form != "parquet" or found is None
        if found is not None and form == "jsonl":
            assert sum(found[:2]) == 1 + sum(bool(line.strip()) for line in content.split(b"\n"))


values_of_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4) | listed,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@often
@given(st.lists(st.dictionaries(st.sampled_from(["path", "label", "s"]), values_of_json), max_size=6), kinds_of_label)
def test_any_objects_as_a_table_of_pictures(objects, label):
    with a_folder() as folder:
        with_pictures(folder)
        some = [{"path": "good.png", "label": "1", "s": ""}, *objects]
        Path(folder, "t.jsonl").write_text("\n".join(map(json.dumps, some)))
        found = read(ImageTable(split="s"), folder, Image(4, 4), label)
        if found is not None:
            assert sum(found[:2]) == len(some) or (isinstance(label, Labels) and sum(found[:2]) < len(some))
