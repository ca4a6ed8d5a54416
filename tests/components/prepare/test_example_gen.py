from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from apache_beam.testing import util
from tfx.components.util import tfxio_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.prepare.resolve_input import Driver, InputProcessor
from components.task.reference import TaskReference
from data.errors import DataError, SkewlessError, UsageError
from tests.components.conftest import DIGIT_NAMES, example_gen, run_components

TINY = "tests.tasks.tiny:TASK"


def _processor(base: Path, folder: str = "") -> InputProcessor:
    pattern = f"{folder}/*" if folder else "*"
    split = example_gen_pb2.Input.Split(name="all", pattern=pattern)
    return Driver(None).get_input_processor([split], input_base_uri=str(base))


def _fingerprint(base: Path) -> str:
    return _processor(base).get_input_fingerprint(0, None)


def _sources(examples: str) -> Counter[str]:
    files = tf.io.gfile.glob(f"{examples}/Split-*/*")
    records = (tf.train.Example.FromString(one) for one in tf.data.TFRecordDataset(files).as_numpy_iterator())
    return Counter(one.features.feature["image/source"].bytes_list.value[0].decode() for one in records)


# The artifact


def test_the_artifact_describes_its_examples(digit_named: SimpleNamespace) -> None:
    artifact = digit_named.artifacts["Examples"]
    assert artifact_utils.decode_split_names(artifact.properties["split_names"].string_value) == ["train", "eval"]
    properties = artifact.custom_properties
    assert properties["payload_format"].string_value == "FORMAT_TF_EXAMPLE"
    assert properties["file_format"].string_value == "tfrecords_gzip"
    assert properties["examples"].int_value == sum(DIGIT_NAMES.values())
    assert properties["span"].int_value == 0 and "version" not in properties
    assert properties["input_fingerprint"].string_value == _fingerprint(digit_named.data)
    assert not Path(artifact.uri, ".partial").exists()


def test_each_picture_is_one_record_with_the_bytes_of_its_file(digit_named: SimpleNamespace) -> None:
    expected = {str(path.relative_to(digit_named.data)): path.read_bytes() for path in digit_named.data.glob("*/*")}
    assert len(expected) == sum(DIGIT_NAMES.values())
    files = tf.io.gfile.glob(f"{digit_named.examples}/Split-*/*")
    found = {}
    for one in tf.data.TFRecordDataset(files).as_numpy_iterator():
        feature = tf.train.Example.FromString(one).features.feature
        source = feature["image/source"].bytes_list.value[0].decode()
        assert source not in found and feature["label"].bytes_list.value[0].decode() == source.split("/")[0]
        found[source] = feature["image"].bytes_list.value[0]
    assert found == expected


def test_beams_own_reader_gives_each_record_once(digit_named: SimpleNamespace) -> None:
    expected = list(tf.data.TFRecordDataset(tf.io.gfile.glob(f"{digit_named.examples}/Split-train/*")))
    with beam.Pipeline() as pipeline:
        records = pipeline | beam.io.ReadFromTFRecord(f"{digit_named.examples}/Split-train/*")
        util.assert_that(records, util.equal_to([one.numpy() for one in expected]))
    assert len(expected) > 10


def test_tfx_bsls_reader_gives_each_record_once(digit_named: SimpleNamespace) -> None:
    examples = standard_artifacts.Examples()
    examples.set_mlmd_artifact(copy.deepcopy(digit_named.artifacts["Examples"]))
    factory = tfxio_utils.get_tfxio_factory_from_artifact(examples=[examples], telemetry_descriptors=["test"])
    truth = [str(path.relative_to(digit_named.data)) for path in digit_named.data.glob("10/*")]

    def tenths(batch: Any) -> list[str]:
        sources = batch.column(batch.schema.get_field_index("image/source")).to_pylist()
        return [one[0].decode() for one in sources if one[0].startswith(b"10/")]

    patterns = [f"{digit_named.examples}/Split-{split}/*" for split in ("train", "eval")]
    with beam.Pipeline() as pipeline:
        batches = pipeline | factory(patterns).BeamSource()
        util.assert_that(batches | beam.FlatMap(tenths), util.equal_to(truth))


def test_statistics_gen_counts_the_same(digit_named: SimpleNamespace) -> None:
    counts = {}
    for split in ("train", "eval"):
        found = tfdv.load_stats_binary(f"{digit_named.statistics}/Split-{split}/FeatureStats.pb").datasets[0]
        files = tf.io.gfile.glob(f"{digit_named.examples}/Split-{split}/*")
        assert found.num_examples == len(list(tf.data.TFRecordDataset(files)))
        counts[split] = found.num_examples
        names = {feature.path.step[0] for feature in found.features}
        assert "label" in names and "image/width" in names and "image" not in names
    assert sum(counts.values()) == sum(DIGIT_NAMES.values())


# Spans, versions and dates


