from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.prepare import schema
from components.task.task import Task
from data.families import IS_NEW
from data.records import FACTS, parse_spec
from data.sources import Arrays, Csv, ImageTable, TFRecords
from data.spec import LABEL, Classes, Image, Labels, Number, Vector
from tests.records import vector_row
from tests.tasks.tiny import TASK

NUMBERS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Number())
NAMED_ROWS = dataclasses.replace(NUMBERS, label=Classes())
TAGGED_ROWS = dataclasses.replace(NUMBERS, source=Arrays(), label=Labels())
SCALAR = tf.io.FixedLenFeature([], tf.string)


def _feature(found: schema_pb2.Schema, name: str) -> schema_pb2.Feature:
    return next(feature for feature in found.feature if feature.name == name)


def _spec(found: schema_pb2.Schema) -> dict[str, tf.io.FixedLenFeature]:
    """Return the feature specs that Transform and TFMA's readers derive from the schema."""
    return schema_utils.schema_as_feature_spec(found).feature_spec


# Pictures, from a real run on folders named 1, 2 and 10


def test_classes_named_by_digits_stay_texts_in_numeric_order(digit_named: SimpleNamespace) -> None:
    found = schema.read_schema(digit_named.schema)
    statistics = tfdv.load_stats_binary(f"{digit_named.statistics}/Split-train/FeatureStats.pb")
    guessed = _feature(tfdv.infer_schema(statistics), "label")
    assert guessed.HasField("int_domain")  # the reason for the curation
    assert _feature(found, "label").type == schema_pb2.BYTES
    assert schema.classes_of(found) == ("1", "2", "10")


def test_it_parses_every_record_as_scalars(digit_named: SimpleNamespace) -> None:
    found = schema.read_schema(digit_named.schema)
    spec = _spec(found)
    assert {name: spec[name] for name in ("image", "label", "image/format", "image/source")} == {
        "image": SCALAR,
        "label": SCALAR,
        "image/format": SCALAR,
        "image/source": SCALAR,
    }
    assert spec.keys() == {"image", "label", *FACTS}
    files = tf.io.gfile.glob(f"{digit_named.examples}/Split-*/*")
    parsed = tf.io.parse_example(list(tf.data.TFRecordDataset(files)), spec)
    assert parsed["image"].shape == parsed["label"].shape == (42,)
    sources = [source.split(b"/")[0] for source in parsed["image/source"].numpy()]
    assert parsed["label"].numpy().tolist() == sources
    assert (parsed["image/width"].numpy() == 12).all() and (parsed["image/height"].numpy() == 9).all()


def test_the_entries_for_the_picture(digit_named: SimpleNamespace) -> None:
    found = schema.read_schema(digit_named.schema)
    assert _feature(found, "image").WhichOneof("domain_info") == "image_domain"
    formats = {"bmp", "gif", "jpeg", "png", *(("jxl", "webp") if IS_NEW else ())}
    assert set(_feature(found, "image/format").string_domain.value) == formats
    assert _feature(found, "label").presence.min_fraction == 1.0


def test_reading_by_folder_or_by_file_is_the_same(digit_named: SimpleNamespace) -> None:
    by_file = schema.read_schema(str(Path(digit_named.schema, "schema.pbtxt")))
    assert by_file == schema.read_schema(digit_named.schema)


# Numbers


def _curated(task: Task, classes: tuple[str, ...] = ()) -> schema_pb2.Schema:
    return schema.curate(schema_pb2.Schema(), task, classes)


def test_a_vector_and_a_number_parse_as_the_reader_expects_them() -> None:
    found = _curated(NUMBERS)
    assert _spec(found) == parse_spec(Vector(3), Number())
    assert schema.classes_of(found) == ()
    record = vector_row([1.5, -2.0, 3.0], 0.25)
    parsed = tf.io.parse_single_example(record.example, _spec(found))
    assert parsed["features"].numpy().tolist() == [1.5, -2.0, 3.0] and parsed["label"].numpy() == 0.25


def test_the_order_of_the_classes_is_the_one_given() -> None:
    found = _curated(NAMED_ROWS, ("zebra", "été", "ant"))
    assert schema.classes_of(found) == ("zebra", "été", "ant")
    assert _spec(found) == parse_spec(Vector(3), Classes())


@pytest.mark.parametrize("feature", [Vector(3), Image(8, 8)])
def test_several_labels_parse_as_the_reader_expects_them(feature: Vector | Image) -> None:
    found = _curated(dataclasses.replace(TASK, source=TFRecords(), feature=feature, label=Labels()), ("b", "a"))
    assert schema.classes_of(found) == ("b", "a")
    spec = _spec(found)
    assert {name: spec[name] for name in (feature.name, LABEL)} == parse_spec(feature, Labels())


@pytest.mark.parametrize(
    ("task", "classes", "spoil", "name"),
    [
        (NUMBERS, (), lambda one: one.pop("label"), "label"),
        (NUMBERS, (), lambda one: one["features"].float_list.value.pop(), "features"),
        (NAMED_ROWS, ("a", "b"), lambda one: one["label"].bytes_list.value.__setitem__(0, b"c"), "label"),
        (NAMED_ROWS, ("a", "b"), lambda one: one["label"].bytes_list.value.append(b"b"), "label"),
        (TAGGED_ROWS, (("a",), ("a", "b"), ()), lambda one: one["label"].bytes_list.value.append(b"c"), "label"),
        (TAGGED_ROWS, (("a",), ("a", "b"), ()), lambda one: one.pop("label"), "label"),
        (TAGGED_ROWS, (("a",), ("a", "b"), ()), lambda one: one["label"].bytes_list.value.extend([b"a"] * 3), "label"),
    ],
    ids=["no label", "short row", "unknown class", "two classes", "unknown label", "labels missing", "repeated labels"],
)
def test_tfdv_finds_what_does_not_fit(
    task: Task, classes: tuple[str | tuple[str, ...], ...], spoil: Callable[[Any], object], name: str
) -> None:
    """Statistics of ten good records have no anomaly; a bad record adds one, of its feature."""
    found = _curated(task, tuple(sorted({name for one in classes for name in one})))

    def anomalies(records: list[bytes]) -> set[str]:
        batch = ExamplesToRecordBatchDecoder().DecodeBatch(records)
        statistics = stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions(schema=found))
        return set(tfdv.validate_statistics(statistics, found).anomaly_info)

    labels = classes or (0.5, 1.5)
    good = [vector_row([number, 1.0, 2.0], labels[number % len(labels)]).example for number in range(10)]
    assert anomalies(good) == set()
    bad = tf.train.Example.FromString(good[3])
    spoil(bad.features.feature)
    assert anomalies([*good, bad.SerializeToString()]) == {name}


def test_columns_of_a_table_may_be_missing() -> None:
    """A record that lacks one is no anomaly, nor is a value that training has not."""
    task = dataclasses.replace(TASK, source=ImageTable(slices=("site",)))
    found = schema.curate(schema_pb2.Schema(), task, ("a", "b"))
    site = _feature(found, "site")
    assert site.type == schema_pb2.BYTES and not site.presence.min_fraction and not site.HasField("string_domain")
    assert _spec(found)["site"] == tf.io.VarLenFeature(tf.string)
    assert "site" not in _spec(schema.curate(schema_pb2.Schema(), TASK, ("a", "b")))
