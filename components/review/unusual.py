"""The most unusual held-out examples: those that are far from all others by the model's last features.

Sun, Ming, Zhu, Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022: the distance to the k-th
nearest neighbour of features of length 1. Rows of numbers are compared as they are, each column standardized.
"""

from __future__ import annotations

import itertools
import logging
import time

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.release.predictions import Predictions
from components.review.decoding import decode_for_model
from components.review.inputs import ReviewInputs
from components.review.last_features import feature_model
from components.task.evaluate_config import SOURCE
from components.training.trained_model import restore_model
from data.errors import first_line
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.names import from_bytes
from data.spec import IMAGE, Image

SHOWN = 24
SHARE = 0.1  # of the examples, shown at most
SAMPLE, SAMPLE_BYTES = 2000, 2**26  # examples that are looked at, at most
NEIGHBOUR = 10
_SECONDS = 2.0  # for computing features; what is not reached is not looked at
_BATCH, _READ = 32, 256
_COLUMNS = 2048  # features that are compared, at most

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]


def unusual_rows(inputs: ReviewInputs, found: Predictions) -> tuple[list[tuple[int, str]], int]:
    """Return the most unusual examples, and the number of those that were looked at.

    Args:
      inputs: The artifacts of the run.
      found: The answers.

    Returns:
      Rows of `found`, each with a line about it; none if the features cannot be computed.
    """
    try:
        rows, features = _features(inputs, found)
    except Exception as error:  # the model is a user's code; the other parts of the review do not need it
        log.warning("no unusual examples are shown: %s: %s", type(error).__name__, first_line(error))
        return [], 0
    if len(rows) < 3:
        return [], len(rows)
    neighbour = min(NEIGHBOUR, len(rows) - 1)
    distances = neighbour_distances(features, neighbour)
    far = np.argsort(-distances, kind="stable")[: min(SHOWN, max(1, int(SHARE * len(rows))))]
    typical = float(np.median(distances))
    line = f"distance {{:.3g}}, typical {typical:.3g}"
    return [(rows[place], line.format(distances[place])) for place in far.tolist()], len(rows)


def _features(inputs: ReviewInputs, found: Predictions) -> tuple[list[int], Floats]:
    """Return rows of the answers and their features, [M, D]."""
    spec = inputs.task.feature
    if not isinstance(spec, Image):
        chosen = np.sort(np.random.default_rng(0).permutation(len(found.sources))[:SAMPLE])
        return chosen.tolist(), _standardized(found.vectors[chosen])
    places = {source: row for row, source in enumerate(found.sources)}
    model = feature_model(restore_model(inputs.task, found.names, inputs.model_run).model)
    if model is None:
        return [], np.zeros((0, 0), np.float32)
    sample = [(places[source], contents) for source, contents in _read_sample(inputs) if source in places]
    parts: list[Floats] = []
    began = time.monotonic()
    for start in range(0, len(sample), _BATCH):
        if parts and time.monotonic() - began > _SECONDS:
            break
        pixels = decode_for_model([contents for _, contents in sample[start : start + _BATCH]], spec)
        parts.append(np.asarray(model(pixels, training=False), np.float32).reshape(len(pixels), -1))
    features = np.concatenate(parts)
    return [row for row, _ in sample[: len(features)]], _of_length_1(features)


def _read_sample(inputs: ReviewInputs) -> list[tuple[str, bytes]]:
    """Return source and file of some held-out pictures, in a random order, the same for the same data."""
    manifest, split = Manifest.load(inputs.examples), inputs.task.evaluate.split
    count = manifest.examples(split)
    most = min(SAMPLE, max(_BATCH, SAMPLE_BYTES * count // max(1, manifest.bytes(split))))
    chosen = np.random.default_rng(0).permutation(count)[:most]
    in_order, found = np.sort(chosen), []
    files = shard_paths(inputs.examples, manifest.splits[split])
    for start, batch in zip(itertools.count(0, _READ), tf.data.TFRecordDataset(files).batch(_READ), strict=False):
        records = batch.numpy()
        first, last = np.searchsorted(in_order, [start, start + len(records)])
        found += [_source_and_file(records[row]) for row in (in_order[first:last] - start).tolist()]
    return [found[place] for place in np.searchsorted(in_order, chosen).tolist()]


def _source_and_file(record: bytes) -> tuple[str, bytes]:
    feature = tf.train.Example.FromString(record).features.feature
    return from_bytes(feature[SOURCE].bytes_list.value[0]), feature[IMAGE].bytes_list.value[0]


def _standardized(columns: Floats) -> Floats:
    spread = columns.std(axis=0)
    return np.asarray((columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1), np.float32)


def _of_length_1(features: Floats) -> Floats:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(lengths > 0, lengths, 1), np.float32)


def neighbour_distances(features: Floats, neighbour: int) -> npt.NDArray[np.float64]:
    """Return the distance of each example to its k-th nearest neighbour, [M].

    Args:
      features: [M, D]; of more than `_COLUMNS`, some are compared.
      neighbour: k, less than M.
    """
    if features.shape[1] > _COLUMNS:
        features = features[:, np.sort(np.random.default_rng(0).permutation(features.shape[1])[:_COLUMNS])]
    squares = np.square(features).sum(axis=1)
    found = []
    for start in range(0, len(features), _READ):
        block = features[start : start + _READ]
        distances = squares[start : start + _READ, np.newaxis] + squares - 2 * (block @ features.T)
        found.append(np.partition(distances, neighbour, axis=1)[:, neighbour])  # the nearest is the example itself
    return np.sqrt(np.maximum(np.concatenate(found), 0).astype(np.float64))
