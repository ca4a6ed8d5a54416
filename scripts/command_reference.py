"""Hook of the site: the mark `<!-- commands -->` stands for all commands, each as its `--help` describes it."""

from __future__ import annotations

import html
import inspect
from typing import Any

import click

from pipeline.cli import cli
from pipeline.commands.sections import SECTIONS

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's Markdown with the commands."""
    return markdown.replace(MARK, describe_commands()) if MARK in markdown else markdown


def describe_commands() -> str:
    """Return usage, text and options of all commands, under the headings of `skewless --help`."""
    parts = []
    for heading, names in SECTIONS.items():
        parts += [f"## {heading}", *(_describe_command(cli.commands[name]) for name in names)]
    return "\n\n".join(parts)


def _describe_command(command: click.Command) -> str:
    context = click.Context(command, info_name=f"skewless {command.name}")
    usage = " ".join([f"skewless {command.name}", *command.collect_usage_pieces(context)])
    options = [one for one in command.params if isinstance(one, click.Option)]
    records = [one.get_help_record(context) for one in options]
    rows = [f"| <code>{_cell(names)}</code> | {_cell(about)} |" for names, about in filter(None, records)]
    table = '\n<div class="rows" markdown>\n\n| option | meaning |\n| --- | --- |\n' + "\n".join(rows) + "\n\n</div>"
    text = "\n\n".join(map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n")))
    return f"### skewless {command.name}\n\n{text}\n\n```text\n{usage}\n```\n{table if rows else ''}"


def _paragraph(text: str) -> str:
    """Return a paragraph as Markdown: after click's mark for lines that stay as they are, a block of code."""
    return "```text\n" + text.removeprefix("\b\n") + "\n```" if text.startswith("\b\n") else text


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "&#124;")
