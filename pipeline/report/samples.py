"""The picture of the augmentation, which the Trainer draws, in the folder of the run."""

from __future__ import annotations

import posixpath

import tensorflow as tf

from data.files.atomic import write_aside
from pipeline.report.record import RunRecord


def copy_samples(record: RunRecord, folder: str) -> list[str]:
    """Copy `augmentation.png` from the Trainer's artifact.

    Args:
      record: Of a run, maybe one that failed before the Trainer, or without augmentation.
      folder: Where to write, local or remote.

    Returns:
      The path written, if there is such a picture.
    """
    from components.training.augmentation_samples import AUGMENTATION  # imports Keras, which loads matplotlib

    if record.training is None or not record.training.folder:
        return []
    drawn, path = (posixpath.join(one, AUGMENTATION) for one in (record.training.folder, folder))
    if not tf.io.gfile.exists(drawn):
        return []
    with tf.io.gfile.GFile(drawn, "rb") as file:
        write_aside(path, file.read())
    return [path]
