"""Tensors without numpy: from lists and from anything with a buffer, to lists and to anything that reads one."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from data.errors import first_line
from serving.client.errors import InvalidRequest, ServerFailure

CODES = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
"""The dtypes of numbers, each with its letter in Python's struct."""
_LONG = 8 * struct.calcsize("l")  # bits; the platform's own
_DTYPES = {code: dtype for dtype, code in CODES.items()} | {"l": f"int{_LONG}", "L": f"uint{_LONG}"}
STRING = "string"
_MOST_DIMENSIONS = 254  # TensorFlow's
_KINDS = (bytes, str, bool, int, float)


@dataclass(frozen=True)
class Tensor:
    """Numbers or byte strings in a shape; `numpy.asarray(tensor)` takes numbers without a copy.

    Attributes:
      dtype: "float32", "int64", ... as numpy names them; "string"; or, from a server, one that is not read here.
      shape: its dimensions; () for a scalar.
      data: row by row, little-endian numbers in one piece; or a tuple of byte strings.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes | tuple[bytes, ...]

    def values(self) -> Sequence[Any]:
        """All elements in a row.

        Raises:
          ServerFailure: a dtype that this client does not read, or data of another length than the shape's.
        """
        if isinstance(self.data, tuple):
            return self.data
        if self.dtype not in CODES:
            raise ServerFailure(f"an output of dtype {self.dtype}", hint=f"Legal: string, {', '.join(CODES)}")
        try:
            return struct.unpack(f"<{prod(self.shape)}{CODES[self.dtype]}", self.data)
        except struct.error:
            text = f"an output of {self.dtype} {list(self.shape)} has {len(self.data)} bytes"
            raise ServerFailure(text, hint="See the server's log.") from None

    def tolist(self) -> Any:
        """Nested lists, or one value where the shape is ()."""
        values: Sequence[Any] = self.values()
        if not self.shape:
            return values[0]
        for index in range(len(self.shape) - 1, 0, -1):
            size, count = self.shape[index], prod(self.shape[:index])
            values = [list(values[at * size : (at + 1) * size]) for at in range(count)]
        return list(values)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        if self.dtype not in CODES:
            raise AttributeError(f"no array interface for {self.dtype}: use tolist()")
        size = struct.calcsize(f"<{CODES[self.dtype]}")
        return {"version": 3, "shape": self.shape, "typestr": f"<{self.dtype[0]}{size}", "data": self.data}


def number_tensor(dtype: str, shape: Sequence[int], values: Sequence[Any]) -> Tensor:
    """A tensor of a dtype in `CODES` from its elements in a row.

    Raises:
      InvalidRequest: an element is not in the dtype's range.
    """
    try:
        return Tensor(dtype, tuple(shape), struct.pack(f"<{len(values)}{CODES[dtype]}", *values))
    except (struct.error, OverflowError, TypeError) as error:
        raise InvalidRequest(f"values are not {dtype}: {error}", hint="Give numbers in the dtype's range.") from None


def string_tensor(values: Sequence[bytes]) -> Tensor:
    """A tensor of byte strings, shape [N]."""
    return Tensor(STRING, (len(values),), tuple(values))


def to_tensor(value: Any) -> Tensor:
    """A tensor from nested lists, a scalar, or an array (numpy's, or any with a buffer) with its own dtype.

    Python's values become what `tf.make_tensor_proto` makes of them: float32, int32, bool or string.

    Raises:
      InvalidRequest: lists of unequal lengths or mixed kinds, or an array of another dtype.
    """
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, (*_KINDS, list, tuple)) or _is_array(type(value)):
        return _from_buffer(value)
    if isinstance(value, (list, tuple)) and any(_is_array(type(one)) for one in value):
        value = _plain(value)
    shape = _shape(value)
    flat = list(_flat(value, shape))
    types = {type(one) for one in flat}
    if any(map(_is_array, types)):
        return to_tensor(_plain(value))
    kinds = {next((kind for kind in _KINDS if issubclass(one, kind)), one) for one in types}
    if kinds <= {bytes, str}:
        try:
            texts = tuple(one if isinstance(one, bytes) else one.encode() for one in flat)
        except UnicodeError as error:
            raise InvalidRequest(f"a string is no UTF-8: {error}", hint="Give it as bytes.") from None
        return Tensor(STRING, shape, texts) if kinds else Tensor("float32", shape, b"")
    for dtype, legal in (("bool", {bool}), ("int32", {int}), ("float32", {int, float})):
        if kinds <= legal:
            return number_tensor(dtype, shape, flat)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InvalidRequest(f"no tensor of {names}", hint="Give numbers, or strings, or truth values, but not a mixture.")


def get_buffer(value: Any) -> memoryview | None:
    """The buffer of an array, or None; an array on a device that has none is brought over by its own `__array__`.

    Raises:
      InvalidRequest: `__array__` fails, or what it gives has no buffer.
    """
    try:
        return memoryview(value)
    except (TypeError, ValueError, BufferError):
        pass
    try:
        return memoryview(value.__array__()) if hasattr(value, "__array__") else None
    except MemoryError:
        raise
    except Exception as error:  # of any library's own
        words = f"no array from a {type(value).__name__}: {first_line(error)}"
        raise InvalidRequest(words, hint="Make it an array of numbers in the memory of this machine first.") from error


def dtype_name(view: memoryview) -> str:
    """The dtype's name, as in `CODES`; where it is none of those, the letters of its format."""
    return _DTYPES.get(view.format.lstrip("<=@>!"), f"'{view.format}'")


def _from_buffer(value: Any) -> Tensor:
    view = get_buffer(value)
    if view is None:
        raise InvalidRequest(
            f"no tensor from a {type(value).__name__}", hint="Give nested lists, or an array such as numpy's."
        )
    dtype = dtype_name(view)
    if dtype not in CODES:
        raise InvalidRequest(
            f"no tensor from an array of {dtype}", hint=f"Legal: {', '.join(CODES)}; strings in lists, array.tolist()."
        )
    data, size = view.tobytes(), view.itemsize
    if view.format[0] in ">!":  # big-endian
        turned = bytearray(len(data))
        for place in range(size):
            turned[place::size] = data[size - 1 - place :: size]
        data = bytes(turned)
    return Tensor(dtype, view.shape or (), data)


def _is_array(kind: type) -> bool:
    """Also of numpy's scalars, but not of its strings, which are Python's, too."""
    return hasattr(kind, "__array__") and not issubclass(kind, (bytes, str))


def _plain(value: Any) -> Any:
    """Lists with Python's own values where they hold arrays, or an array library's scalars."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return to_tensor(value).tolist() if _is_array(type(value)) else value


def _shape(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, (list, tuple)):
        if len(shape) == _MOST_DIMENSIONS:  # or a list that holds itself
            raise InvalidRequest(f"lists in more than {len(shape)} lists", hint="Tensors have no more dimensions.")
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flat(value: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """The elements in a row; checks that each list is as long as the first one beside it."""
    nested = isinstance(value, (list, tuple))
    if nested != bool(shape) or nested and len(value) != shape[0]:
        raise InvalidRequest("the lists of a tensor are not equally long", hint="Each row must have the same length.")
    if not nested:
        yield value
        return
    for one in value:
        yield from _flat(one, shape[1:])
