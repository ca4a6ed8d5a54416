"""The last lines of a tuning: its best trials as a table, and the command that runs the task with the best settings."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.tuning.record import FILE, TrialRecord, TuningRecord
from pipeline.report.short_names import short_names

SHOWN = 10  # trials in the table


def print_tuning(record: TuningRecord, console: Console, command: str, plot: str, folder: str) -> None:
    """Print the result of a tuning.

    Args:
      record: Of the tuning, with a finished trial.
      console: Where to print.
      command: The command that runs the task with the best settings.
      plot: Path of the plot; empty if there is none.
      folder: The task's folder, with the record of its latest tuning.
    """
    console.print()
    console.print(best_trials(record))
    console.print()
    best = record.ranked[0]
    score = f"{record.objective} {best.score:.4f} in trial {best.number}, after epoch {best.best_epoch}"
    failed = record.failed
    facts = {
        "best": score,
        "over": "  ".join(f"{name}={text}" for name, text in record.over.items()),
        "failed": f"{len(failed)} of {len(record.trials)} trials, e.g. {describe_failure(failed[0])}" if failed else "",
        "run it": command,
    }
    for name, text in facts.items():
        if text:
            console.print(f"[bold]{name:<9}[/] {escape(text)}")
    if plot:
        console.print(f"[dim]plot      {escape(plot)}[/]")
    console.print(f"[dim]record    {escape(posixpath.join(folder, FILE))}[/]")


def best_trials(record: TuningRecord) -> Table:
    """Return the table of the best trials, the best first."""
    ranked = record.ranked
    shown, count = ranked[:SHOWN], len(record.trials)
    title = f"{len(shown)} best of {count} trials" if len(shown) < count else f"{count} trials"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, title_style="bold")
    table.add_column("trial", justify="right")
    table.add_column(record.objective, justify="right")
    names = list(dict.fromkeys(name for one in shown for name in one.settings))
    for heading in short_names(names):
        table.add_column(escape(heading), justify="right", overflow="fold")
    table.add_column("epochs", justify="right")
    table.add_column("seconds", justify="right")
    for place, one in enumerate(shown):
        cells = (escape(one.settings.get(name, "")) for name in names)
        style = "green" if place == 0 else ""
        table.add_row(str(one.number), f"{one.score:.4f}", *cells, str(one.epochs), f"{one.seconds:.1f}", style=style)
    return table


def describe_failure(trial: TrialRecord) -> str:
    """Return a failed trial's settings and the reason."""
    return f"{_joined(trial.settings)}: {trial.error}"


def _joined(settings: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text}" for name, text in settings.items())
