"""`ImageTable`: the oddities of tables, each read as pandas, json or a hand computation reads it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf

from data.errors import DataError, UsageError
from data.ingest.manifest import Manifest
from data.ingest.plan_files import make_shards
from data.ingest.shards import Ingest, write_shard
from data.records import Record, Rejected
from data.sources import ImageTable
from data.sources.table.items import SharedPaths
from data.spec import Classes, Image, Label, Labels, Number, Vector
from tests.conftest import encode_picture, smooth_pixels
from tests.data.ingest.ingest_folder import merge

FEATURE = Image(8, 8)
Outcomes = tuple[dict[str, Any], dict[str, Rejected]]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty different pictures: 00.jpg, 01.png, ..."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(20):
        kind, suffix = (("JPEG", "jpg"), ("PNG", "png"))[number % 2]
        (folder / f"{number:02d}.{suffix}").write_bytes(encode_picture(smooth_pixels(number, 9, 12), kind))
    return folder


@pytest.fixture
def folder(pictures: Path, tmp_path: Path) -> Path:
    """A data folder with the pictures in `p`."""
    shutil.copytree(pictures, tmp_path / "data" / "p")
    return tmp_path / "data"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / "p").iterdir())


def read(source: ImageTable, folder: Path | str, label: Label | None = None) -> Outcomes:
    """The label of each picture, by split and path, and the rejected rows by their place."""
    plan, rng = source.plan(str(folder), FEATURE), np.random.default_rng(0)
    assert source.split_names(str(folder)) == set(plan.splits)
    records: dict[str, Any] = {}
    rejected: dict[str, Rejected] = {}
    for split, items in plan.splits.items():
        for one in source.read(str(folder), items, FEATURE, label or Classes(), rng):
            if isinstance(one, Rejected):
                assert one.source not in rejected and one.message
                rejected[one.source] = one
            else:
                key = f"{split}:{one.source}" if split else one.source
                assert key not in records
                records[key] = one.labels if isinstance(label, Labels) else one.labels[0]
    return records, rejected


def reasons(rejected: Mapping[str, Rejected]) -> dict[str, str]:
    """The reason by the table's name and row."""
    return {source.split()[0]: one.reason for source, one in rejected.items()}


# Forms of a CSV file, each checked against what pandas reads.

ROWS = [("p/00.jpg", "a, b"), ("p/01.png", 'say "c"'), ("p/02.jpg", "two\nlines"), ("p/03.png", "ü"), ("p/04.jpg", "7")]


def as_csv(rows: Iterable[Sequence[Any]], header: Sequence[str] = ("path", "label"), **options: Any) -> str:
    out = io.StringIO()
    csv.writer(out, **{"lineterminator": "\n", **options}).writerows([header, *rows])
    return out.getvalue()


FORMS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (as_csv(ROWS).encode(), {}),
    "BOM and CRLF": (as_csv(ROWS, lineterminator="\r\n").encode("utf-8-sig"), {}),
    "semicolons": (as_csv(ROWS, delimiter=";").encode(), {"sep": ";"}),
    "tabs": (as_csv(ROWS, delimiter="\t").encode(), {"sep": "\t"}),
    "bars": (as_csv(ROWS, delimiter="|").encode(), {"sep": "|"}),
    "all quoted": (as_csv(ROWS, quoting=csv.QUOTE_ALL).encode(), {}),
    "no line feed at the end": (as_csv(ROWS).rstrip("\n").encode(), {}),
    "blank lines": (as_csv(ROWS).replace("\np/", "\n\np/").encode() + b"\n\n", {}),
    "other columns": (as_csv([(1, *row, "x;y") for row in ROWS], ("", "path", "label", "note")).encode(), {}),
    "spaces": (b"path , label\n p/00.jpg ,  cat\np/01.png, dog \n", {"skipinitialspace": True}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "CSV"])
def test_a_table_is_read_as_pandas_reads_it(folder: Path, form: str, suffix: str) -> None:
    content, options = FORMS[form]
    (folder / f"t.{suffix}").write_bytes(content)
    frame = pd.read_csv(io.BytesIO(content), dtype=str, **options).rename(columns=str.strip)
    expected = {path.strip(): label.strip() for path, label in zip(frame["path"], frame["label"], strict=True)}
    records, rejected = read(ImageTable(), folder)
    line = 7 if form == "blank lines" else 4
    bad = (
        {f"t.{suffix}:{line}": "unknown label"} if "two\nlines" in expected.values() else {}
    )  # the label has a line break
    assert reasons(rejected) == bad
    assert records == {path: label for path, label in expected.items() if "\n" not in label}


