"""The one table of file formats: how to recognise each, its suffixes, and which pictures the graph decodes.

`IMAGE_FORMATS` are the formats that TensorFlow decodes; `OTHER_FORMATS` are what else turns up in a folder of pictures,
so that an error names it. The graph's operations (`data.images.ops`) test for the same first bytes. No TensorFlow here.

To add a format: a row here, its header reader in `data.images.headers`, its decoder in `data.images.ops.decode_as`.
"""

from __future__ import annotations

import codecs
import itertools
import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from data.families import IS_NEW
from data.images import headers
from data.images.headers import Header

Magic = tuple[tuple[int, bytes], ...]
"""Bytes that identify a format, as (offset, bytes); all of them must be there."""


@dataclass(frozen=True)
class FileFormat:
    """A format of files.

    Attributes:
      label: its name with an article, as errors print it: "a TIFF picture".
      magics: byte patterns; one of them identifies the format.
      suffixes: lower case, with the dot. A picture with a suffix in this table that the graph does not decode goes
        to quarantine; a file with any other suffix is ignored.
      is_picture: whether it is a picture.
    """

    label: str
    magics: tuple[Magic, ...]
    suffixes: tuple[str, ...] = ()
    is_picture: bool = False

    def matches(self, contents: bytes) -> bool:
        """Return whether the bytes begin as this format does."""
        return any(all(contents[at : at + len(piece)] == piece for at, piece in magic) for magic in self.magics)


@dataclass(frozen=True, kw_only=True)
class ImageFormat(FileFormat):
    """A format of pictures that TensorFlow decodes.

    Attributes:
      name: what records carry in `image/format`.
      title: its name without an article: "JPEG XL".
      read_header: reads the facts from the first bytes of a file of this format.
      is_decoded: whether this family of packages decodes it: TensorFlow 2.16 decodes neither WebP nor JPEG XL.
    """

    name: str
    title: str
    read_header: Callable[[bytes], Header]
    is_decoded: bool


def _begins(*pieces: bytes) -> tuple[Magic, ...]:
    """Return the magics of a format whose files begin with one of the pieces."""
    return tuple(((0, piece),) for piece in pieces)


def _at(offset: int, piece: bytes) -> tuple[Magic, ...]:
    return (((offset, piece),),)


def _brands(*brands: bytes) -> tuple[Magic, ...]:
    """Return the magics of an ISO base media file with one of the brands (ISO/IEC 14496-12)."""
    return tuple(((4, b"ftyp"), (8, brand)) for brand in brands)


def _image(
    name: str,
    title: str,
    magics: tuple[Magic, ...],
    suffixes: tuple[str, ...],
    read_header: Callable[[bytes], Header],
    is_decoded: bool = True,
) -> ImageFormat:
    return ImageFormat(
        f"a {title} picture",
        magics,
        suffixes,
        is_picture=True,
        name=name,
        title=title,
        read_header=read_header,
        is_decoded=is_decoded,
    )


def _picture(label: str, magics: tuple[Magic, ...], *suffixes: str) -> FileFormat:
    return FileFormat(label, magics, suffixes, is_picture=True)


JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"

IMAGE_FORMATS = (
    _image("jpeg", "JPEG", _begins(JPEG_MAGIC), (".jpg", ".jpeg", ".jpe", ".jfif"), headers.read_jpeg),
    _image("png", "PNG", _begins(PNG_MAGIC), (".png",), headers.read_png),
    _image("gif", "GIF", _begins(b"GIF8"), (".gif",), headers.read_gif),
    _image("bmp", "BMP", _begins(b"BM"), (".bmp",), headers.read_bmp),
    _image("webp", "WebP", (((0, b"RIFF"), (8, b"WEBP")),), (".webp",), headers.read_webp, IS_NEW),
    _image("jxl", "JPEG XL", _begins(JXL_CODESTREAM, JXL_CONTAINER), (".jxl",), headers.read_jpeg_xl, IS_NEW),
)

_LFS_POINTER = FileFormat(
    "a pointer of Git LFS (git lfs pull fetches the file itself)", _begins(b"version https://git-lfs")
)
_HTML = FileFormat("an HTML page", _begins(b"<!doctype html", b"<html", b"<head", b"<body"))
_SVG = _picture("an SVG drawing", _begins(b"<svg"))
_XML = FileFormat("an XML document", _begins(b"<?xml"))
_ZEROS, _TEXT = FileFormat("zeros and nothing else", ()), FileFormat("text", ())

