"""Write run.schema.json in docs/reference/, and the tables of run-record.md there, from the types of a run's record.

    .venv/bin/python -m scripts.run_schema

A new field needs a description in the docstring of its class, under `Attributes:`, and an entry in `SINCE`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from pathlib import Path
from typing import Any

from data.ingest.manifest import Manifest
from pipeline.report.record import (
    ComponentRun,
    DataSummary,
    EvaluationSummary,
    LayerSummary,
    PhaseStart,
    PushedVersion,
    RunRecord,
    TrainingSummary,
)
from pipeline.report.run_files import SCHEMA
from scripts.docstrings import describe_attributes
from serving.graph.checks import Finding
from serving.parity.client_skew import ClientSkewCost
from serving.parity.compare import Comparison
from serving.parity.report import JSON_KEYS, Diagnosis, SkewReport

DOCS = Path(__file__).resolve().parents[1] / "docs" / "reference"
SCHEMA_FILE, PAGE = DOCS / "run.schema.json", DOCS / "run-record.md"
BEGIN, END = "<!-- tables: scripts/run_schema.py writes them -->", "<!-- end of the tables -->"

FIRST = "0.1.0"
SINCE: dict[type, dict[str, str]] = {
    RunRecord: {
        FIRST: "task run_id data_folder settings log started status seconds exit_code error components data training"
        " evaluation blessed skew pushed plots",
        "0.2.0": "schema",
        "1.0.0": "page review",
    },
    ComponentRun: {FIRST: "name state why seconds execution"},
    DataSummary: {
        FIRST: "examples labels bytes quarantined not_pictures duplicate_count duplicates folder",
        "0.2.0": "unused layout notes contradiction_count contradictions removed remarks",
    },
    TrainingSummary: {
        FIRST: "epochs best_epoch phases stopped resumed_at images_per_second waiting_share in_memory history"
        " input_stages layers",
        "1.0.0": "thresholds folder",
    },
    PhaseStart: {FIRST: "name epoch"},
    LayerSummary: {FIRST: "name kind detail output params trainable trainable_params inputs"},
    EvaluationSummary: {
        FIRST: "metric baseline slices",
        "0.2.0": "no_baseline",
        "1.0.0": "confusion calibration folder held_out",
    },
    SkewReport: {
        FIRST: "records server reference tolerance feature made routes structure diagnosis avoided seconds passed",
        "1.0.0": "is_multi_label",
    },
    Comparison: {FIRST: "route reference largest record flipped names_agree tolerance fault"},
    Finding: {FIRST: "signature kind detail"},
    Diagnosis: {FIRST: "stage skew record detail route why source"},
    ClientSkewCost: {FIRST: "client pictures flipped accuracy accuracy_served largest"},
    PushedVersion: {FIRST: "version path"},
}
"""The version of Skewless that wrote each key first, by the class whose JSON has it."""

_TITLES: dict[type, str] = {
    RunRecord: "The record",
    ComponentRun: "`components[]`: a component",
    DataSummary: "`data`: the examples",
    TrainingSummary: "`training`: the Trainer's report",
    PhaseStart: "`training.phases[]`: a phase",
    LayerSummary: "`training.layers[]`: a layer of the model",
    EvaluationSummary: "`evaluation`: what the Evaluator measured",
    SkewReport: "`skew`: the proof",
    Comparison: "`skew.routes[]`: a route, compared with training",
    Finding: "`skew.structure[]`: a fault in the graph, the weights or the labels",
    Diagnosis: "`skew.diagnosis`: the cause of a difference",
    ClientSkewCost: "`skew.avoided[]`: what a client with its own preprocessing would cost",
    PushedVersion: "`pushed`: the version that is served",
}
_MORE: dict[type, dict[str, tuple[Any, str]]] = {
    RunRecord: {"schema": (int, "Version of the keys; files without it have version 1.")},
    SkewReport: {"passed": (bool, "Whether every route agrees and the graph has no finding.")},
}
"""Keys that are no fields: their types and descriptions."""
_NOT_WRITTEN = ((Comparison, "rows"),)
_NULLABLE = {(Comparison, "largest"): "Null if it is infinite: the shapes differ, or a score is NaN."}
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def run_schema() -> dict[str, Any]:
    """Return the JSON Schema of `run.json`.

    Raises:
      KeyError: If a field has no description, or no entry in `SINCE`.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json",
        "description": f"The record of a run of Skewless, schema version {SCHEMA}.",
        **_object(RunRecord),
        "$defs": {kind.__name__: _object(kind) for kind in SINCE if kind is not RunRecord},
    }


