"""The plots of the run before, for a run with the same results: drawing takes a tenth of a run from the cache."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.files.remote import is_remote
from pipeline.report.record import RunRecord

_OF_A_RUN = {
    "components",
    "error",
    "exit_code",
    "log",
    "page",
    "plots",
    "review",
    "run_id",
    "seconds",
    "started",
    "status",
}
"""Keys of a record that differ from run to run, and that no plot shows."""


def read_before(latest: str) -> dict[str, Any]:
    """Return the latest record as JSON; empty if there is none on this machine that can be read."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(Path(latest).read_text())
        return found if isinstance(found, dict) else {}
    return {}


def copy_plots(record: RunRecord, before: Mapping[str, Any], folder: str) -> list[str]:
    """Copy the plots of the run before, if those of this run would be the same.

    Args:
      record: Of this run.
      before: What `read_before` returned when this run began.
      folder: Where to write, local or remote.

    Returns:
      The paths written; empty if the plots are to be drawn: the results differ, a plot is gone, or the code that draws
      them is younger.
    """
    drawn = [Path(path) for path in before.get("plots", ())]
    if is_remote(folder) or not drawn or _results(record.to_json()) != _results(before):
        return []
    if not all(path.is_file() for path in drawn) or _code_changed() > min(path.stat().st_mtime for path in drawn):
        return []
    os.makedirs(folder, exist_ok=True)
    return [str(shutil.copy2(path, folder)) for path in drawn]  # with its time, which says when it was drawn


def _results(record: Mapping[str, Any]) -> str:
    """Return what plots can show as text: unlike numbers, texts are equal where values are NaN."""
    return json.dumps({key: value for key, value in record.items() if key not in _OF_A_RUN}, sort_keys=True)


def _code_changed() -> float:
    """Return when the youngest module that draws was written here, in seconds since 1970."""
    return max(max(file.stat().st_mtime, file.stat().st_ctime) for file in Path(__file__).parent.glob("*.py"))
