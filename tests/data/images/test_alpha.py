"""Blending of transparent pixels against Pillow's `alpha_composite`, for every format that has them."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from data.errors import UsageError
from data.images import alpha, ops
from data.images.formats import DECODED
from data.images.validate import check_bytes
from data.spec import Image, parse_colour

COLOURS = ["white", "black", "#10c0ff"]
ALPHAS = (0, 1, 77, 128, 254, 255)


def _rgba() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.dstack([rng.integers(0, 256, (9, 7, 3)), rng.choice(ALPHAS, (9, 7))]).astype(np.uint8)


def _saved(image: Pil.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _png(pixels: np.ndarray, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow does not write; `chunks` precede the pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in parts)


def _bmp(rgba: np.ndarray, masks: tuple[int, int, int, int]) -> bytes:
    """Return a BMP of 32 bits with bit masks; the bytes of a pixel are blue, green, red, alpha."""
    height, width = rgba.shape[:2]
    head = struct.pack("<IiiHHIIIIII", 56, width, -height, 1, 32, 3, 0, 0, 0, 0, 0) + struct.pack("<4I", *masks)
    body = rgba[..., [2, 1, 0, 3]].tobytes()
    return b"BM" + struct.pack("<IHHI", 70 + len(body), 0, 0, 70) + head + body


@functools.cache
def _files() -> dict[str, bytes]:
    rgba = _rgba()
    image, rgb = Pil.fromarray(rgba), Pil.fromarray(rgba[..., :3])
    palette = rgb.quantize(8)
    animated = {"save_all": True, "append_images": [palette.rotate(180)]}
    files = {
        "RGBA PNG": _saved(image),
        "grey and alpha PNG": _saved(Pil.fromarray(rgba[..., 2:], "LA")),
        "palette PNG": _saved(palette, transparency=bytes([0, 90, 255, 128])),
        "palette PNG of 4 bits": _saved(rgb.quantize(16), bits=4, transparency=bytes([0, 9])),
        "transparent colour PNG": _saved(rgb, transparency=tuple(rgba[2, 3, :3].tolist())),
        "transparent grey PNG": _saved(rgb.convert("L"), transparency=rgb.convert("L").getpixel((3, 2))),
        "late chunk PNG": _saved(palette, transparency=bytes([0, 90]), dpi=(72, 72)),
        "GIF": _saved(palette, "GIF", transparency=3),
        "GIF with a comment": _saved(palette, "GIF", transparency=3, comment=b"\x21\xf9\x04\x01" * 9),
        "animated GIF": _saved(palette, "GIF", transparency=3, **animated),
        "BMP with a mask": _bmp(rgba, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    }
    if "webp" in DECODED:
        files |= {
            "lossy WebP": _saved(image, "WEBP", quality=70),
            "lossless WebP": _saved(image, "WEBP", lossless=True, exact=True),
            "animated WebP": _saved(image, "WEBP", save_all=True, append_images=[image.rotate(180)]),
        }
    return files


OPAQUE = {
    "RGB PNG": lambda rgb: _saved(rgb),
    "grey PNG": lambda rgb: _saved(rgb.convert("L")),
    "palette PNG": lambda rgb: _saved(rgb.quantize(8)),
    "GIF": lambda rgb: _saved(rgb.quantize(8), "GIF"),
    "BMP": lambda rgb: _saved(rgb, "BMP"),
    "BMP whose fourth byte is no alpha": lambda rgb: _saved(rgb.convert("RGBA"), "BMP"),
    "JPEG": lambda rgb: _saved(rgb, "JPEG"),
}


@functools.cache
def _decoder(channels: int, background: str) -> Callable[[bytes], np.ndarray]:
    decode = tf.function(
        lambda contents: ops.decode(contents, channels, background=background), [tf.TensorSpec([], tf.string)]
    )
    return lambda contents: decode(tf.constant(contents)).numpy()


def _by_pillow(contents: bytes, background: str) -> np.ndarray:
    image = Pil.open(io.BytesIO(contents)).convert("RGBA")
    return np.asarray(Pil.alpha_composite(Pil.new("RGBA", image.size, background), image).convert("RGB"))


def test_the_arithmetic_is_pillows_for_every_value():
    values, alphas = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.dstack([values, values, values, alphas]).astype(np.uint8)
    blend = tf.function(alpha.blend, autograph=False)
    for grey in (0, 1, 100, 127, 128, 254, 255):
        colour = (grey, 255 - grey, 7)
        canvas = Pil.new("RGBA", (256, 256), colour)
        expected = Pil.alpha_composite(canvas, Pil.fromarray(rgba)).convert("RGB")
        np.testing.assert_array_equal(blend(tf.constant(rgba), colour), np.asarray(expected))


@pytest.mark.parametrize("background", COLOURS)
@pytest.mark.parametrize("name", list(_files()))
def test_every_format_is_blended_as_pillow_does(name, background):
    contents = _files()[name]
    expected = _by_pillow(contents, background)
    np.testing.assert_array_equal(_decoder(3, background)(contents), expected)
    assert np.asarray(Pil.open(io.BytesIO(contents)).convert("RGBA"))[..., 3].min() < 255
    grey = np.asarray(Pil.fromarray(expected).convert("L")).astype(int)
    assert np.abs(_decoder(1, background)(contents)[..., 0] - grey).max() <= 1


@pytest.mark.parametrize("name", list(OPAQUE))
def test_without_alpha_nothing_changes(name):
    contents = OPAQUE[name](Pil.fromarray(_rgba()[..., :3]))
    for channels in (1, 3):
        plain = _decoder(channels, "")(contents)
        np.testing.assert_array_equal(_decoder(channels, "#10c0ff")(contents), plain)


def test_an_opaque_pixel_is_as_grey_as_without_alpha():
    """The grey of a blended PNG is that of TensorFlow's decoder: two pictures of a data set do not differ by it."""
    rgb = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    rgba = np.dstack([rgb, np.full((64, 64), 255, np.uint8)])
    expected = tf.io.decode_png(_saved(Pil.fromarray(rgb)), channels=1)
    np.testing.assert_array_equal(_decoder(1, "white")(_saved(Pil.fromarray(rgba))), expected)


