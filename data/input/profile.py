"""Measure how long each stage of the input pipeline takes, to find the bottleneck of a training that waits for data."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf

from data.input.reader import ReadConfig
from data.records import parse_spec

SAMPLE = 512  # records
BATCH = 64


def stage_shares(config: ReadConfig) -> dict[str, float]:
    """Return each stage's share of the time that one thread takes for a sample of the records; the shares sum to 1.

    The stages are "read" (from the files), "parse" (the protocol buffers) and "transform" (for images: decode and
    resize).

    Args:
      config: what to read; a few hundred records of the first files are read again.
    """
    records = tf.data.TFRecordDataset(list(config.files)).take(SAMPLE).batch(BATCH)
    batches = list(records)
    start = time.perf_counter()
    for _ in records:
        pass
    read = time.perf_counter() - start
    spec = parse_spec(config.feature, config.label)
    parse = _time_stage(lambda batch: tf.io.parse_example(batch, spec), batches)
    parse_and_transform = _time_stage(config.parse_and_transform, batches)
    stages = {"read": read, "parse": parse, "transform": max(0.0, parse_and_transform - parse)}
    total = sum(stages.values())
    return {name: round(seconds / total, 3) for name, seconds in stages.items()}


def _time_stage(stage: Callable[[tf.Tensor], object], batches: list[tf.Tensor]) -> float:
    """Return the seconds that a stage takes for all batches, in a graph, as tf.data runs each of its parallel calls."""
    run = tf.function(stage, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    run(batches[0])  # traces the graph
    start = time.perf_counter()
    for batch in batches:
        run(batch)
    return time.perf_counter() - start
