"""Shared parts of the benchmarks: rounds, medians, tables, and the verdict on the last line."""

from __future__ import annotations

import contextlib
import json
import operator
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO, TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.timing import Span, cost_ratio, rate_ratio

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")

T = TypeVar("T")
Goal = tuple[Literal[">=", "<="], float]
_COMPARE = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Verdict:
    """The last line of a benchmark.

    Attributes:
      benchmark: Name of the benchmark.
      ratios: The measured ratios, by name, or by data set and name.
      goals: Limit of each ratio that has one, such as ">= 10" or "<= 0.5".
      goal_met: Whether all measured ratios keep their limits.
      facts: Further facts that help to read the ratios.
    """

    benchmark: str
    ratios: Mapping[str, Any]
    goals: Mapping[str, str]
    goal_met: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


def judge(
    benchmark: str,
    ratios: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    goals: Mapping[str, Goal],
    facts: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare the ratios with the goals.

    Args:
      benchmark: Name of the benchmark.
      ratios: Ratios by name, or by data set and name.
      goals: Limit by name of the ratio. A goal that was not measured does not count.
      facts: Further facts for the verdict.
    """
    named = [(name, ratio) for one in _data_sets(ratios) for name, ratio in one.items() if name in goals]
    met = all(_COMPARE[goals[name][0]](ratio, goals[name][1]) for name, ratio in named)
    return Verdict(
        benchmark, ratios, {name: f"{sign} {limit:g}" for name, (sign, limit) in goals.items()}, met, facts or {}
    )


def _data_sets(ratios: Mapping[str, float] | Mapping[str, Mapping[str, float]]) -> list[Mapping[str, float]]:
    nested = [one for one in ratios.values() if isinstance(one, Mapping)]
    flat = {name: one for name, one in ratios.items() if not isinstance(one, Mapping)}
    return [*nested, flat]


class Terminal:
    """Output of the benchmark's own lines; everything else goes to a log."""

    def __init__(self, stream: TextIO, log: Path) -> None:
        self._stream = stream
        terminal = stream.isatty()
        self.console = Console(file=stream, highlight=False, soft_wrap=not terminal, width=None if terminal else 120)
        self.console.print(f"[dim]log  {log}[/]")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table. The first column is text, the others are numbers."""
        table = Table(title=title, title_justify="left")
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def finish(self, verdict: Verdict) -> None:
        """Print the verdict as one line of JSON, without the console, which would wrap it."""
        self._stream.write(json.dumps(asdict(verdict)) + "\n")
        self._stream.flush()


@contextlib.contextmanager
def quiet(name: str) -> Iterator[tuple[Terminal, Path]]:
    """Send the output of TensorFlow, TFX and Beam to a log, which stays; its path is printed first.

    Yields:
      The terminal for the benchmark's own lines, and a temporary folder, removed at the end.
    """
    from pipeline.report.quiet import logged_to

    logs = Path(tempfile.gettempdir(), "skewless-benchmarks")
    log = logs / f"{name}-{os.getpid()}.log"
    with tempfile.TemporaryDirectory(prefix=f"skewless-{name}-") as scratch, logged_to(log) as stream:
        yield Terminal(stream, log), Path(scratch)


def rate_table(
    terminal: Terminal, title: str, spans: Mapping[str, Sequence[Span]], about: Mapping[str, str] | None = None
) -> None:
    """Print the medians of all sides, and how many times as fast `ours` is.

    Args:
      terminal: Where to print.
      title: Of the table.
      spans: Of each side, by round; one side is `ours`.
      about: Text for each side; its name where it has none.
    """
    rows = []
    for name, timed in spans.items():
        rate, cost = median([one.rate for one in timed]), median([one.cost for one in timed])
        times = [rate_ratio(spans["ours"], timed), cost_ratio(spans["ours"], timed)]
        cells = [f"{one:.2f} x" if name != "ours" else "" for one in times]
        rows.append([(about or {}).get(name, name), f"{rate:,.0f}", f"{cost * 1e6:,.0f}", *cells])
    terminal.table(title, ["implementation", "pictures/s", "CPU us/picture", "ours is", "by CPU time"], rows)


def ours_to_peers(
    spans: Mapping[str, Sequence[Span]], measure: Callable[[Sequence[Span], Sequence[Span]], float] = rate_ratio
) -> dict[str, float]:
    """Return `ours/PEER` for each other side, rounded."""
    return {f"ours/{name}": round(measure(spans["ours"], timed), 3) for name, timed in spans.items() if name != "ours"}


def median(values: Sequence[float]) -> float:
    """Return the median; of an even number of values, the mean of the two in the middle."""
    return statistics.median(values)
