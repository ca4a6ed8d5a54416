"""The splits that a column of a table shows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from data.errors import DataError
from data.names import printable
from data.sources.splits import SPLITS, split_words

UNASSIGNED, UNKNOWN = "unassigned", "unknown"
ROLES = (UNASSIGNED, *SPLITS, UNKNOWN)


def role_of(value: Any) -> str:
    """Return the role of a row by its value in the split's column: "train", "eval", "test", "unassigned" or "unknown".

    Args:
      value: a word for a split (`data.sources.splits`), in any case; nothing or UNASSIGNED for none.
    """
    if value is None or value != value:
        return UNASSIGNED
    return _role_of_word(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


@functools.lru_cache(maxsize=1024)
def _role_of_word(text: str) -> str:
    if text.strip().lower() in ("", UNASSIGNED):
        return UNASSIGNED
    roles = {role for _, role in split_words(text)}
    return roles.pop() if len(roles) == 1 else UNKNOWN


def splits_of_roles(found: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the split of each role that a column shows: a validation or a test part alone is "eval".

    Args:
      found: an example of a value for each role that was found.
      where: the column and its tables, for messages.

    Returns:
      Split by role, for "train", "eval" and "test"; empty if no row names a split.

    Raises:
      DataError: If a part is missing, or no value is a word for a split.
    """
    held_out = [role for role in ("eval", "test") if role in found]
    if "train" not in found and not held_out:
        if UNKNOWN in found:
            raise DataError(
                f"{where} shows no split: '{printable(found[UNKNOWN][:60])}' is not a word for one",
                hint='Legal are words such as train, validation and test. Without a split: --set source.split=""',
            )
        return {}
    if not held_out or "train" not in found:
        part, other = ("validation", "training") if "train" in found else ("training", "validation or test")
        raise DataError(
            f"{where} has {other} rows, but no {part} rows",
            hint=f'Add {part} rows; or let the content of the pictures decide: --set source.split=""',
        )
    return {"train": "train", **dict(zip(held_out, ("eval", "test"), strict=False))}
