"""`skewless new` on folders with a table: the columns that it finds, what it writes, and that it reads the table."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.errors import DataError
from data.sources import ImageTable
from data.spec import Classes, Labels
from pipeline.scaffold.survey import survey_folder
from pipeline.scaffold.table import find_picture_table
from tests.conftest import encode_picture, smooth_pixels
from tests.pipeline.commands.test_new import here, load, values, write  # noqa: F401
from tests.tasks.tiny import TASK

COUNT = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty pictures in `photos`, and no table yet."""
    folder = tmp_path / "data"
    (folder / "photos").mkdir(parents=True)
    for number in range(COUNT):
        (folder / f"photos/{number:03d}.png").write_bytes(encode_picture(smooth_pixels(number, 9, 12), "PNG"))
    return folder


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], delimiter: str = ",") -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows] if header else rows)


def found(folder: Path) -> tuple[ImageTable, Classes | Labels]:
    table = find_picture_table(str(folder))
    assert table is not None
    return table.source, table.label


PATHS = [f"photos/{number:03d}.png" for number in range(COUNT)]
AB = ["ab"[number % 2] for number in range(COUNT)]
WORDS = [("train", "train", "val")[number % 3] for number in range(COUNT)]


def test_the_names_of_the_defaults_need_no_settings(folder: Path) -> None:
    write_csv(folder / "t.csv", ["path", "label"], list(zip(PATHS, AB, strict=True)))
    assert found(folder) == (ImageTable(), Classes())


def test_ids_in_a_folder_with_a_split_and_other_columns(folder: Path) -> None:
    rows = [(number, f"{number:03d}", one, word, "x") for number, (one, word) in enumerate(zip(AB, WORDS, strict=True))]
    write_csv(folder / "t.csv", ["", "id", "breed", "fold", "site"], rows, ";")
    source = ImageTable(path="id", label="breed", split="fold", images="photos")
    assert found(folder) == (source, Classes())


def test_a_class_that_is_called_train_is_no_split(folder: Path) -> None:
    """Vehicles: the column has words for splits and others."""
    rows = list(zip(PATHS, ["train", "bus", "car"] * 10, strict=True))
    write_csv(folder / "t.csv", ["file", "vehicle"], rows)
    assert found(folder) == (ImageTable(path="file", label="vehicle"), Classes())


def test_vertex_import_file(folder: Path) -> None:
    rows = [
        (word.upper() if word == "test" else "TRAINING", path, one)
        for word, path, one in zip(WORDS, PATHS, AB, strict=True)
    ]
    write_csv(folder / "t.csv", [], rows)
    assert found(folder) == (ImageTable(), Classes())
    write_csv(
        folder / "t.csv",
        [],
        [(path, one, *"cd"[: number % 3]) for number, (path, one) in enumerate(zip(PATHS, AB, strict=True))],
    )
    assert found(folder) == (ImageTable(), Labels())


def test_one_table_for_each_split(folder: Path) -> None:
    rows = list(zip(PATHS, AB, strict=True))
    write_csv(folder / "train.csv", ["path", "label"], rows[:20])
    write_csv(folder / "test.csv", ["path", "label"], rows[20:])
    assert found(folder) == (ImageTable(), Classes())
    assert {split: sum(labels.values()) for split, labels in survey_folder(str(folder)).counts.items()} == {
        "train": 20,
        "eval": 10,
    }


def test_a_table_without_pictures_next_to_it_is_left_out(folder: Path) -> None:
    """As in a competition: the table to submit lists the test pictures, which are not there."""
    write_csv(folder / "labels.csv", ["path", "label"], list(zip(PATHS, AB, strict=True)))
    write_csv(folder / "sample_submission.csv", ["id", "label"], [("x1", 0), ("x2", 0)])
    assert found(folder) == (ImageTable(file="labels.csv"), Classes())


