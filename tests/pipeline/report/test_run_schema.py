"""run.schema.json and the tables of run-record.md: up to date, and true of records, old ones and new ones."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipeline.report.record import RunRecord, read_record
from tests import PROJECT
from tests.pipeline.report.page.samples import SAMPLES
from tests.pipeline.run_schema import faults

RECORDS = Path(__file__).parent / "records"  # of `skewless run digits`, by those versions
VERSIONS = ("0.1.0", "0.2.0")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_schema_script", PROJECT / "scripts" / "run_schema.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _record(version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDS / f"{version}.json").read_text())
    return found


def test_the_files_are_what_the_script_writes(script: ModuleType) -> None:
    assert script.SCHEMA_FILE.read_text() == script.schema_text(), "python -m scripts.run_schema writes it"
    page = script.PAGE.read_text()
    assert page == script.page_with_tables(page), "python -m scripts.run_schema writes it"


def test_the_page_describes_every_key_of_a_run(script: ModuleType) -> None:
    page = script.PAGE.read_text()
    record, _ = SAMPLES["skewed"]()
    keys = {key for key, _, _ in _keys(record.to_json())}
    assert len(keys) > 70
    assert [key for key in sorted(keys) if f"\n| `{key}` | " not in page] == []


def test_a_field_needs_a_description_and_a_version(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass
    class Grown(RunRecord):
        """A record with one field more."""

        more: int = 0

    plain = script._descriptions
    monkeypatch.setitem(script._MORE, Grown, script._MORE[RunRecord])
    monkeypatch.setitem(script.SINCE, Grown, script.SINCE[RunRecord] | {"9.0.0": "more"})
    with pytest.raises(KeyError, match="more"):
        script._object(Grown)
    monkeypatch.setattr(script, "_descriptions", lambda kind: plain(kind) | {"more": "Known."})
    assert script._object(Grown)["properties"]["more"]["x-since"] == "9.0.0"
    monkeypatch.setitem(script.SINCE, Grown, script.SINCE[RunRecord])
    with pytest.raises(KeyError, match="more"):
        script._object(Grown)


@pytest.mark.parametrize("version", VERSIONS)
def test_records_of_earlier_versions_are_valid_and_can_be_read(version: str) -> None:
    found = _record(version)
    assert faults(found) == []
    record = read_record(str(RECORDS / f"{version}.json"))
    assert record.run_id == found["run_id"] and record.evaluation is not None and record.skew is not None
    assert record.evaluation.overall["sparse_categorical_accuracy"] > 0.5 and record.skew.passed
    assert (record.page, record.review, record.evaluation.folder) == ("", "", "")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_column_since_is_true_of_records_of_earlier_versions(version: str, script: ModuleType) -> None:
    """A pushed run of that version has the keys that it wrote already, and no later ones."""
    schema = script.run_schema()
    of_type: dict[str, set[str]] = {}
    for key, path, _ in _keys(_record(version)):
        of_type.setdefault(_type_of(path), set()).add(key)
    assert len(of_type) == 11
    for name, keys in of_type.items():
        entry = schema if name == "RunRecord" else schema["$defs"][name]
        known = {key for key, one in entry["properties"].items() if one["x-since"] <= version}
        assert keys - {"rotated"} <= known, name
        assert known - keys <= {"input_stages"}, name  # 0.1.0 wrote it only if the training waited


@pytest.mark.parametrize("name", SAMPLES)
def test_records_of_this_version_are_valid(name: str) -> None:
    record, _ = SAMPLES[name]()
    text = json.dumps(record.to_json())
    assert faults(json.loads(text)) == []


def _remove(record: dict[str, Any]) -> None:
    del record["run_id"]


def _turn_to_text(record: dict[str, Any]) -> None:
    record["seconds"] = "12.5"


def _spoil_route(record: dict[str, Any]) -> None:
    record["skew"]["routes"][0]["largest"] = "inf"


def _spoil_label(record: dict[str, Any]) -> None:
    record["data"]["labels"]["train"] = ["a", "b"]


def _half_of_a_part(record: dict[str, Any]) -> None:
    record["pushed"] = {"version": 3}


@pytest.mark.parametrize("spoil", [_remove, _turn_to_text, _spoil_route, _spoil_label, _half_of_a_part])
def test_wrong_records_are_not_valid(spoil: Callable[[dict[str, Any]], None]) -> None:
    found = copy.deepcopy(_record("0.2.0"))
    spoil(found)
    assert faults(found) != []


def test_keys_of_later_versions_are_allowed() -> None:
    found = _record("0.2.0")
    found["later"] = found["data"]["later"] = {"any": "thing"}
    assert faults(found) == []


_OBJECTS = {  # places in the record whose values have free keys
    "settings", "examples", "labels", "quarantined", "not_pictures", "unused", "layout", "duplicates", "contradictions",
    "remarks", "history", "input_stages", "thresholds", "slices", "confusion", "calibration",
}  # fmt: skip


def _keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Yield each key with the keys above it and its value; not those of objects with free keys."""
    if isinstance(value, list):
        for one in value:
            yield from _keys(one, path)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, path, inner
            if key not in _OBJECTS:
                yield from _keys(inner, (*path, key))


def _type_of(path: tuple[str, ...]) -> str:
    return {
        (): "RunRecord",
        ("components",): "ComponentRun",
        ("data",): "DataSummary",
        ("training",): "TrainingSummary",
        ("training", "phases"): "PhaseStart",
        ("training", "layers"): "LayerSummary",
        ("evaluation",): "EvaluationSummary",
        ("skew",): "SkewReport",
        ("skew", "routes"): "Comparison",
        ("skew", "avoided"): "ClientSkewCost",
        ("pushed",): "PushedVersion",
    }[path]
