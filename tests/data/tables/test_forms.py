"""Every form of table gives the same values for the same ranges of rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from data.tables.open_table import open_table
from data.tables.rows import BadRow, Row, RowRange

ROWS = [{"a": f"{number}", "b": "x\ny" if number % 3 else 'q "r", s'} for number in range(250)]


def write_csv(path: Path) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["b", "a"])
        writer.writeheader()
        writer.writerows(ROWS)


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=60)


FORMS = {".csv": write_csv, ".jsonl": write_jsonl, ".parquet": write_parquet}


@pytest.mark.parametrize("suffix", FORMS)
def test_ranges_are_parts_of_the_whole(tmp_path: Path, suffix: str) -> None:
    """Ranges in any order of splits, one that overlaps, and single rows."""
    write: Callable[[Path], None] = FORMS[suffix]
    path = tmp_path / f"t{suffix}"
    write(path)
    table = open_table(str(path), ("a", "b"))
    whole = list(table.rows(("a", "b")))
    assert [row.values for row in whole] == [(row["a"], row["b"]) for row in ROWS]
    assert all(one.stop <= other.start for one, other in zip(whole, whole[1:], strict=False))
    rng = np.random.default_rng(1)
    for _ in range(20):
        first, last = sorted(rng.integers(0, 250, 2).tolist())
        single = whole[rng.integers(0, 250)]
        ranges = [
            RowRange(whole[first].start, whole[last].stop, whole[first].number),
            RowRange(single.start, single.start + 1, single.number),
        ]
        found: dict[int, list[Row]] = {0: [], 1: []}
        for row in table.rows(("b", "a"), ranges):
            found[row.part].append(row)
        assert [(row.number, row.values) for row in found[0]] == [
            (row.number, tuple(reversed(row.values))) for row in whole[first : last + 1]
        ]
        assert [(row.start, row.values) for row in found[1]] == [(single.start, tuple(reversed(single.values)))]


LINES: dict[str, Any] = {
    '{"a": "1", "b": 2}': ("1", 2),
    '{"a": "1"}': ("1", None),
    "[1]": BadRow("not an object, but a list"),
    '{"a": ': None,
    "[" * 100_000: None,
}


def test_lines_that_are_not_objects(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(LINES).encode())
    rows = list(open_table(str(path), ("a", "b")).rows(("a", "b")))
    assert [row.number for row in rows] == [1, 3, 5, 7, 9]
    for row, expected in zip(rows, LINES.values(), strict=True):
        assert row.values == expected if expected else isinstance(row.values, BadRow)
