"""Client skew on held-out pictures: what each client costs, and of each the picture that shows it best."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.release.record_labels import expected_label, read_text, read_texts
from components.review.decoding import decode_as_served
from components.task.task import Task
from components.training.trained_model import TrainedModel
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.spec import LABEL, Image
from serving.parity.client_skew import ClientSkewCost, Flip, MeasuredClient, measure_clients

NO_LABEL = "none"  # the answer if no label reaches its threshold


@dataclass(frozen=True)
class ChangedAnswer:
    """A picture whose answer a client with its own preprocessing changes.

    Attributes:
      client: Name of the client.
      about: What it does, in one line.
      source: File or row that the picture was read from.
      width: Of the file, in pixels; 0 if unknown.
      height: Of the file, in pixels; 0 if unknown.
      label: The right class, or labels separated by commas.
      answer_served: The served answer, in the same form.
      answer: The answer that the client gets; "" if it cannot read the file.
      score_served: Score of the served class, or of the label that changes most.
      score: Of the client's class, or of the same label as `score_served`; None if it cannot read the file.
      score_name: Label of both scores; "" if each is that of its own answer.
      sent: PNG of the pixels that the client sends, as base64; "" if it cannot read the file.
      served: PNG of the pixels that the model wants, as base64.
    """

    client: str
    about: str
    source: str
    width: int
    height: int
    label: str
    answer_served: str
    answer: str
    score_served: float
    score: float | None
    score_name: str
    sent: str
    served: str


def is_measured(task: Task, classes: int) -> bool:
    """Return whether clients can be compared with a task's model: it answers pictures with classes or labels.

    Args:
      task: The task.
      classes: Number of classes or labels.
    """
    has_names = classes > 1 or task.is_multi_label
    return isinstance(task.feature, Image) and has_names and bool(task.gate.pictures)


def measure_client_skew(trained: TrainedModel, examples: str) -> tuple[list[ClientSkewCost], list[ChangedAnswer]]:
    """Measure client skew on evaluation pictures at even distances, so that every class has its share.

    Args:
      trained: The model, which answers: of a task that `is_measured`.
      examples: Folder of the Examples artifact.

    Returns:
      The cost of each client, and a picture of each client that changes an answer.
    """
    return compare_clients(trained, _evaluation_records(trained.task, examples))


def _evaluation_records(task: Task, examples: str) -> list[bytes]:
    manifest, split = Manifest.load(examples), task.evaluate.split
    step = max(1, -(-manifest.examples(split) // task.gate.pictures))
    files = shard_paths(examples, manifest.splits[split])
    return list(tf.data.TFRecordDataset(files).shard(step, 0).as_numpy_iterator())


def compare_clients(
    trained: TrainedModel, records: Sequence[bytes]
) -> tuple[list[ClientSkewCost], list[ChangedAnswer]]:
    """Measure client skew on records; see `measure_client_skew`.

    Args:
      trained: The model.
      records: Serialized tf.Examples of pictures, label included.
    """
    spec = trained.task.feature
    assert isinstance(spec, Image)
    contents = [
        tf.train.Example.FromString(record).features.feature[spec.name].bytes_list.value[0] for record in records
    ]
    labels: list[Any] = [expected_label(trained, read_texts(record, LABEL)) for record in records]
    pixels = decode_as_served(contents, spec)
    found = measure_clients(contents, labels, spec, pixels, trained.score, trained.thresholds)
    changed = [_changed_answer(one, one.flip, records[one.flip.row], trained) for one in found if one.flip]
    return [one.cost for one in found], changed


def _changed_answer(measured: MeasuredClient, flip: Flip, record: bytes, trained: TrainedModel) -> ChangedAnswer:
    place = _place_of_scores(flip, trained.thresholds)
    of_client = None if flip.scores is None else float(flip.scores[flip.scores.argmax() if place is None else place])
    served = flip.scores_served
    return ChangedAnswer(
        client=measured.client.name,
        about=measured.client.about,
        source=read_text(record, "image/source"),
        width=_number(record, "image/width"),
        height=_number(record, "image/height"),
        label=", ".join(read_texts(record, LABEL)) or NO_LABEL,
        answer_served=answer_text(served, trained.classes, trained.thresholds),
        answer="" if flip.scores is None else answer_text(flip.scores, trained.classes, trained.thresholds),
        score_served=float(served[served.argmax() if place is None else place]),
        score=of_client,
        score_name="" if place is None else trained.classes[place],
        sent="" if flip.sent is None else _png(flip.sent),
        served=_png(flip.served),
    )


def answer_text(scores: npt.NDArray[Any], names: Sequence[str], thresholds: Sequence[float]) -> str:
    """Return the best class; with thresholds the labels that reach theirs, separated by commas, or "none".

    Args:
      scores: Of one picture, [C].
      names: Of the scores.
      thresholds: Of the scores, if a picture may have several labels; otherwise empty.
    """
    if not len(thresholds):
        return names[int(scores.argmax())]
    reached = np.flatnonzero(scores >= np.asarray(thresholds, np.float32))
    return ", ".join(names[place] for place in reached) or NO_LABEL


def _place_of_scores(flip: Flip, thresholds: Sequence[float]) -> int | None:
    """Return the label that shows the change: of those that flip the one whose score changes most; None of classes."""
    if not len(thresholds):
        return None
    if flip.scores is None:
        return int(flip.scores_served.argmax())
    limits = np.asarray(thresholds, np.float32)
    is_flipped = (flip.scores >= limits) != (flip.scores_served >= limits)
    return int(np.where(is_flipped, np.abs(flip.scores - flip.scores_served), -1).argmax())


def _number(record: bytes, name: str) -> int:
    values = tf.train.Example.FromString(record).features.feature[name].int64_list.value
    return int(values[0]) if values else 0


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(tf.io.encode_png(pixels).numpy()).decode()
