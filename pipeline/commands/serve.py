"""`skewless serve`: serve the pushed models of a task."""

from __future__ import annotations

import errno
import os
import socket
import sys

import click
from rich.console import Console

from data.errors import ServingError
from data.files.remote import is_remote
from pipeline.next_steps import PICTURE, NextStep, find_picture, print_next, root_words, skewless_command
from pipeline.paths import Paths, absolute_path
from pipeline.report.run_files import read_run
from serving import engines

GRPC_PORT = 8500  # that `skewless predict` asks


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
        first = skewless_command("run", task, *root_words(paths.root))
        raise ServingError(f"nothing is pushed for '{task}': no {base}", hint=f"First: {first}")
    chosen = engines.choose_engine(engine, paths.task, base, options)
    for port in (options.port, options.rest_port):
        _check_free(options.bind, port)
    click.echo(f"serving {paths.task} with {chosen.about}", err=True)
    print_next(Console(stderr=True, highlight=False, soft_wrap=True), _next_steps(paths, options.port))
    sys.stderr.flush()
    os.execv(chosen.command[0], chosen.command)


def _check_free(bind: str, port: int) -> None:
    """Check that nothing listens on a port: the server would find out only after it has loaded the model.

    Raises:
      ServingError: If the port is in use.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections do not count
        try:
            probe.bind((bind, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                hint = "Stop the other server, or give another port: --port N, --rest-port N."
                raise ServingError(f"port {port} of {bind} is in use", hint=hint) from None


def _next_steps(paths: Paths, port: int) -> list[NextStep]:
    """Return how to ask the server about a picture of the last run's data, if there is one."""
    if is_remote(paths.root) or port == 0:  # the server chooses a port
        return []
    picture = find_picture(str(read_run(paths.latest).found.get("data_folder", "")))
    if picture == PICTURE:
        return []
    server = [] if port == GRPC_PORT else ["--server", f"localhost:{port}"]
    return [
        NextStep(
            skewless_command("predict", picture, "--model", paths.task, *server),
            "in another terminal, once it is running",
        )
    ]
