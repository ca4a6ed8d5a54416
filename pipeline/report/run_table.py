"""The list of a task's runs on the terminal: tables as wide as it, and what changed from run to run."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.errors import unknown
from data.names import printable
from pipeline.report.run_rows import KILLED, RUNNING, UNREADABLE, RunRow, has_metric, metric_reader, short_metric
from pipeline.report.short_names import short_names

MORE = ("auc", "f1", "exact_match", "brier_score", "expected_calibration_error")
"""Metrics that are shown besides the one that decides, of runs that have them."""

_STYLES = {
    "pushed": "green",
    "unchanged": "green",
    "failed": "red",
    "not pushed": "yellow",
    "interrupted": "yellow",
    RUNNING: "cyan",
    KILLED: "yellow",
    UNREADABLE: "red",
}
_GAP = 2  # cells between two columns
_WIDEST = 40  # cells of a column; longer texts are folded
_DAY = 86_400
_RUN = "run"

Value = Any
"""Of a cell: a text, a number, a time or None."""


@dataclass(frozen=True)
class RunColumn:
    """A column of the list.

    Attributes:
      key: What `--sort` takes.
      heading: At its top.
      value: Its value of a row, by which rows are sorted.
      text: The value as text.
    """

    key: str
    heading: str
    value: Callable[[RunRow], Value]
    text: Callable[[Value], str]

    def cell(self, row: RunRow) -> str:
        """Return the text of a row's cell."""
        value = self.value(row)
        return "-" if value is None or value == "" else self.text(value)


def run_columns(
    rows: Sequence[RunRow], metrics: Sequence[str], now: datetime.datetime, sort: str = ""
) -> list[RunColumn]:
    """Return the columns: those of every list, the metrics, and the settings that differ between the runs.

    Args:
      rows: The runs.
      metrics: Names of metrics to show; empty for the usual ones.
      now: The time, for the ages.
      sort: Column to sort by; a metric gets one.
    """
    decide = dict.fromkeys(row.metric for row in rows if row.metric)
    usual = [name for name in MORE if any(name in row.metrics for row in rows)]
    also = [sort] if has_metric(sort, rows) else []
    names = list(dict.fromkeys(short_metric(one) for one in (*decide, *also, *(metrics or usual))))
    first, others = (names[: len(decide)], names[len(decide) :])
    return [
        RunColumn(_RUN, _RUN, lambda row: row.run, printable),
        RunColumn("when", "when", lambda row: row.started, lambda value: _age(value, now)),
        RunColumn("status", "status", lambda row: row.status, printable),
        *(_metric_column(name, rows) for name in first),
        RunColumn("seconds", "seconds", lambda row: row.seconds, lambda value: f"{value:.0f}"),
        RunColumn("version", "version", lambda row: row.version, str),
        *_setting_columns(rows),
        *(_metric_column(name, rows) for name in others),
    ]


def sort_rows(rows: Sequence[RunRow], columns: Sequence[RunColumn], key: str, is_reversed: bool) -> list[RunRow]:
    """Return the rows by a column: the newest or largest first, of texts the first in the alphabet.

    Rows without a value are last.

    Args:
      rows: The newest first.
      columns: From `run_columns`.
      key: Of the column; of a setting or metric also its short name.
      is_reversed: Turn the order around.

    Raises:
      UsageError: If there is no such column.
    """
    names = {one.heading: one for one in columns} | {one.key: one for one in columns}
    column = names.get(short_metric(key))
    if column is None:
        raise unknown("column", key, names)
    has_value = [row for row in rows if column.value(row) not in (None, "")]
    values = [_sortable(column.value(row)) for row in has_value]
    are_numbers = not any(isinstance(value, str) for value in values)
    if not are_numbers:
        values = [str(column.value(row)) for row in has_value]
    order = sorted(range(len(values)), key=lambda place: values[place], reverse=are_numbers != is_reversed)
    return [has_value[place] for place in order] + [row for row in rows if column.value(row) in (None, "")]


