"""Records against `tf.train.Example`'s own builder, `tf.io`'s parsers and hashlib."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from data.images.formats import read_header
from data.images.headers import ALPHA, FLAT, SIXTEEN_BITS, Header
from data.records import FACTS, LabelValue, digest, image_record, parse_spec
from data.spec import IMAGE, LABEL, VECTOR, Classes, Image, Labels, Number, Vector
from tests.records import vector_row


def as_built(contents: bytes, size: tuple[int, int], header: Header, label: LabelValue, source: str, extras):
    """The same example, by the message's own builder."""

    def text(*values: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def whole(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    if isinstance(label, float):
        encoded_label = tf.train.Feature(float_list=tf.train.FloatList(value=[label]))
    else:
        encoded_label = text(*[name.encode() for name in ((label,) if isinstance(label, str) else label)])
    features = {
        "image": text(contents),
        "image/height": whole(size[0]),
        "image/width": whole(size[1]),
        "image/channels": whole(header.channels),
        "image/bytes": whole(len(contents)),
        "image/format": text(header.format.encode()),
        "image/source": text(source.encode()),
        "label": encoded_label,
        **{name: text(value.encode()) for name, value in extras.items()},
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def check_image(contents, size, header, label, source, **extras):
    record = image_record(contents, size, header, label, source, extras=extras)
    expected = as_built(contents, size, header, label, source, extras)
    parsed = tf.train.Example.FromString(record.example)
    assert parsed == expected
    assert len(record.example) == len(expected.SerializeToString())  # no field more, none twice
    assert set(parsed.features.feature) == {IMAGE, LABEL, *FACTS, *extras}
    assert record.labels == {str: (label,), float: (), tuple: label}[type(label)]


def test_the_wire_form_of_random_pictures():
    rng = np.random.default_rng(0)
    alphabet = np.array(list("abz/ .[]0é漢\n🐎"))

    def text() -> str:
        return "".join(rng.choice(alphabet, int(rng.integers(0, 200))))

    for _ in range(300):
        size = tuple(int(2 ** rng.uniform(0, 33)) for _ in range(2))
        header = Header(str(rng.choice(["jpeg", "png", "gif", "bmp", ""])), int(rng.integers(0, 5)))
        names = tuple(text() for _ in range(rng.integers(0, 5)))
        label = (text(), names, float(np.float32(rng.normal() * 1e6)))[rng.integers(0, 3)]
        extras = {f"{text()}{number}": text() for number in range(rng.integers(0, 3))}
        check_image(rng.bytes(int(2 ** rng.uniform(0, 12))), size, header, label, text(), **extras)


@pytest.mark.parametrize("length", [0, 1, 100, 127, 128, 16_200, 16_383, 16_384, 2_097_151, 2_097_152, 5_000_000])
def test_lengths_about_each_step_of_the_length_field(length):
    check_image(bytes(length), (length, max(0, length - 1)), Header("png", 3), "a", "b")


def test_empty_and_huge_values():
    check_image(b"", (0, 0), Header("", 0), "", "")
    check_image(b"x", (2**63 - 1, 2**31), Header("jpeg", 4), "l" * 70_000, "s" * 70_000)
    check_image(b"x", (1, 1), Header("jpeg", 3), 0.0, "s")
    check_image(b"x", (1, 1), Header("jpeg", 3), (), "s", hospital="", camera="c" * 70_000)
    check_image(b"x", (1, 1), Header("jpeg", 3), ("",) * 300, "s")


def test_tensorflow_parses_a_batch_of_them(in_both):
    records = [image_record(bytes([i]) * i, (i, 2), Header("gif", 3), f"class {i}", f"{i}.gif") for i in range(5)]
    serialized = [record.example for record in records]
    spec = parse_spec(Image(2, 2), Classes())
    images = in_both(lambda batch: tf.io.parse_example(batch, spec)[IMAGE], serialized)
    labels = in_both(lambda batch: tf.io.parse_example(batch, spec)[LABEL], serialized)
    assert images.tolist() == [bytes([i]) * i for i in range(5)]
    assert labels.tolist() == [f"class {i}".encode() for i in range(5)]
    assert set(parse_spec(Image(2, 2), None)) == {IMAGE}


@pytest.mark.parametrize("feature", [Image(1, 1), Vector(1)])
def test_several_labels_and_none(feature, in_both):
    names = [("cat", "dog"), (), ("dog",)]
    if isinstance(feature, Image):
        serialized = [image_record(b"x", (1, 1), Header("png", 1), one, "s").example for one in names]
    else:
        serialized = [vector_row([1.0], one).example for one in names]
    kinds = [tf.train.Example.FromString(one).features.feature[LABEL].WhichOneof("kind") for one in serialized]
    assert kinds == ["bytes_list"] * 3  # no names is a label, too, and not a missing one
    spec = parse_spec(feature, Labels())
    found = in_both(lambda batch: tf.sparse.to_dense(tf.io.parse_example(batch, spec)[LABEL], b"-"), serialized)
    assert found.tolist() == [[b"cat", b"dog"], [b"-", b"-"], [b"dog", b"-"]]


def test_a_number_as_a_pictures_label(in_both):
    serialized = [image_record(b"x", (1, 1), Header("png", 1), value, "s").example for value in (1.5, -2.0, 0.1)]
    spec = parse_spec(Image(1, 1), Number())
    labels = in_both(lambda batch: tf.io.parse_example(batch, spec)[LABEL], serialized)
    np.testing.assert_array_equal(labels, np.array([1.5, -2.0, 0.1], np.float32))


@pytest.mark.parametrize(("label", "spec"), [("cat", Classes()), (2.5, Number())])
def test_vectors(label, spec, in_both):
    record = vector_row([0.1, -3, 1e30], label, "file.csv:7")
    parsing = parse_spec(Vector(3), spec)
    values = in_both(lambda one: tf.io.parse_single_example(one, parsing)[VECTOR], record.example)
    found = in_both(lambda one: tf.io.parse_single_example(one, parsing)[LABEL], record.example)
    np.testing.assert_array_equal(values, np.array([0.1, -3, 1e30], np.float32))
    assert found == (b"cat" if label == "cat" else np.float32(2.5))
    assert (record.labels, record.source, record.remarks) == (("cat",) if label == "cat" else (), "file.csv:7", ())


def test_the_digest_is_the_beginning_of_sha256():
    assert digest(b"abc") == 0xBA7816BF8F01CFEA  # FIPS 180-2, appendix B.1
    assert digest(b"") == int(hashlib.sha256(b"").hexdigest()[:16], 16)


def test_equal_content_has_an_equal_digest_whatever_is_around_it():
    one = image_record(b"same", (1, 2), Header("png", 1), "a", "x.png")
    other = image_record(b"same", (1, 2), Header("png", 1), "b", "y.png")
    encoded_here = image_record(b"encoded", (1, 2), Header("png", 1), "a", "z", content=b"same")
    assert one.digest == other.digest == encoded_here.digest == digest(b"same")
    assert image_record(b"other", (1, 2), Header("png", 1), "a", "x.png").digest != one.digest
    assert vector_row([1.0, 2.0], "a", "x").digest == vector_row([1.0, 2.0], "b", "y").digest
    assert vector_row([1.0, 2.0], "a", "x").digest != vector_row([2.0, 1.0], "a", "x").digest


def test_a_record_has_the_headers_remarks():
    assert image_record(b"", (1, 1), Header("jpeg", 3, 6, ("EXIF rotation",)), "a", "s").remarks == ("EXIF rotation",)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize(("highest", "remark"), [(255, FLAT), (8191, FLAT), (65535, SIXTEEN_BITS)])
def test_a_remark_on_16_bits_says_whether_the_upper_8_are_flat(mode, highest, remark):
    """8 bits stored in 16, a sensor's 13 bits, and the full range; an alpha of 65535 is no picture."""
    deep = np.linspace(0, highest, 6 * 5 * len(mode)).reshape(6, 5, len(mode)).astype(np.uint16)
    if "A" in mode:
        deep[..., -1] = 65535
    contents = tf.io.encode_png(deep).numpy()
    found = image_record(contents, (6, 5), read_header(contents), "a", "s").remarks
    assert found == ((remark, ALPHA) if "A" in mode else (remark,))


def test_names_that_are_no_utf8(in_both):
    """The source keeps the file system's bytes; a class's name is made UTF-8, as schemas and answers want it."""
    name = os.fsdecode(b"caf\xe9")
    record = image_record(b"x", (1, 1), Header("png", 1), name, f"{name}/1.png")
    features = tf.train.Example.FromString(record.example).features.feature
    assert features["image/source"].bytes_list.value[:] == [b"caf\xe9/1.png"]
    assert features[LABEL].bytes_list.value[:] == [rb"caf\xe9"] and record.labels == (r"caf\xe9",)
    assert json.loads(json.dumps(record.source)) == record.source == f"{name}/1.png"
    numbers = vector_row([1.0], name, "s")
    assert tf.train.Example.FromString(numbers.example).features.feature[LABEL].bytes_list.value[:] == [rb"caf\xe9"]
