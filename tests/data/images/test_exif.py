"""EXIF orientation in the graph, compared with Pillow and with the reader of headers; and no bytes are an error."""

from __future__ import annotations

import io
import itertools
import re
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil
from PIL import ImageOps

from data.images import exif, ops, stored_png
from data.images.formats import DECODED, read_header
from data.images.headers import EXIF_PREFIX, MOST_ENTRIES, MOST_PARTS, ORIENTATION
from data.spec import Image
from tests.conftest import encode_picture, smooth_pixels

ALL = range(1, 9)
ORDERS = ("<", ">")
Entry = tuple[int, int, int, bytes]
"""Tag, type, count and the four bytes of the value."""


def short(order: str, value: int) -> bytes:
    """The field of a SHORT: the value comes first, in both byte orders."""
    return struct.pack(order + "HH", value, 0)


def tiff(order: str, entries: Sequence[Entry], claimed: int | None = None, start: int = 8) -> bytes:
    """TIFF data with one directory at an offset; `claimed` is the number of entries, if another one is claimed."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    count = struct.pack(order + "H", len(entries) if claimed is None else claimed)
    directory = b"".join(struct.pack(order + "HHI", *one[:3]) + one[3] for one in entries)
    return head + bytes(start - 8) + count + directory + bytes(4)


def camera(order: str, orientation: int) -> bytes:
    """TIFF data as of a camera: the orientation between a name, which lies behind the directory, and other tags."""
    after = 8 + 2 + 4 * 12 + 4
    entries = [
        (0x010F, 2, 8, struct.pack(order + "I", after)),
        (ORIENTATION, 3, 1, short(order, orientation)),
        (0x0128, 3, 1, short(order, 2)),
        (0x8769, 4, 1, struct.pack(order + "I", after + 8)),
    ]
    return tiff(order, entries) + b"Camera1\0" + bytes(6)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def jpeg(data: bytes, *before: bytes, seed: int = 1, height: int = 23, width: int = 37) -> bytes:
    """A JPEG with TIFF data in APP1, after other segments."""
    plain = encode_picture(smooth_pixels(seed, height, width), "JPEG")
    return plain[:2] + b"".join(before) + segment(0xE1, EXIF_PREFIX + data) + plain[2:]


def png(data: bytes, *, at_end: bool = False, seed: int = 1) -> bytes:
    """A PNG with TIFF data in eXIf, after the first chunk or before the last."""
    plain = encode_picture(smooth_pixels(seed, 9, 14), "PNG")
    at = len(plain) - 12 if at_end else 33
    return plain[:at] + chunk(b"eXIf", data) + plain[at:]


def webp(data: bytes, **options: object) -> bytes:
    return encode_picture(smooth_pixels(1, 9, 14), "WEBP", exif=data, **options)


@pytest.fixture(scope="module")
def read() -> Callable[[Sequence[bytes]], list[int]]:
    """Function that reads the orientations of files in one graph, and checks that the reader of headers agrees."""
    graph = tf.function(exif.read_orientations, [tf.TensorSpec([None], tf.string)], autograph=False)

    def orientations(files: Sequence[bytes]) -> list[int]:
        found = graph(tf.constant(list(files), tf.string)).numpy().tolist()
        assert found == [read_header(one).orientation if read_header(one).format in DECODED else 1 for one in files]
        return found

    return orientations


def pillows(contents: bytes) -> int | None:
    """Return Pillow's orientation, 1 if there is none that turns a picture; None if Pillow refuses the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Pil.open(io.BytesIO(contents)) as image:
                found = image.getexif().get(ORIENTATION, 1)
        except Exception:  # Pillow has many ways to refuse a file
            return None
    return found if found in ALL else 1


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
XMP = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
BEFORE = {
    "first": (),
    "after JFIF": (JFIF,),
    "after XMP": (XMP,),
    "after all of them": (
        JFIF,
        segment(0xE2, bytes(65_533)),
        segment(0xED, b"Photoshop 3.0\0"),
        segment(0xFE, b"\xff\xda"),
        XMP,
    ),
    "after fill bytes": (b"\xff\xff",),
    "after bytes between": (JFIF, b"\0\1\xff\0"),
}


@pytest.mark.parametrize("before", BEFORE)
def test_jpegs_in_both_byte_orders(before, read):
    files = [jpeg(camera(order, one), *BEFORE[before]) for order in ORDERS for one in ALL]
    assert read(files) == [pillows(one) for one in files] == [*ALL, *ALL]


