"""`skewless serve`: serve the pushed models of a task."""

from __future__ import annotations

import os
import sys

import click

from data.errors import ServingError
from data.files.remote import is_remote
from pipeline.paths import Paths, absolute_path
from serving import engines


def serve_task(task: str, paths: Paths, engine: engines.EngineName, options: engines.ServeOptions) -> None:
    """Replace this process by a server for the task's pushed models; print first which one and why, on stderr.

    Args:
      task: The task as the user typed it, for the hint.
      paths: Paths of the task.
      engine: One of `engines.ENGINES`.
      options: Ports, address and further flags.

    Raises:
      ServingError: If nothing was pushed yet, or the engine is not available.
    """
    base = absolute_path(paths.serving)
    if not is_remote(base) and not os.path.isdir(base):  # checking a bucket takes as long as starting a server
        raise ServingError(f"nothing is pushed for '{task}': no {base}", hint=f"First: skewless run {task}")
    chosen = engines.choose_engine(engine, paths.task, base, options)
    click.echo(f"serving {paths.task} with {chosen.about}", err=True)
    sys.stderr.flush()
    os.execv(chosen.command[0], chosen.command)
