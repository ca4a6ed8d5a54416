"""Where the input's time goes: which stage binds a training that waits."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf

from data.input.reader import Reading
from data.records import parse_spec

SAMPLE = 512  # records
BATCH = 64


def stage_shares(reading: Reading) -> dict[str, float]:
    """Shares of the time that one thread takes for a sample of the records, by stage; they sum to 1.

    "read" from the files, "parse" the protocol buffers, "transform": for pictures decode and resize them.

    Args:
      reading: of which a few hundred records from the first files are read again.
    """
    records = tf.data.TFRecordDataset(list(reading.files)).take(SAMPLE).batch(BATCH)
    batches = list(records)
    start = time.perf_counter()
    for _ in records:
        pass
    read = time.perf_counter() - start
    spec = parse_spec(reading.feature, reading.label)
    parse = _seconds(lambda some: tf.io.parse_example(some, spec), batches)
    whole = _seconds(reading.chunk, batches)
    stages = {"read": read, "parse": parse, "transform": max(0.0, whole - parse)}
    total = sum(stages.values())
    return {name: round(seconds / total, 3) for name, seconds in stages.items()}


def _seconds(stage: Callable[[tf.Tensor], object], batches: list[tf.Tensor]) -> float:
    """Of the stage alone, in a graph and one after the other, as tf.data runs each of its parallel calls."""
    run = tf.function(stage, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    run(batches[0])  # traces the graph
    start = time.perf_counter()
    for batch in batches:
        run(batch)
    return time.perf_counter() - start
