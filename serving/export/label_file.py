"""The thresholds of several labels as a file in the SavedModel, for readers that do not run the graph."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping

import tensorflow as tf

PATH = ("assets.extra", "labels.json")


def write_thresholds(folder: str, thresholds: Mapping[str, float]) -> None:
    """Add the file to a SavedModel: {"labels": [{"name": ..., "threshold": ...}, ...]}, in the order of the outputs.

    Args:
      folder: Folder of the SavedModel.
      thresholds: By name of the label; values of float32, which JSON keeps exactly.
    """
    target = posixpath.join(folder, *PATH)
    labels = [{"name": name, "threshold": threshold} for name, threshold in thresholds.items()]
    tf.io.gfile.makedirs(posixpath.dirname(target))
    with tf.io.gfile.GFile(target, "w") as file:
        file.write(json.dumps({"labels": labels}, indent=1, ensure_ascii=False) + "\n")


def read_thresholds(folder: str) -> dict[str, float]:
    """Return the thresholds by name in the order of the outputs; empty if the model has no such file."""
    target = posixpath.join(folder, *PATH)
    if not tf.io.gfile.exists(target):
        return {}
    with tf.io.gfile.GFile(target) as file:
        labels = json.load(file)["labels"]
    return {label["name"]: label["threshold"] for label in labels}
