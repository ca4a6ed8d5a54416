"""Records for tests."""

from __future__ import annotations

from collections.abc import Sequence

from data.records import Record, vector_record


def vector_row(values: Sequence[float], label: str | float | tuple[str, ...], source: str = "row") -> Record:
    """Return a record of numbers, which must be valid."""
    record = vector_record(values, label, source)
    assert isinstance(record, Record), record
    return record
