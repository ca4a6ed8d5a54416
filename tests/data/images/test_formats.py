"""The table of formats, on files that other libraries wrote where one writes the format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.families import IS_NEW
from data.images import ops
from data.images.formats import (
    DECODED,
    DECODED_TITLES,
    IMAGE_FORMATS,
    OTHER_FORMATS,
    SUFFIXES,
    UNSUPPORTED,
    decoder_name,
    find_format,
    read_header,
)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("WEBP", "a WebP picture"), ("TIFF", "a TIFF picture"), ("JPEG2000", "a JPEG 2000 picture")]
    + [("ICO", "an icon (ICO)"), ("PPM", "a Netpbm picture"), ("AVIF", "an AVIF picture"), ("DDS", "a DDS texture")],
)
def test_other_pictures(kind, name, smooth, encode):
    found = find_format(encode(smooth(1), kind))
    assert found is not None and (found.label, found.is_picture) == (name, True)


def _zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jpg", b"x")
    return out.getvalue()


def _tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    return out.getvalue()


def _saved() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


@pytest.mark.parametrize(
    ("contents", "name"),
    [
        (_zipped(), "a ZIP archive"),
        (_tarred(), "a tar archive"),
        (_saved(), "a NumPy array"),
        (gzip.compress(b"x", mtime=0), "gzipped data"),
        (bz2.compress(b"x"), "bzip2 data"),
        (lzma.compress(b"x"), "xz data"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE HTML PUBLIC '-//W3C'><HTML>", "an HTML page"),
        (b"<!-- a proxy's --><html lang=en>", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "macOS's companion of another file"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "a video (MP4)"),
        ("café ".encode() * 500, "text"),
        (bytes(100), "zeros and nothing else"),
    ],
)
def test_no_pictures(contents, name):
    found = find_format(contents)
    assert found is not None and found.label.startswith(name) and not found.is_picture


def test_a_heic_and_a_drawing():
    for contents, label in {
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": "a HEIC picture",
        b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>": "an SVG drawing",
    }.items():
        found = find_format(contents)
        assert found is not None and (found.label, found.is_picture) == (label, True)


def test_a_database(tmp_path):
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("create table t (a)")
    connection.commit()
    connection.close()
    found = find_format((tmp_path / "a.db").read_bytes())
    assert found is not None and (found.label, found.is_picture) == ("a SQLite database", False)


def test_what_is_not_known():
    for seed in range(200):
        contents = b"\x80" + np.random.default_rng(seed).bytes(300)
        assert find_format(contents) is None
    assert find_format("café".encode("latin-1") * 2000) is None


@pytest.mark.parametrize("row", IMAGE_FORMATS, ids=lambda row: row.name)
def test_a_row_fits_what_pillow_calls_it(row, smooth, encode):
    """Name, suffixes, first bytes and header reader of a format, by a file that Pillow wrote."""
    if row.name != "jxl":
        Image.init()
        contents = encode(smooth(1), row.title)
        assert row.matches(contents) and find_format(contents) == row
        assert read_header(contents) == row.read_header(contents)
        assert read_header(contents).format == row.name
        assert {Image.EXTENSION[suffix] for suffix in row.suffixes} == {row.title.upper()}
    assert row.label == f"a {row.title} picture"


def test_suffixes_are_decoded_or_unsupported_and_belong_to_one_format():
    listed = [suffix for row in (*IMAGE_FORMATS, *OTHER_FORMATS) for suffix in row.suffixes]
    assert len(listed) == len(set(listed)) and set(listed) == SUFFIXES | UNSUPPORTED
    assert not SUFFIXES & UNSUPPORTED and all(suffix == suffix.lower() and suffix[0] == "." for suffix in listed)
    assert (".webp" in SUFFIXES) == (".jxl" in SUFFIXES) == IS_NEW
    assert ("JPEG, PNG, GIF, BMP, WebP and JPEG XL" if IS_NEW else "JPEG, PNG, GIF and BMP") == DECODED_TITLES


def test_the_graph_recognises_the_same_bytes():
    """Each row's patterns, whole, cut at any byte and behind another byte."""
    files = [b""]
    for row in IMAGE_FORMATS:
        for magic in row.magics:
            contents = bytearray(max(at + len(piece) for at, piece in magic))
            for at, piece in magic:
                contents[at : at + len(piece)] = piece
            files += [bytes(contents[:end]) for end in range(1, len(contents) + 1)]
            files += [bytes(contents) + b"more", b" " + bytes(contents)]
    for row in IMAGE_FORMATS:
        found = ops._matches(row, tf.constant(files)).numpy()
        assert found.tolist() == [row.matches(contents) for contents in files] and found.any()


def test_the_decoder_of_an_unknown_file_is_that_of_png(smooth, encode):
    for contents in (b"", b"text", encode(smooth(1), "TIFF"), encode(smooth(1), "PNG")):
        assert decoder_name(contents) == "png"
    assert {decoder_name(encode(smooth(1), row.title)) for row in DECODED.values() if row.name != "jxl"} == {
        name for name in DECODED if name != "jxl"
    }


def test_the_table_needs_no_tensorflow():
    code = "import sys; import data.images.formats; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
