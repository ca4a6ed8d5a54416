"""What ML Metadata holds about a run: the components' outputs, and why each was executed or taken from the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

FRAMEWORK, PACKAGES = "framework", "packages"
_OLD_FINGERPRINT = ",sha256:"  # in those of roots before shards had plan files
_EVAL_CONFIG = "eval_config"  # property of the Evaluator: TFMA's configuration
Outputs = dict[str, pb.Artifact]  # by output key


class Metadata:
    """Queries to the metadata store of one task."""

    def __init__(self, connection: pb.ConnectionConfig) -> None:
        """Open the store, read-only if it is a SQLite file.

        Args:
          connection: From `pipeline.metadata_store`.
        """
        config = pb.ConnectionConfig()
        config.CopyFrom(connection)
        if config.HasField("sqlite"):
            config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
        self._store = metadata_store.MetadataStore(config)

    def state(self, execution_id: int) -> str:
        """Return "executed", "cached" (the outputs are an earlier execution's) or "failed"."""
        (execution,) = self._store.get_executions_by_id([execution_id])
        known = {pb.Execution.COMPLETE: "executed", pb.Execution.CACHED: "cached"}
        return known.get(execution.last_known_state, "failed")

    def outputs(self, execution_id: int) -> Outputs:
        """Return an execution's artifact by output key; the first, if a key has several."""
        events = [
            event for event in self._store.get_events_by_execution_ids([execution_id]) if event.type == pb.Event.OUTPUT
        ]
        artifacts = {one.id: one for one in self._store.get_artifacts_by_id([event.artifact_id for event in events])}
        return {event.path.steps[0].key: artifacts[event.artifact_id] for event in reversed(events)}

    def why(self, execution_id: int) -> str:
        """Return in a few words what differs from the component's last run, or that nothing does."""
        (execution,) = self._store.get_executions_by_id([execution_id])
        earlier = [other for other in self._store.get_executions_by_type(execution.type) if other.id < execution_id]
        if execution.last_known_state == pb.Execution.CACHED:
            return "nothing that it depends on has changed"
        finished = [one for one in earlier if one.last_known_state in (pb.Execution.COMPLETE, pb.Execution.CACHED)]
        if not finished:
            return "it did not finish before" if earlier else "first run"
        before = max(finished, key=lambda one: one.id)
        # A cached execution lacks what ExampleGen's driver found (span, fingerprint): the last one that ran has it.
        ran = [one for one in finished if one.last_known_state == pb.Execution.COMPLETE]
        found = dict(max(ran, key=lambda one: one.id).custom_properties) if ran else {}
        changes = _changes({**found, **before.custom_properties}, execution.custom_properties)
        changes += self._new_inputs(before.id, execution_id)
        return "; ".join(changes) or "its earlier outputs are gone"

    def changed(self, execution_id: int, depends: Mapping[str, str]) -> list[str]:
        """Return how a component's task has changed since it ran, one phrase for each change.

        Args:
          execution_id: Of the component.
          depends: What the task depends on today, from `TaskReference.config`.
        """
        (execution,) = self._store.get_executions_by_id([execution_id])
        parts = {_part(name) for name in depends} - {FRAMEWORK, PACKAGES}
        old = {name: text for name, text in _flat(execution.custom_properties).items() if _part(name) in parts}
        new = {name: text for name, text in depends.items() if _part(name) in parts}
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return [_change(name, old.get(name), new.get(name)) for name in names] if old else []

    def _new_inputs(self, before: int, now: int) -> list[str]:
        old, new = self._inputs(before), self._inputs(now)
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        return [f"new {key.replace('_', ' ')}" for key in changed]

    def _inputs(self, execution_id: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for event in self._store.get_events_by_execution_ids([execution_id]):
            if event.type == pb.Event.INPUT:
                found.setdefault(event.path.steps[0].key, []).append(event.artifact_id)
        return found


def _part(name: str) -> str:
    return name.partition(".")[0]


def _changes(before: Mapping[str, pb.Value], now: Mapping[str, pb.Value]) -> list[str]:
    """Return the differences between the properties of two executions, one phrase for each."""
    old, new = _flat(before), _flat(now)
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    # Roots of an earlier Skewless do not have the packages: whether they changed is unknown.
    changed = [key for key in changed if key in old or _part(key) != PACKAGES]
    return list(dict.fromkeys(_change(key, old.get(key), new.get(key)) for key in changed))


def _change(key: str, old: str | None, new: str | None) -> str:
    if key == "input_fingerprint":
        is_older = old is not None and _OLD_FINGERPRINT in old
        return "a newer Skewless plans shards in another way" if is_older else "the data have changed"
    if key == FRAMEWORK:
        return "Skewless itself has changed"
    if key.startswith(f"{_EVAL_CONFIG}."):
        return _limit_change(key, old, new)
    if _part(key) == PACKAGES:
        return f"{key.removeprefix(f'{PACKAGES}.')} {old} -> {new}"
    if old and new and (old + new).count("code ") == 2:
        return f"the code of {key} has changed"
    if old is None or new is None or len(old) + len(new) > 60:
        return f"{key} has changed"
    return f"{key} {old} -> {new}"


def _limit_change(key: str, old: str | None, new: str | None) -> str:
    """Return what differs in TFMA's configuration, whose own keys are long: a limit, or another part."""
    if "threshold" not in key:
        return "evaluate has changed"
    try:
        # TFMA's limits are a millionth off ours, so that a value that equals the limit meets it.
        before, now = (round(float(text or ""), 5) for text in (old, new))
        return f"a limit in evaluate {before:g} -> {now:g}"
    except ValueError:
        return "the limits in evaluate have changed"


def _flat(properties: Mapping[str, pb.Value]) -> dict[str, str]:
    """Return properties as text by name; the entries of JSON properties are properties of their own."""
    found: dict[str, str] = {}
    for key, value in properties.items():
        text = str(getattr(value, value.WhichOneof("value") or "string_value"))
        depends = _depends(text)
        if depends is not None:
            found.update(depends)
        elif key == _EVAL_CONFIG:
            found.update(_leaves(json.loads(text), _EVAL_CONFIG))
        elif not key.startswith("__"):
            found[key] = text
    return found


def _depends(text: str) -> dict[str, str] | None:
    """Return the `depends` of a TaskReference that is nested at any depth; None if there is none."""
    if '"depends"' not in text:
        return None
    found: Any = json.loads(text)
    while isinstance(found, dict) and "depends" not in found:
        inner = [value for value in found.values() if "depends" in str(value)]
        if not inner:
            return None
        found = json.loads(inner[0]) if isinstance(inner[0], str) else inner[0]
    return found["depends"] if isinstance(found, dict) else None


def _leaves(value: Any, prefix: str) -> dict[str, str]:
    if isinstance(value, dict):
        return {name: text for key, one in value.items() for name, text in _leaves(one, f"{prefix}.{key}").items()}
    if isinstance(value, list):
        return {
            name: text for index, one in enumerate(value) for name, text in _leaves(one, f"{prefix}[{index}]").items()
        }
    return {prefix: str(value)}
