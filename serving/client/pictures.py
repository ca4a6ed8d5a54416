"""Convert pictures to encoded files, which the server decodes. Arrays become PNG, which is lossless.

A PIL image keeps its alpha channel or transparent colour, and its 16 bits: the model treats it as it treats a file.
"""

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
from data.images.headers import ORIENTATION, exif_orientation
from data.names import printable
from serving.client.errors import InvalidPicture, InvalidRequest, UnreadablePicture
from serving.client.tensor import dtype_name, get_buffer
from serving.client.transport import MAX_MESSAGE_BYTES

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_LOSSLESS = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_ARRAYS = "Pass uint8 pixels in 0..255, [height, width] or [height, width, 1, 3 or 4]. The model scales them itself."
_ARRAYS_OF_16 = "Pass uint8 pixels. The model sees the upper 8 of 16 bits: (array >> 8).astype('uint8')."
_LEGAL = ", ".join(_LOSSLESS)
_HINTS = {  # Pillow's convert("L") and convert("RGB") would clip the numbers of these modes to 255
    "I": "If its numbers are 0 to 65535, pass image.convert('I;16'): the model sees the upper 8 bits, as of a file.",
    "F": "Pass whole numbers 0 to 255: Image.fromarray(numpy.asarray(image).round().astype('uint8')).",
}
_KINDS = "Pass a path, bytes, an array or a PIL image."
_URL = re.compile("[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
_MAX_NAME = 400  # characters of a name in a message


@dataclass(frozen=True)
class LoadedPicture:
    """One picture that is ready to be sent, or the reason why it is not.

    Attributes:
      name: Its path, or "images[3]"; printable, on one line.
      content: The encoded file; empty if there is an error.
      error: Why it cannot be sent; None if it can.
    """

    name: str
    content: bytes
    error: InvalidPicture | None = None


def list_pictures(given: Any) -> Iterable[Any]:
    """Return several pictures as they are, and a single picture as a list of one.

    A single picture is a path, the bytes of a file, an open file, a PIL image, or an array [H, W] or [H, W, C] with C
    of 1, 3 or 4. An array [N, H, W] is N grey pictures.

    Raises:
      InvalidRequest: If `given` is neither, has no order, or is ambiguous: an array [3, H, W] or [4, H, W].
    """
    if isinstance(given, (str, os.PathLike, bytes, bytearray, LoadedPicture)) or _is_pil(given):
        return [given]
    if isinstance(given, (list, tuple, Iterator)) and not hasattr(given, "read"):
        return given
    if isinstance(given, (Mapping, Set)):
        raise InvalidRequest(f"not a list of pictures: {type(given).__name__}", hint=f"Pass a list. {_KINDS}")
    view = get_buffer(given)
    if hasattr(given, "read") or view is not None and _is_one(view):
        return [given]
    try:
        return _rows(given) if isinstance(given, memoryview) else iter(given)
    except TypeError:
        raise InvalidRequest(f"not a picture: {type(given).__name__}", hint=_KINDS) from None


def _is_one(view: memoryview) -> bool:
    """Whether an array is one picture (or none that is valid), not several."""
    shape = view.shape or ()
    if len(shape) < 2:
        return not shape or dtype_name(view)[0] != "'"  # bytes of a file, not an array of names
    if len(shape) == 2 or len(shape) == 3 and (shape[2] in _MODES or shape[2] < 3):
        return True
    if len(shape) == 3 and shape[0] in (3, 4):
        raise InvalidRequest(
            f"an array {list(shape)} is either {shape[0]} grey pictures, or one with its channels first",
            hint="Pass list(array) for grey pictures; otherwise put the channels last, [height, width, channels].",
        )
    return False


def _rows(view: Any) -> Iterator[Any]:
    """Yield the rows of a memoryview, which cannot iterate itself over more than one dimension."""
    if view.ndim < 2:
        return iter(view)
    content = memoryview(view.tobytes())
    size = len(content) // max(view.shape[0], 1)
    parts: Iterator[Any] = (content[number * size : (number + 1) * size] for number in range(view.shape[0]))
    return (part.cast(view.format, view.shape[1:]) for part in parts)


def load_picture(given: Any, number: int, max_bytes: int = MAX_MESSAGE_BYTES) -> LoadedPicture:
    """Read or encode one picture; an error becomes part of the result, so that the other pictures can go on.

    Args:
      given: As for `encode_picture`, or a `LoadedPicture`.
      number: Its index in the request, to name a picture that is not a file.
      max_bytes: Maximum size of the encoded file.
    """
    if isinstance(given, LoadedPicture):
        return given
    name = f"images[{number}]"
    try:
        if not isinstance(given, (str, os.PathLike)):
            return LoadedPicture(name, encode_picture(given, max_bytes))
        name = _short(given)
        return LoadedPicture(name, encode_picture(given, max_bytes))
    except InvalidPicture as error:
        text = str(error) if name in str(error) else f"{error} ({name})"
        return LoadedPicture(name, b"", type(error)(text, hint=error.hint))


def encode_picture(given: Any, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """Return the picture as an encoded file, which the server can decode.

    Args:
      given: A path; the bytes of a file, sent unchanged; a file that is open for bytes, read from its current position;
        a PIL image, sent with the orientation in the EXIF of its file; or uint8 pixels [H, W], [H, W, 1], [H, W, 3] or
        [H, W, 4] in any array with a buffer.
      max_bytes: Maximum size of the file.

    Raises:
      UnreadablePicture: If the file is missing or cannot be read.
      InvalidPicture: If `given` is not a picture, is empty, or is too large.
    """
    if _is_pil(given):
        content = _png(given)
    elif isinstance(given, (str, os.PathLike)):
        content = _of_path(given, max_bytes)
    elif isinstance(given, (bytes, bytearray)):
        content = bytes(given)
    else:
        try:
            view = get_buffer(given)
        except InvalidRequest as error:
            raise InvalidPicture(str(error), hint=_ARRAYS) from error
        if view is None and not hasattr(given, "read"):
            raise InvalidPicture(f"not a picture: {type(given).__name__}", hint=_KINDS)
        content = _of_open(given, max_bytes) if view is None else _of_pixels(view, given)
    if not content:
        raise InvalidPicture(
            "a picture of 0 bytes", hint="Is the file complete? An open file is read from its current position."
        )
    _check_size(len(content), max_bytes)
    return content


def _short(path: str | os.PathLike[Any]) -> str:
    """Return a path for a message, without the middle if it is very long."""
    try:
        text = printable(os.fsdecode(path))
    except Exception:  # of the __fspath__ of any library
        text = type(path).__name__
    return text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME // 2]}...{text[-_MAX_NAME // 2 :]}"


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise InvalidPicture(
            f"a picture of {size} bytes, more than fit into a request ({max_bytes})", hint="Send a smaller file."
        )


def _of_path(given: Any, max_bytes: int) -> bytes:
    try:
        found = os.stat(given)
        # Opening a pipe without a writer would never return. A folder raises an OSError below.
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise UnreadablePicture(
                f"cannot read {_short(given)}: not a file, but a pipe or a device",
                hint="Read it, and pass its bytes.",
            )
        _check_size(found.st_size, max_bytes)
        with open(given, "rb") as file:
            return file.read()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and _URL.match(_short(given)):
            raise UnreadablePicture(
                f"cannot read {_short(given)}: not a file, but a URL",
                hint="Download it first, and pass the file or its bytes.",
            ) from error
        raise UnreadablePicture(f"cannot read {_short(given)}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:  # a zero byte in a name, or a bad __fspath__
        raise UnreadablePicture(f"cannot read {_short(given)}: {error}") from error


def _of_open(file: Any, max_bytes: int) -> bytes:
    try:
        try:
            size = os.fstat(file.fileno()).st_size
        except Exception:  # not a file on disk
            size = 0
        _check_size(size, max_bytes)
        content = file.read()
    except (InvalidPicture, MemoryError):
        raise
    except Exception as error:  # of any library
        raise UnreadablePicture(f"cannot read a {type(file).__name__}: {first_line(error)}") from error
    if not isinstance(content, (bytes, bytearray)):
        kind = type(content).__name__
        raise UnreadablePicture(f"a {type(file).__name__} returns {kind}, not bytes", hint="Open it in mode 'rb'.")
    return bytes(content)


def _of_pixels(pixels: memoryview, given: Any) -> bytes:
    shape = pixels.shape or ()
    if not shape and hasattr(given, "__array__"):  # such as a string tensor of TensorFlow
        only = given.__array__()
        only = only.item() if hasattr(only, "item") else only
        if isinstance(only, (bytes, str)):
            return encode_picture(only)
    if len(shape) == 1 and pixels.format == "B":
        return pixels.tobytes()  # the bytes of an encoded file
    channels = shape[2] if len(shape) == 3 else 1
    if pixels.format != "B" or len(shape) not in (2, 3) or channels not in _MODES or 0 in shape:
        hint = _ARRAYS_OF_16 if pixels.format == "H" else _ARRAYS
        raise InvalidPicture(f"not a picture: an array of {dtype_name(pixels)} {list(shape)}", hint=hint)
    from PIL import Image

    return _png(Image.frombytes(_MODES[channels], (shape[1], shape[0]), pixels.tobytes()))


def _is_pil(given: Any) -> bool:
    """Whether `given` is a PIL image. Does not import PIL: whoever made the image has."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(given, module.Image)


def _orientation(image: Any) -> dict[str, Any]:
    """Return the option that saves the orientation of the file from which an image was loaded, if it is not upright.

    Pillow would drop it, and a model with `orientation="exif"` would answer otherwise than for the file. Nothing else
    of the EXIF is sent: it may be large, and has the place where the picture was taken.
    """
    given = image.info.get("exif")
    orientation = exif_orientation(given) if isinstance(given, bytes) else 1
    if orientation == 1:
        return {}
    from PIL import Image

    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return {"exif": exif}


def _png(image: Any) -> bytes:
    if image.mode not in _LOSSLESS:
        raise InvalidPicture(
            f"a PIL image of mode {image.mode} cannot be saved as a PNG without loss",
            hint=_HINTS.get(image.mode, f"Convert it first, e.g. image.convert('RGB'). Legal modes: {_LEGAL}"),
        )
    out = io.BytesIO()
    try:
        image.load()
        image.save(out, "PNG", compress_level=1, **_orientation(image))  # the fastest level: the file is not stored
    except MemoryError:
        raise
    except Exception as error:  # PIL reads the file only now, and raises many types
        raise InvalidPicture(
            f"cannot read the pixels of a PIL image: {first_line(error)}",
            hint="Is its file complete and still open?",
        ) from error
    return out.getvalue()
