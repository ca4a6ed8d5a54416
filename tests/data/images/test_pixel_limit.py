"""Pictures that claim more pixels than allowed: rejected by their header, at almost no cost in memory."""

from __future__ import annotations

import functools
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from data.images import ops, pixel_limit
from data.images.gif import first_frame
from data.images.validate import check_bytes
from data.spec import Image
from tests import PROJECT
from tests.conftest import frame_count

KINDS = ("JPEG", "PNG", "GIF", "BMP")


def png_bomb(width: int, height: int) -> bytes:
    """One colour, a bit a pixel; deflate makes a thousandth of it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif(encode, *sizes: tuple[int, int], corner: int = 0, colour: int = 1) -> bytes:
    """Frames of (width, height), each with its own table of colours, an extension before it, and one colour more."""
    out = b"GIF89a" + struct.pack("<HHBBB", *sizes[0], 0, 0, 0)
    for number, (width, height) in enumerate(sizes):
        picture = Pil.new("P", (width, height), colour + number)
        picture.putpalette(bytes(range(24)))
        alone = encode(picture, "GIF")
        blocks = alone[alone.index(b",\0\0\0\0" + struct.pack("<HH", width, height)) + 10 : -1]
        out += b"\x21\xf9\x04" + bytes(5)
        out += b"," + struct.pack("<HHHHB", corner, corner, width, height, 0x82) + bytes(range(24)) + blocks
    return out + b";"


@functools.cache
def in_graph(op, spec, *shape):
    """The op traced once, for the tests that ask it about several kinds of files."""
    signature = [tf.TensorSpec(shape, tf.string)]
    return tf.function(functools.partial(op, spec=spec), input_signature=signature).get_concrete_function()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shrink", [False, True])
def test_the_limit_is_exact_and_the_line_tells_it(kind, shrink, smooth, encode):
    contents = tf.constant(encode(smooth(1, 23, 37), kind))
    at, below = (Image(5, 6, max_pixels=limit, shrink_on_load=shrink) for limit in (23 * 37, 23 * 37 - 1))
    op = ops.decode_and_resize
    whole = in_graph(op, Image(5, 6, shrink_on_load=shrink))(contents)
    np.testing.assert_array_equal(in_graph(op, at)(contents), whole)
    for run in (in_graph(op, below), functools.partial(op, spec=below)):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            run(contents)
        assert "a picture claims more than 850 pixels (feature.max_pixels)" in caught.value.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "count"), [((8, 8), 40), ((200, 200), 3)])
def test_one_too_large_fails_its_batch_in_tf_data_too(kind, size, count, smooth, encode):
    """In groups and one by one; of the batch nothing is answered."""
    files = [encode(smooth(i, 9, 9), "PNG") for i in range(count - 1)]
    decode = in_graph(ops.decode_batch, Image(size[0], size[1], max_pixels=99), None)
    (good,) = tf.data.Dataset.from_tensors([*files, encode(smooth(1, 9, 11), kind)]).map(decode)
    assert good.shape == (count, *size, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a picture claims more than 99 pixels"):
        list(tf.data.Dataset.from_tensors([*files, encode(smooth(1, 10, 10), kind)]).map(decode))


@pytest.mark.parametrize("kind", KINDS)
def test_ingestion_refuses_the_same(kind, smooth, encode):
    files = [encode(smooth(i, side, side), kind) for i, side in enumerate((9, 10, 9))]
    checked = check_bytes(files, 3, 99)
    assert [one.reason for one in checked] == ["", "not decodable", ""]
    assert checked[1].message == "a picture claims more than 99 pixels (feature.max_pixels)"


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_sizes_are_pils(mode, encode):
    """Of PNGs of every depth, of JPEGs with a long profile before the size, and of BMPs from the top."""
    contents = encode(Pil.new(mode, (300, 70000)), "PNG")
    assert pixel_limit.png_pixels(tf.constant([contents, b"", b"\x89PNG", b"text"])).numpy().tolist() == [
        21000000,
        0,
        0,
        0,
    ]


def test_a_jpegs_size_after_much_else(encode, smooth):
    contents = encode(smooth(1, 23, 37), "JPEG", icc_profile=bytes(150_000), progressive=True)
    assert contents.index(b"\xff\xc2") > 150_000
    assert pixel_limit.jpeg_shapes(tf.constant(contents)).numpy().tolist() == [23, 37, 3]


# GIF


def test_a_gif_ends_after_its_first_frame(encode, in_both):
    animated, alone = gif(encode, (40, 30), (40, 30), (9, 9)), gif(encode, (40, 30))
    found = in_both(lambda contents: first_frame(contents)[0], animated)
    assert found == alone and frame_count(animated) == 3
    assert int(first_frame(tf.constant(alone))[1]) == 1200
    assert first_frame(tf.constant(alone))[0] == alone


def test_gifs_of_many_blocks_of_colours_and_comments(smooth, encode):
    """PIL's own files: with one table for all, loops, comments, and frames of thousands of blocks."""
    for seed, side in enumerate((1, 2, 50, 400)):
        noise = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
        frames = [Pil.fromarray(noise), Pil.fromarray(255 - noise)]
        contents = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0, comment=b"x" * 700)
        cut, pixels = first_frame(tf.constant(contents))
        assert int(pixels) == side * side
        assert frame_count(cut.numpy()) == 1
        np.testing.assert_array_equal(np.asarray(Pil.open(io.BytesIO(cut.numpy())).convert("L")), noise)


