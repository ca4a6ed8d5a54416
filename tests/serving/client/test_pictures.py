"""Conversion of pictures: one or several, of any library, in files of any kind. No server."""

from __future__ import annotations

import array
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from data.images.formats import read_header
from data.images.headers import ORIENTATION
from serving.client import InvalidPicture, InvalidRequest, UnreadablePicture
from serving.client.pictures import encode_picture, list_pictures, load_picture
from serving.client.tensor import to_tensor

PIXELS = np.random.default_rng(2).integers(0, 256, (5, 7, 3), np.uint8)


class Broken:
    """As a tensor on a device."""

    def __array__(self, dtype: Any = None) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.\nUse Tensor.cpu() first.")


def test_errors_of_an_array_s_own_library_are_quoted() -> None:
    with pytest.raises(
        InvalidRequest,
        match="cannot make an array from a value of type Broken: can't convert cuda:0 device type tensor to numpy.$",
    ):
        to_tensor(Broken())


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        PIXELS[:, :, 0],
        PIXELS[:, :, :1],
        PIXELS[::-1, ::2],
        np.dstack([PIXELS, PIXELS[:, :, :1]]),
        tf.constant(PIXELS),
        PIXELS.data,
        Image.fromarray(PIXELS),
        Image.fromarray(PIXELS[:, :, 0]),
        Image.fromarray(PIXELS).quantize(7),
        Image.fromarray(PIXELS).convert("1"),
    ],
    ids=["colour", "grey", "one channel", "strided", "alpha", "tf", "memoryview", "PIL", "PIL L", "PIL P", "PIL 1"],
)
def test_pixels_arrive_as_they_were(given: Any) -> None:
    file = encode_picture(given)
    wanted = given if isinstance(given, Image.Image) else _pil(np.asarray(given))
    decoded = tf.io.decode_image(file, channels=3).numpy()
    np.testing.assert_array_equal(decoded, np.asarray(wanted.convert("RGB")))
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(file)).convert("RGBA")), np.asarray(wanted.convert("RGBA"))
    )


def test_16_bits_arrive_as_they_were() -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (3, 4)).astype(np.uint16)
    file = encode_picture(Image.fromarray(deep))
    np.testing.assert_array_equal(tf.io.decode_png(file, dtype=tf.uint16)[..., 0], deep)
    np.testing.assert_array_equal(tf.io.decode_png(file)[..., 0], deep >> 8)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (np.zeros((2, 2), np.uint16), "the upper 8 of 16 bits: (array >> 8).astype('uint8')"),
        (Image.new("I", (2, 2)), "image.convert('I;16')"),
        (Image.new("F", (2, 2)), "whole numbers 0 to 255"),
    ],
)
def test_numbers_of_more_than_8_bits_are_refused_with_what_to_do(given: Any, hint: str) -> None:
    with pytest.raises(InvalidPicture) as caught:
        encode_picture(given)
    assert hint in (caught.value.hint or "")


def test_a_transparent_colour_is_sent() -> None:
    palette = Image.fromarray(PIXELS).quantize(4)
    palette.info["transparency"] = 1
    alpha = tf.io.decode_png(encode_picture(palette), channels=4)[..., 3].numpy()
    np.testing.assert_array_equal(alpha == 0, np.asarray(palette) == 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pil_image_keeps_the_orientation_of_its_file_and_nothing_else_of_its_exif(
    orientation: int, kind: str, encode: Callable[..., bytes]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = orientation, "a camera"
    opened = Image.open(io.BytesIO(encode(PIXELS, kind, exif=exif)))
    wanted = np.asarray(ImageOps.exif_transpose(opened))
    for given in (opened, opened.convert("RGBA").convert("RGB")):
        file = encode_picture(given)
        assert read_header(file).orientation == orientation and b"camera" not in file
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file)))), wanted)
    assert read_header(encode_picture(ImageOps.exif_transpose(opened))).orientation == 1


def test_odd_exif_of_a_pil_image_is_upright() -> None:
    for odd in (b"", b"Exif\0\0", b"II*\0", "text", None, 6):
        image = Image.fromarray(PIXELS)
        image.info["exif"] = odd
        assert read_header(encode_picture(image)).orientation == 1


def _pil(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels)


