"""Shell completion: `skewless completion SHELL`, and what the shell offers for each argument. Loads no TensorFlow.

Click calls the functions `complete_...` with the words before the cursor, and the beginning of the word at it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

import click
from click.shell_completion import BashComplete, add_completion_class, get_completion_class

from data.errors import UsageError
from data.files.remote import is_remote
from pipeline.paths import DEFAULT_ROOT, Paths, absolute_path
from pipeline.registry import builtin_tasks, task_modules
from pipeline.report.run_files import PREVIOUS, RECORD, run_names
from pipeline.runners.compiler.resources import KEYS
from pipeline.setting_names import SETTING_NAMES

SHELLS = ("bash", "zsh", "fish")
COMPONENTS = (
    *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer", "Evaluator"),
    *("SkewGate", "Pusher", "ReportGen", "Tuner", "MergeTrials"),
)
"""Components that run in a container."""


@add_completion_class
class BashCompletion(BashComplete):
    """Click's script for bash, without a space after a completion that ends in `=`: its value follows."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value); [[ $value == *= ]] && compopt -o nospace"
    )


def print_completion(cli: click.Command, shell: str) -> None:
    """Print the script that teaches a shell to complete `skewless`.

    Args:
      cli: The command line.
      shell: One of `SHELLS`.
    """
    found = get_completion_class(shell)
    assert found is not None, f"click completes {SHELLS}"
    click.echo(found(cli, {}, "skewless", "_SKEWLESS_COMPLETE").source())


def complete_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the tasks that can run: the modules of this folder, and the built-in tasks."""
    return _matching(incomplete, [*task_modules(os.getcwd()), *builtin_tasks()])


def complete_past_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the tasks that have run below the root; without any, those that can run."""
    root = _root(ctx)
    files = [] if is_remote(root) else glob.glob(os.path.join(glob.escape(root), "*", RECORD))
    names = sorted(os.path.basename(os.path.dirname(file)) for file in files)
    return _matching(incomplete, names) if names else complete_task(ctx, param, incomplete)


def complete_setting(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the settings, each with the `=` that follows it."""
    return _matching(incomplete, [f"{name}=" for name in SETTING_NAMES])


def complete_setting_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the settings, without `=`."""
    return _matching(incomplete, SETTING_NAMES)


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the runs of the task that the command line names, the newest first."""
    # Click leaves an argument in `args` if the option before the cursor has no value yet.
    root, task = _root(ctx), ctx.params.get("task") or next(iter(ctx.args), "")
    if not task or is_remote(root):
        return []
    try:
        names = run_names(Paths(root, task))
    except UsageError:
        return []
    return _matching(incomplete, [*reversed(names), PREVIOUS])


def complete_resource(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return COMPONENT.KEY= of all components."""
    return _matching(incomplete, [f"{name}.{key}=" for name in COMPONENTS for key in KEYS])


def _root(ctx: click.Context) -> str:
    return absolute_path(ctx.params.get("root") or DEFAULT_ROOT)


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]