def test_a_path_may_have_a_line_break_in_another_column(folder: Path) -> None:
    """Rows are found behind it, and their lines are counted."""
    rows = [(path, "no label" if index % 7 == 3 else "", "one\ntwo, three") for index, path in enumerate(names(folder))]
    rows = [(path, label or "x", note) for path, label, note in rows]
    rows.append(("p/gone.jpg", "x", "y"))
    (folder / "t.csv").write_text(as_csv(rows, ("path", "label", "note")))
    records, rejected = read(ImageTable(), folder)
    assert records == {path: label for path, label, _ in rows[:-1]}
    assert reasons(rejected) == {"t.csv:42": "missing file"}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_many_rows_are_each_read_once(folder: Path, form: str) -> None:
    """More rows than one block, with splits that alternate, against the rows themselves."""
    pictures = names(folder)
    for index in range(400):
        shutil.copy(folder / pictures[index % 20], folder / f"n{index}{Path(pictures[index % 20]).suffix}")
    files = sorted(folder.glob("n*"))
    words = ["train", "TRAINING", "val", "test", "train"]
    rows = [{"path": one.name, "label": f"c{index % 3}", "set": words[index % 5]} for index, one in enumerate(files)]
    write_rows(folder, rows, form)
    records, rejected = read(ImageTable(split="set"), folder)
    split = {"train": "train", "TRAINING": "train", "val": "eval", "test": "test"}
    assert not rejected
    assert records == {f"{split[row['set']]}:{row['path']}": row["label"] for row in rows}


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]], form: str) -> None:
    if form == "csv":
        header = list(dict.fromkeys(name for row in rows for name in row))
        (folder / "t.csv").write_text(as_csv([[row.get(name, "") for name in header] for row in rows], header))
    elif form == "jsonl":
        (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), folder / "t.parquet", row_group_size=90)


# Without a header; Vertex AI's import files.


def test_no_header(folder: Path) -> None:
    (folder / "t.csv").write_text("p/00.jpg,cat\np/01.png,dog\n")
    plan = ImageTable().plan(str(folder), FEATURE)
    assert read(ImageTable(), folder)[0] == {"p/00.jpg": "cat", "p/01.png": "dog"}
    assert plan.notes[0].startswith("t.csv has no header")


def test_vertex_csv(folder: Path) -> None:
    lines = ["TRAINING,p/00.jpg,cat", "VALIDATION,p/01.png,dog", "TEST,p/02.jpg,cat", "UNASSIGNED,p/03.png,cat"]
    (folder / "t.csv").write_text("\n".join([*lines, "p/04.jpg,cat", "TRAINING,p/05.png", "TRAINING,p/06.jpg,a,b"]))
    records, rejected = read(ImageTable(), folder)
    assert records == {"train:p/00.jpg": "cat", "eval:p/01.png": "dog", "test:p/02.jpg": "cat"}
    assert reasons(rejected) == {
        **{f"t.csv:{row}": "no split" for row in (4, 5)},
        **{f"t.csv:{row}": "unknown label" for row in (6, 7)},
    }
    records, rejected = read(ImageTable(), folder, Labels())
    assert records["train:p/06.jpg"] == ("a", "b")


def test_vertex_csv_without_a_split_is_divided_by_content(folder: Path) -> None:
    (folder / "t.csv").write_text("UNASSIGNED,p/00.jpg,cat\n,p/01.png,dog\n p/02.jpg , cat \n")
    assert read(ImageTable(), folder)[0] == {"p/00.jpg": "cat", "p/01.png": "dog", "p/02.jpg": "cat"}


