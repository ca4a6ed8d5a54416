"""Facts read from a picture's first bytes, without decoding it: one reader for each format.

No reader raises an exception for any bytes. `data.images.formats.read_header` chooses the reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from data.spec import Feature, Image

# What a decoder ignores without an error, and how reports describe it: "5 pictures " and the text.
EXIF_ROTATION, SIXTEEN_BITS, FLAT, ALPHA = "EXIF rotation", "16 bits", "16 bits, but flat", "alpha"
ANIMATION, PART, CMYK, INKS, PROFILE = (
    "animation",
    "part of a canvas",
    "CMYK",
    "CMYK without Adobe's mark",
    "wide colours",
)
REMARKS = {
    EXIF_ROTATION: 'carry an EXIF rotation, which is ignored here and in serving; orientation="exif" turns them',
    SIXTEEN_BITS: "have 16 bits a channel, of which the model sees the upper 8, here and in serving",
    FLAT: "have 16 bits a channel and nearly one colour in the upper 8, which are all that the model sees;"
    " scale their values to 0..65535, or save them with 8 bits",
    ALPHA: "have an alpha channel, which is dropped: the model sees the colours under transparent parts, often black;"
    ' background="white" blends them on white',
    ANIMATION: "are animations, of which the model sees the first frame",
    PART: "are animations whose first frame fills a part of the canvas: the model sees this part alone",
    CMYK: "are CMYK, and become RGB without their colour profile",
    INKS: "are CMYK without Adobe's mark: TensorFlow takes their values as they are, most programs invert them",
    PROFILE: "have a colour profile (Display P3, Adobe RGB or the like), which TensorFlow ignores here and in serving",
}


def without_handled(remarks: tuple[str, ...], feature: Feature) -> tuple[str, ...]:
    """Return the remarks without those that do not hold, because the task handles what they describe."""
    handled = set()
    if isinstance(feature, Image):
        handled = {EXIF_ROTATION} if feature.orientation == "exif" else set()
        handled |= {ALPHA} if feature.background else set()
    return tuple(one for one in remarks if one not in handled)


class Header(NamedTuple):
    """Facts about a picture.

    Attributes:
      format: "jpeg", "png", "gif", "bmp", "webp", "jxl" or "".
      channels: number of channels in the file; 0 if unknown.
      orientation: EXIF orientation, 1 (upright) to 8.
      remarks: keys of `REMARKS`.
    """

    format: str
    channels: int
    orientation: int = 1
    remarks: tuple[str, ...] = ()


class JpegFrame(NamedTuple):
    """The frame header of a JPEG.

    Attributes:
      marker: 0xC0 to 0xCF; 0 if there is no frame header.
      bits: bits of a sample.
      channels: number of channels.
    """

    marker: int = 0
    bits: int = 0
    channels: int = 0


EXIF_PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112  # the tag of EXIF
# Parts (segments, chunks) of a file and entries of a directory that are searched for an orientation, here and in the
# graph (`data.images.exif`). Cameras write fewer than 100; libpng splits pixels into chunks of 8 KB.
MOST_PARTS, MOST_ENTRIES = 4096, 1024
_WHOLE_NUMBERS = {3: "H", 4: "I"}  # types of TIFF: SHORT and LONG

_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette decodes to RGB
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = b"\xff\xda"
_BARE = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a size
_WIDE = ("Display P3", "Adobe RGB", "ProPhoto RGB", "Rec. 2020", "Rec2020")
_WIDE_NAMES = tuple(name.encode(code) for name in _WIDE for code in ("latin-1", "utf-16-be"))  # of ICC's versions 2, 4
_BMP_CHANNELS = {1: 3, 4: 3, 8: 3, 16: 3, 24: 3, 32: 4}  # by bits a pixel; below 24 bits: a palette, or masks


def read_gif(contents: bytes) -> Header:
    """Read the facts of a GIF, up to its second frame."""
    return Header("gif", 3, remarks=tuple(_gif_remarks(contents)))


def read_bmp(contents: bytes) -> Header:
    """Read the facts of a BMP."""
    at = 24 if contents[14:18] == b"\x0c\0\0\0" else 28  # the short header of OS/2 has the field elsewhere
    bits = int.from_bytes(contents[at : at + 2], "little")
    return Header("bmp", _BMP_CHANNELS.get(bits, 0))


def read_jpeg_xl(contents: bytes) -> Header:
    """Return the header of a JPEG XL; its channels, orientation and remarks are not read."""
    return Header("jxl", 3)


def jpeg_frame(contents: bytes) -> JpegFrame:
    """Return the frame header of a JPEG."""
    for marker, payload in _segments(contents):
        if marker in _START_OF_FRAME and len(payload) >= 6:
            return JpegFrame(marker, payload[0], payload[5])
    return JpegFrame()


def _segments(contents: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of a JPEG's segments before the pixels (ITU T.81, B.1.1).

    Bytes between segments are skipped, as libjpeg does; each counts as a part.
    """
    position = 2
    for _ in range(MOST_PARTS):
        if position + 4 > len(contents) or contents[position : position + 2] == _START_OF_SCAN:
            return
        marker = contents[position + 1]
        if contents[position] != 0xFF or marker in (0, 0xFF):
            position += 1
        elif marker in _BARE:
            position += 2
        else:
            end = position + 2 + max(2, int.from_bytes(contents[position + 2 : position + 4], "big"))
            yield marker, contents[position + 4 : end]
            position = end


