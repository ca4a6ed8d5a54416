"""Stock ExampleGens as in TFX's guide on custom executors: one `tf.train.Example` per Beam element."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tfx import v1 as tfx
from tfx.components.example_gen import base_example_gen_executor
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec

from benchmarks.pictures import IMAGES, LABELS, idx_arrays


def make_example(contents: bytes, label: bytes) -> tf.train.Example:
    """Return an example with the least that a model needs: the encoded picture and its label."""
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[contents])),
        "label": tf.train.Feature(bytes_list=tf.train.BytesList(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _read_picture(path: str) -> tf.train.Example:
    with open(path, "rb") as file:
        return make_example(file.read(), os.path.basename(os.path.dirname(path)).encode())


@beam.ptransform_fn
@beam.typehints.with_input_types(beam.Pipeline)
@beam.typehints.with_output_types(tf.train.Example)
def _pictures_to_examples(pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str) -> Any:
    pattern = os.path.join(exec_properties["input_base"], split_pattern)
    return pipeline | beam.Create(tf.io.gfile.glob(pattern)) | beam.Map(_read_picture)


def _idx_rows(path: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
    images, labels = idx_arrays((Path(path), Path(path.replace(IMAGES, LABELS))))
    yield from zip(images, labels.tolist(), strict=True)


def _encode_row(row: tuple[NDArray[np.uint8], int]) -> tf.train.Example:
    pixels, label = row
    return make_example(tf.io.encode_png(pixels[..., np.newaxis]).numpy(), str(label).encode())


@beam.ptransform_fn
@beam.typehints.with_input_types(beam.Pipeline)
@beam.typehints.with_output_types(tf.train.Example)
def _idx_to_examples(pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str) -> Any:
    files = tf.io.gfile.glob(os.path.join(exec_properties["input_base"], split_pattern))
    return pipeline | beam.Create(files) | beam.FlatMap(_idx_rows) | beam.Map(_encode_row)


class PictureExecutor(base_example_gen_executor.BaseExampleGenExecutor):
    """Executor that turns picture files into examples."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802
        """See the base class."""
        return _pictures_to_examples


class IdxExecutor(base_example_gen_executor.BaseExampleGenExecutor):
    """Executor that turns rows of IDX files into examples."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802
        """See the base class."""
        return _idx_to_examples


def example_gen(folder: str, depth: int) -> FileBasedExampleGen:
    """Return the component for a folder of pictures or IDX files; TFX splits by hash, 4 to 1.

    Args:
      folder: Folder with the data.
      depth: Folders between `folder` and a picture; 0 for IDX files.
    """
    pattern = "/".join(["*"] * (depth + 1)) if depth else f"*-{IMAGES}*"
    splits = [
        tfx.proto.SplitConfig.Split(name="train", hash_buckets=4),
        tfx.proto.SplitConfig.Split(name="eval", hash_buckets=1),
    ]
    return FileBasedExampleGen(
        input_base=folder,
        input_config=tfx.proto.Input(splits=[tfx.proto.Input.Split(name="all", pattern=pattern)]),
        output_config=tfx.proto.Output(split_config=tfx.proto.SplitConfig(splits=splits)),
        custom_executor_spec=executor_spec.BeamExecutorSpec(PictureExecutor if depth else IdxExecutor),
    )
