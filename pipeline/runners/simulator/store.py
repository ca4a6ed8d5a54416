"""What earlier runs left: the artifacts, in the place of ML Metadata, and the queries of resolvers on them."""

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
    """A file with a line of JSON for each artifact, oldest first."""

    def __init__(self, file: str) -> None:
        """Args:
        file: is made with the first artifact.
        """
        self._file = Path(file)

    def add(self, artifacts: list[Artifact]) -> None:
        """Appends the outputs of a finished task."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.writelines(json.dumps(one) + "\n" for one in artifacts)

    def latest(self, query: str) -> list[Artifact]:
        """The newest artifact that fits a resolver's filter, as a list of one, or nothing.

        Args:
          query: clauses with ` AND ` between, as TFX writes them: `schema_title="tfx.Model"`, `state=LIVE`,
            `name="..."`, `metadata.blessed.number_value=1`.
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
    """Name of the artifact's type, "tfx.Model"."""
    kind = artifact["type"]
    match = re.search(r"^title:\s*(\S+)", kind.get("instanceSchema", ""), re.MULTILINE)
    return match[1] if match else kind.get("schemaTitle", "")


def answer_queries(
    queries: Mapping[str, Any], inputs: Mapping[str, Mapping[str, list[Artifact]]], store: ArtifactStore
) -> dict[str, list[Artifact]]:
    """Answers a resolver's queries.

    Args:
      queries: JSON of ArtifactQuerySpecs by output key.
      inputs: the resolver's input artifacts, which queries may name; one that is missing fits nothing.
      store: of earlier runs.
    """
    found = {}
    for key, one in queries.items():
        query = one["filter"]
        names = _INPUT.findall(query)
        if all(name in inputs for name, _ in names):
            query = _INPUT.sub(lambda m: str(inputs[m[1]]["artifacts"][0]["metadata"][m[2]]), query)
            found[key] = store.latest(query)
    return found
