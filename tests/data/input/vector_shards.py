"""TFRecord shards of vectors, for the tests of the readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from data.records import Record, vector_record


def vector_example(values: Sequence[float], label: str | float | tuple[str, ...]) -> bytes:
    """The serialized example of a vector."""
    record = vector_record(values, label, "s")
    assert isinstance(record, Record)
    return record.example


def write_vector_shards(folder: Path, counts: Sequence[int]) -> list[str]:
    """Write the vectors (i, -i) with the label i, for i = 0, 1, ..., into files of `counts` records."""
    files, number = [], 0
    for index, count in enumerate(counts):
        files.append(str(folder / f"data_tfrecord-{index}"))
        with tf.io.TFRecordWriter(files[-1]) as writer:
            for _ in range(count):
                writer.write(vector_example([float(number), -float(number)], float(number)))
                number += 1
    return files