def test_vertex_json_lines(folder: Path) -> None:
    use = "aiplatform.googleapis.com/ml_use"
    rows = [
        {
            "imageGcsUri": f"{folder}/{path}",
            "classificationAnnotation": {"displayName": f"c{index % 2}"},
            "dataItemResourceLabels": {use: ("training", "test")[index % 2]},
        }
        for index, path in enumerate(names(folder))
    ]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    records, rejected = read(ImageTable(), folder)
    expected = {f"{('train', 'eval')[index % 2]}:{path}": f"c{index % 2}" for index, path in enumerate(names(folder))}
    assert records == expected and not rejected
    several = [{"imageGcsUri": "p/00.jpg", "classificationAnnotations": [{"displayName": "a"}, {"displayName": "b"}]}]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, several)))
    assert read(ImageTable(), folder, Labels())[0] == {"p/00.jpg": ("a", "b")}


# Paths.


def test_paths_of_every_form(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.jpg"
    shutil.copy(folder / "p/08.jpg", outside)
    bucket = "ram://image-table/07.png"
    tf.io.gfile.makedirs("ram://image-table")
    tf.io.gfile.copy(str(folder / "p/07.png"), bucket, overwrite=True)
    written = {
        "p/00.jpg": "p/00.jpg",
        "./p//01.png": "p/01.png",
        "p\\02.jpg": "p/02.jpg",
        f"{folder}/p/03.png": "p/03.png",
        "p/04": "p/04.jpg",
        "p/05": "p/05.png",
        str(outside): str(outside),
        bucket: bucket,
        "../elsewhere.jpg": "../elsewhere.jpg",
    }
    (folder / "t.csv").write_text(as_csv([(path, "x") for path in written]))
    records, rejected = read(ImageTable(), folder)
    assert not rejected and sorted(records) == sorted(written.values())


@pytest.mark.parametrize(
    ("source", "path", "found"),
    [
        (ImageTable(), "00.jpg", "lists/00.jpg"),
        (ImageTable(), "p/02.jpg", "p/02.jpg"),
        (ImageTable(images="p"), "00.jpg", "p/00.jpg"),
        (ImageTable(images="p", suffix=".png"), "01", "p/01.png"),
        (ImageTable(images="p", suffix=".png"), "01.png", "p/01.png"),
        (ImageTable(images="p"), "p/00.jpg", None),
        (ImageTable(images="p", suffix=".jpg"), "01", None),
    ],
)
def test_folders_that_paths_are_relative_to(folder: Path, source: ImageTable, path: str, found: str | None) -> None:
    """The table's folder, then the data folder; or the given one alone."""
    (folder / "lists").mkdir()
    shutil.copy(folder / "p/00.jpg", folder / "lists/00.jpg")
    (folder / "lists/t.csv").write_text(as_csv([(path, "x")]))
    records, rejected = read(source, folder)
    assert list(records) == ([found] if found else [])
    assert set(reasons(rejected).values()) == (set() if found else {"missing file"})


def test_files_in_no_row_are_counted(folder: Path) -> None:
    (folder / "lists").mkdir()
    rows = ["p/00.jpg", "p/01", f"{folder}/p/02.jpg", "p/none.jpg"]
    (folder / "t.csv").write_text(as_csv([(path, "x") for path in rows]))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(b"")
    assert ImageTable().plan(str(folder), FEATURE).unused == {"in no row of the table": 17}
    (folder / "t.csv").rename(folder / "lists/t.csv")
    assert ImageTable().plan(str(folder), FEATURE).unused == {"in no row of the table": 17}
    (folder / "lists/t.csv").write_text(as_csv([(Path(path).stem, "x") for path in names(folder)]))
    assert ImageTable(images="p").plan(str(folder), FEATURE).unused == {}
    assert ImageTable(images="p", suffix=".jpg").plan(str(folder), FEATURE).unused == {"in no row of the table": 10}


# Splits.


def test_words_for_splits(folder: Path) -> None:
    words = ["train", "Training", "TRAIN_SET", "val", "VALIDATION", "dev", "fold1", "", "nan"]
    (folder / "t.csv").write_text(as_csv(zip(names(folder), "x" * 9, words, strict=False), ("path", "label", "s")))
    records, rejected = read(ImageTable(split="s"), folder)
    assert Counter(name.split(":")[0] for name in records) == {"train": 3, "eval": 3}
    assert reasons(rejected) == {"t.csv:8": "unknown split", "t.csv:9": "no split", "t.csv:10": "unknown split"}
    assert "'fold1' is not a word for a split" in rejected["t.csv:8 p/06.jpg"].message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "train"], "has training rows, but no validation rows"),
        (["test", "val"], "has validation or test rows, but no training rows"),
        (["1", "2"], "shows no split: '1' is not a word for one"),
    ],
)
def test_splits_that_are_not_complete(folder: Path, words: list[str], message: str) -> None:
    (folder / "t.csv").write_text(as_csv(zip(names(folder), "ab", words, strict=False), ("path", "label", "s")))
    for look in (lambda: ImageTable(split="s").plan(str(folder), FEATURE), lambda: read(ImageTable(split="s"), folder)):
        with pytest.raises(DataError, match=message) as raised:
            look()
        assert "source.split" in raised.value.hint


