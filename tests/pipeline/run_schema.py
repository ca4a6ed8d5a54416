"""docs/reference/run.schema.json, against which the tests check every record that a run wrote."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from tests import PROJECT


@functools.cache
def validator() -> Draft202012Validator:
    """Return the validator; the schema itself is checked, too."""
    schema = json.loads((PROJECT / "docs" / "reference" / "run.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(record: Mapping[str, Any]) -> list[str]:
    """Return what a record has that the schema does not allow, with its place."""
    return [f"{'.'.join(map(str, one.path))}: {one.message}" for one in validator().iter_errors(record)]
