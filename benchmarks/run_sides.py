"""One whole run, ours or the stock one: `python -m benchmarks.run_sides SIDE DATA ROOT MIN_ACCURACY`.

`benchmarks.run` starts it as a process and reads the last line that it prints.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")


@dataclass
class Measured:
    """Times and results of a run.

    Attributes:
      imports: Seconds before the run began.
      total: Seconds of the run.
      components: Seconds by component.
      accuracy: Accuracy of the exported model on its evaluation split.
      pushed: Number of versions in the served folder.
    """

    imports: float
    total: float = 0.0
    components: dict[str, float] = field(default_factory=dict)
    accuracy: float = 0.0
    pushed: int = 0

    def skips(self, component: str) -> bool:
        """See `pipeline.runners.local.dag_runner.RunObserver`."""
        return False

    def started(self, component: str) -> None:
        """See `pipeline.runners.local.dag_runner.RunObserver`."""

    def finished(self, component: str, execution_id: int | None, seconds: float) -> None:
        """See `pipeline.runners.local.dag_runner.RunObserver`."""
        self.components[component] = seconds

    def failed(self, component: str, seconds: float) -> None:
        """See `pipeline.runners.local.dag_runner.RunObserver`."""


def fetch(data: str, root: str, min_accuracy: float) -> Measured:
    """Write the digits before the runs, so that neither run does it."""
    from pipeline.tasks.digits import TASK

    assert TASK.fetch is not None
    TASK.fetch(data)
    return Measured(0.0)


def ours(data: str, root: str, min_accuracy: float) -> Measured:
    """Run `skewless run digits --data DATA --root ROOT`."""
    start = time.perf_counter()
    from rich.console import Console

    from components.task.reference import TaskReference
    from pipeline.paths import Paths
    from pipeline.runners.local.run import run_pipeline

    reference = TaskReference("pipeline.tasks.digits:TASK", {"evaluate.min_accuracy": str(min_accuracy)})
    paths = Paths(root, reference.load().name)
    measured = Measured(time.perf_counter() - start)
    start = time.perf_counter()
    record = run_pipeline(
        reference,
        data=data,
        paths=paths,
        beam_args=[],
        run_id="benchmark",
        log_file="",
        console=Console(quiet=True),
    )
    measured.total = time.perf_counter() - start
    measured.components = {one.name: one.seconds for one in record.components}
    return _with_results(measured, f"{paths.artifacts}/Evaluator", paths.serving)


def stock(data: str, root: str, min_accuracy: float) -> Measured:
    """Run the same components as TFX's templates wire them."""
    start = time.perf_counter()
    from benchmarks.pictures import recognise_data_set
    from benchmarks.stock import create_pipeline
    from pipeline.runners.local import dag_runner

    found = recognise_data_set(Path(data))
    assert found is not None
    measured = Measured(time.perf_counter() - start)
    start = time.perf_counter()
    dag_runner.run_dag(create_pipeline(data, found.depth, root, min_accuracy), measured)
    measured.total = time.perf_counter() - start
    return _with_results(measured, f"{root}/artifacts/Evaluator", f"{root}/serving")


def _with_results(measured: Measured, evaluator: str, serving: str) -> Measured:
    """Add the accuracy and the number of pushed versions."""
    from components.release.evaluation import Evaluation
    from components.release.measures import ACCURACY

    (folder,) = glob.glob(f"{evaluator}/evaluation/*")
    measured.accuracy = Evaluation.load(folder, ACCURACY).metrics["overall"][ACCURACY]
    measured.pushed = len(os.listdir(serving)) if os.path.isdir(serving) else 0
    return measured


SIDES: dict[str, Callable[[str, str, float], Measured]] = {"fetch": fetch, "ours": ours, "stock": stock}


def main(side: str, data: str, root: str, min_accuracy: str) -> None:
    """Run one side and print its `Measured` as JSON."""
    from pipeline.report.quiet import logged_to

    with logged_to(Path(root, f"{side}.log")) as stream:
        stream.write(json.dumps(dataclasses.asdict(SIDES[side](data, root, float(min_accuracy)))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
