"""Read Parquet files in batches of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from data.errors import DataError, first_line
from data.files.open_file import opened
from data.tables.rows import Row, RowRange, Table, check_columns

_BATCH = 4096  # rows that are decoded together


class ParquetTable(Table):
    """A Parquet file; the place of a row is its index in the file."""

    def __init__(self, path: str, wanted: Sequence[str]) -> None:
        """Read the schema.

        Args:
          path: of the file.
          wanted: the columns that will be read.

        Raises:
          DataError: If it is not a Parquet file, or a column is missing or holds structs.
        """
        super().__init__(path, ())
        with self._opened() as file:
            schema = file.schema_arrow
        self.columns = tuple(schema.names)
        check_columns(self.name, self.columns, wanted)
        for name in wanted:
            kind = str(schema.field(name).type)
            if kind.startswith(("struct", "map")):
                raise DataError(
                    f"the column '{name}' of {self.name} holds {kind[:60]}, not text",
                    hint="Write the pictures to files, and their paths into the column.",
                )

    def rows(self, names: Sequence[str], ranges: Sequence[RowRange] | None = None) -> Iterator[Row]:
        """Read rows in the order of the file; only the row groups that hold some of them are decoded."""
        with self._opened() as file:
            begin = 0
            for group in range(file.num_row_groups):
                end = begin + file.metadata.row_group(group).num_rows
                wanted = [
                    (part, max(first, begin), min(last, end))
                    for part, (first, last, _) in enumerate(ranges or [RowRange(0, end, 1)])
                    if first < end and last > begin
                ]
                if wanted:
                    yield from _rows_of(file, group, begin, names, wanted)
                begin = end

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the file with pyarrow.

        Raises:
          DataError: If it is damaged, or not a Parquet file.
        """
        import pyarrow  # only who reads Parquet needs it
        import pyarrow.parquet

        with opened(self.path) as file:
            try:
                yield pyarrow.parquet.ParquetFile(file)
            except (pyarrow.ArrowException, OSError) as error:
                raise DataError(
                    f"{self.name} is not a Parquet file, or is damaged: {first_line(error)}",
                    hint="Fetch or write the file again.",
                ) from None


def _rows_of(
    file: Any, group: int, begin: int, names: Sequence[str], wanted: Sequence[tuple[int, int, int]]
) -> Iterator[Row]:
    """Yield rows of a row group.

    Args:
      file: the file, as pyarrow has it.
      group: index of the row group.
      begin: index of its first row.
      names: columns to read.
      wanted: (index of the range, first row, last row + 1) of each range.
    """
    last = max(stop for _, _, stop in wanted)
    for batch in file.iter_batches(_BATCH, row_groups=[group], columns=list(dict.fromkeys(names))):
        end = begin + len(batch)
        columns = [batch.column(batch.schema.get_field_index(name)) for name in names]
        for part, first, stop in wanted:
            low, high = max(first, begin), min(stop, end)
            if low < high:
                values = [column.slice(low - begin, high - low).to_pylist() for column in columns]
                for index, row in enumerate(zip(*values, strict=True), low):
                    yield Row(part, index, index + 1, index + 1, row)
        begin = end
        if begin >= last:
            return