def test_behind_the_frame_header(read):
    plain = encode_picture(smooth_pixels(1), "JPEG")
    scan = plain.index(b"\xff\xda")
    late = plain[:scan] + segment(0xE1, EXIF_PREFIX + camera("<", 6)) + plain[scan:]
    behind = plain[:-2] + segment(0xE1, EXIF_PREFIX + camera("<", 6)) + plain[-2:]
    assert read([late, behind]) == [pillows(late), pillows(behind)] == [6, 1]


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("prefix", [b"", EXIF_PREFIX])
def test_pngs_before_and_after_the_pixels(at_end, prefix, read):
    files = [png(prefix + camera(order, one), at_end=at_end) for order in ORDERS for one in ALL]
    assert read(files) == [pillows(one) for one in files] == [*ALL, *ALL]


def test_a_large_png_of_many_chunks(read):
    """libpng splits pixels into chunks of 8 KB."""
    whole = encode_picture(np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8), "PNG")
    data = zlib.compress(zlib.decompress(b"".join(_chunks(whole, b"IDAT"))))
    pixels = b"".join(chunk(b"IDAT", data[at : at + 8192]) for at in range(0, len(data), 8192))
    file = whole[:33] + pixels + chunk(b"eXIf", camera(">", 7)) + whole[-12:]
    assert read([file]) == [pillows(file)] == [7]


def _chunks(contents: bytes, name: bytes) -> list[bytes]:
    found, position = [], 8
    while position < len(contents):
        (size,) = struct.unpack_from(">I", contents, position)
        if contents[position + 4 : position + 8] == name:
            found.append(contents[position + 8 : position + 8 + size])
        position += size + 12
    return found


@pytest.mark.skipif("webp" not in DECODED, reason="TensorFlow 2.16 does not decode WebP")
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"icc_profile": bytes(300), "xmp": b"odd"}])
@pytest.mark.parametrize("prefix", [b"", EXIF_PREFIX])
def test_webps(options, prefix, read):
    files = [webp(prefix + camera(order, one), **options) for order in ORDERS for one in ALL]
    assert read(files) == [pillows(one) for one in files] == [*ALL, *ALL]


def test_a_webp_whose_flags_claim_no_exif(read):
    file = bytearray(webp(camera("<", 6)))
    assert read_header(bytes(file)).orientation == 6
    file[20] &= ~8
    assert read([bytes(file)]) == [pillows(bytes(file))] == [1]


