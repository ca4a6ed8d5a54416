"""Answers as the Evaluator keeps them, written by hand in the form of `components.release.predictions`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from data.names import to_bytes


def write_answers(
    evaluation: Path,
    names: Sequence[str],
    sources: Sequence[str],
    labels: Sequence[Any] | npt.NDArray[np.float32],
    scores: npt.ArrayLike,
    *,
    vectors: npt.ArrayLike = (),
    thresholds: Sequence[float] = (),
    before: npt.ArrayLike = (),
) -> str:
    """Write answers into a ModelEvaluation artifact, in two files, and return its folder.

    Args:
      evaluation: Folder of the artifact.
      names: Classes or labels in the order of the scores; empty for numbers.
      sources: Of each example.
      labels: Names of each example, or its number.
      scores: [N, C].
      vectors: [N, size]; empty for pictures.
      thresholds: Of several labels.
      before: Of the baseline, [N, C]; empty without one.
    """
    folder = evaluation / "predictions"
    folder.mkdir(parents=True)
    (folder / "names.json").write_text(json.dumps({"names": list(names), "thresholds": list(thresholds)}))
    rows, half = np.asarray(scores, np.float32), len(sources) // 2
    for number, part in enumerate((slice(0, half), slice(half, None))):
        feature = tf.train.Example()
        values = feature.features.feature
        values["source"].bytes_list.value.extend(to_bytes(one) for one in sources[part])
        values["scores"].float_list.value.extend(rows[part].ravel().tolist())
        values["before"].float_list.value.extend(np.asarray(before, np.float32)[part].ravel().tolist())
        values["features"].float_list.value.extend(np.asarray(vectors, np.float32)[part].ravel().tolist())
        values["label_counts"].int64_list.value.extend(len(one) if names else 0 for one in labels[part])
        for one in labels[part]:
            if names:
                values["label"].bytes_list.value.extend(name.encode() for name in one)
            else:
                values["label"].float_list.value.append(float(one))
        with tf.io.TFRecordWriter(str(folder / f"part-{number}-of-2.gz"), "GZIP") as writer:
            writer.write(feature.SerializeToString())
    return str(evaluation)