def test_a_gif_cut_anywhere_is_never_more_than_it_is(encode):
    contents = gif(encode, (40, 30), (40, 30))
    whole = first_frame(tf.constant(contents))[0].numpy()
    walk = tf.function(first_frame, input_signature=[tf.TensorSpec([], tf.string)])
    for length in range(len(contents)):
        cut = walk(contents[:length])[0].numpy()
        assert cut == whole or cut == contents[:length] + b";"


# Memory


BOMB = """
import resource, sys
import tensorflow as tf
from data.images import ops
from data.spec import Image
size = int(sys.argv[3])
spec = tf.TensorSpec([None], tf.string)
run = tf.function(lambda some: ops.decode_batch(some, Image(size, size)), input_signature=[spec])
run(tf.constant([tf.io.encode_png(tf.zeros([9, 9, 3], tf.uint8)).numpy()]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused = ""
try:
    run(tf.constant([open(sys.argv[1], "rb").read()] * int(sys.argv[2])))
except tf.errors.InvalidArgumentError as error:
    refused = error.message.splitlines()[0]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, refused)
"""


def _grown(file: Path, count: int, size: int = 8) -> tuple[int, str]:
    """Growth of the process's memory in MiB over a batch of that many copies, and the refusal if any."""
    command = [sys.executable, "-c", BOMB, str(file), str(count), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=True)
    grown, _, refused = done.stdout.strip().partition(" ")
    return int(grown), refused


@pytest.mark.slow
def test_bombs_take_no_memory(tmp_path, encode):
    """12,000 x 12,000 in 18 KB, which TensorFlow alone would decode to 432 MB each; and 200 frames of 9 megapixels."""
    png = tmp_path / "bomb.png"
    png.write_bytes(png_bomb(12_000, 12_000))
    assert png.stat().st_size < 20_000
    grown, refused = _grown(png, 20)
    assert "a picture claims more than 67108864 pixels (feature.max_pixels)" in refused and grown < 50
    frames = tmp_path / "frames.gif"
    frame = gif(encode, (3000, 3000))[13:-1]
    frames.write_bytes(gif(encode, (3000, 3000))[:-1] + frame * 200 + b";")
    grown, refused = _grown(frames, 1)
    assert not refused and grown < 150  # one frame: 9 MB of indices, 27 MB of pixels


@pytest.mark.parametrize(("side", "text"), [(23_171, "PNG size too large"), (30_000, "PNG size too large")])
def test_where_tensorflow_alone_refuses(side, text):
    """2^29 pixels are 23,170.5 squared."""
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        tf.io.decode_png(png_bomb(side, side))