def print_runs(rows: Sequence[RunRow], columns: Sequence[RunColumn], console: Console) -> None:
    """Print the list.

    Args:
      rows: In the order of the list.
      columns: From `run_columns`.
      console: Where to print; columns that do not fit its width follow in further tables.
    """
    for block in split_columns(rows, columns, console.width):
        console.print(_table(rows, block))
        console.print()
    changes = _changes_table(rows)
    if changes.row_count:
        console.print(Text("what changed since the run before", "bold"))
        console.print(changes)


def split_columns(rows: Sequence[RunRow], columns: Sequence[RunColumn], width: int) -> list[list[RunColumn]]:
    """Return the columns in blocks that fit a width; each begins with the first column."""
    first, *others = columns
    sizes = {one.key: _width(one, rows) for one in columns}
    blocks = [[first]]
    for column in others:
        used = sum(sizes[one.key] + _GAP for one in blocks[-1])
        if used + sizes[column.key] > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def json_row(row: RunRow, metrics: Mapping[str, float | None]) -> dict[str, Any]:
    """Return a row for machines.

    Args:
      row: Of the run.
      metrics: Further metrics.
    """
    return {
        "run": row.run,
        "started": row.started.isoformat() if row.started else None,
        "status": row.status,
        "seconds": None if row.seconds is None else round(row.seconds, 2),
        "version": row.version,
        "settings": row.settings,
        "metric": row.metric,
        "metrics": _finite({**row.metrics, **metrics}),
        "training": _finite(row.training),
        "examples": row.examples,
        "changes": row.changes,
        "error": row.error,
        "record": row.record,
        "page": row.page,
    }


def _finite(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the values; JSON has neither infinity nor NaN."""
    return {name: None if value is None or not math.isfinite(value) else value for name, value in values.items()}


def _metric_column(name: str, rows: Sequence[RunRow]) -> RunColumn:
    return RunColumn(name, name, metric_reader(name, rows), lambda value: f"{value:.4f}")


def _setting_columns(rows: Sequence[RunRow]) -> list[RunColumn]:
    """Return a column for each setting that is not the same in all runs."""
    read = [row for row in rows if row.status != UNREADABLE]
    names = sorted({name for row in read for name in row.settings})
    differing = [name for name in names if len({row.settings.get(name) for row in read}) > 1]

    def column(name: str, heading: str) -> RunColumn:
        return RunColumn(name, heading, lambda row: row.settings.get(name), printable)

    return [column(name, short) for name, short in zip(differing, short_names(differing), strict=True)]


def _sortable(value: Value) -> Value:
    """Return a value that can be compared with others of its column; a text that is a number is one."""
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    try:
        number = float(value)
    except ValueError:
        return value
    return -math.inf if math.isnan(number) else number


def _width(column: RunColumn, rows: Sequence[RunRow]) -> int:
    widest = max([cell_len(column.heading), *(cell_len(column.cell(row)) for row in rows)])
    return min(widest, _WIDEST)


def _table(rows: Sequence[RunRow], columns: Sequence[RunColumn]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for column in columns:
        is_number = all(isinstance(column.value(row), (int, float, type(None))) for row in rows)
        width = _width(column, rows)
        table.add_column(Text(column.heading), justify="right" if is_number else "left", width=width, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(column, row) for column in columns))
    return table


def _cell(column: RunColumn, row: RunRow) -> Text:
    return Text(column.cell(row), _STYLES.get(row.status, "") if column.key == "status" else "")


def _changes_table(rows: Sequence[RunRow]) -> Table:
    """Return for each run what changed, and why it failed."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, _GAP, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        changes = [Text(printable(one)) for one in row.changes]
        if row.error:
            error = row.error if row.error.startswith(row.status) else f"{row.status}: {row.error}"
            changes.append(Text(printable(error), _STYLES.get(row.status, "")))
        if changes:
            table.add_row(Text(printable(row.run)), Text("; ").join(changes))
    return table


def _age(started: datetime.datetime, now: datetime.datetime) -> str:
    """Return how long ago a time is, in one or two words; after two weeks the date."""
    seconds = (now - started).total_seconds()
    if seconds >= 14 * _DAY or seconds < 0:
        return f"{started:%Y-%m-%d}"
    for unit, length in (("d", _DAY), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"