def test_files_are_sent_as_they_are(tmp_path: Path) -> None:
    content = b"\xff\xd8 whatever"
    (tmp_path / "a.jpg").write_bytes(content)
    for given in (content, bytearray(content), memoryview(content), tmp_path / "a.jpg", str(tmp_path / "a.jpg")):
        assert encode_picture(given) == content


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (PIXELS / 255, r"not a picture: an array of float64 \[5, 7, 3\]"),
        (PIXELS > 99, r"not a picture: an array of bool \[5, 7, 3\]"),
        (PIXELS.astype(">u2"), r"not a picture: an array of uint16 \[5, 7, 3\]"),
        (PIXELS[:, :, :2], r"an array of uint8 \[5, 7, 2\]"),
        (PIXELS[None], r"an array of uint8 \[1, 5, 7, 3\]"),
        (np.array(["a"], object), r"not a picture: an array of 'O' \[1\]"),
        (Broken(), "cannot make an array from a value of type Broken: can't convert cuda:0"),
        (b"", "a picture of 0 bytes"),
        (io.BytesIO(b""), "a picture of 0 bytes"),
        (io.StringIO("text"), "a StringIO returns str, not bytes"),
        (PIXELS[:0], r"\[0, 7, 3\]"),
        (3, "not a picture: int"),
        (Image.new("CMYK", (2, 2)), "mode CMYK"),
        (Image.new("F", (2, 2)), "mode F"),
    ],
)
def test_no_pictures(given: Any, words: str) -> None:
    with pytest.raises(InvalidPicture, match=words) as caught:
        encode_picture(given)
    assert caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePicture, match="cannot read .*a.png: No such file or directory"):
        encode_picture(tmp_path / "a.png")


def test_a_picture_in_a_file_of_pil_s_that_is_lazy(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "BMP")
    decoded = tf.io.decode_image(encode_picture(Image.open(out))).numpy()
    np.testing.assert_array_equal(decoded, PIXELS)


