"""The components from ExampleGen to Transform on pictures with no, one or several labels, against a count by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv

from components.prepare.schema import classes_of, read_schema
from components.prepare.transform import Preprocessing
from data.images import ops
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.input.reader import ReadConfig, read_batches
from data.records import parse_spec
from data.spec import Image
from tests.components.conftest import SEVERAL
from tests.tasks.several import TASK


def test_the_names_are_in_the_order_of_their_numbers(several: SimpleNamespace) -> None:
    assert classes_of(read_schema(several.schema)) == ("2", "9", "10")


def test_the_manifest_counts_each_name_and_notes_what_is_unusual(several: SimpleNamespace) -> None:
    manifest = Manifest.load(several.examples)
    assert manifest.labels("train") == {"2": 24, "9": 8, "10": 24} and manifest.labels("eval") == {"2": 6, "10": 6}
    assert manifest.notes == [
        "10 of 50 examples have no label",
        "no example for evaluation has the label '9': its threshold stays 0.5",
    ]


def test_the_statistics_count_each_name(several: SimpleNamespace) -> None:
    statistics = tfdv.load_stats_binary(f"{several.statistics}/Split-train/FeatureStats.pb")
    (label,) = [one for one in statistics.datasets[0].features if one.path.step[0] == "label"]
    common = label.string_stats.common_stats
    assert (common.num_non_missing, common.num_missing) == (40, 0)
    assert (common.min_num_values, common.max_num_values, common.tot_num_values) == (0, 3, 56)
    counts = {bucket.label: bucket.sample_count for bucket in label.string_stats.rank_histogram.buckets}
    assert counts == {"2": 24, "9": 8, "10": 24}


def test_the_data_fit_their_own_schema(several: SimpleNamespace) -> None:
    assert {path.parent.name for path in Path(several.anomalies).rglob("SchemaDiff.pb")} == {
        "Split-train",
        "Split-eval",
    }


def expected(several: SimpleNamespace, contents: bytes) -> list[float]:
    return [float(name in several.pictures[contents]) for name in ("2", "9", "10")]


@pytest.mark.parametrize("limit", [0, 1 << 30], ids=["streamed", "in memory"])
@pytest.mark.parametrize(("split", "seed"), [("train", 3), ("eval", None)])
def test_training_reads_one_for_each_name_that_applies(
    several: SimpleNamespace, limit: int, split: str, seed: int | None
) -> None:
    manifest, transform = Manifest.load(several.examples), Preprocessing(several.transform)
    files, count = shard_paths(several.examples, manifest.splits[split]), manifest.examples(split)
    config = ReadConfig(files, count, TASK.feature, TASK.label, transform, 8, label_shape=(3,))
    assert isinstance(TASK.feature, Image)
    by_pixels = {
        ops.decode_and_resize(tf.constant(contents), TASK.feature).numpy().astype(np.uint8).tobytes(): contents
        for contents in several.pictures
    }
    assert len(by_pixels) == SEVERAL
    seen: Counter[bytes] = Counter()
    for images, labels in read_batches(config, cache_bytes=limit, seed=seed).one_pass().as_numpy_iterator():
        assert labels.dtype == np.float32
        for image, label in zip(images, labels, strict=True):
            contents = by_pixels[image.tobytes()]
            assert label.tolist() == expected(several, contents)
            seen[contents] += 1
    assert len(seen) == count == {"train": 40, "eval": 10}[split] and set(seen.values()) == {1}


def test_the_graph_needs_no_label(several: SimpleNamespace) -> None:
    contents = next(iter(several.pictures))
    found = Preprocessing(several.transform)({"image": tf.constant([contents])})
    assert found.keys() == {"image"} and found["image"].shape == (1, 8, 8, 3)


def test_the_graph_ignores_a_name_that_it_does_not_know(several: SimpleNamespace) -> None:
    label = tf.sparse.from_dense([["10", "x"], ["x", ""], ["", ""]])
    contents = next(iter(several.pictures))
    found = Preprocessing(several.transform)({"image": tf.constant([contents] * 3), "label": label})
    assert found["label"].numpy().tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_transforming_serialized_records_in_a_graph_is_the_same(several: SimpleNamespace) -> None:
    """As the signature `transform_features` does."""
    manifest, transform = Manifest.load(several.examples), Preprocessing(several.transform)
    serialized = list(tf.data.TFRecordDataset(shard_paths(several.examples, manifest.splits["eval"])))
    spec = parse_spec(TASK.feature, TASK.label)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return transform(tf.io.parse_example(examples, spec))

    found = transform_features(tf.stack(serialized))
    parsed = [tf.train.Example.FromString(one.numpy()).features.feature["image"] for one in serialized]
    assert found["label"].numpy().tolist() == [expected(several, one.bytes_list.value[0]) for one in parsed]
    assert transform_features(tf.constant([], tf.string))["label"].shape == (0, 3)