def read_jpeg(contents: bytes) -> Header:
    """Read the facts of a JPEG from its segments before the pixels."""
    channels, orientation, is_adobes, is_wide = 0, 0, False, False
    for marker, payload in _segments(contents):
        if marker in _START_OF_FRAME and len(payload) >= 6:
            channels = payload[5]
        elif marker == 0xE1 and payload.startswith(EXIF_PREFIX):
            orientation = orientation or exif_orientation(payload)
        elif marker == 0xE2 and payload[:12] == b"ICC_PROFILE\0":
            is_wide |= any(name in payload for name in _WIDE_NAMES)
        elif marker == 0xEE and payload[:5] == b"Adobe":
            is_adobes = True
    inks = CMYK if is_adobes else INKS
    remarks = {EXIF_ROTATION: orientation > 1, inks: channels == 4, PROFILE: is_wide and channels != 4}
    return Header("jpeg", channels, orientation or 1, tuple(name for name, holds in remarks.items() if holds))


def read_png(contents: bytes) -> Header:
    """Read the facts of a PNG from its first chunk and from the names of the others."""
    channels = _PNG_CHANNELS.get(contents[25], 0) if len(contents) > 25 else 0
    orientation, before_pixels = 0, True
    remarks = {SIXTEEN_BITS: contents[24:25] == b"\x10", ALPHA: channels in (2, 4)}
    for name, start, end in _png_chunks(contents):
        before_pixels &= name != b"IDAT"
        if name == b"eXIf":  # also allowed after the pixels
            orientation = orientation or exif_orientation(contents[start:end])
        elif before_pixels:
            remarks[ALPHA] |= name == b"tRNS"
            remarks[ANIMATION] = remarks.get(ANIMATION, False) or name == b"acTL"
            if name == b"iCCP":  # the profile is compressed; its name is not
                remarks[PROFILE] = any(wide in contents[start : min(end, start + 80)] for wide in _WIDE_NAMES)
    remarks[EXIF_ROTATION] = orientation > 1
    return Header("png", channels, orientation or 1, tuple(name for name in REMARKS if remarks.get(name)))


