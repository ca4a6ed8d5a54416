"""The record of a run, `run.json`: its types, and the one pair of functions that writes and reads it.

Schema versions: files without `schema` are from before there was a version; they read as version 1, which has the
same keys. A file of a higher version is rejected, because its fields may mean something else.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import tensorflow as tf

from data.errors import UsageError
from data.files.atomic import write_aside
from data.ingest.manifest import Manifest
from pipeline.report.run_files import SCHEMA
from serving.parity.report import SkewReport

_Part = TypeVar("_Part")


@dataclass
class ComponentRun:
    """One component of a run.

    Attributes:
      name: Name of the component: "Trainer".
      state: "executed", "cached" or "failed".
      why: What has changed since the last run, or that nothing has.
      seconds: Duration.
      execution: ID in ML Metadata; None if the component failed.
    """

    name: str
    state: str
    why: str
    seconds: float
    execution: int | None = None


@dataclass
class DataSummary:
    """The examples of a run and the remarks on them; see `data.ingest.manifest.Manifest`, which has the same names.

    Attributes:
      examples: Number of examples by split.
      labels: Number of examples by split and label; an example with several labels counts for each of them.
      bytes: Size of the shards.
      folder: Where the shards are, with `quarantine.jsonl` if something is in quarantine.
    """

    examples: dict[str, int] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    bytes: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    not_pictures: dict[str, int] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)
    layout: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    duplicate_count: int = 0
    duplicates: list[dict[str, str]] = field(default_factory=list)
    contradiction_count: int = 0
    contradictions: list[dict[str, str]] = field(default_factory=list)
    removed: int = 0
    remarks: dict[str, int] = field(default_factory=dict)
    folder: str = ""

    @classmethod
    def of_manifest(cls, manifest: Manifest, folder: str) -> DataSummary:
        """Summarize the manifest that is stored in `folder`."""
        return cls(
            examples={split: manifest.examples(split) for split in sorted(manifest.splits)},
            labels={split: manifest.labels(split) for split in sorted(manifest.splits)},
            bytes=manifest.bytes(),
            quarantined=manifest.quarantined,
            not_pictures=manifest.not_pictures,
            unused=manifest.unused,
            layout=manifest.layout,
            notes=manifest.notes,
            duplicate_count=manifest.duplicate_count,
            duplicates=manifest.duplicates,
            contradiction_count=manifest.contradiction_count,
            contradictions=manifest.contradictions,
            removed=manifest.removed,
            remarks=manifest.remarks,
            folder=folder,
        )


@dataclass
class PhaseStart:
    """A phase of the training.

    Attributes:
      name: Name of the phase.
      epoch: Its first epoch, from 1.
    """

    name: str
    epoch: int


@dataclass
class LayerSummary:
    """A layer of the model; see `components.models.summary.describe_layers`.

    Attributes:
      name: Name of the layer: "conv2d".
      kind: Its class: "Conv2D".
      detail: "16 filters 3x3, relu"; may be empty.
      output: Shape without the batch, None for an open size; None if the shape is unknown.
      params: Number of values.
      trainable: False if the layer is frozen.
      trainable_params: Number of values that train; None in records that do not have it.
      inputs: Names of the layers that feed this one; None in records that do not have them.
    """

    name: str
    kind: str
    detail: str
    output: list[int | None] | None
    params: int
    trainable: bool
    trainable_params: int | None = None
    inputs: list[str] | None = None


@dataclass
class TrainingSummary:
    """The Trainer's report; see `components.training.fit.fit_task`.

    Attributes:
      epochs: Number of finished epochs.
      best_epoch: Epoch whose weights were exported, from 1; 0 if unknown.
      phases: The phases and where each starts.
      stopped: Why the training stopped early; empty if it did not.
      resumed_at: Where an interrupted training continued; empty if it was not interrupted.
      images_per_second: Examples per second in training steps.
      waiting_share: Share of the time spent waiting for input, 0..1.
      in_memory: Whether the training examples were kept in memory.
      history: Values by epoch of each metric.
      input_stages: Share of the waiting by stage of the input; empty if there was little waiting.
      layers: The model's layers in the order of the computation.
      thresholds: Threshold of each of several labels by its name, in the order of the outputs; otherwise empty.
      folder: Folder of the ModelRun artifact, which has the picture of the augmentation; empty in records without it.
    """

    epochs: int = 0
    best_epoch: int = 0
    phases: list[PhaseStart] = field(default_factory=list)
    stopped: str = ""
    resumed_at: str = ""
    images_per_second: float = 0.0
    waiting_share: float = 0.0
    in_memory: bool = False
    history: dict[str, list[float]] = field(default_factory=dict)
    input_stages: dict[str, float] = field(default_factory=dict)
    layers: list[LayerSummary] = field(default_factory=list)
    thresholds: dict[str, float] = field(default_factory=dict)
    folder: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingSummary:
        """Read a JSON object: the Trainer's `training.json`, or the entry `training` of `run.json`."""
        found = _from_json(cls, data)
        found.phases = [_from_json(PhaseStart, phase) for phase in data.get("phases", ())]
        found.layers = [_from_json(LayerSummary, layer) for layer in data.get("layers", ())]
        return found


