"""The page of a run, or of two runs side by side, drawn from what the runs recorded: also long after, and elsewhere."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from components.review.record import Review
from data.errors import UsageError, first_line
from pipeline.report.page.compare import render_comparison
from pipeline.report.page.render import render_page
from pipeline.report.record import RunRecord, read_record
from pipeline.report.run_files import PAGE

_ARTIFACTS = "/artifacts/"


@dataclass(frozen=True)
class DrawnPage:
    """A page that is not written yet.

    Attributes:
      run_id: The run whose page it is.
      name: For the file.
      html: The page.
      notes: What is missing on it, a line each.
    """

    run_id: str
    name: str
    html: str
    notes: list[str] = field(default_factory=list)


def draw_record(file: str) -> DrawnPage:
    """Draw the page of a run.

    Args:
      file: Path of its record, local or remote.

    Raises:
      UsageError: If it holds no record that this version reads.
    """
    record = _read(file)
    review, missing = _review(record)
    return DrawnPage(record.run_id, PAGE, render_page(record, review), [missing] if missing else [])


def compare_records(file: str, other: str) -> DrawnPage:
    """Draw two runs side by side.

    Args:
      file: Path of the record of the run that is compared.
      other: Path of the record of the run that it is compared with.

    Raises:
      UsageError: If a file holds no record that this version reads, or if both are the same run.
    """
    record, against = _read(file), _read(other)
    if record.run_id == against.run_id:
        raise UsageError(f"{record.run_id} is the run itself", hint=f"Others: skewless runs {record.task}")
    return DrawnPage(record.run_id, f"against-{against.run_id}.html", render_comparison(against, record))


def relocate(record: RunRecord, file: str) -> RunRecord:
    """Return a record with the paths of the task's folder as it is now, if that was moved or copied after the run.

    Args:
      record: As it was read.
      file: Path that it was read from: in the task's folder, or in `runs/ID/` below it.
    """
    folders = (part.folder for part in (record.data, record.training, record.evaluation) if part)
    known = [one for one in (*folders, record.review) if _ARTIFACTS in one]
    if not known or tf.io.gfile.exists(known[-1]):
        return record
    before = known[-1].partition(_ARTIFACTS)[0]
    folder = posixpath.dirname(file)
    above = posixpath.dirname(posixpath.dirname(folder))
    now = next((one for one in (folder, above) if tf.io.gfile.isdir(one + _ARTIFACTS)), None)
    if now is None:
        return record

    def move(path: str) -> str:
        return now + path.removeprefix(before) if path.startswith(f"{before}/") else path

    moved = {name: _moved_part(getattr(record, name), move) for name in ("data", "training", "evaluation")}
    if record.pushed:
        moved["pushed"] = dataclasses.replace(record.pushed, path=move(record.pushed.path))
    return dataclasses.replace(record, **moved, review=move(record.review), page=move(record.page))


def _moved_part(part: Any, move: Callable[[str], str]) -> Any:
    return part and dataclasses.replace(part, folder=move(part.folder))


def _read(file: str) -> RunRecord:
    return relocate(read_record(file), file)


def _review(record: RunRecord) -> tuple[Review, str]:
    """Return the pictures of a run, or why there are none."""
    if not record.review:
        return Review(), f"no pictures: {record.run_id} ended before ReportGen, or is of an earlier version of Skewless"
    try:
        return Review.read(record.review), ""
    except tf.errors.OpError as error:
        return Review(), f"no pictures: cannot read {record.review}: {first_line(error)}"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Review(), f"no pictures: {record.review} holds no review ({error!r})"