@pytest.mark.parametrize(
    ("pattern", "folders", "latest", "span", "version"),
    [
        ("span-{SPAN}/v{VERSION}", ["span-2/v9", "span-10/v3", "span-10/v12", "span-9/v13"], "span-10/v12", 10, 12),
        ("span-{SPAN:3}", ["span-007", "span-010"], "span-010", 10, None),
        # 2024-02-29 is day 19782 since 1970-01-01: 54 years of 365 days, 13 leap days before 2024, 31 + 28 more
        ("{YYYY}{MM}{DD}", ["20231231", "20240229", "20240131"], "20240229", 54 * 365 + 13 + 31 + 28, None),
    ],
)
def test_the_latest_span_and_version_are_taken(
    tmp_path: Path,
    picture_folder: Callable[..., Path],
    pattern: str,
    folders: list[str],
    latest: str,
    span: int,
    version: int | None,
) -> None:
    counts = {f"{folder}/{name}": 8 for folder in folders for name in ("cats", "dogs")}
    data = picture_folder(tmp_path / "data", counts)
    reference = TaskReference(TINY, {"source.folder": pattern})
    artifact = run_components([example_gen(reference, data)], tmp_path / "root")["Examples"]
    assert artifact.custom_properties["span"].int_value == span
    assert ("version" in artifact.custom_properties) == (version is not None)
    assert artifact.custom_properties["version"].int_value == (version or 0)
    expected = Counter(str(path.relative_to(data / latest)) for path in (data / latest).glob("*/*"))
    assert _sources(artifact.uri) == expected and len(expected) == 16


@pytest.mark.parametrize(
    ("pattern", "kind", "words"),
    [
        ("day-{SPAN}/v{VERSION}", DataError, "no span of 'day-{SPAN}/v{VERSION}' in"),
        ("{YYYY}{MM}{DD}", DataError, "no span of '{YYYY}{MM}{DD}' in"),
        ("span-{SPAN}", DataError, "the latest span of 'span-{SPAN}' is 7, but the folder"),
        ("v{VERSION}", UsageError, "source.folder: Version spec provided, but Span or Date spec is not present"),
    ],
)
def test_a_pattern_without_a_match_is_reported_in_one_line(
    tmp_path: Path, picture_folder: Callable[..., Path], pattern: str, kind: type[SkewlessError], words: str
) -> None:
    data = picture_folder(tmp_path / "data", {"span-007/cats": 1, "span-006/cats": 1})
    with pytest.raises(SkewlessError) as caught:
        run_components([example_gen(TaskReference(TINY, {"source.folder": pattern}), data)], tmp_path / "root")
    assert type(caught.value) is kind
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)
    if kind is DataError:
        assert str(data) in str(caught.value) and caught.value.hint


def test_a_folder_among_the_spans_without_a_number_is_named(tmp_path: Path) -> None:
    for name in ("span-1", "span-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    with pytest.raises(DataError, match="span-old"):
        _processor(tmp_path, "span-{SPAN}").resolve_span_and_version()


# The fingerprint


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("cats/1.png", "cats/deep/er/2.png", "dogs/3.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "data"


def test_unchanged_files_keep_it(pictures: Path) -> None:
    assert _fingerprint(pictures) == _fingerprint(pictures)
    assert _fingerprint(pictures).startswith("files:3,")


def _touch_within_the_second(path: Path) -> None:
    stat = path.stat()
    whole = stat.st_mtime_ns // 10**9 * 10**9
    path.write_bytes(b"!" * stat.st_size)
    moved = whole + (stat.st_mtime_ns - whole + 10**6) % 10**9
    os.utime(path, ns=(stat.st_atime_ns, moved))
    assert int(path.stat().st_mtime) == int(stat.st_mtime) and path.stat().st_size == stat.st_size


@pytest.mark.parametrize(
    "change",
    [
        lambda root: _touch_within_the_second(root / "cats/1.png"),
        lambda root: _touch_within_the_second(root / "cats/deep/er/2.png"),
        lambda root: (root / "cats/deep/er/2.png").write_bytes(b"longer than it was before"),
        lambda root: (root / "cats/1.png").rename(root / "dogs/1.png"),
        lambda root: (root / "cats/1.png").rename(root / "cats/4.png"),
        lambda root: (root / "dogs/3.png").unlink(),
        lambda root: (root / "cats/deep/5.png").touch(),
        lambda root: (root / "cats/5.png").symlink_to("/no/such/file"),
    ],
    ids=["same second", "same second, nested", "size", "class", "name", "gone", "new", "dangling link"],
)
def test_any_change_of_a_file_changes_it(pictures: Path, change: Callable[[Path], object]) -> None:
    before = _fingerprint(pictures)
    change(pictures)
    assert _fingerprint(pictures) != before


def test_a_dangling_link_among_the_classes_is_ignored(pictures: Path) -> None:
    (pictures / "link").symlink_to("/no/such/file")
    assert _processor(pictures).resolve_span_and_version() == (0, None)
    assert _fingerprint(pictures).startswith("files:3,")