def at(position: int, data: bytes, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


def directories(order: str) -> dict[str, tuple[bytes, int]]:
    """Unusual and damaged TIFF data, and the orientation in each."""
    six, long = (ORIENTATION, 3, 1, short(order, 6)), struct.pack(order + "I", 6)
    other = (0x0100, 3, 1, short(order, 1))
    values = {f"value {one}": (tiff(order, [(ORIENTATION, 3, 1, short(order, one))]), 1) for one in (0, 9, 255, 65535)}
    return values | {
        "last of many": (tiff(order, [other] * 99 + [six]), 6),
        "not in order": (tiff(order, [(0xA000, 3, 1, short(order, 1)), six, other]), 6),
        "twice": (tiff(order, [(ORIENTATION, 3, 1, short(order, 3)), six]), 6),
        "twice, then out of range": (tiff(order, [six, (ORIENTATION, 3, 1, short(order, 9))]), 1),
        "a LONG": (tiff(order, [(ORIENTATION, 4, 1, long)]), 6),
        "a LONG that is too large": (tiff(order, [(ORIENTATION, 4, 1, struct.pack(order + "I", 65536 + 6))]), 1),
        "bytes after a SHORT": (tiff(order, [(ORIENTATION, 3, 1, struct.pack(order + "HH", 6, 77))]), 6),
        "two values": (tiff(order, [(ORIENTATION, 3, 2, short(order, 6))]), 1),
        "no value": (tiff(order, [(ORIENTATION, 3, 0, short(order, 6))]), 1),
        "a text": (tiff(order, [(ORIENTATION, 2, 1, b"6\0\0\0")]), 1),
        "an unknown type": (tiff(order, [(ORIENTATION, 99, 1, short(order, 6))]), 1),
        "a far directory": (tiff(order, [six], start=5000), 6),
        "no entries": (tiff(order, []), 1),
        "more entries than there are": (tiff(order, [six, other], claimed=65535), 6),
        "fewer entries than there are": (tiff(order, [other, six], claimed=1), 1),
        "an offset beyond the end": (at(4, tiff(order, [six]), struct.pack(order + "I", 4000)), 1),
        "an offset of 32 bits": (at(4, tiff(order, [six]), b"\xff\xff\xff\xf0"), 1),
        "the header as its own directory": (at(4, tiff(order, [six]), bytes(4)), 1),
        "the other byte order's mark": (at(0, tiff(order, [six]), b"MM" if order == "<" else b"II"), 1),
        "no byte order": (at(0, tiff(order, [six]), b"XX"), 1),
        "not TIFF's number": (at(2, tiff(order, [six]), b"\0\0"), 1),
        "nothing": (b"", 1),
    }


@pytest.mark.parametrize("order", ORDERS)
def test_unusual_and_damaged_directories(order, read):
    cases = directories(order)
    wanted = [orientation for _, orientation in cases.values()]
    for wrap in (jpeg, png):
        files = [wrap(data) for data, _ in cases.values()]
        assert dict(zip(cases, read(files), strict=True)) == dict(zip(cases, wanted, strict=True))
        theirs = {name: pillows(file) for name, file in zip(cases, files, strict=True)}
        # EXIF has one value; of more, Pillow takes the first.
        assert {name for name in cases if theirs[name] not in (None, cases[name][1])} == {"two values"}


def test_cut_anywhere(read):
    for data in (jpeg(camera("<", 6), JFIF), png(camera(">", 6))):
        found = read([data[:length] for length in range(200)])
        assert found[0] == 1 and set(found[150:]) <= {1, 6} and found == sorted(found)


def test_a_prefix_that_runs_over_the_end_of_its_chunk(read):
    plain, short_chunk = encode_picture(smooth_pixels(1), "PNG"), struct.pack(">I", 4) + b"eXIfExif" + bytes(4)
    assert read([plain[:33] + short_chunk + plain[33:], plain[:33] + short_chunk]) == [1, 1]


def test_the_bound_on_the_work(read):
    """Up to `MOST_PARTS` segments and `MOST_ENTRIES` entries are read, and that takes less than a second."""
    six = (ORIENTATION, 3, 1, short("<", 6))
    empty = segment(0xE2, b"")
    near, far = (jpeg(camera("<", 6), empty * (MOST_PARTS + more)) for more in (-8, 8))
    chunks = {more: chunk(b"teSt", b"") * (MOST_PARTS + more) for more in (-8, 8)}
    plain = png(camera("<", 6))
    pngs = [plain[:33] + some + plain[33:] for some in chunks.values()]
    entries = [png(tiff("<", [(1, 3, 1, bytes(4))] * (MOST_ENTRIES + more) + [six])) for more in (-1, 0)]
    assert read([near, far, *pngs, *entries]) == [6, 1, 6, 1, 6, 1]
    junk = b"\xff\xd8\xff" + bytes(2**20) + near
    endless = png(camera("<", 6))[:8] + bytes(2**20)
    read([junk, endless])
    start = time.process_time()
    read([junk, endless, jpeg(tiff("<", [six], claimed=65535))])
    assert time.process_time() - start < 5


def test_two_exif_segments(read):
    """The first counts. Pillow joins them, for EXIF of more than 64 KB; its directory is still in the first."""
    files = [
        jpeg(camera("<", 3), segment(0xE1, EXIF_PREFIX + camera(">", 6))),
        jpeg(camera("<", 3), segment(0xE1, EXIF_PREFIX)),
    ]
    assert read(files) == [6, 1]


def test_random_changes_are_read_as_pillow_reads_them(read):
    """Pillow refuses many of the files, reads no entry after one whose value lies beyond the end, and also takes types
    that EXIF does not allow (signed numbers, several numbers). Nothing else differs."""
    rng = np.random.default_rng(0)
    bases = [
        wrap(camera(order, one))
        for order, one in zip(ORDERS, (6, 8), strict=True)
        for wrap in (jpeg, lambda data: jpeg(data, JFIF, XMP), png, webp)
    ]
    files = []
    for number in range(4000):
        changed = bytearray(bases[number % len(bases)])
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(2, min(len(changed), 180)))
            changed[place] = rng.choice([0, 1, 3, 4, 6, 8, 0x12, 255, int(rng.integers(256))])
        files.append(bytes(changed[: rng.integers(len(changed))] if number % 5 == 0 else changed))
    ours, theirs = read(files), [pillows(one) for one in files]
    assert len({*ours}) > 3 and sum(one is not None for one in theirs) > 1500
    differ = [
        (file, mine, other)
        for file, mine, other in zip(files, ours, theirs, strict=True)
        if other not in (None, mine) and not (file.startswith(b"RIFF") and "webp" not in DECODED)
    ]
    assert len(differ) < 200
    an_entry = re.compile(rb"\x01\x12\x00[\x03\x04]\x00{3}\x01|\x12\x01[\x03\x04]\x00\x01\x00{3}")  # a SHORT or LONG
    for file, mine, other in differ:
        if other != 1:
            assert mine == 1 and not an_entry.search(file)
            continue
        with pytest.warns(UserWarning, match="Truncated File Read|Corrupt EXIF"):
            Pil.open(io.BytesIO(file)).getexif()


