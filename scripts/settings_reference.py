"""Write the tables of docs/reference/settings.md and server.md from the fields of the settings and their docstrings.

    .venv/bin/python -m scripts.settings_reference

A new setting needs a description in the docstring of its class, under `Attributes:`; a class of settings needs an entry
in `SECTIONS`.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.models.conv_net import ConvNet
from components.models.transfer import Transfer
from components.task.overrides import is_plain
from components.task.task import Evaluate, Gate, Task
from components.task.train_config import FineTune, Train
from data.augmentation.config import Augmentation
from data.fields import types_of
from data.ingest.shards import Ingest
from data.sources import Arrays, Csv, FirstMatch, Idx, ImageTable, Source, TFRecords
from data.sources.splits import SplitSource
from data.spec import Classes, Image, Labels, Vector
from scripts.docstrings import describe_attributes
from serving.export.batching import Batching
from serving.server.config.flags import Flags

DOCS = Path(__file__).resolve().parents[1] / "docs" / "reference"
SETTINGS_PAGE, SERVER_PAGE = DOCS / "settings.md", DOCS / "server.md"

SECTIONS: dict[str, tuple[type, str]] = {
    "task": (Task, ""),
    "source": (Source, "source."),
    "splits": (SplitSource, "source."),
    "image-table": (ImageTable, "source."),
    "idx": (Idx, "source."),
    "arrays": (Arrays, "source."),
    "csv": (Csv, "source."),
    "tfrecords": (TFRecords, "source."),
    "first-match": (FirstMatch, "source."),
    "ingest": (Ingest, "ingest."),
    "image": (Image, "feature."),
    "vector": (Vector, "feature."),
    "classes": (Classes, "label."),
    "labels": (Labels, "label."),
    "conv-net": (ConvNet, "model."),
    "transfer": (Transfer, "model."),
    "augmentation": (Augmentation, "augment."),
    "train": (Train, "train."),
    "fine-tune": (FineTune, "train.fine_tune."),
    "evaluate": (Evaluate, "evaluate."),
    "gate": (Gate, "gate."),
    "batching": (Batching, "serving.batching."),
}
"""The table of each mark in the page: a class of settings, and the prefix of its fields."""

_BY_CPU = ("rest_api_num_threads", "grpc_max_threads")  # their defaults depend on the machine
_WORDS = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", type(None): "`none`"}
_MARK = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Return the text of a page with its tables as they are now."""

    def table(match: re.Match[str]) -> str:
        rows = flags_table() if match["name"] == "flags" else settings_table(*SECTIONS[match["name"]])
        return f'{match[1]}\n<div class="rows" markdown>\n\n{rows}\n\n</div>\n\n{match[3]}'

    return _MARK.sub(table, page)


def settings_table(kind: type, prefix: str) -> str:
    """Return the table of a class's settings, as Markdown, without those that another table has for its base.

    Raises:
      KeyError: If a field has no description.
    """
    about, bases = describe_attributes(kind), {base for base, _ in SECTIONS.values()} - {kind}
    elsewhere = {one.name for base in bases if issubclass(kind, base) for one in dataclasses.fields(base)}
    rows = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for one in (field for field in dataclasses.fields(kind) if field.name not in elsewhere):
        kinds = _type_text(types_of(kind)[one.name])
        rows.append(f"| `{prefix}{one.name}` | {kinds} | {_default_text(one)} | {_cell(about[one.name])} |")
    return "\n".join(rows)


def flags_table() -> str:
    """Return the table of the embedded server's flags, as Markdown."""
    rows = ["| flag | type | default | meaning |", "| --- | --- | --- | --- |"]
    for one in dataclasses.fields(Flags):
        default = "4 per CPU" if one.name in _BY_CPU else _default_text(one)
        kind = _type_text(types_of(Flags)[one.name])
        rows.append(f"| `--{one.name}` | {kind} | {default} | {_cell(one.metadata['help'])} |")
    return "\n".join(rows)


def _type_text(hint: Any) -> str:
    """Return a type in words, in the form that `--set` takes; what `--set` cannot take is called "Python"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" if one else "empty" for one in arguments)
    if origin in (typing.Union, types.UnionType):
        plain = [_type_text(one) for one in arguments if is_plain(one)]
        nothing = [_WORDS[type(None)]] if type(None) in arguments and plain else []
        python = ["Python"] if not all(is_plain(one) or one is type(None) for one in arguments) else []
        return " or ".join(dict.fromkeys([*plain, *nothing, *python]))
    if origin is tuple and is_plain(hint):
        parts = [one for one in arguments if one is not Ellipsis]
        if typing.get_origin(parts[0]) is tuple:
            return "pairs of numbers `a:b,c:d,...`"
        several = re.sub(r"(text|number)$", r"\1s", _type_text(parts[0]))
        return f"{several} `a,b{'' if len(parts) == len(arguments) else ',...'}`"
    if origin is Mapping:
        return "numbers by name `a:1,b:2,...`"
    return _WORDS.get(hint, "Python")


def _default_text(one: dataclasses.Field[Any]) -> str:
    if one.default is not dataclasses.MISSING:
        value = one.default
    elif one.default_factory is not dataclasses.MISSING:
        value = one.default_factory()
    else:
        return "required"
    if value in ("", (), {}, None):
        return "none" if value is None else "empty"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    if dataclasses.is_dataclass(value):
        return f"`{type(value).__name__}()`"
    return _cell(f"`{str(value).lower() if isinstance(value, bool) else value}`")


def _cell(text: str) -> str:
    """Return a text that does not end its cell; inside of backticks there is none."""
    return "<code>&#124;</code>" if text == "`|`" else text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    for file in (SETTINGS_PAGE, SERVER_PAGE):
        file.write_text(with_tables(file.read_text()))
