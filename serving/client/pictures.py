"""Pictures as users have them, to the encoded files that a server decodes; arrays become PNG, which loses nothing."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from data.errors import first_line
from serving.client.errors import InvalidPicture, InvalidRequest, UnreadablePicture
from serving.client.tensor import dtype_name, get_buffer
from serving.client.transport import MAX_MESSAGE_BYTES

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_LOSSLESS = ("1", "L", "LA", "P", "RGB", "RGBA")
_ARRAYS = "Give uint8 pixels in 0..255, [height, width] or [height, width, 1, 3 or 4]; scaling is the model's part."
_KINDS = "Give a path, bytes, an array or a PIL image."
_ADDRESS = re.compile("[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
_LONGEST = 400  # characters of a name in a message


@dataclass(frozen=True)
class Picture:
    """One picture on its way.

    Attributes:
      name: its path, or "images[3]"; on one line, and printable.
      content: the encoded file; empty if there is an error.
      error: why it cannot be sent.
    """

    name: str
    content: bytes
    error: InvalidPicture | None = None


def list_pictures(given: Any) -> Iterable[Any]:
    """One picture or several, as several: one becomes a list of it, and is never cut up.

    One is a path, a file's bytes, an open file, a PIL image, or an array [H, W] or [H, W, C] with 1, 3 or 4 for C. Of
    an array [N, H, W] each of the N is a grey picture.

    Raises:
      InvalidRequest: what is neither, has no order, or could be both: an array [3, H, W] or [4, H, W].
    """
    if isinstance(given, (str, os.PathLike, bytes, bytearray, Picture)) or _is_pil(given):
        return [given]
    if isinstance(given, (list, tuple, Iterator)) and not hasattr(given, "read"):
        return given
    if isinstance(given, (Mapping, Set)):
        raise InvalidRequest(f"a {type(given).__name__} is no list of pictures", hint=f"Give a list. {_KINDS}")
    view = get_buffer(given)
    if hasattr(given, "read") or view is not None and _is_one(view):
        return [given]
    try:
        return _rows(given) if isinstance(given, memoryview) else iter(given)
    except TypeError:
        raise InvalidRequest(f"a {type(given).__name__} is no picture", hint=_KINDS) from None


def _is_one(view: memoryview) -> bool:
    """Whether an array is one picture, or none at all, rather than several."""
    shape = view.shape or ()
    if len(shape) < 2:
        return not shape or dtype_name(view)[0] != "'"  # a file's bytes, but not names in an array of objects
    if len(shape) == 2 or len(shape) == 3 and (shape[2] in _MODES or shape[2] < 3):
        return True
    if len(shape) == 3 and shape[0] in (3, 4):
        raise InvalidRequest(
            f"an array {list(shape)} may be {shape[0]} grey pictures, or one with its channels first",
            hint="Give list(array) for grey pictures; else put the channels last, [height, width, channels].",
        )
    return False


def _rows(view: Any) -> Iterator[Any]:
    """Of a memoryview; one of more than one dimension gives none itself."""
    if view.ndim < 2:
        return iter(view)
    content = memoryview(view.tobytes())
    size = len(content) // max(view.shape[0], 1)
    parts: Iterator[Any] = (content[number * size : (number + 1) * size] for number in range(view.shape[0]))
    return (part.cast(view.format, view.shape[1:]) for part in parts)


def load_picture(given: Any, number: int, most_bytes: int = MAX_MESSAGE_BYTES) -> Picture:
    """Reads or encodes one picture; a fault is told in the result, and never stops those that follow.

    Args:
      given: as in `encode_picture`, or a `Picture`.
      number: its place among those asked about, from 0, to name one that is no file.
      most_bytes: of an encoded file.
    """
    if isinstance(given, Picture):
        return given
    name = f"images[{number}]"
    try:
        if not isinstance(given, (str, os.PathLike)):
            return Picture(name, encode_picture(given, most_bytes))
        name = _short(given)
        return Picture(name, encode_picture(given, most_bytes))
    except InvalidPicture as error:
        told = str(error) if name in str(error) else f"{error} ({name})"
        return Picture(name, b"", type(error)(told, hint=error.hint))


def encode_picture(given: Any, most_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """The picture as a file that the served decoder takes.

    Args:
      given: a path; the file's bytes, sent as they are; a file that is open for bytes, read from where it stands; a PIL
        image; or pixels uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] in any array with a buffer.
      most_bytes: of the file.

    Raises:
      UnreadablePicture: there is no such file, or it cannot be read.
      InvalidPicture: anything else.
    """
    if _is_pil(given):
        content = _png(given)
    elif isinstance(given, (str, os.PathLike)):
        content = _of_path(given, most_bytes)
    elif isinstance(given, (bytes, bytearray)):
        content = bytes(given)
    else:
        try:
            view = get_buffer(given)
        except InvalidRequest as error:
            raise InvalidPicture(str(error), hint=_ARRAYS) from error
        if view is None and not hasattr(given, "read"):
            raise InvalidPicture(f"a {type(given).__name__} is no picture", hint=_KINDS)
        content = _of_open(given, most_bytes) if view is None else _of_pixels(view, given)
    if not content:
        raise InvalidPicture(
            "a picture of 0 bytes", hint="Is the file whole? One that is open is read from where it is."
        )
    _check_size(len(content), most_bytes)
    return content


def printable_path(path: str | os.PathLike[Any]) -> str:
    """A path on one line, whatever bytes it is made of."""
    try:
        text = os.fsdecode(path)
    except Exception:  # whatever a __fspath__ raises
        text = type(path).__name__
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _short(path: str | os.PathLike[Any]) -> str:
    """The same for a message: the middle of a very long one is left out."""
    text = printable_path(path)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 :]}"


def _escaped(one: str) -> str:
    byte = ord(one) - 0xDC00  # as Python keeps the bytes of a name that are no UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else one.encode("unicode_escape").decode()


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise InvalidPicture(f"a picture of {size} bytes; a request holds {most_bytes}", hint="Give a smaller file.")


def _of_path(given: Any, most_bytes: int) -> bytes:
    try:
        found = os.stat(given)
        # A pipe without a writer would be waited for without an end; a folder has an error of its own.
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise UnreadablePicture(
                f"cannot read {_short(given)}: a pipe or a device, no file", hint="Read it, and give its bytes."
            )
        _check_size(found.st_size, most_bytes)
        with open(given, "rb") as file:
            return file.read()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and _ADDRESS.match(_short(given)):
            raise UnreadablePicture(
                f"cannot read {_short(given)}: an address, no file",
                hint="Fetch it first, and give the file or its bytes.",
            ) from error
        raise UnreadablePicture(f"cannot read {_short(given)}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:  # a zero byte in a name; a __fspath__ that gives none
        raise UnreadablePicture(f"cannot read {_short(given)}: {error}") from error


def _of_open(file: Any, most_bytes: int) -> bytes:
    try:
        try:
            size = os.fstat(file.fileno()).st_size
        except Exception:  # not on a disk
            size = 0
        _check_size(size, most_bytes)
        content = file.read()
    except (InvalidPicture, MemoryError):
        raise
    except Exception as error:  # of any library's own
        words = first_line(error)
        raise UnreadablePicture(f"cannot read a {type(file).__name__}: {words}") from error
    if not isinstance(content, (bytes, bytearray)):
        kind = type(content).__name__
        raise UnreadablePicture(f"a {type(file).__name__} that reads {kind}, not bytes", hint="Open it with mode 'rb'.")
    return bytes(content)


def _of_pixels(pixels: memoryview, given: Any) -> bytes:
    shape = pixels.shape or ()
    if not shape and hasattr(given, "__array__"):  # as a string of TensorFlow's
        only = given.__array__()
        only = only.item() if hasattr(only, "item") else only
        if isinstance(only, (bytes, str)):
            return encode_picture(only)
    if len(shape) == 1 and pixels.format == "B":
        return pixels.tobytes()  # an encoded file after all
    channels = shape[2] if len(shape) == 3 else 1
    if pixels.format != "B" or len(shape) not in (2, 3) or channels not in _MODES or 0 in shape:
        raise InvalidPicture(f"an array of {dtype_name(pixels)} {list(shape)} is no picture", hint=_ARRAYS)
    from PIL import Image

    return _png(Image.frombytes(_MODES[channels], (shape[1], shape[0]), pixels.tobytes()))


def _is_pil(given: Any) -> bool:
    """Whoever has a PIL image has loaded PIL: it need not be loaded to know."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(given, module.Image)


def _png(image: Any) -> bytes:
    if image.mode not in _LOSSLESS:
        raise InvalidPicture(
            f"a PIL image of mode {image.mode} has no lossless file of 8 bits",
            hint=f"Convert it first, e.g. image.convert('RGB'). Legal modes: {', '.join(_LOSSLESS)}",
        )
    out = io.BytesIO()
    try:
        image.save(out, "PNG", compress_level=1)  # the fastest: the picture lives as long as the request
    except MemoryError:
        raise
    except Exception as error:  # it reads a file's pixels only now, and raises a dozen kinds
        words = first_line(error)
        raise InvalidPicture(
            f"a PIL image without pixels: {words}", hint="Is its file whole, and still open?"
        ) from error
    return out.getvalue()
