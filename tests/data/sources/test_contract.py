"""The contract that every source fulfils, checked with a small real data set (after tfds' DatasetBuilderTestCase).

To check a new source, add a `Case` to `CASES`: the source, and a function that writes examples in its form.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import pickle
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from numpy.typing import NDArray

import data.sources
from data.errors import DataError, SkewlessError, UsageError
from data.ingest.plan_files import make_shards
from data.ingest.shards import Ingest, write_shard
from data.records import FACTS, Outcome, Record, Rejected, parse_spec
from data.sources import Arrays, Csv, FirstMatch, Idx, ImageFolder, ImageTable, Source, TFRecords
from data.spec import LABEL, Classes, Feature, Image, Label, Vector
from tests.conftest import encode_picture

TRAIN, EVAL = 150, 20  # examples; more than two blocks of rows, and more than one shard


class Example(NamedTuple):
    """An example to write: a number that its content is made from, and its label."""

    number: int
    label: str


Written = Mapping[str, Sequence[Example]]  # by split; "" if the data set is not divided


# Contents: what the example of a number holds.


def colour(number: int) -> NDArray[Any]:
    return np.random.default_rng(number).integers(0, 256, (6, 5, 3), np.uint8)


def grey(number: int) -> NDArray[Any]:
    return colour(number)[..., :1]


def vector(number: int) -> NDArray[Any]:
    return np.array([number, number / 4], np.float32)


# Writers: each writes the examples of all splits in the form of one source.


def write_image_folder(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    for split, examples in written.items():
        for number, label in examples:
            path = folder / {"train": "train", "eval": "validation", "": ""}[split] / label / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_picture(content(number), "PNG"))


def write_pictures(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> Iterator[dict[str, str]]:
    """Write the pictures of a table; yield its rows."""
    (folder / "pictures").mkdir()
    for split, examples in written.items():
        for number, label in examples:
            path = f"pictures/{number:04d}.png"
            (folder / path).write_bytes(encode_picture(content(number), "PNG"))
            yield {"path": path, "label": label, "part": {"train": "train", "eval": "validation", "": ""}[split]}


def write_table_csv(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    with open(folder / "pictures.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["part", "path", "label"])
        writer.writeheader()
        writer.writerows(write_pictures(folder, written, content))


def write_table_jsonl(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    lines = [json.dumps(row) for row in write_pictures(folder, written, content)]
    (folder / "pictures.jsonl").write_text("\n".join(lines))


def write_table_parquet(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    table = pyarrow.Table.from_pylist(list(write_pictures(folder, written, content)))
    pyarrow.parquet.write_table(table, folder / "pictures.parquet", row_group_size=70)


def write_csv(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    for split, examples in written.items():
        rows = [",".join([*map(str, content(number).tolist()), label]) for number, label in examples]
        name = {"train": "train.csv", "eval": "test.csv", "": "points.csv"}[split]
        (folder / name).write_text("\n".join(["a,b,label", *rows]) + "\n")


def write_arrays(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    arrays = {}
    for split, examples in written.items():
        suffix = {"train": "train", "eval": "test", "": "train"}[split]
        arrays[f"x_{suffix}"] = np.stack([content(number) for number, _ in examples])
        arrays[f"y_{suffix}"] = np.array([label for _, label in examples])
    np.savez(folder / "data.npz", **arrays)


def write_idx(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    for split, examples in written.items():
        prefix = {"train": "train", "eval": "t10k", "": "train"}[split]
        images = np.stack([content(number)[..., 0] for number, _ in examples])
        labels = np.array([int(label) for _, label in examples], np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))


def write_tfrecords(
    folder: Path, written: Written, content: Callable[[int], NDArray[Any]], compression: str = ""
) -> None:
    for split, examples in written.items():
        name = {"train": "d-train.tfrecord", "eval": "d-test.tfrecord", "": "d.tfrecord"}[split]
        with tf.io.TFRecordWriter(str(folder / name), tf.io.TFRecordOptions(compression)) as writer:
            for number, label in examples:
                example = tf.train.Example()
                feature, value = example.features.feature, content(number)
                if value.ndim == 1:
                    feature["image"].float_list.value.extend(value.tolist())
                else:
                    feature["image"].bytes_list.value.append(encode_picture(value, "PNG"))
                feature["label"].bytes_list.value.append(label.encode())
                writer.write(example.SerializeToString())


def write_compressed(folder: Path, written: Written, content: Callable[[int], NDArray[Any]]) -> None:
    write_tfrecords(folder, written, content, "GZIP")


@dataclasses.dataclass(frozen=True)
class Case:
    """A source, and the data set to check it with.

    Attributes:
      name: of the test.
      source: reads a training and an evaluation split.
      undivided: the same source for a data set that is not divided.
      write: writes examples in the form that the source reads; content gives the array of an example.
      feature, content: what an example holds.
      free_labels: whether a label may be any text; else it is a whole number, or the name of a folder.
      shuffles: whether the order of the records depends on the seed, and not only on the order of the items.
    """

    name: str
    source: Source
    undivided: Source
    write: Callable[[Path, Written, Callable[[int], NDArray[Any]]], None]
    feature: Feature
    content: Callable[[int], NDArray[Any]]
    free_labels: bool = True
    shuffles: bool = True


COLOUR, GREY, VECTOR = (Image(6, 5), colour), (Image(6, 5, 1), grey), (Vector(2), vector)
BY_PART = ImageTable(split="part")
CSV_OR_ARRAYS = FirstMatch(first=Csv(), second=Arrays())
CASES = [
    Case("ImageFolder", ImageFolder(), ImageFolder(), write_image_folder, *COLOUR, free_labels=False, shuffles=False),
    Case("ImageTable of CSV", BY_PART, ImageTable(), write_table_csv, *COLOUR),
    Case("ImageTable of JSON Lines", BY_PART, ImageTable(), write_table_jsonl, *COLOUR),
    Case("ImageTable of Parquet", BY_PART, ImageTable(), write_table_parquet, *COLOUR),
    Case("Csv", Csv(), Csv(), write_csv, *VECTOR),
    Case("Arrays of images", Arrays(), Arrays(eval=()), write_arrays, *COLOUR),
    Case("Arrays of vectors", Arrays(), Arrays(eval=()), write_arrays, *VECTOR),
    Case("Idx", Idx(), Idx(eval=""), write_idx, *GREY, free_labels=False),
    Case("TFRecords of images", TFRecords(), TFRecords(), write_tfrecords, *COLOUR),
    Case("TFRecords of vectors", TFRecords(), TFRecords(), write_tfrecords, *VECTOR),
    Case("TFRecords, compressed", TFRecords(), TFRecords(), write_compressed, *COLOUR, shuffles=False),
    Case("FirstMatch, the first", CSV_OR_ARRAYS, CSV_OR_ARRAYS, write_csv, *VECTOR),
    Case(
        "FirstMatch, the second",
        CSV_OR_ARRAYS,
        FirstMatch(first=Csv(), second=Arrays(eval=())),
        write_arrays,
        *VECTOR,
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def examples(first: int, count: int, labels: Sequence[str] = ("0", "1")) -> list[Example]:
    return [Example(number, labels[number % len(labels)]) for number in range(first, first + count)]


SPLITS = {"train": examples(0, TRAIN), "eval": examples(TRAIN, EVAL)}
WHOLE = {"": examples(0, TRAIN)}


@pytest.fixture
def folder(case: Case, tmp_path: Path) -> Path:
    """A data set with a training and an evaluation split."""
    case.write(tmp_path, SPLITS, case.content)
    return tmp_path


def read(
    source: Source, folder: Path | str, feature: Feature, label: Label | None = None, seed: int = 0
) -> dict[str, list[Outcome]]:
    """All outcomes by split."""
    plan, rng = source.plan(str(folder), feature), np.random.default_rng(seed)
    return {
        split: list(source.read(str(folder), items, feature, label or Classes(), rng))
        for split, items in plan.splits.items()
    }


def parse(record: Record, feature: Feature) -> dict[str, Any]:
    """The record's features, read as training reads them."""
    return {name: value.numpy() for name, value in tf.io.parse_single_example(record.example, spec(feature)).items()}


