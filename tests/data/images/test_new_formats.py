"""WebP and JPEG XL: decoded in the graph as Pillow and the files' own pixels say, or rejected with a reason."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.families import IS_NEW
from data.images import ops
from data.images.edge_cases import EDGE_CASES, edge_cases_of, make_edge_case
from data.images.formats import read_header
from data.images.headers import ALPHA, ANIMATION, EXIF_ROTATION, PART
from data.images.validate import check_bytes, check_files
from data.spec import Image as Spec
from tests.conftest import frame_count

# Made with cjxl 0.7, lossless, of the pixels below; Pillow writes no JPEG XL.
ROWS, COLUMNS = np.mgrid[0:6, 0:8]
PIXELS = np.stack([COLUMNS * 32, ROWS * 40, (COLUMNS + ROWS) * 16], axis=2).astype(np.uint8)
JPEG_XL = {
    "RGB": "/wooMBBQXAgIAgEAvABLOGmYyoP3KyiIGLHBMQY1BnMcYw+g6qmJ05DzdCTX3X6hfvABhPwDAJn+NsDqDQ==",
    "grey": "/wooMBAUFwIIAgEAYABLOGmYyoP3KyhIigsUAI6IiIgAAAAAAAA=",
    "grey with alpha": "/wooMLAoLgQICBAAiABLKDZGH78VFCSJhAkuHsMwDMMwAAAAAACIMcYYIwAAAAAA",
    "alpha": "/wooMLCguBAICBAA7ABLOGmYyoP3KSgIKJDnGIMag6e6B1DfoQQA7PoAcH0BcE8gU+EfCQD4HwCghxH+X+/+/3WPZPUeScAWAg==",
    "in a container": "AAAADEpYTCANCocKAAAAFGZ0eXBqeGwgAAAAAGp4bCAAAABFanhsY/8KKDAQUFwICAIBALwASzhpmMqD9ysoiBixwTEGNQ"
    "ZzHGMPoOqpidOQ83Qk191+oX7wAYT8AwCZ/jbA6g0=",
    "animation": "/wooMEEAFhSXBAgIoAIAANQASzhpmMqD9ysoiBix1DEGNQZzHGNj8HoHUDkbjd7JHUiSfgdvGRiIAPD0D2BAAhv94QYS/gEI"
    "KACAAD0AEs4aZjKg/srKAiAGjE2xoioA6hFcDUGEMRRDEEQM9obRv3v4cDP/r8AAAAA7B/wPA8H+/M8zxMx+jz+wNgICKBCAAD0AEs4aZjKg/cr"
    "KAiAGjE2xoioA6ghyiUGEMREAEFQ3+4XB/8PwoCAvf8vAACA5TfwPE9nz/M8zxMF9Tz+wNg=",
}
needs_new = pytest.mark.skipif(not IS_NEW, reason="TensorFlow 2.16 decodes neither WebP nor JPEG XL")


def jpeg_xl(name: str) -> bytes:
    return base64.b64decode(JPEG_XL[name] + "==")


def webp(*pictures: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
    pictures[0].save(out, "WEBP", **more, **options)
    return out.getvalue()


def decoded(contents: bytes, channels: int = 3, **limits: Any) -> np.ndarray:
    return ops.decode(tf.constant(contents), channels, **limits).numpy()


@needs_new
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("size", [(1, 1), (8, 6), (300, 7), (255, 256)])
def test_webp_is_what_pillow_reads(size, mode, lossless, smooth: Callable[..., np.ndarray]) -> None:
    picture = Image.fromarray(smooth(1, size[1], size[0])).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(size))
    contents = webp(picture, lossless=lossless)
    with Image.open(io.BytesIO(contents)) as opened:
        expected = np.asarray(opened.convert("RGBA"))[..., :3]  # alpha is dropped, not blended
    np.testing.assert_array_equal(decoded(contents), expected)
    grey = tf.image.rgb_to_grayscale(expected).numpy()
    np.testing.assert_array_equal(decoded(contents, 1), grey)
    header = read_header(contents)
    assert header.format == "webp" and (ALPHA in header.remarks) == (mode == "RGBA")


@needs_new
@pytest.mark.parametrize("lossless", [True, False])
def test_of_an_animation_the_first_frame(lossless, smooth: Callable[..., np.ndarray]) -> None:
    frames = [Image.fromarray(smooth(seed, 40, 30)) for seed in range(5)]
    contents = webp(*frames, lossless=lossless)
    with Image.open(io.BytesIO(contents)) as opened:
        assert frame_count(contents) == 5
        expected = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(decoded(contents), expected)
    assert read_header(contents).remarks == (ANIMATION,)
    assert edge_cases_of(contents) == {"animated WebP"}


@needs_new
@pytest.mark.parametrize("name", JPEG_XL)
def test_jpeg_xl_is_what_it_was_made_of(name) -> None:
    expected = np.repeat(PIXELS[..., :1], 3, axis=2) if name.startswith("grey") else PIXELS
    contents = jpeg_xl(name)
    np.testing.assert_array_equal(decoded(contents), expected)
    assert decoded(contents, 1).shape == (6, 8, 1)
    assert read_header(contents).format == "jxl"
    assert check_bytes([contents], 3)[0].size == (6, 8)


@needs_new
@pytest.mark.parametrize(
    "make", [lambda: webp(Image.fromarray(PIXELS)), lambda: jpeg_xl("RGB"), lambda: jpeg_xl("in a container")]
)
def test_the_limit_is_read_from_the_header(make) -> None:
    assert decoded(make(), max_pixels=48).shape == (6, 8, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="claims more than 47 pixels"):
        decoded(make(), max_pixels=47)


@needs_new
def test_the_size_in_a_wrong_header_is_not_used() -> None:
    """VP8X's canvas says 1x1; the frame, which is decoded, counts."""
    contents = bytearray(webp(Image.fromarray(PIXELS), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"))
    assert contents[12:16] == b"VP8X"
    contents[24:30] = bytes(6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="claims more than 10 pixels"):
        decoded(bytes(contents), max_pixels=10)
    huge = bytearray(jpeg_xl("RGB"))
    huge[2:] = ((0b11 << 1 | (2**30 - 1) << 3).to_bytes(9, "little")) + bytes(huge[11:])  # not small; 30 bits of height
    (checked,) = check_bytes([bytes(huge)], 3)
    assert "claims more than" in checked.message


@needs_new
def test_batches_of_all_kinds(encode: Callable[..., bytes]) -> None:
    picture = Image.fromarray(PIXELS)
    files = [
        *(encode(picture, "PNG"), encode(picture, "BMP"), webp(picture, lossless=True), jpeg_xl("RGB")),
        *(webp(picture, picture.transpose(Image.Transpose.ROTATE_180), lossless=True), jpeg_xl("animation")),
    ]
    found = ops.decode_batch(tf.constant(files * 4), Spec(6, 8)).numpy()
    np.testing.assert_array_equal(found, np.tile(PIXELS, (24, 1, 1, 1)))


@needs_new
def test_a_rotation_is_a_remark() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    header = read_header(webp(Image.fromarray(PIXELS), exif=exif.tobytes()))
    assert header.orientation == 6 and header.remarks == (EXIF_ROTATION,)


@needs_new
def test_a_first_frame_that_fills_a_part_of_the_canvas_is_a_remark() -> None:
    contents = bytearray(webp(Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1]), lossless=True))
    contents[24] += 8  # the canvas's width
    assert set(read_header(bytes(contents)).remarks) == {ANIMATION, PART}


