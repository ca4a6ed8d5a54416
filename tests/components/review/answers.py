"""Answers to held-out examples, made by hand."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image as Pil

from components.release.predictions import Predictions
from components.review.decisions import Decisions
from data.images.formats import read_header
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardFile
from data.records import image_record

NAMES = ("cat", "dog", "<b>")


def answers_of(scores: Any, labels: Any, names: Sequence[str] = NAMES, **more: Any) -> Predictions:
    """Answers of classes (a name for each example), of several labels (a tuple), or of numbers (no names)."""
    scores = np.asarray(scores, np.float32)
    texts = [() if not names else (label,) if isinstance(label, str) else tuple(label) for label in labels]
    given = {
        "names": tuple(names),
        "sources": [f"{row:04d}.png" for row in range(len(scores))],
        "labels": texts,
        "numbers": np.zeros(0, np.float32) if names else np.asarray(labels, np.float32),
        "scores": scores,
        "before": None,
        "vectors": np.zeros((len(scores), 0), np.float32),
    }
    return Predictions(**(given | more))


def random_classes(
    count: int, classes: int, seed: int = 0, sharpness: float = 2.0, **more: Any
) -> tuple[Decisions, list[str]]:
    """Decisions of a model that is right in most examples, and the labels."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), places] += sharpness
    names = [f"class {place}" for place in range(classes)]
    labels = [names[place] for place in places]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Decisions(answers_of(scores, labels, names, **more), several=False), labels


def random_labels(count: int, labels: int, seed: int = 0, **more: Any) -> Decisions:
    """Decisions of a model for several labels, each with a threshold of its own."""
    rng = np.random.default_rng(seed)
    truth = rng.random((count, labels)) < 0.3
    scores = 1 / (1 + np.exp(-(rng.normal(size=truth.shape) + np.where(truth, 1.5, -1.5))))
    names = [f"label {place}" for place in range(labels)]
    given = [tuple(name for name, applies in zip(names, row, strict=True) if applies) for row in truth]
    thresholds = tuple(float(one) for one in rng.uniform(0.3, 0.7, labels).astype(np.float32))
    return Decisions(answers_of(scores, given, names, thresholds=thresholds, **more), several=True)


def write_held_out(folder: Path, files: Mapping[str, tuple[bytes, str]], split: str = "eval") -> str:
    """Write pictures as an Examples artifact with one split, in two shards, and return its folder.

    Args:
      folder: Of the artifact.
      files: File and class by source.
      split: Name of the split.
    """
    records = []
    for source, (contents, label) in files.items():
        header = read_header(contents)
        height, width = Pil.open(io.BytesIO(contents)).size[::-1]
        records.append(image_record(contents, (height, width), header, label, source))
    shards, half = [], len(records) // 2
    for number, part in enumerate((records[:half], records[half:])):
        file = f"Split-{split}/data_tfrecord-{number:05d}-of-00002"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(folder / file)) as writer:
            for record in part:
                writer.write(record.example)
        counts = Counter(name for record in part for name in record.labels)
        shards.append(ShardFile(file, len(part), (folder / file).stat().st_size, "", dict(counts)))
    Manifest({split: shards}).save(str(folder))
    return str(folder)
