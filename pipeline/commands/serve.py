"""`skewless serve`."""

from __future__ import annotations

import os
import sys

import click

from data.errors import ServingError
from data.files.remote import is_remote
from pipeline.paths import Paths, absolute_path
from serving import engines


def serve_task(task: str, paths: Paths, engine: engines.EngineName, options: engines.ServeOptions) -> None:
    """Becomes the server on the folder of the task's pushed models; says first which and why, on stderr.

    Args:
      task: as it was typed, for the hint.
      paths: where the models lie.
      engine: one of `engines.ENGINES`.
      options: ports, address and further flags.

    Raises:
      ServingError: nothing was pushed yet, or the engine is not there.
    """
    base = absolute_path(paths.serving)
    if not is_remote(base) and not os.path.isdir(base):  # to look into a bucket takes as long as to start a server
        raise ServingError(f"nothing is pushed for '{task}': no {base}", hint=f"First: skewless run {task}")
    chosen = engines.choose_engine(engine, paths.task, base, options)
    click.echo(f"serving {paths.task} with {chosen.about}", err=True)
    sys.stderr.flush()
    os.execv(chosen.command[0], chosen.command)