def spec(feature: Feature) -> dict[str, Any]:
    return dict(parse_spec(feature, Classes()))


def content_of(record: Record, feature: Feature) -> tuple[bytes, str]:
    """The content and the label of a record, to compare with what was written."""
    values = parse(record, feature)
    value = values[feature.name]
    if isinstance(feature, Image):
        value = tf.io.decode_png(value, feature.channels).numpy()
    return value.tobytes(), values[LABEL].decode()


def contents(outcomes: Sequence[Outcome], feature: Feature) -> Counter[tuple[bytes, str]]:
    assert all(isinstance(one, Record) for one in outcomes), [one for one in outcomes if isinstance(one, Rejected)]
    return Counter(content_of(one, feature) for one in outcomes if isinstance(one, Record))


def expected(case: Case, written: Sequence[Example]) -> Counter[tuple[bytes, str]]:
    return Counter((case.content(number).tobytes(), label) for number, label in written)


def assert_clear(error: SkewlessError) -> None:
    """One line that a terminal can show, and what to do next."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 1000
    assert not any(mark in text for mark in ("{{", "[Op:", "Traceback", "Error("))
    assert error.hint
    (text + error.hint).encode()


def test_every_source_is_checked() -> None:
    exported = (getattr(data.sources, name) for name in data.sources.__all__)
    sources = {one for one in exported if isinstance(one, type) and issubclass(one, Source) and one is not Source}
    assert {type(case.source) for case in CASES} == sources


def test_records_have_the_features_that_training_reads(case: Case, folder: Path) -> None:
    for outcomes in read(case.source, folder, case.feature).values():
        for one in outcomes:
            assert isinstance(one, Record)
            values = parse(one, case.feature)
            assert set(values) == {case.feature.name, LABEL}
            assert values[LABEL] == one.labels[0].encode() and one.labels[0] in ("0", "1")
            features = tf.train.Example.FromString(one.example).features.feature
            if isinstance(case.feature, Image):
                assert set(features) == {case.feature.name, LABEL, *FACTS}
                assert_facts(features, case)
                assert features["image/source"].bytes_list.value[:] == [one.source.encode()]
            else:
                assert set(features) == {case.feature.name, LABEL}
                assert values[case.feature.name].shape == case.feature.shape
                assert values[case.feature.name].dtype == np.float32


def assert_facts(features: Mapping[str, Any], case: Case) -> None:
    encoded = features["image"].bytes_list.value[0]
    height, width, channels = case.content(0).shape
    assert features["image/height"].int64_list.value[:] == [height]
    assert features["image/width"].int64_list.value[:] == [width]
    assert features["image/channels"].int64_list.value[:] == [channels]
    assert features["image/bytes"].int64_list.value[:] == [len(encoded)]
    assert features["image/format"].bytes_list.value[:] == [b"png"]


def test_splits_hold_what_was_written(case: Case, folder: Path) -> None:
    found = read(case.source, folder, case.feature)
    assert set(found) == case.source.split_names(str(folder)) == {"train", "eval"}
    for split, outcomes in found.items():
        assert contents(outcomes, case.feature) == expected(case, SPLITS[split])


def test_no_example_is_in_two_splits(case: Case, folder: Path) -> None:
    found = read(case.source, folder, case.feature)
    records = [one for outcomes in found.values() for one in outcomes if isinstance(one, Record)]
    assert len({one.source for one in records}) == len({one.digest for one in records}) == TRAIN + EVAL


def test_a_data_set_that_is_not_divided_is_divided_by_content(case: Case, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    case.write(source, WHOLE, case.content)
    assert case.undivided.split_names(str(source)) == {""}
    (outcomes,) = read(case.undivided, source, case.feature).values()
    assert contents(outcomes, case.feature) == expected(case, WHOLE[""])
    digests: dict[str, list[int]] = {"train": [], "eval": []}
    for shard in make_shards(case.undivided.plan(str(source), case.feature), 0, str(tmp_path / "plan")):
        report = write_shard(
            shard, str(source), str(tmp_path / "out"), case.undivided, case.feature, Classes(), Ingest()
        )
        for split, file in report.files.items():
            assert file.examples == len(report.digests[split])
            digests[split] += report.digests[split].tolist()
    train, held_out = digests["train"], digests["eval"]
    assert train and held_out and len({*train, *held_out}) == len(train) + len(held_out) == TRAIN


def test_reading_again_gives_the_same_records_in_the_same_order(case: Case, folder: Path) -> None:
    first, again, other = (read(case.source, folder, case.feature, seed=seed) for seed in (1, 1, 2))
    assert first == again
    for split, outcomes in first.items():
        assert contents(other[split], case.feature) == contents(outcomes, case.feature)
    assert (first["train"] != other["train"]) == case.shuffles


def test_source_and_plan_can_be_sent_to_workers(case: Case, folder: Path) -> None:
    """Beam pickles both; a worker reads with the copies what the original would have read."""
    source, plan = pickle.loads(pickle.dumps((case.source, case.source.plan(str(folder), case.feature))))
    assert source == case.source
    copied = {
        split: list(source.read(str(folder), items, case.feature, Classes(), np.random.default_rng(3)))
        for split, items in plan.splits.items()
    }
    original = case.source.plan(str(folder), case.feature)
    for split, items in original.splits.items():
        rng = np.random.default_rng(3)
        assert copied[split] == list(case.source.read(str(folder), items, case.feature, Classes(), rng))


def test_shards_together_hold_every_example_once(
    case: Case, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = case.source.plan(str(folder), case.feature)
    found: dict[str, Counter[tuple[bytes, str]]] = {"train": Counter(), "eval": Counter()}
    shards = make_shards(plan, 0, str(tmp_path_factory.mktemp("plan")))
    for shard in shards:
        rng = np.random.default_rng(shard.index)
        outcomes = list(case.source.read(str(folder), shard.read_items(), case.feature, Classes(), rng))
        found[shard.split] += contents(outcomes, case.feature)
    assert found == {split: expected(case, written) for split, written in SPLITS.items()}


IMAGE_CASES = [case for case in CASES if isinstance(case.feature, Image)]
ENCODED_CASES = [case for case in IMAGE_CASES if case.write not in (write_arrays, write_idx)]


@pytest.mark.parametrize("case", ENCODED_CASES, ids=lambda case: case.name)
def test_a_picture_that_cannot_be_decoded_is_rejected_and_never_dropped(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, encode = case.content(3).tobytes(), encode_picture

    def encode_all_but_one(pixels: NDArray[Any], kind: str) -> bytes:
        encoded = encode(pixels, kind)
        return encoded[: len(encoded) // 2] if pixels.tobytes() == broken else encoded

    monkeypatch.setattr(f"{__name__}.encode_picture", encode_all_but_one)
    case.write(tmp_path, SPLITS, case.content)
    outcomes = read(case.source, tmp_path, case.feature)["train"]
    (rejected,) = (one for one in outcomes if isinstance(one, Rejected))
    assert rejected.source and rejected.reason
    records = [one for one in outcomes if isinstance(one, Record)]
    assert contents(records, case.feature) == expected(case, [one for one in SPLITS["train"] if one.number != 3])


@pytest.mark.parametrize("case", ENCODED_CASES, ids=lambda case: case.name)
def test_a_picture_above_the_limit_of_pixels_is_rejected(case: Case, folder: Path) -> None:
    assert isinstance(case.feature, Image)
    feature = dataclasses.replace(case.feature, max_pixels=29)  # each picture has 30
    for split, outcomes in read(case.source, folder, feature).items():
        assert [type(one) for one in outcomes] == [Rejected] * len(SPLITS[split])


def test_a_bucket_gives_the_same_records(case: Case, folder: Path) -> None:
    """TensorFlow's in-memory file system stands for a bucket."""
    bucket = f"ram://contract/{case.name.replace(' ', '-').replace(',', '')}"
    for path in folder.rglob("*"):
        if path.is_file():
            target = f"{bucket}/{path.relative_to(folder)}"
            tf.io.gfile.makedirs(target.rpartition("/")[0])
            tf.io.gfile.copy(str(path), target, overwrite=True)
    assert read(case.source, bucket, case.feature) == read(case.source, folder, case.feature)


