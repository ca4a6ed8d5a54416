"""The code of all pages: Python compiles, tasks can be made, and each `skewless` command has these options."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from components.task import overrides
from components.task.reference import TaskReference
from pipeline.cli import cli
from pipeline.registry import builtin_tasks, resolve_task
from skewless import Task
from tests import PROJECT
from tests.docs.pages import SHELLS, Block, Command, blocks, commands

PAGES = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted((PROJECT / "examples").rglob("*.md")),
]
_COMMAND = re.compile(r"(\$ )?(skewless|make|pip|docker|curl|python3?|kubectl|gcloud) [\w./~'-]")

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))


def _python(page: Path) -> Iterator[Block]:
    return (block for block in blocks(page) if block.language in ("python", "py"))


def _skewless(page: Path) -> Iterator[Command]:
    for block in blocks(page):
        if block.language in SHELLS:
            yield from (one for one in commands(block) if one.words[0] == "skewless")


@by_page
def test_python_compiles(page: Path) -> None:
    for block in _python(page):
        compile(block.text, block.where, "exec")


@by_page
def test_each_task_can_be_made(page: Path) -> None:
    for block in _python(page):
        if re.search(r"^\w+ = Task\($", block.text, re.MULTILINE):
            found: dict[str, Any] = {}
            exec(compile(block.text, block.where, "exec"), found)
            assert any(isinstance(one, Task) for one in found.values()), block.where


@by_page
def test_each_command_has_these_options(page: Path) -> None:
    for command in _skewless(page):
        if len(command.words) == 1 or command.words[1].startswith("-"):
            continue
        name, *arguments = command.words[1:]
        assert name in cli.commands, f"{command.where}: no command '{name}'"
        try:
            cli.commands[name].make_context(name, arguments)
        except click.exceptions.Exit:  # --help
            pass
        except click.ClickException as error:
            raise AssertionError(f"{command.where}: {error.format_message()}") from error


@by_page
def test_each_setting_of_a_built_in_task_exists(page: Path) -> None:
    for command in _skewless(page):
        words = command.words
        if words[1:2] in (("run",), ("compile",)) and words[2] in builtin_tasks():
            settings = [value for flag, value in zip(words, words[1:], strict=False) if flag == "--set"]
            TaskReference(resolve_task(words[2]), overrides.parse_assignments(settings)).load()


@by_page
def test_commands_are_in_shell_blocks(page: Path) -> None:
    """What looks like a command elsewhere is not tested."""
    others = [block for block in blocks(page) if block.language not in (*SHELLS, "dockerfile", "yaml", "js", "go")]
    found = [f"{one.where}: {line}" for one in others for line in one.text.splitlines() if _COMMAND.match(line)]
    assert found == []


@by_page
def test_each_command_in_the_text_exists(page: Path) -> None:
    """Of commands between backticks, the first word after `skewless`, `make` or `python -m` is known."""
    fenced = {line for block in blocks(page) for line in block.text.splitlines()}
    text = "\n".join(line for line in page.read_text().splitlines() if line not in fenced)
    targets = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    unknown = [
        *(name for name in re.findall(r"`skewless ([a-z]+)", text) if name not in cli.commands),
        *(name for name in re.findall(r"`(?:\w+=\S+ )?make ([a-z]+)", text) if name not in targets),
        *(name for name in re.findall(r"`python -m ([\w.]+)", text) if importlib.util.find_spec(name) is None),
    ]
    assert unknown == []
