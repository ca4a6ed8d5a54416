"""Four implementations of ingestion: pictures to shards of `tf.train.Example`s."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.types import standard_artifacts

from benchmarks import stock_examples
from benchmarks.pictures import FEATURE, Pictures, copy_idx_files, idx_arrays, idx_pairs
from benchmarks.timing import Span, once, run_alternately, time_side
from components.prepare.example_gen import ExampleGen
from components.task.reference import TaskReference
from data.ingest.manifest import Manifest
from pipeline.runners.beam import DIRECT

Way = Callable[[Pictures, Path], Callable[[], int]]  # ingests into a folder, and returns what counts the result
OURS, STOCK, CHECKED, BARE = "ours", "stock", "bare_checked", "bare_unchecked"


def run_in_turn(pictures: Pictures, scratch: Path, rounds: int) -> dict[str, list[Span]]:
    """Time the four implementations from the first file to the last shard, each in a new folder.

    Returns:
      The spans by name and round. The number is that of the pictures that entered a shard; counting them is not timed.
    """
    ways: dict[str, Way] = {
        OURS: _ours,
        STOCK: _stock,
        CHECKED: lambda one, target: _bare(one, target, check=True),
        BARE: lambda one, target: _bare(one, target, check=False),
    }
    return run_alternately({name: partial(_timed, way, pictures, scratch) for name, way in ways.items()}, rounds)


def _timed(way: Way, pictures: Pictures, scratch: Path) -> Span:
    """Time one implementation."""
    fresh = copy_idx_files(pictures, scratch)
    target = Path(tempfile.mkdtemp(dir=scratch))
    counts: list[Callable[[], int]] = []
    span = time_side(once(lambda: counts.append(way(fresh, target))))
    written = counts[0]()
    shutil.rmtree(target)
    if fresh is not pictures:
        shutil.rmtree(fresh.folder)
    return replace(span, count=written)


def _run(component: Any, target: Path) -> None:
    """Run an ExampleGen's executor with the properties and Beam arguments that the local runner passes."""
    examples = standard_artifacts.Examples()
    examples.uri = str(target)
    executor = component.executor_spec.executor_class
    context = executor.Context(beam_pipeline_args=list(DIRECT), tmp_dir=str(target / ".tmp"), unique_id="0")
    executor(context).Do({}, {"examples": [examples]}, dict(component.exec_properties))


def _ours(pictures: Pictures, target: Path) -> Callable[[], int]:
    """Run the pipeline's own component: plan, decode checks, hashes, shards, checksums, manifest."""
    settings = {"source.eval": ""} if pictures.is_idx and len(idx_pairs(pictures.folder)) == 1 else {}
    reference = TaskReference(f"benchmarks.tasks:{'IDX' if pictures.is_idx else 'FOLDER'}", settings)
    task = reference.load()
    config = reference.config("source", "feature", "label", "ingest")
    _run(ExampleGen(str(pictures.folder), task.source, task.ingest, config), target)
    return lambda: Manifest.load(str(target)).examples()


def _stock(pictures: Pictures, target: Path) -> Callable[[], int]:
    """Run the stock ExampleGen: one example per Beam element; TFX splits, reshuffles and writes gzipped records."""
    _run(stock_examples.example_gen(str(pictures.folder), pictures.depth), target)
    files = [str(file) for file in target.rglob("*.gz")]
    return lambda: sum(1 for _ in tf.data.TFRecordDataset(files, compression_type="GZIP"))


def _bare(pictures: Pictures, target: Path, *, check: bool) -> Callable[[], int]:
    """Read, build and write in a Python loop, without splits, facts, hashes, checksums or a manifest.

    With `check`, each file is decoded as in TensorFlow's guide. Rows of IDX files are encoded here: no file can be
    broken, and neither side decodes them again.
    """
    path, count = str(target / "data.tfrecord"), 0
    with tf.io.TFRecordWriter(path) as writer:
        for contents, label in _idx(pictures) if pictures.is_idx else _files(pictures):
            if check and not pictures.is_idx:
                try:
                    tf.io.decode_image(contents, channels=FEATURE.channels, expand_animations=False)
                except tf.errors.InvalidArgumentError:
                    continue
            writer.write(stock_examples.make_example(contents, label).SerializeToString())
            count += 1
    return lambda: count


def _files(pictures: Pictures) -> Iterator[tuple[bytes, bytes]]:
    """Yield the contents and the class of each picture of a folder."""
    for root, _, names in os.walk(pictures.folder):
        label = os.path.basename(root).encode()
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                yield file.read(), label


def _idx(pictures: Pictures) -> Iterator[tuple[bytes, bytes]]:
    """Yield each row as PNG, and its label."""
    for pair in idx_pairs(pictures.folder):
        images, labels = idx_arrays(pair)
        for row, label in zip(images, labels.tolist(), strict=True):
            yield tf.io.encode_png(row[..., np.newaxis]).numpy(), str(label).encode()
