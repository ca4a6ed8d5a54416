"""Run a task from Python: `skewless.run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data.errors import UsageError
from pipeline.commands.run import RunOptions, run_task
from pipeline.paths import DEFAULT_ROOT, absolute_path
from pipeline.report.notebook import in_notebook

if TYPE_CHECKING:
    from components.task.task import Task
    from pipeline.report.record import RunRecord


def run(
    task: Task | str, *, data: str | None = None, root: str = DEFAULT_ROOT, settings: Mapping[str, Any] | None = None
) -> RunRecord:
    """Train, evaluate, prove and push a task, as `skewless run` does.

    A notebook shows the progress in one output of the cell, and an error without its traceback.

    Args:
      task: A Task that a module holds under a name, or what the command line takes: the name of a built-in task, or
        `module:NAME`. A notebook imports the module of a text again in each call.
      data: Folder of the data; None for a task that names its own.
      root: Folder of everything that runs write.
      settings: Setting to value, as `--set` takes them: {"train.epochs": 1}.

    Returns:
      What `run.json` holds; `page` is the path of the run's page, `report.html`. As the last expression of a
      notebook's cell, it shows the plots and the page.

    Raises:
      UsageError: If the task is in no module, a setting does not exist, or an argument is wrong.
      SkewlessError: If the run ends without a pushed model; the class says why.
    """
    if isinstance(task, str):
        name = task
        _forget_module(name)
    else:
        name = _import_path(task)
    assignments = [f"{key}={_setting(value)}" for key, value in (settings or {}).items()]
    return run_task(RunOptions(name, data, absolute_path(root), assignments))


def _import_path(task: Task) -> str:
    """Return `module:NAME` of a task: the components of a pipeline find it again by its name.

    The main module comes last: a task that it imported can be found by other processes under its own module's name.
    """
    main = sys.modules["__main__"]  # `multiprocessing` has a second name for it
    others = [(name, module) for name, module in sys.modules.items() if module is not main]
    for module, held in [*others, ("__main__", main)]:
        for name, value in list(getattr(held, "__dict__", {}).items()):
            if value is task:
                return f"{module}:{name}"
    raise UsageError(
        f"task '{task.name}' is in no module", hint="Assign it to a name at the top of a module: TASK = Task(...)"
    )


def _forget_module(path: str) -> None:
    """Have a notebook import the task's module again: a cell may have changed it with `%%writefile`."""
    module = path.partition(":")[0]
    if in_notebook() and module != "__main__":
        sys.modules.pop(module, None)


def _setting(value: Any, separator: str = ",") -> str:
    """Return a value as `--set` takes it: ((25, 0.01), (50, 0.001)) is "25:0.01,50:0.001"; {"auc": 0.9} "auc:0.9"."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{one}" for key, one in value.items())
    if isinstance(value, (tuple, list)):
        return separator.join(_setting(one, ":") for one in value)
    return "none" if value is None else str(value)
