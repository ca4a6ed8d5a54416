"""`skewless new`: looks at a folder of pictures, tells what is in it, and writes a task that runs as it is."""

from __future__ import annotations

import importlib.util
import keyword
import os
import sys
import textwrap
from pathlib import Path

import jinja2
from rich.console import Console
from rich.markup import escape

from data.errors import UsageError
from data.files.remote import is_remote
from pipeline.paths import check_path
from pipeline.registry import builtin_tasks
from pipeline.report.quiet import logged_to
from pipeline.scaffold.choose import Choice, choose_task
from pipeline.scaffold.describe import class_table, describe_facts, give_advice
from pipeline.scaffold.survey import Survey, survey_folder


def new_task(name: str, data: str, console: Console | None = None) -> Path:
    """Writes `<name>.py` in the current folder; never over a file that is there.

    Args:
      name: of the task and its module.
      data: folder of pictures, with a folder for each class.
      console: where to tell what was found.

    Returns:
      The file written.

    Raises:
      UsageError: the name is taken or is none, or the file cannot be written.
      DataError: no model can be trained on the data.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    path = Path(f"{name}.py").absolute()
    check_name(name, path)
    check_path("--data", data)
    folder = data if is_remote(data) else str(Path(data).expanduser().resolve())
    # Decoders complain of broken files on stderr, from C; here the table tells.
    with logged_to(Path(os.devnull)) as terminal, Console(file=terminal).status(f"looking at {escape(folder)}"):
        found = survey_folder(folder)
    choice = choose_task(found)
    console.print(class_table(found))
    for fact, text in describe_facts(found).items():
        console.print(f"[bold]{fact:<9}[/] {escape(text)}")
    for line in give_advice(found, choice):
        console.print(f"[yellow]note[/]      {escape(line)}")
    _write(path, render(name, found, choice))
    console.print(f"\nwrote [bold]{escape(path.name)}[/]: read it, change what you know better, then")
    console.print(f"  skewless run {name}")
    return path


def check_name(name: str, path: Path) -> None:
    """Whether a module of that name can be written to the path, and be found there.

    Raises:
      UsageError: no identifier, taken by a built-in task or another module, or the file exists.
    """
    hint = f"Take another name, for example my_{name if name.isidentifier() else 'task'}."
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name.startswith("_"):
        raise UsageError(f"'{name}' cannot be the name of a Python module", hint="Letters, digits and _ can.")
    if name in builtin_tasks():
        raise UsageError(f"'{name}' is a built-in task", hint=hint)
    if path.exists():
        raise UsageError(f"{path} is there already, and is not overwritten", hint=f"Move it away. {hint}")
    taken = "Python's own" if name in sys.stdlib_module_names else _found_elsewhere(name, path.parent)
    if taken:
        raise UsageError(f"'{name}' is the name of another module: {taken}", hint=hint)


def _found_elsewhere(name: str, here: Path) -> str:
    """Where Python finds a module of that name; "" for none, or a plain folder here, which a file goes before."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return ""
    folders = [Path(folder).resolve() for folder in spec.submodule_search_locations or []]
    if spec.origin is None and folders == [here.resolve() / name]:
        return ""
    return spec.origin or str(folders[0] if folders else "built in")


def render(name: str, found: Survey, choice: Choice) -> str:
    """The source of the task's module."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    told = describe_facts(found)
    lines = [_wrapped(prose(f"* {fact}: {text}")) for fact, text in told.items()]
    return environment.get_template("task.py.j2").render(
        name=name,
        title=_title(sorted(found.by_class)),
        folder=prose(found.folder),
        facts=lines,
        data=literal(found.folder),
        explicit="" not in found.counts,
        median=told["size"].partition(" ")[0],
        choice=choice,
        largest=shortened(prose(choice.largest), 40),
    )


def _title(classes: list[str]) -> str:
    """One line, for `skewless tasks` and the head of the module."""
    names = prose(" or ".join(classes) if len(classes) == 2 else ", ".join(classes))
    return shortened(f"Pictures of {len(classes)} classes: {names}", 110) + "."


def shortened(text: str, length: int) -> str:
    """The text, cut where it is longer than so many characters."""
    return text if len(text) <= length else f"{text[: length - 4]} ..."


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def prose(text: str) -> str:
    """A text from the user's folders as it may stand in a docstring or comment: nothing that would end either."""
    return "".join(one if one.isprintable() and one not in '"\\' else "?" for one in text)


def literal(text: str) -> str:
    """A Python literal of the text, in double quotes where it needs no escapes for them."""
    found = repr(text)
    return f'"{found[1:-1]}"' if found[0] == "'" and not {'"', "'", "\\"} & set(found[1:-1]) else found


def _write(path: Path, source: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:  # x: not over a file that came in the meantime
            file.write(source)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="Call it in a folder of your own.") from error