def test_a_table_for_each_split(folder: Path) -> None:
    for name, path in {"train.csv": "p/00.jpg", "valid.csv": "p/01.png", "test.csv": "p/02.jpg"}.items():
        (folder / name).write_text(as_csv([(path, "x")]))
    records, _ = read(ImageTable(), folder)
    assert sorted(records) == ["eval:p/01.png", "test:p/02.jpg", "train:p/00.jpg"]
    assert read(ImageTable(file="valid.csv"), folder)[0] == {"p/01.png": "x"}
    assert read(ImageTable(file="t*.csv"), folder)[0] == {"train:p/00.jpg": "x", "eval:p/02.jpg": "x"}


def test_tables_of_folders(folder: Path) -> None:
    """As Hugging Face's `imagefolder` has them."""
    for name, path in {"train": "00.jpg", "test": "01.png"}.items():
        (folder / name).mkdir()
        shutil.copy(folder / "p" / path, folder / name / "x.jpg")
        (folder / name / "metadata.csv").write_text(as_csv([("x.jpg", "a")], ("file_name", "label")))
    assert read(ImageTable(path="file_name"), folder)[0] == {"train:train/x.jpg": "a", "eval:test/x.jpg": "a"}


def test_several_tables_are_not_guessed(folder: Path) -> None:
    for name in ("labels.csv", "names.csv"):
        (folder / name).write_text(as_csv([("p/00.jpg", "x")]))
    with pytest.raises(DataError, match=r"several tables in .* \(labels.csv, names.csv\)") as raised:
        ImageTable().plan(str(folder), FEATURE)
    assert "--set source.file=labels.csv" in raised.value.hint
    assert read(ImageTable(file="names.csv"), folder)[0] == {"p/00.jpg": "x"}
    (folder / "names.csv").write_text(as_csv([("p/01.png", "x")]))
    assert len(read(ImageTable(file="*.csv"), folder)[0]) == 2


# Rows that cannot be used.


def test_rows_that_are_rejected_are_named(folder: Path) -> None:
    (folder / "p/broken.png").write_bytes((folder / "p/01.png").read_bytes()[:-30])
    rows = {
        "p/00.jpg,a": "",
        "p/gone.jpg,a": "missing file",
        "p/01.png,": "unknown label",
        "p/02.jpg,nan": "unknown label",
        ",a": "no path",
        "p/03.png": "not a row",
        "p/04.jpg,a,b": "not a row",
        "p/05.png,a,,": "",
        "p/06.jpg,a": "two labels",
        "p/06.jpg,b": "two labels",
        "./p/06.jpg,b": "two labels",
        "p/07.png,a": "",
        "p/07.png, a": "listed twice",
        "p/broken.png,a": "not decodable",
        "p,a": "unreadable",
    }
    (folder / "t.csv").write_text("path,label\n" + "\n".join(rows))
    records, rejected = read(ImageTable(), folder)
    expected = {f"t.csv:{number}": reason for number, reason in enumerate(rows.values(), 2) if reason}
    # "p" has no suffix, and there is no p.jpg: the folder is what the path names.
    assert reasons(rejected) == expected
    assert sorted(records) == ["p/00.jpg", "p/05.png", "p/07.png"]
    assert f"there is no file {folder}/p/gone.jpg" in rejected["t.csv:3 p/gone.jpg"].message
    assert rejected["t.csv:10 p/06.jpg"].message == "'a', but 'b' in t.csv:11 p/06.jpg"
    assert "also in t.csv:13 p/07.png" in rejected["t.csv:14 p/07.png"].message