class Torch:
    """Pixels as torch has them: no buffer, but `__array__`, rows and a `tolist`."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None) -> np.ndarray:
        return self.array

    def __iter__(self) -> Iterator[Torch]:
        return map(Torch, self.array)


def one_picture(folder: Path) -> list[Any]:
    (folder / "a.png").write_bytes(encode_picture(PIXELS))
    return [
        str(folder / "a.png"),
        folder / "a.png",
        next(os.scandir(os.fsencode(folder))),  # a path in bytes
        encode_picture(PIXELS),
        bytearray(encode_picture(PIXELS)),
        memoryview(encode_picture(PIXELS)),
        np.frombuffer(encode_picture(PIXELS), np.uint8),
        array.array("B", encode_picture(PIXELS)),
        io.BytesIO(encode_picture(PIXELS)),
        open(folder / "a.png", "rb"),  # noqa: SIM115
        Image.fromarray(PIXELS),
        Image.open(folder / "a.png"),
        PIXELS,
        PIXELS.data,
        PIXELS.transpose(1, 0, 2)[::-1, ::2],
        Torch(PIXELS),
        tf.constant(PIXELS),
        tf.constant(encode_picture(PIXELS)),
        PIXELS[:, :, 0],
        PIXELS[:, :, :1],
        np.dstack([PIXELS, PIXELS[:, :, :1]]),
        PIXELS[:, :, :2],  # one that no server takes, but not five
        PIXELS / 255,
        np.arange(5),
    ]


def test_one_picture_is_a_list_of_one(tmp_path: Path) -> None:
    for given in one_picture(tmp_path):
        (found,) = list_pictures(given)
        assert found is given


GREY = np.random.default_rng(3).integers(0, 256, (5, 8, 9), np.uint8)


@pytest.mark.parametrize(
    "given",
    [GREY, GREY.data, Torch(GREY), tf.constant(GREY), list(GREY), (one for one in GREY), map(Torch, GREY)],
    ids=["array", "memoryview", "torch", "tf", "list", "generator", "map"],
)
def test_several_pictures_stay_several(given: Any) -> None:
    for wanted, found in zip(GREY, list_pictures(given), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_picture(found)))), wanted)


def test_arrays_of_several_pictures() -> None:
    colour = np.stack([PIXELS] * 3)
    for given in (colour, colour.data, Torch(colour), tf.constant(colour)):
        assert [encode_picture(one) for one in list_pictures(given)] == [encode_picture(PIXELS)] * 3
    assert list(list_pictures(colour[:0])) == [] == list(list_pictures([])) == list(list_pictures(iter(())))
    # One grey picture, or a picture with one row of pixels: both mean the same.
    assert [encode_picture(one) for one in list_pictures(GREY[:1])] == [encode_picture(GREY[0])]
    names = np.array(["a.png", "b.png"])
    assert list(list_pictures(names)) == list(list_pictures(names.astype(object))) == ["a.png", "b.png"]
    assert [encode_picture(one) for one in list_pictures(tf.constant([b"x", b"y"]))] == [b"x", b"y"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "not a picture: NoneType"),
        (7, "not a picture: int"),
        ({"a": b"x"}, "not a list of pictures: dict"),
        ({b"x"}, "not a list of pictures: set"),
        (GREY[:3], "is either 3 grey pictures, or one with its channels first"),
        (GREY[:4], "is either 4 grey pictures, or one with its channels first"),
        (Broken(), "cannot make an array from a value of type Broken"),
    ],
)
def test_neither_one_picture_nor_several(given: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        list_pictures(given)
    assert caught.value.hint


def odd_files(folder: Path) -> dict[str, tuple[str, str]]:
    """Return paths that are not pictures, each with the reason and the name that its error must have."""
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "empty.png").write_bytes(b"")
    with open(folder / "huge.png", "wb") as file:
        file.truncate(3 * 2**30)
    bad = os.fsdecode(os.fsencode(folder) + b"/caf\xe9\n.png")
    Path(bad).write_bytes(b"")
    return {
        str(folder / "pipe.png"): ("not a file, but a pipe or a device", "pipe.png"),
        "/dev/zero": ("not a file, but a pipe or a device", "/dev/zero"),
        str(folder / "folder.png"): ("Is a directory", "folder.png"),
        str(folder / "loop.png"): ("Too many levels of symbolic links", "loop.png"),
        str(folder / "empty.png"): ("a picture of 0 bytes", "empty.png"),
        str(folder / "huge.png"): (
            "a picture of 3221225472 bytes, more than fit into a request (2147483647)",
            "huge.png",
        ),
        str(folder / "none.png"): ("No such file", "none.png"),
        bad: ("a picture of 0 bytes", r"caf\xe9\n.png"),
        "a\0b": ("embedded null", r"a\x00b"),
        "x" * 5000: ("File name too long", "xxx...xxx"),
        "https://example.org/a.png": ("not a file, but a URL", "https://example.org/a.png"),
        "gs://bucket/a.png": ("not a file, but a URL", "gs://bucket/a.png"),
        "data:image/png;base64,AAAA": ("not a file, but a URL", "data:image/png"),
    }


def test_odd_files_fail_at_once(tmp_path: Path) -> None:
    for given, (words, name) in odd_files(tmp_path).items():
        start = time.monotonic()
        found = load_picture(given, 3)
        assert time.monotonic() - start < 5  # neither waits for a pipe's writer nor reads three gigabytes
        assert found.error is not None and not found.content
        assert words in str(found.error) and name in str(found.error) and str(found.error).isprintable()
        assert len(str(found.error)) < 500


def test_a_file_without_permission(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "a.png").chmod(0)
    before = os.geteuid()
    os.seteuid(before or 65534)  # root reads everything
    try:
        found = load_picture(tmp_path / "a.png", 0)
    finally:
        os.seteuid(before)
    assert isinstance(found.error, UnreadablePicture) and str(found.error).endswith("a.png: Permission denied")


@pytest.mark.parametrize(
    "error", [OSError("broken\nhere"), ValueError("I/O on closed file"), KeyError("x"), Exception()]
)
def test_errors_of_a_file_or_an_image_are_quoted(error: Exception) -> None:
    class File:
        def read(self) -> bytes:
            raise error

    class Lazy(Image.Image):
        mode = "RGB"

        def save(self, *_: Any, **__: Any) -> None:
            raise error

    for given in (File(), Lazy()):
        found = load_picture(given, 2).error
        assert found is not None and str(found).endswith("(images[2])") and "\n" not in str(found)


def test_interrupting_stays_what_it_is() -> None:
    class File:
        def read(self) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_picture(File(), 0)
