"""Open a table of any form that is known, by the suffix of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data.images.formats import suffix
from data.tables.delimited import DelimitedTable
from data.tables.json_lines import JsonLinesTable
from data.tables.parquet import ParquetTable
from data.tables.rows import Table

_FORMS: dict[str, Callable[[str, Sequence[str]], Table]] = {
    ".csv": DelimitedTable,
    ".tsv": DelimitedTable,
    ".jsonl": JsonLinesTable,
    ".ndjson": JsonLinesTable,
    ".parquet": ParquetTable,
    ".pq": ParquetTable,
}
KIND = "*.csv, *.tsv, *.jsonl or *.parquet"


def is_table(name: str) -> bool:
    """Return whether the name has the suffix of a table, in any case."""
    return suffix(name) in _FORMS


def open_table(path: str, wanted: Sequence[str]) -> Table:
    """Open a table; a file with another suffix is read as CSV.

    Args:
      path: of the file, local or remote.
      wanted: the columns that will be read.

    Raises:
      DataError: If it cannot be read, or lacks a column.
    """
    return _FORMS.get(suffix(path), DelimitedTable)(path, wanted)
