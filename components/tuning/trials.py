"""The trials of a tuning: trainings with some settings each, kept in a folder by all that their results depend on.

A trial that finished is never trained again, and one that was interrupted continues from its checkpoint. So a killed
search, called again, chooses the same settings in the same order, and finds their results here. The same holds for a
search with more trials, other ranges or another algorithm. KerasTuner's own files are not kept: they are not written
atomically, and know nothing of a change of the data or the code.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import logging
import math
import posixpath
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf
from tfx.utils.io_utils import read_string_file

from components.progress import announce, prefixed
from components.task.reference import KEY, TaskReference
from components.task.task import Task
from components.training.checkpoints import Checkpoints
from components.training.replicas import Replicas
from components.training.trainer import train_model
from components.tuning.inputs import SharedInputs
from components.tuning.plan import EPOCHS
from components.tuning.record import FAILED, TrialRecord
from components.tuning.space import PARTS
from data.errors import QualityError, SkewlessError, first_line
from data.files.atomic import write_aside

log = logging.getLogger(__name__)
HOPELESS = 3  # trials that fail before the first one finishes: the reason is not their settings


@dataclass
class Trials:
    """The trials of a search.

    Attributes:
      reference: The task and the settings that all trials have.
      fn_args: TFX's arguments of the Tuner: the data, schema and TransformGraph.
      folder: Where results and checkpoints are kept; shared by all searches of the task.
      objective: Name of the metric that decides.
      direction: "max" or "min".
      total: Number of trials, for the lines of progress; None if it is unknown.
      continues: Whether a trial may continue another one that has the same settings and fewer epochs.
      records: The trials so far.
    """

    reference: TaskReference
    fn_args: Any
    folder: str
    objective: str
    direction: str
    total: int | None
    continues: bool = False
    records: list[TrialRecord] = field(default_factory=list)
    _continued: set[str] = field(default_factory=set)
    _inputs: SharedInputs = field(default_factory=SharedInputs)

    def outcome(self, number: int, settings: Mapping[str, str]) -> TrialRecord:
        """Return a trial's result, kept or trained now, and announce it.

        Args:
          number: Of the trial, from 1.
          settings: Texts of its settings by dotted name.

        Raises:
          SkewlessError: If the first trials have all failed.
        """
        name = f"trial {number}/{self.total or '?'}"
        with prefixed(name):
            record, note = self._kept_or_trained(number, dict(settings))
            best = self._best()
            if record.score is not None and (best is None or self._is_better(record.score, best)):
                note = f"{note}  best so far".strip()
            announce(f"{describe_trial(record, self.objective)}  {note}".rstrip())
        self.records.append(record)
        self._check_hope()
        return record

    def clear(self) -> None:
        """Delete the checkpoints that later trials could have continued."""
        for folder in self._continued:
            Checkpoints(folder).clear()

    def _kept_or_trained(self, number: int, settings: dict[str, str]) -> tuple[TrialRecord, str]:
        """Return the record, and a note on where it comes from."""
        failed = TrialRecord(number, settings, FAILED)
        try:
            reference = self._reference(settings)
            depends = _depends(reference)
        except SkewlessError as error:  # values that are not valid together
            return dataclasses.replace(failed, error=str(error)), ""
        file = posixpath.join(self.folder, self._key(depends), "trial.json")
        checkpoints = self._checkpoints(depends)
        if tf.io.gfile.exists(file):
            kept = TrialRecord(**json.loads(read_string_file(file)))
            return self._scored(dataclasses.replace(kept, number=number, settings=settings)), "from an earlier call"
        try:
            record = self._train(reference.load(), checkpoints, TrialRecord(number, settings))
        except SkewlessError as error:
            record = dataclasses.replace(failed, error=str(error))
        except Exception as error:  # such as a batch that is too large for the memory: not kept, so it is tried again
            log.exception("trial %d failed", number)
            return dataclasses.replace(failed, error=f"{type(error).__name__}: {first_line(error)}"), ""
        write_aside(file, json.dumps(dataclasses.asdict(record)))
        return self._scored(record), ""

    def _reference(self, settings: Mapping[str, str]) -> TaskReference:
        return dataclasses.replace(self.reference, settings={**self.reference.settings, **settings})

    def _checkpoints(self, depends: Mapping[str, str]) -> str:
        """Return the folder of a trial's checkpoints.

        A trial with more epochs continues in the folder of the one with fewer. A search with another largest number of
        epochs has other folders: there, a training could be further than a trial wants it.
        """
        if not self.continues:
            return posixpath.join(self.folder, self._key(depends), "checkpoints")
        largest = _depends(self.reference)[EPOCHS]
        folder = posixpath.join(self.folder, self._key({**depends, EPOCHS: f"up to {largest}"}), "checkpoints")
        self._continued.add(folder)
        return folder

    def _train(self, task: Task, folder: str, record: TrialRecord) -> TrialRecord:
        """Train the task and return the record with the result."""
        keras.backend.clear_session()  # otherwise each trial's model stays in memory
        gc.collect()
        checkpoints = Checkpoints(folder, keep_last=self.continues)
        arguments = SimpleNamespace(
            train_files=self.fn_args.train_files,
            transform_output=self.fn_args.transform_graph_path,
            schema_path=self.fn_args.schema_path,
            model_run_dir=posixpath.dirname(folder),
        )
        start = time.perf_counter()
        _, _, found = train_model(task, arguments, Replicas.local(task.train.strategy), checkpoints, self._inputs.read)
        if not self.continues:
            checkpoints.clear()
        return dataclasses.replace(
            record,
            epochs=found["epochs"],
            best_epoch=found["best_epoch"],
            seconds=round(time.perf_counter() - start, 2),
            history=found["history"],
        )

    def _scored(self, record: TrialRecord) -> TrialRecord:
        """Return the record with the score: the objective may be another one than when it was trained."""
        if record.state == FAILED:
            return record
        score = record.history[self.objective][record.best_epoch - 1]
        if math.isfinite(score):
            return dataclasses.replace(record, score=score)
        error = f"{self.objective} is {score} after epoch {record.best_epoch}"
        return dataclasses.replace(record, state=FAILED, error=error)

    def _key(self, depends: Mapping[str, str]) -> str:
        """Return a name for all that a result depends on."""
        content = [
            self.reference.path,
            dict(depends),
            sorted(self.fn_args.train_files),
            self.fn_args.transform_graph_path,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _best(self) -> float | None:
        scores = [one.score for one in self.records if one.score is not None]
        return (max if self.direction == "max" else min)(scores, default=None)

    def _is_better(self, score: float, best: float) -> bool:
        return score > best if self.direction == "max" else score < best

    def _check_hope(self) -> None:
        """Stop a search whose first trials have all failed.

        Raises:
          SkewlessError: With the reason of the last one.
        """
        if len(self.records) == HOPELESS and all(one.state == FAILED for one in self.records):
            raise QualityError(
                f"the first {HOPELESS} trials failed, the last one with: {self.records[-1].error}",
                hint="Try its settings with `skewless run`: "
                + " ".join(f"--set {name}={text}" for name, text in self.records[-1].settings.items()),
            )


def _depends(reference: TaskReference) -> dict[str, str]:
    """Return what the result of a training depends on, besides the data."""
    found: dict[str, str] = reference.config("feature", "label", *PARTS)[KEY]["depends"]
    return found


def describe_trial(record: TrialRecord, objective: str) -> str:
    """Return a trial in one line: its score, settings and duration, or why it failed."""
    settings = " ".join(f"{name}={text}" for name, text in record.settings.items())
    if record.score is None:
        return f"failed  {settings}  {record.error}"
    return f"{objective} {record.score:.4f}  {settings}  {record.seconds:.1f} s"