def tables() -> str:
    """Return a table of the keys for each type, as Markdown."""
    parts = []
    for kind, title in _TITLES.items():
        rows = [
            f"### {title}",
            "",
            _summary(kind),
            "",
            '<div class="rows" markdown>',
            "",
            "| key | type | since | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for key, entry in _object(kind)["properties"].items():
            rows.append(f"| `{key}` | {_type_text(entry)} | {entry['x-since']} | {_escaped(entry['description'])} |")
        parts.append("\n".join([*rows, "", "</div>"]))
    return "\n\n".join(parts)


def page_with_tables(page: str) -> str:
    """Return the text of docs/reference/run-record.md with its tables as they are now."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}"


def schema_text() -> str:
    """Return the text of docs/reference/run.schema.json."""
    return json.dumps(run_schema(), indent=1) + "\n"


def _object(kind: Any) -> dict[str, Any]:
    """Return the schema of a dataclass's JSON; further keys are allowed, as a later version may add some."""
    hints, about = typing.get_type_hints(kind), _descriptions(kind)
    since = {key: version for version, keys in SINCE[kind].items() for key in keys.split()}
    renamed = JSON_KEYS if kind is SkewReport else {}
    more = _MORE.get(kind, {})
    properties: dict[str, Any] = {}
    for key, (hint, description) in more.items():
        properties[key] = {**_of_type(hint), "description": description, "x-since": since.pop(key)}
    required = []
    for one in (field for field in dataclasses.fields(kind) if (kind, field.name) not in _NOT_WRITTEN):
        key = renamed.get(one.name, one.name)
        entry = _of_field(kind, one.name, hints[one.name])
        description = f"{about[one.name]} {_NULLABLE.get((kind, one.name), '')}".strip()
        if any("maxProperties" in choice for choice in entry.get("anyOf", ())):
            description = description.replace("null", "{}")
        properties[key] = {**entry, "description": description, "x-since": since.pop(key)}
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            required.append(key)
    if since:
        raise KeyError(f"SINCE has keys that {kind.__name__} lacks: {', '.join(since)}")
    return {"type": "object", "properties": properties, "required": required}


def _of_field(kind: Any, name: str, hint: Any) -> dict[str, Any]:
    """Return the schema of a field; a part of the record that does not exist yet is an empty object."""
    inner = next((one for one in typing.get_args(hint) if dataclasses.is_dataclass(one)), None)
    if kind is RunRecord and inner and typing.get_origin(hint) is not list:
        return {"anyOf": [_of_type(inner), {"type": "object", "maxProperties": 0}]}
    if (kind, name) in _NULLABLE:
        return _of_type(hint | None)
    return _of_type(hint)


def _of_type(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}  # type: ignore[union-attr]
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (list, tuple):
        return {"type": "array", "items": _of_type(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of_type(arguments[1])}
    if origin in (types.UnionType, typing.Union):
        return _nullable(_of_type(next(one for one in arguments if one is not type(None))))
    raise TypeError(f"no JSON Schema for {hint}")


def _nullable(entry: dict[str, Any]) -> dict[str, Any]:
    if isinstance(entry.get("type"), str):
        return {**entry, "type": [entry["type"], "null"]}
    return {"anyOf": [entry, {"type": "null"}]}


def _summary(kind: type) -> str:
    """Return the first paragraph of a docstring, without references to the code."""
    text = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return text.partition("; see ")[0].rstrip(".") + "."


def _descriptions(kind: type) -> dict[str, str]:
    """Return the description of each attribute, with JSON's null; those of `Manifest` are `DataSummary`'s, too."""
    found = describe_attributes(Manifest) if kind is DataSummary else {}
    found |= describe_attributes(kind)
    return {name: re.sub(r"\bNone\b", "null", text).replace(". null", ". Null") for name, text in found.items()}


def _type_text(entry: dict[str, Any]) -> str:
    """Return a type as JSON looks: "[number]", "{text: integer} or null"."""
    if "$ref" in entry:
        return "object"
    if "enum" in entry:
        return ", ".join(f'"{one}"' for one in entry["enum"])
    if "anyOf" in entry:
        return " or ".join("{}" if "maxProperties" in one else _type_text(one) for one in entry["anyOf"])
    kind = entry["type"]
    if isinstance(kind, list):
        return f"{_type_text({**entry, 'type': kind[0]})} or null"
    if kind == "array":
        return f"[{_type_text(entry['items'])}]"
    if kind == "object":
        return f"{{text: {_type_text(entry['additionalProperties'])}}}"
    return "text" if kind == "string" else str(kind)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text())
    PAGE.write_text(page_with_tables(PAGE.read_text()))
