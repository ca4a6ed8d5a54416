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
from components.training.checkpoints import Checkpoints
from components.training.replicas import Replicas
from components.training.trainer import train_model
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
        for folder in tf.io.gfile.glob(posixpath.join(self.folder, "*", "checkpoints")) if self.continues else ():
            tf.io.gfile.rmtree(folder)

    def _kept_or_trained(self, number: int, settings: dict[str, str]) -> tuple[TrialRecord, str]:
        """Return the record, and a note on where it comes from."""
        failed = TrialRecord(number, settings, FAILED)
        try:
            reference = dataclasses.replace(self.reference, settings={**self.reference.settings, **settings})
            depends = reference.config("feature", "label", *PARTS)[KEY]["depends"]
        except SkewlessError as error:  # values that are not valid together
            return dataclasses.replace(failed, error=str(error)), ""
        file = posixpath.join(self.folder, self._key(depends), "trial.json")
        if tf.io.gfile.exists(file):
            kept = TrialRecord(**json.loads(read_string_file(file)))
            return dataclasses.replace(kept, number=number, settings=settings), "from an earlier call"
        try:
            record = self._train(reference, depends, TrialRecord(number, settings))
        except SkewlessError as error:
            record = dataclasses.replace(failed, error=str(error))
        except Exception as error:  # such as a batch that is too large for the memory: not kept, so it is tried again
            log.exception("trial %d failed", number)
            return dataclasses.replace(failed, error=f"{type(error).__name__}: {first_line(error)}"), ""
        write_aside(file, json.dumps(dataclasses.asdict(record)))
        return record, ""

    def _train(self, reference: TaskReference, depends: Mapping[str, str], record: TrialRecord) -> TrialRecord:
        """Train the task and return the record with the result."""
        keras.backend.clear_session()  # otherwise each trial's model stays in memory
        gc.collect()
        task = reference.load()
        if self.continues:
            depends = {name: text for name, text in depends.items() if name != EPOCHS}
        folder = posixpath.join(self.folder, self._key(depends))
        checkpoints = Checkpoints(posixpath.join(folder, "checkpoints"), keep_last=self.continues)
        arguments = SimpleNamespace(
            train_files=self.fn_args.train_files,
            transform_output=self.fn_args.transform_graph_path,
            schema_path=self.fn_args.schema_path,
            model_run_dir=folder,
        )
        start = time.perf_counter()
        _, _, found = train_model(task, arguments, Replicas.local(task.train.strategy), checkpoints)
        if not self.continues:
            checkpoints.clear()
        best, history = found["best_epoch"], found["history"]
        score = history[self.objective][best - 1]
        if not math.isfinite(score):
            raise QualityError(f"{self.objective} is {score} after epoch {best}")
        return dataclasses.replace(
            record,
            score=score,
            epochs=found["epochs"],
            best_epoch=best,
            seconds=round(time.perf_counter() - start, 2),
            history=history,
        )

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


def describe_trial(record: TrialRecord, objective: str) -> str:
    """Return a trial in one line: its score, settings and duration, or why it failed."""
    settings = " ".join(f"{name}={text}" for name, text in record.settings.items())
    if record.score is None:
        return f"failed  {settings}  {record.error}"
    return f"{objective} {record.score:.4f}  {settings}  {record.seconds:.1f} s"