def test_random_bytes_are_upright(read):
    rng = np.random.default_rng(1)
    starts = (
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1\0\x40Exif\0\0II*\0",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF....WEBPVP8X....\x08",
        b"",
    )
    files = [starts[number % 5] + rng.bytes(int(rng.integers(0, 90))) for number in range(3000)]
    read([*files, b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"RIFF"])


def upright_decoder(channels: int) -> Callable[[bytes], np.ndarray]:
    """Return a function that decodes and turns a file in a graph."""
    graph = tf.function(
        lambda one: ops.decode(one, channels, orientation="exif"), [tf.TensorSpec([], tf.string)], autograph=False
    )
    return lambda file: graph(tf.constant(file)).numpy()


@pytest.mark.parametrize("channels", [1, 3])
def test_turned_as_pillow_turns(channels):
    mode, decode = "L" if channels == 1 else "RGB", upright_decoder(channels)
    stored = Pil.fromarray(smooth_pixels(3, 7, 12)).convert(mode)
    kinds: list[dict[str, Any]] = [
        {"format": "PNG"},
        *([{"format": "WEBP", "lossless": True}] if "webp" in DECODED else []),
    ]
    for kind, orientation in itertools.product(kinds, ALL):
        out, tags = io.BytesIO(), Pil.Exif()
        tags[ORIENTATION] = orientation
        stored.save(out, exif=tags, **kind)
        wanted = np.asarray(ImageOps.exif_transpose(Pil.open(io.BytesIO(out.getvalue()))).convert(mode))
        np.testing.assert_array_equal(decode(out.getvalue()), wanted.reshape(*wanted.shape[:2], channels))


def test_a_jpeg_is_decoded_by_tensorflow_and_turned_as_pillow_turns(shared_data):
    """Pillow's own decoder gives other pixels, so Pillow turns those of TensorFlow."""
    decode = upright_decoder(3)
    for file in (*[jpeg(camera(">", one)) for one in ALL], telephones(shared_data)):
        np.testing.assert_array_equal(decode(file), upright(file))
    landscape = decode(telephones(shared_data))
    assert landscape.shape[1] > landscape.shape[0]  # as its name says; it is stored as a portrait


def telephones(shared_data: Path) -> bytes:
    return (shared_data / "odd-images" / "Landscape_6.jpg").read_bytes()


def mixed(count: int, height: int, width: int) -> list[bytes]:
    """Files of several formats and orientations."""
    makers: list[Callable[..., bytes]] = [
        jpeg,
        lambda data, seed, **_: png(data, seed=seed),
        lambda data, **size: jpeg(data, JFIF, XMP, **size),
    ]
    files = [
        makers[number % 3](camera(ORDERS[number % 2], number % 8 + 1), seed=number, height=height, width=width)
        for number in range(count - 1)
    ]
    return [*files, encode_picture(smooth_pixels(7, height, width), "JPEG")]


