"""Times of a schedule: five fields of cron, checked, and translated into each service's format.

It is our own: the services check the fields only after the submission, and Kubeflow misreads five fields (see
`translate_schedule`). Cron libraries do not know these formats.
"""

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
    """Return a cron expression in the format of the platform.

    Kubeflow has a field for seconds at the start, and reads five fields as if the last one were missing: `0 3 * * *`
    would run every hour (kubeflow/pipelines issue 5014).

    Args:
      text: Five fields; for Vertex AI with an optional `TZ=Europe/Berlin` before them.
      target: "vertex" or "kubeflow".

    Raises:
      UsageError: If the text is not a cron expression, or has a time zone for Kubeflow.
    """
    zone, fields = "", text.split()
    if fields and _ZONE.match(fields[0]):
        zone = f"{fields.pop(0)} "
    if zone and target == "kubeflow":
        raise UsageError(f"--schedule {text}: Kubeflow uses the time zone of the cluster", hint="Remove TZ=.")
    if len(fields) != len(_FIELDS):
        raise UsageError(f"--schedule {text}: {len(fields)} fields, expected {len(_FIELDS)}", hint=_HINT)
    for field, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        if not all(_is_valid(part.lower(), low, high, words) for part in field.split(",")):
            raise UsageError(f"--schedule {text}: '{field}' is not a valid {name}", hint=_HINT)
    return zone + " ".join(fields) if target == "vertex" else " ".join(("0", *fields))


def _is_valid(part: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    """Return whether a part of a field is `*`, `a` or `a-b`, each with or without `/step`."""
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step)):
        return False
    if span == "*":
        return True
    ends = [str(words.index(end) + low) if end in words else end for end in span.split("-")]
    numbers = [int(end) for end in ends if end.isdecimal() and low <= int(end) <= high]
    return len(numbers) == len(ends) <= 2 and numbers == sorted(numbers)
