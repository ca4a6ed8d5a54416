"""The descriptions of a dataclass's fields: the section `Attributes:` of its docstring and of those of its bases."""

from __future__ import annotations

import re
import textwrap


def describe_attributes(kind: type) -> dict[str, str]:
    """Return the description of each attribute, as a sentence; an entry may name several attributes."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = textwrap.dedent(f"    {vars(base).get('__doc__') or ''}").partition("Attributes:\n")[2]
        for entry in re.split(r"\n(?=  \S)", text):
            names, _, about = entry.partition(":")
            sentence = " ".join(about.split())
            for name in names.split(","):
                found[name.strip()] = sentence[:1].upper() + sentence[1:]
    return found
