"""What a user can do next: commands to copy, with the options that the user gave."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from data.files.remote import is_remote
from data.images.formats import SUFFIXES, suffix
from pipeline.paths import DEFAULT_ROOT, absolute_path

PICTURE = "PICTURE"  # in a command, where the user puts a file
_FOLDERS = 100  # that are searched for a picture


class NextStep(NamedTuple):
    """A command, and what it is for."""

    command: str
    purpose: str = ""


def skewless_command(*words: str) -> str:
    """Return a command line of `skewless` as a shell takes it."""
    return shlex.join(["skewless", *words])


def root_words(root: str) -> list[str]:
    """Return the option for a root, or nothing for the one that commands use without the option."""
    root = absolute_path(root)
    return [] if root == absolute_path(DEFAULT_ROOT) else ["--root", root]


def option_words(data: str | None, metadata: str | None, root: str) -> list[str]:
    """Return the options of a run that the commands after it need, too."""
    given = {"--data": data, "--metadata": metadata}
    return [word for name, value in given.items() if value for word in (name, value)] + root_words(root)


def after_push(task: str, root: str, picture: str) -> list[NextStep]:
    """Return what to do with a served model.

    Args:
      task: Name of the task.
      root: Folder of the runs.
      picture: File to ask the model about; "" if the model takes no pictures.
    """
    steps = [
        NextStep(skewless_command("report", task, *root_words(root)), "the page of the run"),
        NextStep(skewless_command("serve", task, *root_words(root)), "until Ctrl-C; meanwhile, in another terminal:"),
        NextStep(skewless_command("predict", picture, "--model", task)),
    ]
    return steps if picture else [steps[0], NextStep(steps[1].command, "until Ctrl-C")]


def find_picture(folder: str) -> str:
    """Return a picture in a folder or below it, or a word that stands for one; reads few names of a large folder."""
    if is_remote(folder):
        return PICTURE
    waiting = [folder]
    for _ in range(_FOLDERS):
        if not waiting:
            break
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        waiting.append(entry.path)
                    elif suffix(entry.name) in SUFFIXES and not entry.name.startswith("."):
                        return entry.path
        except OSError:
            continue
    return PICTURE


def next_lines(steps: Iterable[NextStep]) -> list[str]:
    """Return a line for each command: "next      skewless report flowers  # the page of the run"."""
    return [f"next      {step.command}" + (f"  # {step.purpose}" if step.purpose else "") for step in steps]


def print_next(console: Console, steps: Iterable[NextStep]) -> None:
    """Print a line for each command, the purpose dimmed."""
    for line in next_lines(steps):
        heading, command = line[: len("next")], line[len("next") :]
        command, separator, purpose = command.partition("  # ")
        console.print(f"[bold]{heading}[/]{escape(command)}[dim]{separator}{escape(purpose)}[/]")
