"""The fenced blocks of a Markdown page, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import PROJECT

SHELLS = ("bash", "sh", "console")
_FENCE = re.compile(r"^( *)```(.*)$")
_ENDS = {";", "&&", "&", "|"}  # of a command; `||` and redirections are not used


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
      page: Path of the page below the project.
      line: Number of its first line of text.
      language: Word after the fence; "" for none.
      text: Its text, without the indentation of the fence.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a shell block.

    Attributes:
      where: Page and line.
      words: Program and arguments; comments and the `&` after it are not among them.
      text: The line, to run it in a shell.
    """

    where: str
    words: tuple[str, ...]
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    name, lines = str(page.relative_to(PROJECT)), page.read_text().splitlines()
    inside: tuple[int, str, str] | None = None
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if fence and inside is None:
            inside = (number, fence[1], (fence[2].split() or [""])[0])
        elif fence and inside is not None:
            start, indent, language = inside
            text = "".join(f"{one.removeprefix(indent)}\n" for one in lines[start : number - 1])
            yield Block(name, start + 1, language, text)
            inside = None
    assert inside is None, f"{name}: the block of line {inside} has no end"


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a shell block, in order."""
    number = 0
    lines = block.text.splitlines()
    while number < len(lines):
        start, text = number, lines[number]
        while text.endswith("\\"):
            number += 1
            text = f"{text[:-1]} {lines[number].strip()}"
        number += 1
        for words in _split(text):
            yield Command(f"{block.page}:{block.line + start}", words, text)


def _split(text: str) -> Iterator[tuple[str, ...]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _ENDS:
            words.append(word)
        elif words:
            yield tuple(words)
            words = []
