"""The sample, against records whose facts are known by construction, and generated images against PIL."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from data.errors import DataError
from data.families import IS_NEW
from data.images import ops
from data.images.edge_cases import EDGE_CASES, edge_cases_of
from data.images.formats import read_header
from data.input.probe_sample import choose_probes, make_edge_cases
from data.records import image_record
from data.spec import Classes, Image, Labels, Number, Vector
from tests.data.input.vector_shards import vector_example

NEW = ("WebP", "WebP with alpha", "animated WebP", "EXIF-rotated WebP", "JPEG XL") if IS_NEW else ()
FEATURE = Image(8, 8)


def write(path, serialized):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in serialized:
            writer.write(one)
    return str(path)


def record(contents: bytes, label="a", source="s") -> bytes:
    with Pil.open(io.BytesIO(contents)) as image:
        size = (image.height, image.width)
    return image_record(contents, size, read_header(contents), label, source).example


def parsed(one: bytes):
    return tf.train.Example.FromString(one).features.feature


def contents_of(one: bytes) -> bytes:
    return parsed(one)["image"].bytes_list.value[0]


@pytest.fixture(scope="module")
def odd(smooth, encode) -> dict[str, bytes]:
    """Records by what is special about them, among 40 of one size and kind."""
    exif = Pil.Exif()
    exif[0x0112] = 8
    of = {
        "plain": record(encode(smooth(0), "JPEG"), "b"),
        "small": record(encode(smooth(1, 5, 8), "JPEG")),
        "large": record(encode(smooth(2, 90, 145), "JPEG", quality=5)),
        "tall": record(encode(smooth(3, 60, 20), "JPEG")),
        "wide": record(encode(smooth(4, 20, 90), "JPEG")),
        "few bytes": record(encode(np.zeros((23, 37, 3), np.uint8), "PNG")),
        "many bytes": record(encode(np.random.default_rng(0).integers(0, 256, (60, 96, 3), np.uint8), "BMP")),
        "grey": record(encode(smooth(5)[..., 0], "JPEG")),
        "turned": record(encode(smooth(6), "JPEG", exif=exif)),
        "other class": record(encode(smooth(7), "JPEG"), "z"),
    }
    return {**of, **{f"usual {n}": record(encode(smooth(10 + n), "JPEG"), "b") for n in range(30)}}


@pytest.fixture(scope="module")
def shards(odd, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("shards")
    given = list(odd.values())
    parts: list[list[bytes]] = [given[:3], given[3:4], [], given[4:]]  # one empty, one of a single record
    return [write(folder / f"{number}", part) for number, part in enumerate(parts)]


def test_special_records_are_chosen_with_their_reasons(odd, shards):
    names = {one: name for name, one in odd.items()}
    found = choose_probes(shards, FEATURE, Classes(), limit=0)
    assert {names[one.record]: one.reason for one in found if one.record in names} == {
        "small": "class a, smallest",
        "plain": "class b, jpeg, colour",
        "other class": "class z",
        "large": "largest",
        "few bytes": "fewest bytes, png",
        "many bytes": "most bytes, bmp",
        "tall": "tallest",
        "wide": "widest",
        "grey": "grey",
        "turned": "EXIF orientation 8",
    }
    assert [one.reason for one in found][:3] == ["class a, smallest", "class b, jpeg, colour", "class z"]


def test_only_missing_kinds_are_generated(shards):
    whys = [one.reason for one in choose_probes(shards, FEATURE, Classes()) if one.is_generated]
    lacking = (
        "RGBA PNG",
        "16-bit PNG",
        "CMYK JPEG",
        "GIF",
        "EXIF-mirrored PNG",
        "progressive JPEG",
        "one pixel",
        "wide strip",
    )
    assert whys == [f"generated: {kind}" for kind in (*lacking, *NEW)]


def test_the_rest_is_random_without_repeats_up_to_the_limit(odd, shards):
    runs = {seed: choose_probes(shards, FEATURE, Classes(), limit=25, seed=seed) for seed in (0, 1)}
    assert runs[0] == choose_probes(shards, FEATURE, Classes(), limit=25, seed=0)
    real = [[one for one in run if not one.is_generated] for run in runs.values()]
    assert [len(run) for run in real] == [25, 25]
    assert all(len({one.record for one in run}) == 25 for run in real)
    assert real[0][:10] == real[1][:10] and real[0][10:] != real[1][10:]
    assert {one.reason for run in real for one in run[10:]} == {"random"}
    everything = choose_probes(shards, FEATURE, Classes(), limit=1000)
    assert {one.record for one in everything} >= set(odd.values())


def test_every_class_stays_however_many(tmp_path, smooth, encode):
    contents = encode(smooth(1), "PNG")
    serialized = [record(contents, f"c{n:03d}", str(n // 100)) for n in (*range(100), *range(100))]
    found = choose_probes([write(tmp_path / "x", serialized)], FEATURE, Classes(), limit=7)
    assert [one.record for one in found[:100]] == serialized[:100]
    assert [one.reason.split(",")[0] for one in found[:100]] == [f"class c{n:03d}" for n in range(100)]
    assert all(one.is_generated for one in found[100:])


def test_records_without_facts_are_chosen_by_class(tmp_path, smooth, encode):
    """As other programs write them, for models that are not Skewless's."""
    examples = []
    for label in "xyx":
        example = tf.train.Example()
        example.features.feature["image"].bytes_list.value.append(encode(smooth(1), "PNG"))
        example.features.feature["label"].bytes_list.value.append(label.encode())
        examples.append(example.SerializeToString())
    found = choose_probes([write(tmp_path / "x", examples)], FEATURE, Classes(), limit=0)
    assert [one.record for one in found[:2]] == examples[:2]
    assert [one.reason for one in found[:2]] == ["class x, unknown format, unknown channels", "class y"]


