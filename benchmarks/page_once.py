"""Make the review and the page of a finished run once more: `python -m benchmarks.page_once ROOT TASK [KEY=VALUE ...]`.

`benchmarks.page` starts it as a process and reads the last line that it prints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")

from benchmarks.timing import Laps
from components.review.inputs import ReviewInputs
from components.review.report_gen import PAGE, make_review
from components.task.overrides import parse_assignments
from components.task.reference import TaskReference
from pipeline.paths import Paths
from pipeline.registry import resolve_task
from pipeline.report.page.render import draw_run, write_page
from pipeline.report.record import read_record


def main(root: str, name: str, settings: Sequence[str]) -> None:
    """Do what a run does: ReportGen makes the review and draws a page, and at the end the page is drawn again.

    Args:
      root: Of the run, the last one there.
      name: Of the task.
      settings: Of the run, as KEY=VALUE.
    """
    task, paths = TaskReference(resolve_task(name), parse_assignments(settings)).load(), Paths(root, name)
    record, out = read_record(paths.latest), Path(root, "again")
    inputs = ReviewInputs(
        task,
        _artifact(paths, "ExampleGen/examples"),
        _artifact(paths, "StatisticsGen/statistics"),
        _artifact(paths, "SchemaGen/schema"),
        _artifact(paths, "ExampleValidator/anomalies"),
        _artifact(paths, "Trainer/model_run"),
        _artifact(paths, "Evaluator/evaluation"),
        _artifact(paths, "SkewGate/blessing"),
        is_pushed=record.pushed is not None,
    )
    out.mkdir(exist_ok=True)
    laps = Laps()
    review = make_review(inputs)
    review.write(str(out))
    laps.lap()
    write_page(record, review, str(out / PAGE))
    record.review = str(out)
    draw_run(record, str(out / PAGE))
    laps.lap()
    seconds = {name: span.seconds for name, span in zip(("review", "page"), laps.spans, strict=True)}
    if review.problems:
        sys.exit("; ".join(review.problems))
    evaluation = record.evaluation
    assert evaluation is not None, "a run that succeeded has evaluated"
    counts = {"bytes": (out / PAGE).stat().st_size, "held_out": evaluation.overall["example_count"]}
    print(json.dumps({**seconds, **counts}))


def _artifact(paths: Paths, output: str) -> str:
    """Return the folder of the newest artifact of an output, `ExampleGen/examples`."""
    return str(max(Path(paths.artifacts, output).iterdir(), key=lambda folder: int(folder.name)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
