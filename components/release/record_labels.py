"""The labels of records as text, and as the outputs of the trained model that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from components.training.trained_model import TrainedModel
from data.names import from_bytes, printable


def read_texts(record: bytes, name: str) -> list[str]:
    """Return the texts of a feature of a serialized tf.Example, for messages."""
    values = tf.train.Example.FromString(record).features.feature[name].bytes_list.value
    return [printable(from_bytes(value)) for value in values]


def read_text(record: bytes, name: str) -> str:
    """Return a feature's first text; empty if the record has none."""
    return next(iter(read_texts(record, name)), "")


def expected_label(trained: TrainedModel, names: Sequence[str]) -> int | list[int]:
    """Return the index of a record's class, -1 if the model lacks it; for several labels a 0 or 1 for each name.

    Args:
      trained: The model, with the names in the order of its outputs.
      names: Of the record.
    """
    if trained.task.is_multi_label:
        return [int(name in names) for name in trained.classes]
    name = "".join(names)
    return trained.classes.index(name) if name in trained.classes else -1
