"""Short names of settings, for the headings of tables."""

from __future__ import annotations

from collections.abc import Sequence


def short_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each dotted name, or the whole name if others have the same last part."""
    last = [name.rpartition(".")[2] for name in names]
    return [one if last.count(one) == 1 else name for one, name in zip(last, names, strict=True)]
