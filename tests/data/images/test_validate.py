"""Which files are rejected, why, and that the other files of a batch do not matter."""

from __future__ import annotations

import functools
import io
import os
import socket

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from data.families import IS_NEW
from data.images import ops
from data.images.formats import DECODED_TITLES, FAMILY_HINT, suffix
from data.images.validate import Checked, check_bytes, check_files
from data.spec import Image


@pytest.fixture
def good(smooth, encode) -> list[bytes]:
    kinds = ("JPEG", "PNG", "GIF", "BMP")
    return [encode(smooth(i, 10 + i, 40 - i), kinds[i % 4]) for i in range(8)]


def sizes(pictures: list[bytes]) -> list[tuple[int, int]]:
    """(height, width), by PIL."""
    return [Pil.open(io.BytesIO(one)).size[::-1] for one in pictures]


@pytest.mark.parametrize("channels", [1, 3])
def test_good_pictures(good, channels):
    expected = [Checked(*pair) for pair in zip(good, sizes(good), strict=True)]
    assert check_bytes(good, channels) == expected


def test_good_files(good, tmp_path):
    paths = [tmp_path / f"{i}.any" for i in range(len(good))]
    for path, contents in zip(paths, good, strict=True):
        path.write_bytes(contents)
    expected = [Checked(*pair) for pair in zip(good, sizes(good), strict=True)]
    assert check_files([str(path) for path in paths], 3) == expected


def test_nothing():
    assert check_files([], 3) == check_bytes([], 3) == []