def test_a_picture_in_two_splits_is_rejected(folder: Path) -> None:
    rows = [("p/00.jpg", "a", "train"), ("p/01.png", "a", "val"), ("p/00.jpg", "a", "val"), ("p/02.jpg", "a", "train")]
    (folder / "t.csv").write_text(as_csv(rows, ("path", "label", "s")))
    records, rejected = read(ImageTable(split="s"), folder)
    assert records == {"eval:p/01.png": "a", "train:p/02.jpg": "a"}
    assert reasons(rejected) == {"t.csv:2": "two splits", "t.csv:4": "two splits"}
    (folder / "t.csv").unlink()
    for name in ("train", "val"):
        (folder / f"{name}.csv").write_text(as_csv([row[:2] for row in rows if row[2] == name]))
    assert reasons(read(ImageTable(), folder)[1]) == {"train.csv:2": "two splits", "val.csv:3": "two splits"}


def test_the_same_picture_with_two_labels_is_found(folder: Path, tmp_path: Path) -> None:
    """Files with equal content; two rows of one path are in quarantine; the numbers are in the manifest."""
    shutil.copy(folder / "p/00.jpg", folder / "p/copy.jpg")
    rows = [(path, f"c{index % 2}") for index, path in enumerate(names(folder))]
    rows += [("p/02.jpg", "c0"), ("p/05.png", "c9"), ("p/gone.jpg", "c0")]
    (folder / "t.csv").write_text(as_csv(rows))
    manifest = ingest(ImageTable(), folder, tmp_path / "out", Classes())
    assert manifest.contradiction_count == 0 and manifest.examples() == 21 - 1
    assert manifest.quarantined == {"listed twice": 1, "two labels": 2, "missing file": 1}
    (folder / "t.csv").write_text(as_csv([("p/00.jpg", "c0"), ("p/copy.jpg", "c1"), ("p/01.png", "c1")]))
    manifest = ingest(ImageTable(), folder, tmp_path / "again", Classes())
    assert manifest.contradiction_count == 2 and manifest.unused == {"in no row of the table": 18}
    assert manifest.contradictions == [{"c0": "p/00.jpg", "c1": "p/copy.jpg"}]


def ingest(source: ImageTable, folder: Path, target: Path, label: Label) -> Manifest:
    plan = source.plan(str(folder), FEATURE)
    shards = make_shards(plan, 0, f"{target}-plan")
    reports = [write_shard(shard, str(folder), str(target), source, FEATURE, label, Ingest()) for shard in shards]
    return merge(reports, plan, target)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_random_tables_with_repeated_paths(folder: Path, form: str) -> None:
    """Against the rule in its simplest form: group by path."""
    rng, pictures = np.random.default_rng(3), names(folder)
    for _ in range(5):
        rows = [
            {"path": pictures[rng.integers(20)], "label": "ab"[rng.integers(2)]} for _ in range(rng.integers(1, 60))
        ]
        write_rows(folder, rows, form)
        labels: dict[str, list[str]] = {}
        for row in rows:
            labels.setdefault(row["path"], []).append(row["label"])
        records, rejected = read(ImageTable(), folder)
        assert records == {path: found[0] for path, found in labels.items() if len(set(found)) == 1}
        assert Counter(one.reason for one in rejected.values()) == +Counter(
            {
                "two labels": sum(len(found) for found in labels.values() if len(set(found)) > 1),
                "listed twice": sum(len(found) - 1 for found in labels.values() if len(set(found)) == 1),
            }
        )
        several, rejected = read(ImageTable(), folder, Labels())
        assert several == {path: tuple(sorted(set(found))) for path, found in labels.items()} and not rejected


# Several labels.


def test_labels_in_a_cell(folder: Path) -> None:
    cells = {"a|b": ("a", "b"), " b | a |": ("a", "b"), "a|a": ("a",), "c": ("c",), "": None, "|": ()}
    (folder / "t.csv").write_text(as_csv(zip(names(folder), cells, strict=False)))
    records, rejected = read(ImageTable(), folder, Labels())
    expected = dict(zip(names(folder), cells.values(), strict=False))
    assert records == {path: labels for path, labels in expected.items() if labels}
    assert reasons(rejected) == {"t.csv:6": "unknown label", "t.csv:7": "unknown label"}
    assert read(ImageTable(), folder)[0]["p/00.jpg"] == "a|b"
    (folder / "t.csv").write_text(as_csv([("p/00.jpg", "a b")]))
    assert read(ImageTable(separator=" "), folder, Labels())[0] == {"p/00.jpg": ("a", "b")}