@dataclass
class EvaluationSummary:
    """What the Evaluator measured.

    Attributes:
      metric: The metric that decides, by TFMA's name.
      baseline: Its value for the last blessed model on the same examples; None if there is no baseline.
      no_baseline: Why an earlier model was not used as baseline; may be empty.
      slices: Metrics by slice: "overall", "label:cat". With several labels, "label:cat" has the metrics of this label
        on all examples, and `example_count` is the number of those that have it. Of classes, "label:cat" has also what
        compares this class with all others, on all examples (precision, recall, f1, auc).
      confusion: Number of examples by class and by answer, without zeros: {"cat": {"cat": 9, "dog": 1}}; empty without
        classes and in records that do not have it.
      calibration: For each bin of scores the number of `examples`, the mean `score`, and the share of `right` answers;
        of classes the largest score of each example, of several labels all scores. Empty bins are left out.
      folder: Folder of the ModelEvaluation artifact, which has the answers; empty in records without it.
      held_out: Number of held-out examples, if those evaluated (`example_count` of "overall") are a sample; 0: all
        were evaluated.
    """

    metric: str = ""
    baseline: float | None = None
    no_baseline: str = ""
    slices: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    calibration: list[dict[str, float]] = field(default_factory=list)
    folder: str = ""
    held_out: int = 0

    @property
    def overall(self) -> dict[str, float]:
        """The metrics over all held-out examples; empty if there are none."""
        return self.slices.get("overall", {})


@dataclass
class PushedVersion:
    """The version that is served after the run.

    Attributes:
      version: Its number.
      path: Its folder.
    """

    version: int
    path: str


@dataclass
class RunRecord:
    """The record of a run. It is saved after each component, so that a killed run keeps what it had.

    Attributes:
      task: Name of the task.
      run_id: Name of the run.
      data_folder: Folder that the data were read from.
      settings: Settings of this run that differ from the task's.
      log: Path of the log file.
      started: Time, ISO 8601.
      status: "running", "pushed", "unchanged" (everything from the cache), "not pushed", "failed" or "interrupted".
      seconds: Duration.
      exit_code: Exit status of the command; None while the run continues.
      error: Message of the error that ended the run; may be empty.
      components: The components that ran.
      data: The examples; None before ExampleGen has run.
      training: The Trainer's report; None before it has run.
      evaluation: The Evaluator's metrics; None before it has run.
      blessed: Whether the Evaluator blessed the model; None before it has run.
      skew: The skew gate's report, with the pushed version's route at the end; None before the gate has run.
      pushed: The version that is served; None if nothing was pushed.
      plots: Paths of the PNGs.
      page: Path of the page, `report.html`; "" if there is none.
      review: Folder of ReportGen's artifact, which has the pictures of the page; "" before it has run.
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
    data: DataSummary | None = None
    training: TrainingSummary | None = None
    evaluation: EvaluationSummary | None = None
    blessed: bool | None = None
    skew: SkewReport | None = None
    pushed: PushedVersion | None = None
    plots: list[str] = field(default_factory=list)
    page: str = ""
    review: str = ""

    def _ipython_display_(self) -> None:
        """Show the plots and the page if the record is the last expression of a notebook's cell.

        Raises:
          NotImplementedError: In a terminal: IPython then prints the text of the record.
        """
        from pipeline.report.notebook import in_notebook, show_record

        if not in_notebook():
            raise NotImplementedError
        show_record(self)

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object; a part that does not exist yet is an empty object."""
        found: dict[str, Any] = {"schema": SCHEMA, **dataclasses.asdict(self)}
        found["skew"] = self.skew.to_json() if self.skew else None
        return found | {name: found[name] or {} for name in ("data", "training", "evaluation", "skew", "pushed")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunRecord:
        """Read what `to_json` returned, now or in an earlier version. Unknown keys are ignored."""
        found = _from_json(cls, data)
        found.components = [_from_json(ComponentRun, one) for one in data.get("components", ())]
        found.data = _from_json(DataSummary, data["data"]) if data.get("data") else None
        found.training = TrainingSummary.from_json(data["training"]) if data.get("training") else None
        found.evaluation = _from_json(EvaluationSummary, data["evaluation"]) if data.get("evaluation") else None
        found.skew = SkewReport.from_json(data["skew"]) if data.get("skew") else None
        found.pushed = _from_json(PushedVersion, data["pushed"]) if data.get("pushed") else None
        return found


def write_record(record: RunRecord, *files: str) -> None:
    """Write a record as JSON; a reader finds each file complete or not at all.

    Args:
      record: The record.
      files: Paths, local or remote.
    """
    text = json.dumps(record.to_json(), indent=1)
    for file in files:
        write_aside(file, text)


def read_record(file: str) -> RunRecord:
    """Read a record that this version of Skewless or an earlier one wrote.

    Args:
      file: Path, local or remote.

    Raises:
      UsageError: If a newer version of Skewless wrote the file, or if it holds no record of a run.
    """
    try:
        with tf.io.gfile.GFile(file) as content:
            found = json.loads(content.read())
        schema = int(found.get("schema", SCHEMA))
        record = RunRecord.from_json(found) if schema <= SCHEMA else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file} holds no record of a run ({error!r})", hint="Run the task again.") from None
    if record is None:
        raise UsageError(
            f"{file} has schema version {schema}; this version of Skewless reads versions up to {SCHEMA}",
            hint="Use the version of Skewless that wrote it, or give another folder with --root DIR.",
        )
    return record


def _from_json(kind: type[_Part], data: Mapping[str, Any]) -> _Part:
    """Make a dataclass from the keys that it knows; missing keys take their defaults."""
    names = {one.name for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in names})
