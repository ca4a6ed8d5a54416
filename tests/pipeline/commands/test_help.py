"""`skewless --help`: every command under a heading, and a help text for each."""

from __future__ import annotations

from itertools import chain

import click
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.commands.sections import SECTIONS


def test_every_command_has_one_place_in_the_help() -> None:
    assert sorted(chain(*SECTIONS.values())) == sorted(cli.commands)


def test_the_help_has_a_line_for_each_command_below_its_heading() -> None:
    done = CliRunner().invoke(cli, ["--help"])
    assert done.exit_code == 0
    found: dict[str, list[str]] = {}
    for line in done.output.splitlines():
        if line.endswith(":"):
            names = found.setdefault(line[:-1], [])
        elif line.startswith("  ") and found:
            names.append(line.split()[0])
    assert {heading: found.get(heading) for heading in SECTIONS} == {
        heading: list(names) for heading, names in SECTIONS.items()
    }


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_command_explains_itself_and_its_options(name: str) -> None:
    command = cli.commands[name]
    assert command.help and command.short_help and len(command.short_help) < 60
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [one.opts[-1] for one in options if not one.help] == []
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0 and done.output.startswith(f"Usage: cli {name} ")