def test_columns_of_zero_and_one(folder: Path) -> None:
    rows = [(1, 0, 1), (0, 0, 0), ("True", "False", "0.0"), (1, 2, 0), ("", 0, 1)]
    table = [(path, *row) for path, row in zip(names(folder), rows, strict=False)]
    (folder / "t.csv").write_text(as_csv(table, ("path", "cat", "dog", "tree")))
    source = ImageTable(label=("cat", "dog", "tree"))
    records, rejected = read(source, folder, Labels())
    assert list(records.values()) and records == {"p/00.jpg": ("cat", "tree"), "p/01.png": (), "p/02.jpg": ("cat",)}
    assert reasons(rejected) == {"t.csv:5": "unknown label", "t.csv:6": "unknown label"}
    assert "'2' for the label 'dog' is neither 0 nor 1" in rejected["t.csv:5 p/03.png"].message
    records, rejected = read(source, folder, Classes())
    assert records == {"p/02.jpg": "cat"} and len(rejected) == 4


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_lists_of_labels(folder: Path, form: str) -> None:
    lists = [["b", "a"], [], ["c"], None]
    write_rows(folder, [{"path": path, "label": one} for path, one in zip(names(folder), lists, strict=False)], form)
    records, rejected = read(ImageTable(), folder, Labels())
    assert records == {"p/00.jpg": ("a", "b"), "p/01.png": (), "p/02.jpg": ("c",)}
    assert set(reasons(rejected).values()) == {"unknown label"} and len(rejected) == 1
    assert read(ImageTable(), folder, Classes())[0] == {"p/02.jpg": "c"}


@pytest.mark.parametrize("values", [[1, 2, 3], [1.0, 2.0, 3.0], [True, False, True], ["x", "1", "2.0"]])
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_values_of_any_type(folder: Path, form: str, values: list[Any]) -> None:
    write_rows(folder, [{"path": path, "label": one} for path, one in zip(names(folder), values, strict=False)], form)
    records, _ = read(ImageTable(), folder)
    expected = [str(int(one)) if type(one) is float else str(one).removesuffix(".0") for one in values]
    assert list(dict(sorted(records.items())).values()) == expected


def test_a_category_of_pandas(folder: Path) -> None:
    frame = pd.DataFrame({"path": names(folder), "label": pd.Categorical(["a", "b"] * 10), "age": range(20)})
    frame.to_parquet(folder / "t.parquet")
    records, _ = read(ImageTable(), folder)
    assert records == dict(zip(frame["path"], frame["label"], strict=True))


def test_a_number_as_label(folder: Path) -> None:
    rows = [("p/00.jpg", "1.5"), ("p/01.png", "many"), ("p/02.jpg", "-2e3")]
    (folder / "t.csv").write_text(as_csv(rows, ("path", "age")))
    source = ImageTable(label="age")
    (items,) = source.plan(str(folder), FEATURE).splits.values()
    outcomes = list(source.read(str(folder), items, FEATURE, Number(), np.random.default_rng(0)))
    examples = [tf.train.Example.FromString(one.example) for one in outcomes if isinstance(one, Record)]
    assert sorted(one.features.feature["label"].float_list.value[0] for one in examples) == [-2000, 1.5]
    with pytest.raises(UsageError, match="source.label names columns of 0 and 1"):
        ImageTable(label=("a", "b")).check_label(Number())


def test_further_columns_are_features(folder: Path) -> None:
    rows = [("p/00.jpg", "x", " north ", 3), ("p/01.png", "y", "", 4)]
    (folder / "t.csv").write_text(as_csv(rows, ("path", "label", "site", "camera")))
    source = ImageTable(slices=("site", "camera"))
    (items,) = source.plan(str(folder), FEATURE).splits.values()
    found = {}
    for one in source.read(str(folder), items, FEATURE, Classes(), np.random.default_rng(0)):
        assert isinstance(one, Record)
        features = tf.train.Example.FromString(one.example).features.feature
        found[one.source] = {
            name: features[name].bytes_list.value[:] for name in ("site", "camera") if name in features
        }
    assert found == {"p/00.jpg": {"site": [b"north"], "camera": [b"3"]}, "p/01.png": {"camera": [b"4"]}}