@pytest.mark.parametrize(
    "options", [{}, {"shrink_on_load": True}, {"fit": "crop"}, {"fit": "pad", "shrink_on_load": True}]
)
def test_a_batch_is_each_picture_alone(options):
    """One by one, in groups of thumbnails, and with formats that have no EXIF."""
    spec = Image(11, 8, orientation="exif", **options)
    strings, scalar = tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.string)
    batch = tf.function(lambda some: ops.decode_batch(some, spec), [strings], autograph=False)
    single = tf.function(lambda one: ops.decode_and_resize(one, spec), [scalar], autograph=False)
    others = [encode_picture(smooth_pixels(5, 20, 30), kind) for kind in ("GIF", "BMP")]
    files = mixed(40, 64, 40)
    alone = {file: single(tf.constant(file)).numpy() for file in files + others}
    for some in (files, files[:17], files[3:5], files + others):
        for file, found in zip(some, batch(tf.constant(some)).numpy(), strict=True):
            np.testing.assert_array_equal(found, alone[file])
    if not options:
        for file in files:
            np.testing.assert_array_equal(alone[file], ops.resize(tf.constant(upright(file)), spec))


def upright(file: bytes) -> np.ndarray:
    """Return TensorFlow's pixels of a file, turned by Pillow."""
    stored = Pil.fromarray(ops.decode(tf.constant(file), 3).numpy())
    stored.getexif()[ORIENTATION] = read_header(file).orientation
    return np.array(ImageOps.exif_transpose(stored))


@pytest.mark.parametrize(("orientation", "ratio"), [(3, 1), (6, 2)])
def test_shrinking_while_decoding_keeps_the_turned_picture_large_enough(orientation, ratio):
    """64x32 stored: turned by 90 degrees, half of it still has the model's 16x32; not turned, it has not."""
    spec = Image(16, 32, shrink_on_load=True, orientation="exif")
    file = jpeg(camera("<", orientation), height=64, width=32)
    shrunk = tf.io.decode_jpeg(file, 3, ratio=ratio, dct_method="INTEGER_ACCURATE").numpy()
    image = Pil.fromarray(shrunk)
    image.getexif()[ORIENTATION] = orientation
    wanted = ops.resize(tf.constant(np.array(ImageOps.exif_transpose(image))), spec)
    np.testing.assert_array_equal(ops.decode_and_resize(tf.constant(file), spec), wanted)


def test_stored_pngs_and_foreign_ones_with_exif():
    """Ingestion's own PNGs have no EXIF and are sliced; with a chunk of EXIF, one is decoded."""
    spec = Image(9, 14, orientation="exif")
    pixels = np.stack([smooth_pixels(seed, 9, 14) for seed in range(20)])
    files = stored_png.encode(pixels)
    np.testing.assert_array_equal(ops.decode_batch(tf.constant(files), spec), pixels)
    files[3] = files[3][:33] + chunk(b"eXIf", camera("<", 3)) + files[3][33:]
    pixels[3] = pixels[3][::-1, ::-1]
    np.testing.assert_array_equal(ops.decode_batch(tf.constant(files), spec), pixels)


@pytest.mark.parametrize(("height", "shrink"), [(9, False), (9, True), (200, False)])
def test_ignore_adds_no_operation(height, shrink):
    """The graph has the nodes that it has without this module, and none of those that read EXIF or turn."""
    spec = Image(height, height, shrink_on_load=shrink)

    def operations(one: Image) -> list[str]:
        graph = (
            tf.function(lambda some: ops.decode_batch(some, one), [tf.TensorSpec([None], tf.string)], autograph=False)
            .get_concrete_function()
            .graph.as_graph_def()
        )
        functions = itertools.chain.from_iterable(one.node_def for one in graph.library.function)
        return [node.op for node in (*graph.node, *functions)]

    ignoring, turning = operations(spec), operations(replace(spec, orientation="exif"))
    assert {"ReverseV2", "Transpose"} <= set(turning) and not {"ReverseV2", "Transpose"} & set(ignoring)
    assert "StaticRegexFullMatch" in turning and "StaticRegexFullMatch" not in ignoring
    assert len(ignoring) < len(turning)


def test_a_limit_on_pixels_and_broken_files_stay_errors():
    spec = Image(9, 14, max_pixels=100, orientation="exif")
    for file, words in ((jpeg(camera("<", 6)), "more than 100 pixels"), (png(camera("<", 6)), "more than 100 pixels")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            ops.decode_batch(tf.constant([file]), spec)
    with pytest.raises(tf.errors.InvalidArgumentError):
        ops.decode_batch(tf.constant([jpeg(camera("<", 6))[:300]]), replace(spec, max_pixels=2**20))
