"""Sizes, formats and numbers of the data: from TFDV's statistics, or from records where these know too little."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.review.inputs import ReviewInputs
from components.review.record import Histogram
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.records import parse_spec
from data.sources import Csv
from data.spec import LABEL, VECTOR, Image, Number, Vector

TRAIN = "train"
STATISTICS = "FeatureStats.pb"  # TFX's name, in the folder of each split
BINS = 20
ROWS = 20_000  # that are read for the histograms of numbers
COLUMNS = 24  # features of which a histogram is shown
_FACTS = {"image/width": "width", "image/height": "height", "image/bytes": "bytes"}
_BATCH = 512
_Numbers = npt.NDArray[np.floating]


def read_sizes(inputs: ReviewInputs, manifest: Manifest) -> dict[str, Histogram]:
    """Return histograms of the training data by name: see `DataReview.sizes`.

    Args:
      inputs: The artifacts of the run.
      manifest: Of the examples.
    """
    task = inputs.task
    if isinstance(task.feature, Vector):
        label = task.source.label if isinstance(task.source, Csv) else LABEL
        return _of_rows(inputs, manifest, label, task.feature)
    statistics = _load(inputs.statistics, TRAIN)
    wanted = _FACTS | ({LABEL: LABEL} if isinstance(task.label, Number) else {})
    found = {name: _histogram(statistics[key].num_stats) for key, name in wanted.items() if key in statistics}
    return {name: one for name, one in found.items() if one.counts}


def read_formats(inputs: ReviewInputs, manifest: Manifest) -> dict[str, int]:
    """Return the number of pictures by format in all splits, the most frequent first; none for rows of numbers.

    Args:
      inputs: The artifacts of the run.
      manifest: Of the examples.
    """
    if not isinstance(inputs.task.feature, Image):
        return {}
    found: Counter[str] = Counter()
    for split in manifest.splits:
        statistics = _load(inputs.statistics, split)
        if "image/format" in statistics:
            buckets = statistics["image/format"].string_stats.rank_histogram.buckets
            found.update({bucket.label: round(bucket.sample_count) for bucket in buckets})
    return dict(found.most_common())


def _load(folder: str, split: str) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    """Return the statistics of a split by feature; none if there are none."""
    path = posixpath.join(folder, f"Split-{split}", STATISTICS)
    if not tf.io.gfile.exists(path):
        return {}
    with tf.io.gfile.GFile(path, "rb") as file:
        datasets = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read()).datasets
    return {".".join(one.path.step) or one.name: one for one in (datasets[0].features if datasets else ())}


def _histogram(statistics: statistics_pb2.NumericStatistics) -> Histogram:
    """Return the histogram of equal widths; the edges are all equal if all values are."""
    kinds = statistics_pb2.Histogram
    buckets = next((list(one.buckets) for one in statistics.histograms if one.type == kinds.STANDARD), [])
    edges = [one.low_value for one in buckets[:1]] + [one.high_value for one in buckets]
    return Histogram(edges, [round(one.sample_count, 1) for one in buckets], statistics.median)


def _of_rows(inputs: ReviewInputs, manifest: Manifest, label: str, feature: Vector) -> dict[str, Histogram]:
    """Return histograms of the label, if it is a number, and of the first features."""
    rows, labels = _read_rows(inputs, manifest, feature)
    if not len(rows):
        return {}
    found = {label: histogram_of(labels)} if len(labels) else {}
    names = _column_names(inputs.task.source.columns if isinstance(inputs.task.source, Csv) else (), feature.size)
    return found | {name: histogram_of(rows[:, column]) for column, name in enumerate(names[:COLUMNS])}


def histogram_of(values: _Numbers) -> Histogram:
    """Return `BINS` bins of equal width over numbers; one bin if all values are equal.

    Args:
      values: Finite numbers, [N] with N at least 1.
    """
    wide = values.astype(np.float64)
    low, high = float(wide.min()), float(wide.max())
    counts, edges = ([len(wide)], [low, high]) if low == high else np.histogram(wide, BINS)
    return Histogram([float(one) for one in edges], [float(one) for one in counts], float(np.median(wide)))


def _read_rows(inputs: ReviewInputs, manifest: Manifest, feature: Vector) -> tuple[_Numbers, _Numbers]:
    """Return the numbers of up to `ROWS` training rows, [N, size], and their labels, [N], or [0] if they are names."""
    label = inputs.task.label if isinstance(inputs.task.label, Number) else None
    spec = parse_spec(feature, label)
    count = max(1, min(ROWS, 2**24 // feature.size))
    files = shard_paths(inputs.examples, manifest.splits.get(TRAIN, []))
    rows, labels = [], []
    for batch in tf.data.TFRecordDataset(files).take(count).batch(_BATCH) if files else ():
        parsed = tf.io.parse_example(batch, spec)
        rows.append(parsed[VECTOR].numpy()[:, :COLUMNS])
        labels.append(parsed[LABEL].numpy() if label else np.zeros(0, np.float32))
    return (np.concatenate(rows), np.concatenate(labels)) if rows else (np.zeros((0, 0)), np.zeros(0))


def _column_names(columns: Sequence[str], size: int) -> list[str]:
    return list(columns) or [f"feature {number + 1}" if size > 1 else "feature" for number in range(size)]
