"""The groups of commands in `skewless --help`."""

from __future__ import annotations

import click

SECTIONS = {
    "Build a model": ("demo", "new", "run", "tune", "report", "runs", "tasks"),
    "Serve it": ("serve", "predict"),
    "Operate": ("compile", "submit", "job", "skew", "doctor", "completion"),
}
"""Heading -> names of the commands, in the order of the help."""


class GroupWithSections(click.Group):
    """A group whose help lists the commands under the headings of `SECTIONS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of commands for each heading."""
        width = max(map(len, self.commands))
        for heading, names in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(one.ljust(width), self.commands[one].get_short_help_str()) for one in names])