def test_hidden_files_are_ignored(case: Case, folder: Path) -> None:
    """As macOS leaves them next to each file."""
    before = read(case.source, folder, case.feature)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7AppleDouble\xff")
        path.with_name(".DS_Store").write_bytes(b"\0")
    assert read(case.source, folder, case.feature) == before


def test_label_names_are_indexed_and_other_labels_rejected(case: Case, tmp_path: Path) -> None:
    written = examples(0, 9, ("0", "1", "2"))
    case.write(tmp_path, {"": written}, case.content)
    (outcomes,) = read(case.undivided, tmp_path, case.feature, Classes(("cat", "dog"))).values()
    rejected = [one for one in outcomes if isinstance(one, Rejected)]
    assert {one.reason for one in rejected} == {"unknown label"} and len(rejected) == 3
    assert all("'2' is not among the task's label.names" in one.message and one.source for one in rejected)
    records = [one for one in outcomes if isinstance(one, Record)]
    named = [Example(number, ("cat", "dog")[int(label)]) for number, label in written if label != "2"]
    assert contents(records, case.feature) == expected(case, named)


TEXTS = {"cat": "cat", "": None, "1": "1", "1.0": "1", "1.5": None, "nan": None, " x ": "x", "猫": "猫"}


@pytest.mark.parametrize("case", [case for case in CASES if case.free_labels], ids=lambda case: case.name)
def test_the_same_text_is_the_same_label_in_every_source(case: Case, tmp_path: Path) -> None:
    written = [Example(number, text) for number, text in enumerate(TEXTS)]
    case.write(tmp_path, {"": written}, case.content)
    (outcomes,) = read(case.undivided, tmp_path, case.feature).values()
    rejected = [one for one in outcomes if isinstance(one, Rejected)]
    assert {one.reason for one in rejected} == {"unknown label"} and all(one.message for one in rejected)
    labelled = [Example(number, label) for number, text in written if (label := TEXTS[text]) is not None]
    records = [one for one in outcomes if isinstance(one, Record)]
    assert contents(records, case.feature) == expected(case, labelled)


