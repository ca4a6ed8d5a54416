"""What a file is, by its first bytes: of files that other libraries wrote, where there is one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest

from data.images.file_kinds import file_kind


@pytest.mark.parametrize(
    ("kind", "name"),
    [("WEBP", "a WebP picture"), ("TIFF", "a TIFF picture"), ("JPEG2000", "a JPEG 2000 picture")]
    + [("ICO", "an icon (ICO)"), ("PPM", "a Netpbm picture"), ("AVIF", "an AVIF picture"), ("DDS", "a DDS texture")],
)
def test_other_pictures(kind, name, smooth, encode):
    found = file_kind(encode(smooth(1), kind))
    assert found == (name, True)


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
    found = file_kind(contents)
    assert found is not None and found.name.startswith(name) and not found.is_picture


def test_a_heic_and_a_drawing():
    assert file_kind(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == ("a HEIC picture", True)
    assert file_kind(b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>") == ("an SVG drawing", True)


def test_a_database(tmp_path):
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("create table t (a)")
    connection.commit()
    connection.close()
    assert file_kind((tmp_path / "a.db").read_bytes()) == ("a SQLite database", False)


def test_what_is_not_known():
    for seed in range(200):
        contents = b"\x80" + np.random.default_rng(seed).bytes(300)
        assert file_kind(contents) is None
    assert file_kind("café".encode("latin-1") * 2000) is None
