"""Statistics of a part of the shards, if there are very many examples, against the records of these shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from components.prepare import statistics
from components.prepare.statistics import StatisticsGenExecutor, statistics_gen
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardFile
from data.spec import Image
from pipeline.runners.beam import DIRECT

IN_A_SHARD = 4


def _label(split: str, shard: int) -> bytes:
    return f"{split}{shard}".encode()


def _write_examples(folder: Path, counts: dict[str, int]) -> standard_artifacts.Examples:
    """Write shards of four examples whose label names the shard."""
    splits: dict[str, list[ShardFile]] = {}
    for split, count in counts.items():
        for shard in range(count):
            file = f"Split-{split}/data_tfrecord-{shard:05d}-of-{count:05d}"
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            example = tf.train.Example()
            example.features.feature["label"].bytes_list.value.append(_label(split, shard))
            with tf.io.TFRecordWriter(str(folder / file)) as writer:
                for _ in range(IN_A_SHARD):
                    writer.write(example.SerializeToString())
            splits.setdefault(split, []).append(ShardFile(file, IN_A_SHARD, 1, "", {}))
    Manifest(splits).save(str(folder))
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(list(counts))
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("file_format", "tfrecords_gzip")
    return examples


def _labels(examples: standard_artifacts.Examples, folder: Path) -> dict[str, Counter[str]]:
    """Run the component; return the number of examples by label in the statistics of each split."""
    made = standard_artifacts.ExampleStatistics()
    made.uri = str(folder)
    component = statistics_gen(channel_utils.as_channel([examples]), Image(4, 4))
    context = StatisticsGenExecutor.Context(beam_pipeline_args=list(DIRECT), tmp_dir=str(folder), unique_id="1")
    StatisticsGenExecutor(context).Do({"examples": [examples]}, {"statistics": [made]}, component.exec_properties)
    found = {}
    for split in artifact_utils.decode_split_names(examples.split_names):
        (one,) = tfdv.load_stats_binary(f"{folder}/Split-{split}/FeatureStats.pb").datasets
        (label,) = one.features
        found[split] = Counter(
            {bucket.label: int(bucket.sample_count) for bucket in label.string_stats.rank_histogram.buckets}
        )
        assert one.num_examples == sum(found[split].values())
    return found


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1000, range(60)),
        (150, [shard for shard in range(60) if shard % 10 < 6]),
        (60, [shard for shard in range(60) if shard % 10 < 2]),
        (20, range(8)),
    ],
)
def test_some_of_the_shards_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, expected: Iterable[int]
) -> None:
    monkeypatch.setattr(statistics, "SAMPLED", limit)
    examples = _write_examples(tmp_path / "examples", {"train": 60, "eval": 4})
    found = _labels(examples, tmp_path / "statistics")
    assert found["train"] == {_label("train", shard).decode(): IN_A_SHARD for shard in expected}
    assert found["eval"] == {_label("eval", shard).decode(): IN_A_SHARD for shard in range(4)}
    assert not examples.has_custom_property("custom_split_pattern")


def test_without_a_shard_of_the_pattern_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLED", 1)
    file = ShardFile("Split-train/data_tfrecord-00007-of-00008", 900, 1, "", {})
    assert statistics._pattern("train", [file]) == "Split-train/*"
