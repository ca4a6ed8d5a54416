"""The answers to the held-out examples, which the Evaluator keeps: TFMA computes them and then forgets them.

`components.release.prediction_extractor` writes them during the evaluation: no example is answered a second time.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import json
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.release.sample import EvaluationSample
from data.names import from_bytes
from data.spec import LABEL, VECTOR

FOLDER = "predictions"  # in the ModelEvaluation artifact
NAMES, PART = "names.json", "part"  # files in it
SOURCE, SCORES, BEFORE, LENGTHS = "source", "scores", "before", "label_counts"  # features of a record: a batch
EXTRACTORS = "components.release.prediction_extractor.custom_extractors"


@dataclass(frozen=True)
class Predictions:
    """The answers to N held-out examples, in the order of their sources.

    Attributes:
      names: The C classes or labels in the order of the scores; empty for numbers.
      sources: File or row of each example, N texts; empty texts if the records have none.
      labels: Names of each example, N tuples; empty tuples for numbers.
      numbers: The right numbers, float32 [N]; empty for classes and labels.
      scores: Of the candidate, float32 [N, C]; for numbers its answers, [N, 1].
      before: Of the baseline, the same shape; None without one. A name that it does not know has the score 0.
      vectors: The numbers that the model was given, float32 [N, size]; [N, 0] for pictures.
      thresholds: Of several labels, in the order of the names; otherwise empty.
      thresholds_before: Of the baseline; empty without one.
      slices: For each feature of the slices, except the label, its value in each example as text; "" without one.
    """

    names: tuple[str, ...]
    sources: list[str]
    labels: list[tuple[str, ...]]
    numbers: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    before: npt.NDArray[np.float32] | None
    vectors: npt.NDArray[np.float32]
    thresholds: tuple[float, ...] = ()
    thresholds_before: tuple[float, ...] = ()
    slices: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """What is the same for all answers of an evaluation, written as JSON beside them.

    Attributes:
      names: Classes or labels in the order of the scores; empty for numbers.
      thresholds: Of several labels, in the order of the names; otherwise empty.
      thresholds_before: Of the baseline; empty without one.
      slices: Features by which the evaluation is sliced, except the label.
    """

    names: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    thresholds_before: tuple[float, ...] = ()
    slices: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Kept:
        """Read what `to_json` returned."""
        return cls(**{name: tuple(values) for name, values in json.loads(text).items()})


@dataclass(frozen=True)
class Target:
    """Where the answers are written, what is the same for all of them, and which examples are evaluated."""

    folder: str
    kept: Kept
    sample: EvaluationSample


_TARGET: contextvars.ContextVar[Target] = contextvars.ContextVar("target")


@contextlib.contextmanager
def keeping_predictions(evaluation: str, kept: Kept, sample: EvaluationSample) -> Iterator[None]:
    """Let the extractor write to an evaluation, in this context: TFX calls it without a place to write to.

    Args:
      evaluation: Folder of the ModelEvaluation artifact.
      kept: What is the same for all answers.
      sample: The examples that are evaluated.
    """
    folder = posixpath.join(evaluation, FOLDER)
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)  # of an attempt with a baseline that could not be compared
    token = _TARGET.set(Target(folder, kept, sample))
    try:
        yield
    finally:
        _TARGET.reset(token)


def current_target() -> Target:
    """Return where the extractor writes, in the context of `keeping_predictions`."""
    return _TARGET.get()


def read_predictions(evaluation: str) -> Predictions | None:
    """Read the answers from a ModelEvaluation artifact; None if it has none, as one of an earlier version.

    Args:
      evaluation: Folder of the artifact.
    """
    folder = posixpath.join(evaluation, FOLDER)
    files = sorted(tf.io.gfile.glob(posixpath.join(folder, f"{PART}*.gz")))
    if not files:
        return None
    with tf.io.gfile.GFile(posixpath.join(folder, NAMES)) as file:
        kept = Kept.from_json(file.read())
    names = kept.names
    batches = [
        tf.train.Example.FromString(one).features.feature
        for one in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    ]
    sources = [from_bytes(value) for one in batches for value in one[SOURCE].bytes_list.value]
    labels = [label for one in batches for label in _label_sets(one)]
    order = sorted(range(len(sources)), key=lambda row: (sources[row], row))  # Beam keeps no order

    def floats(key: str, width: int) -> npt.NDArray[np.float32]:
        values = np.concatenate([np.array(one[key].float_list.value, np.float32) for one in batches])
        return values.reshape(len(sources), width)[order]

    width = max(1, len(names))
    sizes = sum(len(one[VECTOR].float_list.value) for one in batches)
    has_before = any(one[BEFORE].float_list.value for one in batches)
    return Predictions(
        names,
        [sources[row] for row in order],
        [labels[row] for row in order],
        np.zeros(0, np.float32) if names else floats(LABEL, 1)[:, 0],
        floats(SCORES, width),
        floats(BEFORE, width) if has_before else None,
        floats(VECTOR, sizes // len(sources)),
        kept.thresholds,
        kept.thresholds_before if has_before else (),
        {name: _texts(batches, slice_key(name), order) for name in kept.slices},
    )


def slice_key(feature: str) -> str:
    """Return the feature of a record of answers that holds the values of a feature of the slices."""
    return f"slice:{feature}"


def _texts(batches: Sequence[Any], key: str, order: Sequence[int]) -> list[str]:
    values = [from_bytes(value) for one in batches for value in one[key].bytes_list.value]
    return [values[row] for row in order]


def _label_sets(batch: Any) -> Iterator[tuple[str, ...]]:
    values = iter([value.decode() for value in batch[LABEL].bytes_list.value])
    for count in batch[LENGTHS].int64_list.value:
        yield tuple(next(values) for _ in range(count))
