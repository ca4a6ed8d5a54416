"""Runs in the tests' own process, which saves the imports."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from rich.console import Console
from tfx.utils.io_utils import read_string_file

from components.task.reference import TaskReference
from data.errors import SkewlessError
from pipeline.paths import Paths, local_folder
from pipeline.report.quiet import logged_to
from pipeline.runners.local.run import run_pipeline
from tests.pipeline.run_schema import faults

TINY = "tests.tasks.tiny:TASK"


@dataclass(frozen=True)
class Attempt:
    """A run in this process: its error, its record, and what it printed to the terminal and to the log."""

    error: SkewlessError | None
    record: dict[str, Any]
    shown: str
    log: str

    @property
    def states(self) -> dict[str, str]:
        return {one["name"]: one["state"] for one in self.record.get("components", [])}


def attempt(
    data: Path | str | None, root: Path | str, path: str = TINY, metadata: str | None = None, **settings: str
) -> Attempt:
    """Run a task; the settings' names have `__` instead of the dot."""
    values = {key.replace("__", "."): value for key, value in settings.items()}
    paths, console = Paths(str(root), "tiny"), Console(file=io.StringIO(), width=200)
    log = Path(local_folder(str(root)), "log")
    error = None
    with logged_to(log):
        try:
            run_pipeline(
                TaskReference(path, values),
                data=str(data) if data else None,
                paths=paths,
                beam_args=(),
                run_id="1",
                log_file=str(log),
                console=console,
                metadata=metadata,
            )
        except SkewlessError as raised:
            error = raised
    record = json.loads(read_string_file(paths.latest)) if tf.io.gfile.exists(paths.latest) else {}
    assert not record or faults(record) == []
    return Attempt(error, record, console.file.getvalue(), log.read_text())  # type: ignore[attr-defined]


def assert_told(error: SkewlessError | None, status: int, *words: str) -> None:
    """Check the error: one line with the words, and a hint if the next step is not obvious."""
    assert error is not None and error.exit_code == status
    assert "\n" not in str(error) and len(str(error)) < 500
    for word in words:
        assert word in str(error), str(error)
