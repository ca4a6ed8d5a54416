"""When a schedule runs: the five fields of cron, checked here, and written as each service reads them."""

from __future__ import annotations

import re

from data.errors import UsageError

_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_ZONE = re.compile(r"(CRON_)?TZ=[A-Za-z0-9_+/-]+$")
_HINT = "Five fields: minute, hour, day of the month, month, day of the week (0 is Sunday), as in '0 3 * * mon-fri'."


def translate_schedule(text: str, target: str) -> str:
    """A cron expression as the target takes it.

    Kubeflow has a field for seconds in front, and reads five fields as if the last one were missing: `0 3 * * *`
    would run each hour (kubeflow/pipelines issue 5014).

    Args:
      text: five fields, for Vertex AI with an optional `TZ=Europe/Berlin` before them.
      target: "vertex" or "kubeflow".

    Raises:
      UsageError: it says no time.
    """
    zone, fields = "", text.split()
    if fields and _ZONE.match(fields[0]):
        zone = f"{fields.pop(0)} "
    if zone and target == "kubeflow":
        raise UsageError(f"--schedule {text}: the time zone is the cluster's", hint="Leave TZ= out.")
    if len(fields) != len(_FIELDS):
        raise UsageError(f"--schedule {text}: {len(fields)} fields, not {len(_FIELDS)}", hint=_HINT)
    for field, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        if not all(_legal(part.lower(), low, high, words) for part in field.split(",")):
            raise UsageError(f"--schedule {text}: '{field}' is no {name}", hint=_HINT)
    return zone + " ".join(fields) if target == "vertex" else " ".join(("0", *fields))


def _legal(part: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    """Whether it is `*`, `a` or `a-b`, each with or without `/step`."""
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step)):
        return False
    if span == "*":
        return True
    ends = [str(words.index(end) + low) if end in words else end for end in span.split("-")]
    numbers = [int(end) for end in ends if end.isdecimal() and low <= int(end) <= high]
    return len(numbers) == len(ends) <= 2 and numbers == sorted(numbers)
