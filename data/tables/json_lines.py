"""Read JSON Lines: an object on each line.

The import form of Vertex AI is read, too: an object with `imageGcsUri`, `classificationAnnotation` or
`classificationAnnotations`, and `dataItemResourceLabels`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data.errors import DataError
from data.files.open_file import opened
from data.tables.lines import Lines, check_text
from data.tables.rows import ML_USE, BadRow, Row, RowRange, Table, check_columns

_VERTEX = "imageGcsUri"
_VERTEX_USE = "aiplatform.googleapis.com/ml_use"


class JsonLinesTable(Table):
    """A file with a JSON object on each line."""

    def __init__(self, path: str, wanted: Sequence[str]) -> None:
        """Read the lines up to the first object.

        Args:
          path: of the file.
          wanted: the columns that will be read; keys that only some objects have are missing values in the others.

        Raises:
          DataError: If no line has an object, or the first one lacks a column.
        """
        super().__init__(path, ())
        with opened(path) as file:
            check_text(file.read(4), self.name)
            problem = "the file is empty"
            for line in Lines(file, self.name):
                found = _parse_object(line)
                if not isinstance(found, (str, type(None))):
                    self.columns = tuple(found)
                    break
                problem = found or problem
            else:
                raise DataError(
                    f"{self.name} has no JSON object on a line: {problem}",
                    hint="Write each object on a line of its own.",
                )
        check_columns(self.name, self.columns, wanted)

    def rows(self, names: Sequence[str], ranges: Sequence[RowRange] | None = None) -> Iterator[Row]:
        """Read rows; blank lines are no rows."""
        with opened(self.path) as file:
            end = file.seek(0, 2)
            for part, (first, last, number) in enumerate(ranges or [RowRange(0, end, 1)]):
                lines = Lines(file, self.name, first, number)
                while (start := lines.position) < last and (line := next(lines, b"")):
                    found = _parse_object(line)
                    if found is not None:
                        values = found if isinstance(found, BadRow) else tuple([found.get(name) for name in names])
                        yield Row(part, start, lines.position, lines.number - 1, values)


def _parse_object(line: bytes) -> dict[str, Any] | BadRow | None:
    """Return the object of a line, or None for a blank line."""
    line = line.removeprefix(b"\xef\xbb\xbf").strip()
    if not line:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(f"not JSON: {str(error).splitlines()[0]}")
    if not isinstance(found, dict):
        return BadRow(f"not an object, but a {type(found).__name__}")
    return _from_vertex(found) if _VERTEX in found else found


def _from_vertex(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object of Vertex AI's import form with the columns `path`, `label` and `ml_use`."""
    one, several = found.get("classificationAnnotation"), found.get("classificationAnnotations")
    annotations = several if isinstance(several, list) else [one]
    labels = [label.get("displayName") for label in annotations if isinstance(label, Mapping)]
    uses = found.get("dataItemResourceLabels")
    use = uses.get(_VERTEX_USE) if isinstance(uses, Mapping) else None
    label: Any = labels if isinstance(several, list) else next(iter(labels), None)
    return {**found, "path": found[_VERTEX], "label": label, ML_USE: use}