# Errors.


ERRORS: dict[str, tuple[str, bytes, str]] = {
    "no column": ("t.csv", b"file,label\nx,y\n", "t.csv has no column 'path'"),
    "a column twice": ("t.csv", b"path,label,label\nx,y,z\n", "has the column 'label' 2 times"),
    "UTF-16": ("t.csv", "path,label\n".encode("utf-16"), "t.csv is UTF-16"),
    "gzip": ("t.csv", b"\x1f\x8b\x08\0", "t.csv is compressed with gzip"),
    "an Excel file": ("t.csv", b"PK\3\4", "t.csv is a ZIP archive or an Excel file"),
    "an open quote": ("t.csv", b'path,label\na.jpg,b\na.jpg,"b\na.jpg,b\n', "t.csv:3: a quote is opened"),
    "a header alone": ("t.csv", b"path,label\n", "no rows in t.csv"),
    "empty": ("t.csv", b"", "t.csv has no rows"),
    "carriage returns": ("t.csv", b"path,label\ra,b\r", "t.csv:1 is not a row of a table"),
    "a JSON array": ("t.jsonl", b'[{"path": "a"}]', "t.jsonl has no JSON object on a line"),
    "no key": ("t.jsonl", b'{"file": "a"}', "t.jsonl has no column 'path'"),
    "not Parquet": ("t.parquet", b"path,label", "t.parquet is not a Parquet file"),
    "a long line": ("t.csv", b"path,label\n" + b"x" * (1 << 20), "a line is longer than"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_tables_that_cannot_be_read(tmp_path: Path, case: str) -> None:
    name, content, message = ERRORS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        ImageTable().plan(str(tmp_path), FEATURE)
    assert raised.value.hint and "\n" not in str(raised.value)


def test_the_columns_are_listed_in_the_hint(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id;breed;x\n1;pug;\n")
    with pytest.raises(DataError) as raised:
        ImageTable().plan(str(tmp_path), FEATURE)
    assert "It has: id, breed, x." in raised.value.hint and "without a header" in raised.value.hint


def test_a_row_that_is_not_utf8(folder: Path) -> None:
    """A label must be UTF-8; a path has the bytes of the file's name."""
    latin = folder / "caf\udce9.jpg"
    shutil.copy(folder / "p/00.jpg", latin)
    (folder / "t.csv").write_bytes(b"path,label\ncaf\xe9.jpg,a\np/01.png,\xe9\n")
    records, rejected = read(ImageTable(), folder)
    assert records == {"caf\udce9.jpg": "a"} and reasons(rejected) == {"t.csv:3": "unknown label"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ImageTable(path=""),
        lambda: ImageTable(label=()),
        lambda: ImageTable(label=("a", "")),
        lambda: ImageTable(path="label"),
        lambda: ImageTable(split="label"),
        lambda: ImageTable(file="/t.csv"),
        lambda: ImageTable(images="../p"),
        lambda: ImageTable(suffix="jpg"),
        lambda: ImageTable(slices=("label",)),
        lambda: ImageTable(slices=("image/width",)),
        lambda: ImageTable(slices=("a", "a")),
        lambda: ImageTable(slices=("",)),
    ],
)
def test_invalid_settings(make: Callable[[], ImageTable]) -> None:
    with pytest.raises(UsageError, match="source."):
        make()


def test_only_pictures(folder: Path) -> None:
    with pytest.raises(UsageError, match="must be an Image"):
        ImageTable().plan(str(folder), Vector(2))


def test_repeated_paths_are_the_only_rows_that_the_plan_holds(folder: Path) -> None:
    rows = [("p/00.jpg", "a")] * 3 + [(path, "a") for path in names(folder)]
    (folder / "t.csv").write_text(as_csv(rows))
    block, shared = ImageTable().plan(str(folder), FEATURE).splits[""]
    assert isinstance(shared, SharedPaths) and [number for _, _, number in shared.rows] == [2, 3, 4, 5]
    assert len(block.skip) == 4
