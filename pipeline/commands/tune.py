"""`skewless tune`: search for the settings with the best result, and print them as `skewless run` takes them."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.commands.run import RunOptions, Terminal, beam_arguments, print_log, print_metadata, terminal
from pipeline.commands.search import SearchOptions
from pipeline.next_steps import option_words, skewless_command
from pipeline.paths import Paths, absolute_path
from pipeline.report.waiting import Waiting
from pipeline.runners.local.quick_imports import quick_imports

if TYPE_CHECKING:
    from components.tuning.record import TuningRecord

log = logging.getLogger(__name__)


def tune_task(options: RunOptions, search: SearchOptions) -> TuningRecord:
    """Tune a task and print the result."""
    with terminal(options) as out:
        return _tune(options, search, out)


def _tune(options: RunOptions, search: SearchOptions, out: Terminal) -> TuningRecord:
    beam_args, console = beam_arguments(options, out.path), out.console
    print_log(out)
    with console.status(Waiting("loading TensorFlow and TFX")):
        with quick_imports():
            from components.task.reference import TaskReference
            from pipeline.runners.local.tune import run_tuning

        reference, plan = TaskReference(out.path, out.settings), search.plan(out.settings)
        paths = Paths(absolute_path(options.root), reference.load().name)
    print_metadata(options, paths, console)
    record = run_tuning(
        reference,
        plan,
        data=options.data,
        paths=paths,
        beam_args=beam_args,
        run_id=out.run_id,
        log_file=out.log,
        console=console,
        metadata=options.metadata,
    )
    _conclude(record, options, out.settings, paths, out)
    return record


def conclude_tuning(
    options: RunOptions, settings: Mapping[str, str], results: str, paths: Paths, out: Terminal
) -> None:
    """Keep the record of a tuning that a compiled file did, and print its result.

    Args:
      options: Of the run of the file.
      settings: The settings of all trials.
      results: Folder of the Tuner's results.
      paths: The task's folders.
      out: The terminal.
    """
    from components.tuning.record import TuningRecord

    record = TuningRecord.read(results)
    for folder in (paths.run(out.run_id), paths.folder):
        record.write(folder)
    _conclude(record, options, settings, paths, out)


def _conclude(
    record: TuningRecord, options: RunOptions, settings: Mapping[str, str], paths: Paths, out: Terminal
) -> None:
    from pipeline.report.tuning import print_tuning

    plot = draw_plot(record, paths.run(out.run_id))
    print_tuning(record, out.console, run_command(options, settings, record), plot, paths.folder)


def draw_plot(record: TuningRecord, folder: str) -> str:
    """Draw the plot into a folder, and return its path; a plot that fails is logged, and the path is empty."""
    from pipeline.report.tuning_plot import write_tuning_plot

    path = posixpath.join(folder, "tuning.png")
    try:
        write_tuning_plot(record, path)
    except Exception:
        log.exception("the plot failed")
        return ""
    return path


def run_command(options: RunOptions, settings: Mapping[str, str], record: TuningRecord) -> str:
    """Return the command that runs the task with the settings of the best trial.

    Args:
      options: Of the tuning.
      settings: The settings of all trials.
      record: Of the tuning, with a finished trial.
    """
    words = ["run", options.task, *option_words(options.data, options.metadata, options.root)]
    for key, text in {**settings, **record.ranked[0].settings}.items():
        words += ["--set", f"{key}={text}"]
    return skewless_command(*words)
