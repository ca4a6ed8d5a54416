"""A stock run, `python -m benchmarks.run_sides stock DATA ROOT MIN_ACCURACY`, or the digits: `... fetch DATA`.

`benchmarks.run` starts it as a process and reads the last line that it prints.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")


@dataclass
class Measured:
    """Times and results of a run.

    Attributes:
      components: Seconds by component.
      accuracy: Accuracy of the exported model on its evaluation split.
      pushed: Number of versions in the served folder.
    """

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


def fetch(data: str) -> None:
    """Write the digits before the runs, so that neither run does it."""
    from pipeline.tasks.digits import TASK

    assert TASK.fetch is not None
    TASK.fetch(data)


def stock(data: str, root: str, min_accuracy: float) -> Measured:
    """Run the same components as TFX's templates wire them."""
    from benchmarks.pictures import recognise_data_set
    from benchmarks.stock import create_pipeline
    from components.release.evaluation import Evaluation
    from components.release.measures import ACCURACY
    from pipeline.runners.local import dag_runner

    found, measured, serving = recognise_data_set(Path(data)), Measured(), Path(root, "serving")
    assert found is not None
    dag_runner.run_dag(create_pipeline(data, found.depth, root, min_accuracy), measured)
    (folder,) = glob.glob(f"{root}/artifacts/Evaluator/evaluation/*")
    measured.accuracy = Evaluation.load(folder, ACCURACY).metrics["overall"][ACCURACY]
    measured.pushed = len(list(serving.iterdir())) if serving.is_dir() else 0
    return measured


def main(side: str, data: str, *options: str) -> None:
    """Write the digits, or run the stock pipeline and print its `Measured` as JSON."""
    from pipeline.report.quiet import logged_to

    if side == "fetch":
        fetch(data)
        return
    root, min_accuracy = options
    with logged_to(Path(root, "stock.log")) as stream:
        stream.write(json.dumps(dataclasses.asdict(stock(data, root, float(min_accuracy)))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