@pytest.mark.parametrize("feature", [Image(8, 8), Vector(1)])
def test_several_labels_each_one_none_and_the_most(feature, tmp_path, smooth, encode):
    contents = encode(smooth(1), "PNG")
    sets = [("b",), ("b", "é"), ("a", "b"), (), ("a", "b", "c"), (), *[("b",)] * 1500, ("a", "b", "c"), ("d",)]
    serialized = [
        record(contents, names, str(number)) if isinstance(feature, Image) else vector_example([0.0], (*names,))
        for number, names in enumerate(sets)
    ]
    found = choose_probes([write(tmp_path / "x", serialized)], feature, Labels(), limit=0)
    reasons = [one.reason.split(", smallest")[0].split(", png")[0] for one in found if not one.is_generated]
    assert [reason.removesuffix(", colour") for reason in reasons] == [
        "label a",
        "label b",
        "label c, most labels",
        "label d",
        "label é",
        "no label",
    ]
    rows = [serialized.index(one.record) for one in found if not one.is_generated]
    assert [sets[row] for row in rows] == [("a", "b"), ("b",), ("a", "b", "c"), ("d",), ("b", "é"), ()]


def test_one_label_each_has_no_most(tmp_path):
    serialized = [vector_example([0.0], (name,)) for name in "ab"]
    found = choose_probes([write(tmp_path / "x", serialized)], Vector(1), Labels(), limit=0)
    assert [one.reason for one in found] == ["label a", "label b"]


@pytest.mark.parametrize("names", [(), ("cat", "dog")])
def test_generated_images_have_all_labels(names, smooth, encode):
    found = make_edge_cases(record(encode(smooth(1), "PNG"), names), FEATURE)
    assert found
    for one in found:
        label = parsed(one.record)["label"]
        assert label.WhichOneof("kind") == "bytes_list"
        assert tuple(name.decode() for name in label.bytes_list.value) == names


def test_numbers_by_label_and_column(tmp_path):
    rows = [([0.0, 5.0], 1.0), ([1.0, 5.0], -1.0), ([-3.0, 5.0], 0.5), ([0.5, 5.0], 9.0), ([7.0, 5.0], 2.0)]
    serialized = [vector_example(values, label) for values, label in rows]
    file = write(tmp_path / "x", serialized)
    found = choose_probes([file], Vector(2), Number(), limit=5)
    assert [(serialized.index(one.record), one.reason) for one in found] == [
        (1, "lowest label"),
        (3, "highest label"),
        (2, "lowest of column 0"),
        (4, "highest of column 0"),  # and none of column 1, which is constant
        (0, "random"),
    ]


