"""What a file is that is none of the four kinds of picture, by its first bytes."""

from __future__ import annotations

import codecs
from typing import NamedTuple


class Kind(NamedTuple):
    """name: with its article; is_picture: of another format."""

    name: str
    is_picture: bool = False


_MAGICS: tuple[tuple[int, bytes, Kind], ...] = (
    (8, b"WEBP", Kind("a WebP picture", True)),
    (0, b"II*\0", Kind("a TIFF picture", True)),
    (0, b"MM\0*", Kind("a TIFF picture", True)),
    (0, b"II+\0", Kind("a TIFF picture", True)),
    (0, b"MM\0+", Kind("a TIFF picture", True)),
    (0, b"\0\0\0\x0cjP  \r\n", Kind("a JPEG 2000 picture", True)),
    (0, b"\xff\x4f\xff\x51", Kind("a JPEG 2000 picture", True)),
    (0, b"\xff\x0a", Kind("a JPEG XL picture", True)),
    (0, b"\0\0\0\x0cJXL \r\n", Kind("a JPEG XL picture", True)),
    (0, b"8BPS", Kind("a Photoshop picture", True)),
    (0, b"\0\0\1\0", Kind("an icon (ICO)", True)),
    (0, b"DDS ", Kind("a DDS texture", True)),
    (0, b"#?RADIANCE", Kind("a Radiance picture", True)),
    (0, b"\x76\x2f\x31\x01", Kind("an OpenEXR picture", True)),
    (128, b"DICM", Kind("a DICOM picture", True)),
    (0, b"%PDF", Kind("a PDF document")),
    (0, b"%!PS", Kind("a PostScript document")),
    (0, b"PK\3\4", Kind("a ZIP archive")),
    (0, b"PK\5\6", Kind("a ZIP archive")),
    (0, b"\x1f\x8b", Kind("gzipped data")),
    (0, b"BZh", Kind("bzip2 data")),
    (0, b"\xfd7zXZ\0", Kind("xz data")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive")),
    (0, b"Rar!", Kind("a RAR archive")),
    (257, b"ustar", Kind("a tar archive")),
    (0, b"\0\5\x16\7", Kind("macOS's companion of another file (AppleDouble)")),
    (0, b"\x89HDF", Kind("an HDF5 file")),
    (0, b"\x93NUMPY", Kind("a NumPy array")),
    (0, b"SQLite format 3", Kind("a SQLite database")),
    (0, b"\x1aE\xdf\xa3", Kind("a video (Matroska, WebM)")),
    (8, b"AVI ", Kind("a video (AVI)")),
    (0, b"MZ", Kind("a program for Windows")),
    (0, b"\x7fELF", Kind("a program for Linux")),
)
_BRANDS = {  # of ISO's base media files
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), Kind("a HEIC picture", True)),
    **dict.fromkeys((b"avif", b"avis"), Kind("an AVIF picture", True)),
    b"crx ": Kind("a raw picture of a camera (CR3)", True),
}
_LFS = b"version https://git-lfs"


def file_kind(contents: bytes) -> Kind | None:
    """What the bytes are known as; None where they are not."""
    for at, magic, kind in _MAGICS:
        if contents[at : at + len(magic)] == magic:
            return kind
    if contents[4:8] == b"ftyp":
        return _BRANDS.get(contents[8:12], Kind("a video (MP4)"))
    if contents[:1] == b"P" and contents[1:2] in b"1234567" and contents[2:3].isspace():
        return Kind("a Netpbm picture", True)
    return _text_kind(contents)


def _text_kind(contents: bytes) -> Kind | None:
    start = contents[:2048].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_LFS):
        return Kind("a pointer of Git LFS (git lfs pull fetches the file itself)")
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in start[:512]:
        return Kind("an HTML page")
    if start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in start):
        return Kind("an SVG drawing", True)
    if start.startswith(b"<?xml"):
        return Kind("an XML document")
    if not contents.strip(b"\0"):
        return Kind("zeros and nothing else")
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(contents[:2048])  # the last letter may be cut
    except UnicodeDecodeError:
        return None
    is_text = text.strip() and all(letter.isprintable() or letter.isspace() for letter in text)
    return Kind("text") if is_text else None