def _png_chunks(contents: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk before the end (IEND), and the range of its data."""
    position = 8
    for _ in range(MOST_PARTS):
        name, start = contents[position + 4 : position + 8], position + 8
        if start > len(contents) or name == b"IEND":
            return
        end = start + int.from_bytes(contents[position : position + 4], "big")
        yield name, start, end
        position = end + 4


def read_webp(contents: bytes) -> Header:
    """Read the facts of a WebP from its chunks, and from those in the first frame of an animation."""
    remarks: set[str] = set()
    frames, channels, canvas, position = 0, 3, b"", 12
    while position + 8 <= len(contents):
        name, size = contents[position : position + 4], int.from_bytes(contents[position + 4 : position + 8], "little")
        start = position + 8
        position = start + size + size % 2
        if name == b"VP8X":
            canvas = contents[start + 4 : start + 10]
        elif name == b"ANMF":
            frames += 1
            if frames == 1:
                position = start + 16  # into the frame
                remarks |= {PART} if contents[start + 6 : start + 12] != canvas else set()
            remarks |= {ANIMATION} if frames == 2 else set()
        elif name == b"ALPH" or (name == b"VP8L" and contents[start + 4 : start + 5] and contents[start + 4] & 0x10):
            remarks.add(ALPHA)
            channels = 4
        elif name == b"ICCP" and any(wide in contents[start : start + size] for wide in _WIDE_NAMES):
            remarks.add(PROFILE)
    orientation = _webp_orientation(contents)
    remarks |= {EXIF_ROTATION} if orientation > 1 else set()
    return Header("webp", channels, orientation, tuple(one for one in REMARKS if one in remarks))


def _webp_orientation(contents: bytes) -> int:
    """Return the orientation in the first EXIF chunk, if the flags of the chunk VP8X claim one, as libwebp does."""
    position = 12
    if contents[12:16] != b"VP8X" or not contents[20:21] or not contents[20] & 8:
        return 1
    for _ in range(MOST_PARTS):
        start = position + 8
        size = int.from_bytes(contents[position + 4 : start], "little")
        if start > len(contents):
            return 1
        if contents[position : position + 4] == b"EXIF":
            return exif_orientation(contents[start : start + size])
        position = start + size + size % 2
    return 1


def _gif_remarks(contents: bytes) -> Iterator[str]:
    """Yield the remarks on a GIF; parse up to the second frame, as `gif.first_frame` does in the graph."""
    frames, position = 0, 13 + _table(contents, 10)
    while position + 10 <= len(contents):
        if contents[position] == 0x21:
            is_clear = contents[position + 1] == 0xF9 and contents[position + 3] & 1
            if is_clear and not frames:
                yield ALPHA
            position = _after_blocks(contents, position + 2)
        elif contents[position] == 0x2C:
            frames += 1
            if frames == 2:
                yield ANIMATION
                return
            if contents[position + 5 : position + 9] != contents[6:10]:  # its width and height; the canvas's
                yield PART
            position = _after_blocks(contents, position + 11 + _table(contents, position + 9))
        else:
            return


def _table(contents: bytes, flags: int) -> int:
    """Return the size of a GIF's colour table in bytes, from the flags at an offset."""
    found = contents[flags] if flags < len(contents) else 0
    return 3 * 2 << found % 8 if found >= 0x80 else 0


def _after_blocks(contents: bytes, position: int) -> int:
    """Return the offset after a GIF's sub-blocks: each is a length and as many bytes; the last has length 0."""
    while position < len(contents) and contents[position]:
        position += contents[position] + 1
    return position + 1


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in EXIF data: a TIFF header and its first directory, after an optional prefix.

    It is 1 if it is absent, damaged or out of range. If the tag is there more than once, the last entry counts.
    """
    tiff = exif.removeprefix(EXIF_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or tiff[2:4] not in (b"*\0", b"\0*"):
        return 1
    found = 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(min(entries, MOST_ENTRIES)):
            place = start + 2 + 12 * entry
            tag, kind, count, _ = struct.unpack_from(order + "HHII", tiff, place)
            if tag == ORIENTATION:
                numbers = struct.unpack_from(order + _WHOLE_NUMBERS.get(kind, ""), tiff, place + 8)
                found = numbers[0] if count == 1 and numbers and 1 <= numbers[0] <= 8 else 1
    except struct.error:
        pass
    return found