def test_of_16_bits_the_upper_8_are_blended():
    deep = np.random.default_rng(2).integers(0, 2**16, (6, 5, 4))
    blended = _decoder(3, "#10c0ff")(_png(deep, 6))
    upper = Pil.fromarray((deep >> 8).astype(np.uint8))
    expected = Pil.alpha_composite(Pil.new("RGBA", upper.size, "#10c0ff"), upper).convert("RGB")
    np.testing.assert_array_equal(blended, np.asarray(expected))
    np.testing.assert_array_equal(_decoder(3, "")(_png(deep, 6)), (deep >> 8)[..., :3])


def test_a_transparent_grey_of_16_bits_is_compared_in_16_bits():
    deep = np.array([[[0x1234], [0x1235]]])
    found = _decoder(1, "white")(_png(deep, 0, (b"tRNS", b"\x12\x34")))
    assert found[..., 0].tolist() == [[255, 0x12]]


def test_a_damaged_chunk_is_an_error_and_no_endless_loop():
    whole = _files()["palette PNG"]
    for contents in (whole[:33] + b"\xff\xff\xff\xfftRNX" + whole[41:], whole[:60], whole[:33] + bytes(40)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            _decoder(3, "white")(contents)


@pytest.mark.parametrize("side", [8, 120])
def test_a_batch_is_its_pictures(side):
    spec = Image(side, side, fit="crop", background="#10c0ff")
    files = [*_files().values(), *(make(Pil.fromarray(_rgba()[..., :3])) for make in OPAQUE.values())]
    batch = tf.function(lambda some: ops.decode_batch(some, spec), [tf.TensorSpec([None], tf.string)])
    one = tf.function(lambda contents: ops.decode_and_resize(contents, spec), [tf.TensorSpec([], tf.string)])
    np.testing.assert_array_equal(batch(tf.constant(files)), [one(tf.constant(contents)) for contents in files])


@pytest.mark.skipif("webp" not in DECODED, reason="this TensorFlow decodes no WebP")
def test_a_damaged_alpha_channel_is_found_by_ingestion_only_if_it_is_used():
    contents = bytearray(_files()["lossy WebP"])
    at = contents.index(b"ALPH") + 8
    contents[at] = 0x03  # a compression that does not exist
    assert not check_bytes([bytes(contents)], 3)[0].reason
    assert "damaged" in check_bytes([bytes(contents)], 3, background="white")[0].message


def _op_types(spec: Image) -> set[str]:
    graph = tf.function(lambda some: ops.decode_batch(some, spec)).get_concrete_function(
        tf.TensorSpec([None], tf.string)
    )
    definition = graph.graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return {node.op for node in nodes}


def test_the_default_has_no_op_for_what_it_does_not_do():
    plain = _op_types(Image(40, 40))
    assert "DecodePng" in _op_types(Image(40, 40, background="white")) - plain
    assert "Sqrt" in _op_types(Image(40, 40, fit="pad")) - plain


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", (255, 255, 255)), ("black", (0, 0, 0)), ("#10c0fF", (16, 192, 255)), ("#000000", (0, 0, 0))],
)
def test_colours(text, colour):
    assert parse_colour(text) == colour
    assert Image(2, 2, background=text).background == text


@pytest.mark.parametrize("text", ["red", "White", "#fff", "#12345g", "123456", "#1234567", " white", "#12345 "])
def test_other_colours_are_an_error_with_a_hint(text):
    with pytest.raises(UsageError, match=r"feature.background must be white, black or #rrggbb, got '") as caught:
        Image(2, 2, background=text)
    assert "#ff8000" in (caught.value.hint or "")


def test_an_unknown_fit_is_an_error():
    with pytest.raises(UsageError, match="feature.fit must be one of stretch, crop, pad, got 'contain'"):
        Image(2, 2, fit="contain")  # type: ignore[arg-type]