def test_extremes_of_many_columns_are_bounded(tmp_path):
    values = np.random.default_rng(0).normal(size=(200, 300))
    serialized = [vector_example(list(row), "ab"[n % 2]) for n, row in enumerate(values)]
    found = choose_probes([write(tmp_path / "x", serialized)], Vector(300), Classes(), limit=0)
    rows = [serialized.index(one.record) for one in found]
    assert set(rows) == {0, 1, *values[:, :16].argmin(axis=0), *values[:, :16].argmax(axis=0)}


@pytest.mark.parametrize("content", [None, b"no record at all"])
def test_files_that_cannot_be_read_are_an_error(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content or b"")
    with pytest.raises(DataError, match="no records in" if content is None else "cannot read the records of"):
        choose_probes([str(path)], FEATURE, Classes())
    with pytest.raises(DataError):
        choose_probes([str(tmp_path / "absent")], FEATURE, Classes())


@pytest.mark.parametrize("label", ["horse", 2.5])
def test_generated_images_are_of_the_kind_they_name(label, smooth, encode):
    found = make_edge_cases(record(encode(smooth(1, 300, 400), "PNG"), label), FEATURE)
    assert [one.reason for one in found] == [f"generated: {kind}" for kind in EDGE_CASES]
    seen: dict[str, tuple[Any, ...]] = {}
    for one in found:
        features, contents, kind = parsed(one.record), contents_of(one.record), one.reason.removeprefix("generated: ")
        value = features["label"]
        assert (value.bytes_list.value or value.float_list.value)[0] == (b"horse" if label == "horse" else 2.5)
        assert kind in edge_cases_of(contents)
        if kind in NEW:  # Pillow here reads no JPEG XL; see test_new_formats
            continue
        image = Pil.open(io.BytesIO(contents))
        facts = [features[f"image/{name}"].int64_list.value[0] for name in ("width", "height", "bytes")]
        assert facts == [*image.size, len(contents)]
        assert ops.decode(tf.constant(contents), 3).shape == (image.height, image.width, 3)
        seen[kind] = (image.format, image.mode, image.size, image.getexif().get(0x0112), image)
    assert {kind: values[:4] for kind, values in seen.items()} == {
        "grey JPEG": ("JPEG", "L", (256, 192), None),
        "RGBA PNG": ("PNG", "RGBA", (256, 192), None),
        "16-bit PNG": ("PNG", "I;16", (256, 192), None),
        "CMYK JPEG": ("JPEG", "CMYK", (256, 192), None),
        "GIF": ("GIF", "P", (256, 192), None),
        "BMP": ("BMP", "RGB", (256, 192), None),
        "EXIF-rotated JPEG": ("JPEG", "RGB", (256, 192), 6),
        "EXIF-mirrored PNG": ("PNG", "RGB", (256, 192), 5),
        "progressive JPEG": ("JPEG", "RGB", (256, 192), None),
        "one pixel": ("PNG", "RGB", (1, 1), None),
        "wide strip": ("PNG", "RGB", (512, 8), None),
    }
    progressive = seen["progressive JPEG"][4]
    assert progressive.info["progressive"] and progressive.layer[0][1:3] == (2, 2)  # 4:2:0
    assert seen["RGBA PNG"][4].getextrema()[3] == (0, 255)


@pytest.mark.parametrize("pixels", [1, 3, 50, 64, 1000])
def test_no_made_picture_has_more_pixels_than_allowed(pixels, smooth, encode):
    limited = Image(8, 8, max_pixels=pixels)
    side = int(pixels**0.5)
    found = make_edge_cases(record(encode(smooth(1, side, pixels // side), "PNG")), limited)
    assert len(found) == len(EDGE_CASES)
    for one in found:
        assert ops.decode(tf.constant(contents_of(one.record)), 3, max_pixels=pixels).shape[2] == 3


def test_what_the_models_decoder_rejects_is_not_generated(smooth, encode):
    """No decoder of TensorFlow's gives grey for CMYK."""
    whys = {one.reason for one in make_edge_cases(record(encode(smooth(1), "PNG")), Image(8, 8, channels=1))}
    assert whys == {f"generated: {kind}" for kind in EDGE_CASES if kind != "CMYK JPEG"}


def test_kinds_of_never_raises():
    for contents in (b"", b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(30), bytes(100)):
        assert edge_cases_of(contents) <= {"GIF"}