OTHER_FORMATS = (
    _picture("a TIFF picture", _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), ".tif", ".tiff"),
    _picture("a JPEG 2000 picture", _begins(b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51"), ".jp2"),
    _picture(
        "a HEIC picture",
        _brands(b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"),
        *(".heic", ".heif"),
    ),
    _picture("an AVIF picture", _brands(b"avif", b"avis"), ".avif"),
    _picture("a raw picture of a camera (CR3)", _brands(b"crx ")),
    _picture("a Photoshop picture", _begins(b"8BPS")),
    _picture("an icon (ICO)", _begins(b"\0\0\1\0")),
    _picture("a DDS texture", _begins(b"DDS ")),
    _picture("a Radiance picture", _begins(b"#?RADIANCE")),
    _picture("an OpenEXR picture", _begins(b"\x76\x2f\x31\x01")),
    _picture("a DICOM picture", _at(128, b"DICM")),
    _picture(
        "a Netpbm picture",
        _begins(*(b"P%c%c" % pair for pair in itertools.product(b"1234567", b" \t\n\r\v\f"))),
        ".ppm",
    ),
    _picture("a TGA picture", (), ".tga"),
    FileFormat("a PDF document", _begins(b"%PDF")),
    FileFormat("a PostScript document", _begins(b"%!PS")),
    FileFormat("a ZIP archive", _begins(b"PK\3\4", b"PK\5\6")),
    FileFormat("gzipped data", _begins(b"\x1f\x8b")),
    FileFormat("bzip2 data", _begins(b"BZh")),
    FileFormat("xz data", _begins(b"\xfd7zXZ\0")),
    FileFormat("a 7z archive", _begins(b"7z\xbc\xaf\x27\x1c")),
    FileFormat("a RAR archive", _begins(b"Rar!")),
    FileFormat("a tar archive", _at(257, b"ustar")),
    FileFormat("macOS's companion of another file (AppleDouble)", _begins(b"\0\5\x16\7")),
    FileFormat("an HDF5 file", _begins(b"\x89HDF")),
    FileFormat("a NumPy array", _begins(b"\x93NUMPY")),
    FileFormat("a SQLite database", _begins(b"SQLite format 3")),
    FileFormat("a video (Matroska, WebM)", _begins(b"\x1aE\xdf\xa3")),
    FileFormat("a video (AVI)", _at(8, b"AVI ")),
    FileFormat("a video (MP4)", _at(4, b"ftyp")),
    FileFormat("a program for Windows", _begins(b"MZ")),
    FileFormat("a program for Linux", _begins(b"\x7fELF")),
)

DECODED = {one.name: one for one in IMAGE_FORMATS if one.is_decoded}
"""The formats that this family's TensorFlow decodes, by name."""
SUFFIXES = frozenset(suffix for one in DECODED.values() for suffix in one.suffixes)
"""Suffixes of the pictures that are decoded."""
UNSUPPORTED = frozenset(suffix for one in (*IMAGE_FORMATS, *OTHER_FORMATS) for suffix in one.suffixes) - SUFFIXES
"""Suffixes of pictures that are not decoded. Ignoring them silently would lose data, so they go to quarantine."""
_TITLES = [one.title for one in DECODED.values()]
DECODED_TITLES = f"{', '.join(_TITLES[:-1])} and {_TITLES[-1]}"
"""The decoded formats, as messages list them: "JPEG, PNG, GIF and BMP"."""
FAMILY_HINT = "" if IS_NEW else "; on Python 3.11 or later it decodes WebP and JPEG XL, too"
"""What a message about an undecoded format adds."""


def suffix(name: str) -> str:
    """Return the suffix of a file's name in lower case, with its dot."""
    return posixpath.splitext(name)[1].lower()


def read_header(contents: bytes) -> Header:
    """Read the facts from a picture's first bytes; never raise an exception for any bytes.

    Returns:
      Its header; `Header("", 0)` if the bytes are of none of `IMAGE_FORMATS`.
    """
    found = next((one for one in IMAGE_FORMATS if one.matches(contents)), None)
    return found.read_header(contents) if found else Header("", 0)


def decoder_name(contents: bytes) -> str:
    """Return the name of the format as which the graph decodes a file: one of `DECODED`.

    A file of no such format is decoded as PNG: TensorFlow's op for JPEG and PNG rejects it.
    """
    return next((name for name, one in DECODED.items() if one.matches(contents)), "png")


def find_format(contents: bytes) -> FileFormat | None:
    """Return the format of a file by its bytes; None if it is unknown."""
    for one in (*IMAGE_FORMATS, *OTHER_FORMATS):
        if one.matches(contents):
            return one
    return _find_text_format(contents)


def _find_text_format(contents: bytes) -> FileFormat | None:
    """Return the format of a text: by its first word, in any case, after a byte-order mark and white space."""
    start = contents[:2048].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if _LFS_POINTER.matches(start):
        return _LFS_POINTER
    if _HTML.matches(start) or b"<html" in start[:512]:
        return _HTML
    if _SVG.matches(start) or (start.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in start):
        return _SVG
    if _XML.matches(start):
        return _XML
    if not contents.strip(b"\0"):
        return _ZEROS
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(contents[:2048])  # the last character may be cut
    except UnicodeDecodeError:
        return None
    is_text = text.strip() and all(letter.isprintable() or letter.isspace() for letter in text)
    return _TEXT if is_text else None
