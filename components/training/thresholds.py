"""Thresholds of several labels: chosen on the evaluation split, and part of the exported model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from data.input import reader

UNKNOWN = 0.5  # of a label without a positive example


def choose_thresholds(
    model: keras.Model, labels: Sequence[str], evaluation: reader.Batches, config: reader.ReadConfig
) -> dict[str, float]:
    """Return for each label the threshold with the largest F1 on the evaluation split.

    Only the scores of all examples are kept in memory, not their pictures.

    Args:
      model: The task's own model with its trained weights; its output is [N, C] scores.
      labels: Names in the order of the outputs.
      evaluation: Batches of the evaluation split, as the training uses them.
      config: How they are read. If other processes take a share of each batch, the records are read again.

    Returns:
      Thresholds by name, values of float32, 0 to 1.
    """
    if config.shard.count > 1:
        evaluation = reader.read_batches(dataclasses.replace(config, shard=reader.InputShard()), cache_bytes=0)
    answer = tf.function(
        lambda features: tf.cast(model(features, training=False), tf.float32), reduce_retracing=True, autograph=False
    )
    found = [(answer(features).numpy(), truth.numpy() > 0) for features, truth in evaluation.one_pass()]
    scores, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return {name: best_threshold(scores[:, place], truth[:, place]) for place, name in enumerate(labels)}


def best_threshold(scores: npt.NDArray[Any], truth: npt.NDArray[np.bool_]) -> float:
    """Return the threshold with the largest F1; a label applies if its score is at least the threshold.

    All values above one score and up to the next give the same answers. The middle is returned: with the score itself,
    a rounding error in another route could change the answer. If several scores give the same F1, the highest of them
    counts: it has the fewest wrong labels.

    Args:
      scores: float32 [N], 0 to 1.
      truth: [N]; whether the label applies.

    Returns:
      A value of float32; 0.5 without a positive example.
    """
    if not truth.any():
        return UNKNOWN
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last of each group of equal scores
    right = np.cumsum(truth[order])[ends]
    f1 = 2 * right / (ends + 1 + truth.sum())
    best = ends[np.argmax(f1)]
    score, below = ranked[best], ranked[best + 1] if best + 1 < len(ranked) else np.float32(0)
    middle = np.float32((np.float64(score) + np.float64(below)) / 2)
    return float(middle if below < middle else score)  # float32 has no number between two neighbours
