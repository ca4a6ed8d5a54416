"""The artifacts of earlier runs, in place of ML Metadata, and the queries of resolvers on them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.runners.compiler.compiled_file import Artifact

_INPUT = re.compile(r"\{\{\$\.inputs\.artifacts\['([^']+)'\]\.metadata\['([^']+)'\]\}\}")


class ArtifactStore:
    """A file with one line of JSON for each artifact, the oldest first."""

    def __init__(self, file: str) -> None:
        """Open the store.

        Args:
          file: Path; the file is created with the first artifact.
        """
        self._file = Path(file)

    def add(self, artifacts: list[Artifact]) -> None:
        """Append the outputs of a finished task."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.writelines(json.dumps(one) + "\n" for one in artifacts)

    def latest(self, query: str) -> list[Artifact]:
        """Return the newest artifact that matches a resolver's filter, in a list; an empty list if none does.

        Args:
          query: Clauses joined by ` AND `, as TFX writes them: `schema_title="tfx.Model"`, `state=LIVE`, `name="..."`,
            `metadata.blessed.number_value=1`.
        """
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        wanted = [clause.partition("=")[::2] for clause in query.split(" AND ")]
        for artifact in map(json.loads, reversed(lines)):
            if all(_fits(artifact, key, value.strip('"')) for key, value in wanted):
                return [artifact]
        return []


def _fits(artifact: Artifact, key: str, value: str) -> bool:
    if key == "schema_title":
        return artifact_type(artifact) == value
    if key == "state":
        return value == "LIVE" and os.path.exists(artifact["uri"])
    if key == "name":
        return artifact["name"] == value
    _, name, kind = key.split(".")  # metadata.NAME.KIND_value
    found = artifact.get("metadata", {}).get(name)
    if kind == "number_value":
        return isinstance(found, (int, float)) and found == float(value)
    return found == value


def artifact_type(artifact: Artifact) -> str:
    """Return the name of an artifact's type: "tfx.Model"."""
    kind = artifact["type"]
    match = re.search(r"^title:\s*(\S+)", kind.get("instanceSchema", ""), re.MULTILINE)
    return match[1] if match else kind.get("schemaTitle", "")


def answer_queries(
    queries: Mapping[str, Any], inputs: Mapping[str, Mapping[str, list[Artifact]]], store: ArtifactStore
) -> dict[str, list[Artifact]]:
    """Answer a resolver's queries.

    Args:
      queries: JSON of ArtifactQuerySpecs by output key.
      inputs: The resolver's input artifacts, which queries may refer to; a query with a missing input has no answer.
      store: The artifacts of earlier runs.

    Returns:
      The artifacts by output key.
    """
    found = {}
    for key, one in queries.items():
        query = one["filter"]
        names = _INPUT.findall(query)
        if all(name in inputs for name, _ in names):
            query = _INPUT.sub(lambda m: str(inputs[m[1]]["artifacts"][0]["metadata"][m[2]]), query)
            found[key] = store.latest(query)
    return found
