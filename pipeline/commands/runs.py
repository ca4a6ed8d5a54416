"""`skewless runs`: list the runs of a task with their settings and metrics, and what differs between them.

Loads no TensorFlow, unless the root is remote.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass

import click
from rich.console import Console

from data.files.remote import is_remote
from pipeline.paths import Paths
from pipeline.report.run_files import is_active, list_runs
from pipeline.report.run_rows import RunRow, add_changes, check_metrics, metric_reader, row_of
from pipeline.report.run_table import json_row, print_runs, run_columns, sort_rows


@dataclass(frozen=True)
class ListOptions:
    """The options of `skewless runs`.

    Attributes:
      sort: Column to sort by.
      is_reversed: Turn the order around.
      metrics: Names of the metrics to show; the usual ones if empty.
      as_json: Print a JSON object per line and run.
    """

    sort: str = "when"
    is_reversed: bool = False
    metrics: Sequence[str] = ()
    as_json: bool = False


def show_runs(
    paths: Paths, options: ListOptions, console: Console | None = None, now: datetime.datetime | None = None
) -> None:
    """Print the runs of a task.

    Args:
      paths: Of the task.
      options: Of the command.
      console: Where to print the tables; stdout if None.
      now: The time from which ages count; the present one if None.

    Raises:
      UsageError: If the task has no runs, or if there is no column or metric of a name.
    """
    now = now or datetime.datetime.now(datetime.timezone.utc)
    rows = collect_rows(paths, now)
    check_metrics(options.metrics, rows)
    columns = run_columns(rows, options.metrics, now, options.sort)
    rows = sort_rows(rows, columns, options.sort, options.is_reversed)
    if options.as_json:
        for row in rows:
            asked = {name: metric_reader(name, rows)(row) for name in options.metrics}
            click.echo(json.dumps(json_row(row, asked)))
        return
    print_runs(rows, columns, console or Console(highlight=False))


def collect_rows(paths: Paths, now: datetime.datetime) -> list[RunRow]:
    """Return the rows of all runs of a task, the newest first; `now` is the end of a running one.

    Raises:
      UsageError: If the task has no runs.
    """
    runs = list_runs(paths)
    # Another machine may be running a task whose root is remote; of a local root, the lock is known.
    may_run = is_remote(paths.root) or is_active(paths)
    rows = [row_of(run, may_run and place == 0, now) for place, run in enumerate(runs)]
    add_changes(rows, runs)
    return rows