@needs_new
@pytest.mark.parametrize("make", [lambda: webp(Image.fromarray(PIXELS)), lambda: jpeg_xl("in a container")])
def test_cut_or_flipped_files_are_rejected_or_read(make) -> None:
    """No crash, no foreign words; TensorFlow's own op is memory-unsafe for animations, so it never sees one."""
    whole = make()
    rng = np.random.default_rng(0)
    broken = [whole[:end] for end in range(0, len(whole), 3)]
    for _ in range(100):
        one = bytearray(whole)
        for place in rng.integers(0, len(one), rng.integers(1, 4)):
            one[place] = rng.integers(0, 256)
        broken.append(bytes(one))
    for checked in check_bytes(broken, 3, 10_000):
        assert not checked.message or "{{" not in checked.message


@needs_new
def test_the_gate_makes_them() -> None:
    for kind in ("WebP", "WebP with alpha", "animated WebP", "JPEG XL"):
        assert kind in EDGE_CASES and kind in edge_cases_of(make_edge_case(kind, PIXELS, 10_000))
        assert decoded(make_edge_case(kind, PIXELS, 10_000)).ndim == 3


@pytest.mark.skipif(IS_NEW, reason="TensorFlow 2.21 decodes them")
def test_the_older_family_names_the_newer(tmp_path: Path) -> None:
    for name, contents in (("a.webp", webp(Image.fromarray(PIXELS))), ("a.jxl", jpeg_xl("RGB"))):
        (tmp_path / name).write_bytes(contents)
        (checked,) = check_files([str(tmp_path / name)], 3)
        assert checked.reason == "unsupported format" and "Python 3.11 or later" in checked.message