def test_a_bad_file_is_reported_and_its_neighbours_are_kept(good):
    mixed = [good[0], good[1][: len(good[1]) // 2], good[2], b"", b"text", good[3]]
    checked = check_bytes(mixed, 3)
    assert [one.reason for one in checked] == ["", "not decodable", "", "empty file", "not decodable", ""]
    assert [one.contents for one in checked] == mixed
    assert [one.size for one in checked if not one.reason] == sizes([good[0], good[2], good[3]])


def test_a_truncated_jpeg_that_pil_verifies(smooth, encode):
    """PIL's `verify` reads no pixels; TensorFlow's decoder does, and would end a whole run later."""
    whole = encode(smooth(1, 200, 200), "JPEG")
    half = whole[: len(whole) // 2]
    Pil.open(io.BytesIO(half)).verify()
    (checked,) = check_bytes([half], 3)
    assert (checked.reason, checked.message) == ("not decodable", "a JPEG that is cut off")


def _cut(contents: bytes) -> bytes:
    return contents[: len(contents) // 2]


def _patched(jpeg: bytes, **fields: int) -> bytes:
    """The JPEG with other values in its frame header: marker, bits of a sample."""
    at = jpeg.index(b"\xff\xc0")
    changed = bytearray(jpeg)
    for name, value in fields.items():
        changed[at + {"marker": 1, "bits": 4}[name]] = value
    return bytes(changed)


def test_each_message_names_the_actual_cause(smooth, encode):
    jpeg, png, gif, bmp = (encode(smooth(1), kind) for kind in ("JPEG", "PNG", "GIF", "BMP"))
    broken = bytearray(png)
    broken[len(png) // 2] ^= 0xFF
    causes = {
        _cut(jpeg): "a JPEG that is cut off",
        jpeg[:-1]: "a JPEG that is cut off",
        jpeg[:100] + jpeg[-2:]: "a damaged JPEG",
        _patched(jpeg, bits=12): "a JPEG with 12 bits a sample: TensorFlow decodes 8",
        _patched(jpeg, marker=0xC3): "a lossless JPEG, which TensorFlow does not decode",
        _cut(png): "a PNG that is cut off",
        bytes(broken): "a damaged PNG",
        _cut(gif): "a GIF that is cut off or damaged",
        b"GIF89a": "a GIF without a picture",
        _cut(bmp): "a BMP that is cut off",
        b"BM": "a BMP that is cut off in its header",
        b"<!DOCTYPE html><html>Sign in</html>": "an HTML page, not a picture",
        b"PK\3\4" + bytes(40): "a ZIP archive, not a picture",
        b"%PDF-1.7": "a PDF document, not a picture",
        b"text": "text, not a picture",
        bytes(4096): "zeros and nothing else, not a picture",
        np.random.default_rng(0).bytes(99): "not a picture of a known format",
    }
    checked = check_bytes([*causes, jpeg], 3)
    assert [one.reason for one in checked] == ["not decodable"] * len(causes) + [""]
    assert [one.message for one in checked] == [*causes.values(), ""]


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "looped.jpg").symlink_to(tmp_path / "looped.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # without a writer
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(tmp_path, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket.jpg")  # whose whole path would be too long for an address
        os.close(here)
        with open(tmp_path / "sparse.jpg", "wb") as sparse:
            sparse.truncate(2**31)
        causes = {
            "folder.jpg": "a folder, not a file",
            "dangling.jpg": f"a link to nowhere: {tmp_path}/gone.jpg",
            "absent.jpg": "the file no longer exists",
            "looped.jpg": "Too many levels of symbolic links",
            "pipe.jpg": "a named pipe, not a file",
            "endless.jpg": "a device, not a file",
            "socket.jpg": "a socket, not a file",
            "sparse.jpg": "2147483648 bytes; a record holds less than 2 GiB",
        }
        checked = check_files([str(tmp_path / name) for name in [*causes, "empty.jpg"]], 3)
    assert [one.reason for one in checked] == ["unreadable"] * len(causes) + ["empty file"]
    assert [one.message for one in checked] == [*causes.values(), "0 bytes"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(good, tmp_path):
    (tmp_path / "a.jpg").write_bytes(good[0])
    (tmp_path / "a.jpg").chmod(0)
    (checked,) = check_files([str(tmp_path / "a.jpg")], 3)
    assert (checked.reason, checked.message) == ("unreadable", "Permission denied")


def test_names_that_are_no_utf8(good, tmp_path):
    folder = os.fsencode(tmp_path)
    for name, contents in ((b"caf\xe9.jpg", good[0]), (b"caf\xe8.jpg", b"text")):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(contents)
    os.symlink(b"/gone/caf\xe9", os.path.join(folder, b"link\xe9.jpg"))
    names = [os.fsdecode(os.path.join(folder, name)) for name in (b"caf\xe9.jpg", b"caf\xe8.jpg", b"link\xe9.jpg")]
    whole, text, link = check_files(names, 3)
    assert whole.contents == good[0] and text.message == "text, not a picture"
    assert link.message.encode() == rb"a link to nowhere: /gone/caf\xe9"


def test_a_format_that_tensorflow_does_not_decode(smooth, encode, tmp_path):
    """The format is that of the bytes, not of the name; that of the name if the bytes are unknown."""
    formats = {"TIFF": "a TIFF picture", "JPEG2000": "a JPEG 2000 picture"}
    if not IS_NEW:
        formats["WEBP"] = "a WebP picture"
    for name in ("a.jpg", "a.webp"):
        for kind, message in formats.items():
            (tmp_path / name).write_bytes(encode(smooth(1), kind))
            (checked,) = check_files([str(tmp_path / name)], 3)
            assert checked.reason == "unsupported format"
            assert checked.message == f"{message}: TensorFlow decodes {DECODED_TITLES}{FAMILY_HINT}"
    targa = tmp_path / "a.tga"
    targa.write_bytes(encode(smooth(1), "TGA"))
    (checked,) = check_files([str(targa)], 3)
    message = f"TensorFlow decodes {DECODED_TITLES}, not .tga{FAMILY_HINT}"
    assert checked == Checked(targa.read_bytes(), (0, 0), "unsupported format", message)


def test_the_verdict_on_a_file_does_not_hang_on_its_neighbours(good, tmp_path):
    """A JPEG named .webp decodes; also next to a broken file, with which files are checked one by one."""
    named_wrong, broken = tmp_path / "a.webp", tmp_path / "b.jpg"
    named_wrong.write_bytes(good[0])
    broken.write_bytes(b"text")
    (alone,) = check_files([str(named_wrong)], 3)
    next_to_broken, other = check_files([str(named_wrong), str(broken)], 3)
    assert alone == next_to_broken == Checked(good[0], sizes(good[:1])[0])
    assert other.reason == "not decodable"


def test_cmyk_to_grey_is_refused_by_tensorflow(smooth, encode):
    contents = encode(Pil.fromarray(smooth(1)).convert("CMYK"), "JPEG")
    message = "a CMYK JPEG, which TensorFlow does not convert to grey: save it as grey or RGB"
    assert check_bytes([contents], 1)[0][2:] == ("not decodable", message)
    assert check_bytes([contents], 3)[0].reason == ""
    small, large = (functools.partial(ops.decode_batch, spec=Image(side, side, 1)) for side in (8, 200))
    for decode in (small, tf.function(small), large, tf.function(large)):  # in groups, one by one
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            decode(tf.constant([contents] * 3))


def test_random_and_damaged_bytes_never_raise(good):
    rng = np.random.default_rng(0)
    magics = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"")
    bad = [magics[i % 5] + rng.bytes(int(rng.integers(0, 80))) for i in range(100)]
    for contents in good * 12:
        damaged = bytearray(contents)
        for position in rng.integers(2, min(60, len(damaged)), 3):
            damaged[position] = rng.integers(0, 256)
        bad.append(bytes(damaged))
    bad += [one[:length] for one in good for length in range(2, 60, 7)]
    for contents, checked in zip(bad, check_bytes(bad, 3), strict=True):
        assert checked.contents == contents
        assert bool(checked.reason) == bool(checked.message)


def test_suffix():
    assert [suffix(name) for name in ("a/b.JPG", "b", "a.b/c", ".jpg")] == [".jpg", "", "", ""]
