"""What a tuning found: its trials with their scores, as JSON in the artifacts of the Tuner, `tuning.json`."""

from __future__ import annotations

import dataclasses
import json
import posixpath
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfx.types import Artifact
from tfx.utils.io_utils import read_string_file

from data.files.atomic import write_aside

FILE = "tuning.json"
SCHEMA = 1  # of the file; readers take files of their own schema and of lower ones
FINISHED, FAILED = "finished", "failed"


@dataclass(frozen=True)
class TrialRecord:
    """One trial: a training with some settings.

    Attributes:
      number: Its place in the search, from 1.
      settings: Texts of the tuned settings by dotted name, as `--set` takes them.
      state: "finished" or "failed".
      score: Value of the objective after the epoch whose weights the Trainer would export; None for a failed trial.
      epochs: Number of epochs.
      best_epoch: The epoch of the score, from 1.
      seconds: Duration of the training, without that of an interrupted call.
      history: For each metric, one value per epoch.
      error: Why it failed, in one line; empty for a finished trial.
    """

    number: int
    settings: dict[str, str]
    state: str = FINISHED
    score: float | None = None
    epochs: int = 0
    best_epoch: int = 0
    seconds: float = 0.0
    history: dict[str, list[float]] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class TuningRecord:
    """All trials of a tuning.

    Attributes:
      task: Name of the task.
      objective: Name of the metric that decides.
      direction: "max" if a higher value is better, otherwise "min".
      algorithm: How the settings of the trials were chosen.
      over: The values to try, by setting, as `--over` takes them.
      trials: In the order of their numbers.
      schema: Of the file.
    """

    task: str
    objective: str
    direction: str
    algorithm: str
    over: dict[str, str]
    trials: list[TrialRecord]
    schema: int = SCHEMA

    @property
    def ranked(self) -> list[TrialRecord]:
        """The finished trials, the best first; of equal ones, the first."""
        finished = [one for one in self.trials if one.score is not None]
        sign = -1 if self.direction == "max" else 1
        return sorted(finished, key=lambda one: (sign * (one.score or 0.0), one.number))

    @property
    def failed(self) -> list[TrialRecord]:
        """The trials that failed."""
        return [one for one in self.trials if one.state == FAILED]

    @property
    def assignments(self) -> list[str]:
        """The settings of the best trial as arguments of `skewless run`: "--set", "train.epochs=3" ..."""
        return [part for name, text in self.ranked[0].settings.items() for part in ("--set", f"{name}={text}")]

    def describe(self, artifact: Artifact) -> None:
        """Give the artifact of the results the best score and settings, which consoles of platforms show."""
        if self.ranked:
            artifact.set_string_custom_property("best_settings", shlex.join(self.assignments))
            artifact.set_float_custom_property("best_score", self.ranked[0].score)
            artifact.set_string_custom_property("objective", self.objective)

    def write(self, folder: str) -> None:
        """Write the file into a folder, local or remote."""
        write_aside(posixpath.join(folder, FILE), json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def read(cls, folder: str) -> TuningRecord:
        """Read the file of a folder, local or remote."""
        return cls.from_json(json.loads(read_string_file(posixpath.join(folder, FILE))))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TuningRecord:
        """Return the record of parsed JSON."""
        trials = [TrialRecord(**one) for one in content["trials"]]
        return cls(**{**content, "trials": trials})

    @classmethod
    def merged(cls, parts: Iterable[TuningRecord]) -> TuningRecord:
        """Return one record of the trials of several, which have different numbers."""
        first, *others = parts
        trials = [one for part in (first, *others) for one in part.trials]
        return dataclasses.replace(first, trials=sorted(trials, key=lambda one: one.number))