def test_two_tables_of_the_same_pictures_are_not_guessed(folder: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_csv(folder / name, ["path", "label"], list(zip(PATHS, AB, strict=True)))
    with pytest.raises(DataError, match="several tables list the pictures of .*: a.csv, b.csv") as raised:
        find_picture_table(str(folder))
    assert 'ImageTable(file="a.csv"' in raised.value.hint


SEVERAL: dict[str, tuple[list[str], str]] = {
    "bars": (["a|b", "a", "b|c"], "|"),
    "commas": (["a, b", "a", "b"], ","),
    "semicolons": (["a;b", "b;c", "a;c", "a"], ";"),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_separators_of_labels(folder: Path, case: str) -> None:
    cells, separator = SEVERAL[case]
    write_csv(folder / "t.csv", ["path", "label"], [(path, cells[i % len(cells)]) for i, path in enumerate(PATHS)])
    assert found(folder) == (ImageTable(separator=separator), Labels())


@pytest.mark.parametrize("names", [["black, small", "white, large"], ["a b", "a"], ["x-y", "x"]])
def test_names_with_separators_in_them_are_classes(folder: Path, names: list[str]) -> None:
    write_csv(folder / "t.csv", ["path", "label"], [(path, names[i % 2]) for i, path in enumerate(PATHS)])
    assert found(folder) == (ImageTable(), Classes())


def test_repeated_rows_are_several_labels(folder: Path) -> None:
    rows = [(path, label) for path in PATHS for label in ("ab" if path < "photos/015" else "a")]
    write_csv(folder / "t.csv", ["path", "label"], rows)
    assert found(folder) == (ImageTable(), Labels())


@pytest.mark.parametrize("several", [False, True])
def test_columns_of_zero_and_one(folder: Path, several: bool) -> None:
    rows = [(path, i % 2, 1 - i % 2, int(several and i % 5 == 0)) for i, path in enumerate(PATHS)]
    write_csv(folder / "t.csv", ["path", "cat", "dog", "outside"], rows)
    source = ImageTable(label=("cat", "dog", "outside"))
    assert found(folder) == (source, Labels() if several else Classes())


def test_json_lines_and_parquet(folder: Path) -> None:
    rows = [{"file_name": path, "tags": ["a", "b"][: i % 3]} for i, path in enumerate(PATHS)]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert found(folder) == (ImageTable(path="file_name", label="tags"), Labels())
    (folder / "t.jsonl").unlink()
    pd.DataFrame({"image": PATHS, "age": range(COUNT), "species": AB}).to_parquet(folder / "t.parquet")
    table = find_picture_table(str(folder))
    assert table is not None and table.source.path == "image"


def test_class_folders_with_another_table(folder: Path) -> None:
    """A table that does not list the pictures changes nothing."""
    write_csv(folder / "sizes.csv", ["class", "mean"], [("a", 1), ("b", 2)])
    assert find_picture_table(str(folder)) is None


def test_the_written_task_reads_the_table(folder: Path, here: Path) -> None:  # noqa: F811
    rows = [
        (path, one, word, ("north", "south")[i % 2])
        for i, (path, one, word) in enumerate(zip(PATHS, AB, WORDS, strict=True))
    ]
    rows += [("photos/none.png", "a", "val", "north"), (PATHS[0], "a", "train", "north")]
    write_csv(folder / "t.csv", ["file", "breed", "part", "site"], rows)
    shown, source = write("mine", folder)
    task = load(here / "mine.py").TASK
    assert task.source == ImageTable(path="file", label="breed", split="part") and not task.is_multi_label
    assert set(task.source.plan(str(folder), task.feature, task.label).splits) == {"train", "eval"}
    for words in (
        "t.csv: paths in file, classes in breed, splits in part",
        "20 train from t.csv (part train)",
        "t.csv:33 photos/000.png (listed twice",
        "photos/none.png (missing file)",
        'add slices=("site",) to the source',
        "the label is the column 'breed'",
    ):
        assert words in shown
    assert "ImageFolder" not in source


def test_the_written_task_has_sigmoids_for_several_labels(folder: Path, here: Path) -> None:  # noqa: F811
    cells = ["a|b", "a", "b", "c|a"]
    write_csv(folder / "t.csv", ["path", "label"], [(path, cells[i % 4]) for i, path in enumerate(PATHS)])
    shown, source = write("mine", folder)
    task = load(here / "mine.py").TASK
    assert task.is_multi_label and task.source == ImageTable()
    assert 'activation="sigmoid"' in source and "min_average_precision" in values(source)["evaluate"]
    assert "30 pictures with 3 labels" in shown and "labels    3, from" in shown
    model = task.model(TASK.feature, 3)
    assert model.output_shape == (None, 3)
