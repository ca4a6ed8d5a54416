"""The record of a run: `run.json`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from data.files.atomic import write_aside
from data.ingest.manifest import Manifest


@dataclass
class ComponentRun:
    """One component of a run.

    Attributes:
      state: "executed", "cached" or "failed".
      why: what had changed, or that nothing had.
      execution: its id in ML Metadata.
    """

    name: str
    state: str
    why: str
    seconds: float
    execution: int | None = None


@dataclass
class RunRecord:
    """What happened in a run; written as JSON after each component, so that a killed run leaves what it had.

    Attributes:
      status: "running", "pushed", "unchanged" (all from the cache), "not pushed", "failed" or "interrupted".
      data: examples by split, quarantined by reason, files that are no pictures, duplicates, remarks on pictures.
      training: epochs, images_per_second, waiting_share (of the time, for input), history, best_epoch, phases, layers.
      evaluation: the deciding metric, metrics by slice, the baseline's value, why a model before is no baseline.
      skew: the proof of no skew (`components.release.skew_check.Proof`), the pushed version's route at its end.
      pushed: version and path of the model that is served after the run.
      plots: the PNGs drawn.
    """

    task: str
    run_id: str
    data_folder: str
    settings: dict[str, str]
    log: str
    started: str
    status: str = "running"
    seconds: float = 0.0
    exit_code: int | None = None
    error: str = ""
    components: list[ComponentRun] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    blessed: bool | None = None
    skew: dict[str, Any] = field(default_factory=dict)
    pushed: dict[str, Any] = field(default_factory=dict)
    plots: list[str] = field(default_factory=list)

    def save(self, *files: str) -> None:
        """Writes it to the files, each aside first."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        for file in files:
            write_aside(file, text)


def describe_data(manifest: Manifest, folder: str) -> dict[str, Any]:
    """The entry `data` of a manifest that lies in `folder`."""
    return {
        "examples": {split: manifest.examples(split) for split in sorted(manifest.splits)},
        "labels": {split: manifest.labels(split) for split in sorted(manifest.splits)},
        "bytes": manifest.bytes(),
        "quarantined": manifest.quarantined,
        "not_pictures": manifest.not_pictures,
        "unused": manifest.unused,
        "layout": manifest.layout,
        "notes": manifest.notes,
        "duplicate_count": manifest.duplicate_count,
        "duplicates": manifest.duplicates,
        "contradiction_count": manifest.contradiction_count,
        "contradictions": manifest.contradictions,
        "removed": manifest.removed,
        "remarks": manifest.remarks,
        "folder": folder,
    }