def test_a_folder_without_data_is_an_error(case: Case, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/readme.md").write_text("nothing to read")
    for name in ("missing", "empty", "other"):
        with pytest.raises(DataError) as raised:
            case.source.plan(str(tmp_path / name), case.feature)
        assert_clear(raised.value)
        assert (f"no data folder at {tmp_path / name}" if name == "missing" else str(tmp_path / name)) in str(
            raised.value
        )


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "a web page instead": lambda content: b"<html>404 Not Found</html>\n",
    "cut off": lambda content: content[: len(content) // 2],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_broken_files_are_an_error_or_in_quarantine(case: Case, folder: Path, damage: str) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    try:
        outcomes = [one for split in read(case.source, folder, case.feature).values() for one in split]
    except SkewlessError as error:
        assert_clear(error)
        return
    rejected = [one for one in outcomes if isinstance(one, Rejected)]
    assert all(one.reason and one.message and one.source for one in rejected)
    # A text file that is cut off looks like a shorter one, except for its last line.
    assert len(outcomes) - len(rejected) <= ((TRAIN + EVAL) * 0.6 if damage == "cut off" else 0)


def test_another_feature_is_an_error_or_in_quarantine(case: Case, folder: Path) -> None:
    other = Vector(3) if isinstance(case.feature, Image) else Image(6, 5)
    try:
        outcomes = [one for split in read(case.source, folder, other).values() for one in split]
    except SkewlessError as error:
        text = str(error)
        assert "\n" not in text and any(words in text for words in ("feature", "pictures must be", "column"))
    else:
        assert outcomes and all(isinstance(one, Rejected) and one.message for one in outcomes)


def test_settings_are_checked(case: Case) -> None:
    for value in ("../other", "/other", 3):
        with pytest.raises(UsageError, match="source.folder must be"):
            dataclasses.replace(case.source, folder=value)  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.source.folder = "other"  # type: ignore[misc]
