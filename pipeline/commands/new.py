"""`skewless new`: inspect a folder of pictures, or a table of them, and write a task that runs without changes."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from pathlib import Path

import jinja2
from rich.console import Console
from rich.markup import escape

from data.errors import UsageError
from data.files.remote import is_remote
from data.sources import ImageTable
from pipeline.next_steps import NextStep, print_next, skewless_command
from pipeline.report.quiet import TerminalConsole, logged_to
from pipeline.report.waiting import Waiting
from pipeline.scaffold.check_new import check_new
from pipeline.scaffold.choose import Choice, choose_task, helps_pretrained
from pipeline.scaffold.describe import class_table, describe_facts, describe_model, give_advice
from pipeline.scaffold.pretrained import find_pretrained
from pipeline.scaffold.survey import Survey, survey_folder


def new_task(
    name: str, data: str, console: Console | None = None, *, weights: str = "auto", backbone: str = ""
) -> Path:
    """Write `<name>.py` in the current folder; never overwrite a file.

    Args:
      name: Name of the task and its module.
      data: Folder of pictures, with one subfolder for each class, or with a table that lists them.
      console: Console to print the findings on.
      weights: See `find_pretrained`; with "auto", they are only looked for if they are likely to help.
      backbone: See `find_pretrained`.

    Returns:
      The written file.

    Raises:
      UsageError: If the name is taken or not valid, there are no such weights, or the file cannot be written.
      DataError: If no model can be trained on the data.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    path = check_new(name, data)
    folder = data if is_remote(data) else str(Path(data).expanduser().resolve())
    # C decoders print errors of broken files on stderr; the findings report them.
    with (
        logged_to(Path(os.devnull)) as terminal,
        TerminalConsole(terminal).status(Waiting(f"inspecting {escape(folder)}")),
    ):
        given = None if weights == "auto" else find_pretrained(weights, backbone)
        found = survey_folder(folder)
        wanted = weights == "auto" and (bool(backbone) or helps_pretrained(found))
        pretrained = find_pretrained(weights, backbone) if wanted else given
    choice = choose_task(found, pretrained)
    console.print(class_table(found))
    for fact, text in _facts(found, choice).items():
        console.print(f"[bold]{fact:<9}[/] {escape(text)}")
    for line in give_advice(found, choice, missed_weights=wanted and not pretrained):
        console.print(f"[yellow]note[/]      {escape(line)}")
    _write(path, render(name, found, choice))
    console.print(f"\nwrote     [bold]{escape(path.name)}[/]: read it, and change what you like")
    print_next(console, [NextStep(skewless_command("run", name), "train, evaluate, prove and push it")])
    return path


def _facts(found: Survey, choice: Choice) -> dict[str, str]:
    return {**describe_facts(found), "model": describe_model(choice)}


def render(name: str, found: Survey, choice: Choice) -> str:
    """Return the source of the task's module."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    facts = _facts(found, choice)
    lines = [_wrapped(escape_prose(f"* {fact}: {text}")) for fact, text in facts.items()]
    return environment.get_template("task.py.j2").render(
        name=name,
        title=_title(sorted(found.by_class), "with" if found.is_multi_label else "of"),
        folder=escape_prose(found.folder),
        facts=lines,
        data=python_literal(found.folder),
        explicit="" not in found.counts,
        median=facts["size"].partition(" ")[0],
        choice=choice,
        weights=python_literal(choice.weights),
        several=found.is_multi_label,
        table=found.table is not None,
        source=source_literal(found.table.source) if found.table else "ImageFolder()",
        imports=_imports(found, choice),
        largest=shorten(escape_prose(choice.largest), 40),
    )


def _imports(found: Survey, choice: Choice) -> str:
    """Return the public names that the module uses."""
    names = {"Evaluate", "Image", "Task", "Train", "ImageTable" if found.table else "ImageFolder"}
    names |= {"FineTune", "Transfer"} if choice.pretrained else {"ConvNet"}
    names |= {"Augmentation"} if choice.augment else set()
    names |= {"Labels"} if found.is_multi_label else set()
    return ", ".join(sorted(names))


def source_literal(source: ImageTable) -> str:
    """Return a source as Python has it, with the fields that are not the default."""
    fields = []
    for field in dataclasses.fields(source):
        value = getattr(source, field.name)
        if value == field.default:
            continue
        if isinstance(value, tuple):
            comma = "," if len(value) == 1 else ""
            fields.append(f"{field.name}=({', '.join(map(python_literal, value))}{comma})")
        else:
            fields.append(f"{field.name}={python_literal(value)}")
    line = f"ImageTable({', '.join(fields)})"
    if len(line) <= 100:
        return line
    return "ImageTable(\n" + "".join(f"        {one},\n" for one in fields) + "    )"


def _title(classes: list[str], preposition: str) -> str:
    """Return one line for `skewless tasks` and the module's docstring."""
    names = escape_prose(" or ".join(classes) if len(classes) == 2 else ", ".join(classes))
    kind = "labels" if preposition == "with" else "classes"
    return shorten(f"Pictures {preposition} {len(classes)} {kind}: {names}", 110) + "."


def shorten(text: str, length: int) -> str:
    """Return the text, cut to a number of characters."""
    return text if len(text) <= length else f"{text[: length - 4]} ..."


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def escape_prose(text: str) -> str:
    """Return a text from the user's folders for a docstring or comment, without characters that would end it."""
    return "".join(one if one.isprintable() and one not in '"\\' else "?" for one in text)


def python_literal(text: str) -> str:
    """Return a Python literal of the text, in double quotes if that needs no escapes."""
    found = repr(text)
    return f'"{found[1:-1]}"' if found[0] == "'" and not {'"', "'", "\\"} & set(found[1:-1]) else found


def _write(path: Path, source: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:  # x: another process may have written the file by now
            file.write(source)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="Run it in a folder of your own.") from error
