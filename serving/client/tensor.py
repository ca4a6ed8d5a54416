"""Tensors without numpy: made from lists or from any object with a buffer, and read the same way."""

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
"""Dtypes of numbers, each with its format character of Python's `struct`."""
_LONG = 8 * struct.calcsize("l")  # bits, which depend on the platform
_DTYPES = {code: dtype for dtype, code in CODES.items()} | {"l": f"int{_LONG}", "L": f"uint{_LONG}"}
STRING = "string"
_MAX_DIMENSIONS = 254  # limit of TensorFlow
_KINDS = (bytes, str, bool, int, float)


@dataclass(frozen=True)
class Tensor:
    """Numbers or byte strings with a shape; `numpy.asarray(tensor)` shares numbers without a copy.

    Attributes:
      dtype: "float32", "int64", ... as in numpy, or "string". A server may send others, which cannot be read.
      shape: Dimensions; () for a scalar.
      data: Elements in row-major order: little-endian numbers as bytes, or a tuple of byte strings.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes | tuple[bytes, ...]

    def values(self) -> Sequence[Any]:
        """Return all elements in row-major order.

        Raises:
          ServerFailure: If the dtype cannot be read, or the data do not have the length of the shape.
        """
        if isinstance(self.data, tuple):
            return self.data
        if self.dtype not in CODES:
            raise ServerFailure(
                f"cannot read an output of dtype {self.dtype}", hint=f"Legal: string, {', '.join(CODES)}"
            )
        try:
            return struct.unpack(f"<{prod(self.shape)}{CODES[self.dtype]}", self.data)
        except struct.error:
            text = f"an output of dtype {self.dtype} and shape {list(self.shape)} has {len(self.data)} bytes"
            raise ServerFailure(text, hint="See the server's log.") from None

    def tolist(self) -> Any:
        """Return nested lists, or one value if the shape is ()."""
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
    """Make a tensor of a dtype in `CODES` from its elements in row-major order.

    Raises:
      InvalidRequest: If an element is not in the dtype's range.
    """
    try:
        return Tensor(dtype, tuple(shape), struct.pack(f"<{len(values)}{CODES[dtype]}", *values))
    except (struct.error, OverflowError, TypeError) as error:
        raise InvalidRequest(f"values do not fit {dtype}: {error}", hint="Pass numbers in the dtype's range.") from None


def string_tensor(values: Sequence[bytes]) -> Tensor:
    """Make a tensor of byte strings with shape [N]."""
    return Tensor(STRING, (len(values),), tuple(values))


def to_tensor(value: Any) -> Tensor:
    """Make a tensor from nested lists, a scalar, or an array (of numpy, or any with a buffer), which keeps its dtype.

    Python's values get the dtype that `tf.make_tensor_proto` gives them: float32, int32, bool or string.

    Raises:
      InvalidRequest: If lists differ in length or mix types, or an array has an unknown dtype.
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
            raise InvalidRequest(f"a string cannot be encoded as UTF-8: {error}", hint="Pass bytes.") from None
        return Tensor(STRING, shape, texts) if kinds else Tensor("float32", shape, b"")
    for dtype, legal in (("bool", {bool}), ("int32", {int}), ("float32", {int, float})):
        if kinds <= legal:
            return number_tensor(dtype, shape, flat)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InvalidRequest(
        f"cannot make a tensor of {names}", hint="Pass numbers, strings or booleans, but not a mixture."
    )


def get_buffer(value: Any) -> memoryview | None:
    """Return the buffer of an array, or None for any other value.

    An array without a buffer, such as one on a device, is copied with its `__array__`.

    Raises:
      InvalidRequest: If `__array__` fails, or its result has no buffer.
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
        text = f"cannot make an array from a value of type {type(value).__name__}: {first_line(error)}"
        raise InvalidRequest(text, hint="Convert it to an array of numbers in main memory first.") from error


def dtype_name(view: memoryview) -> str:
    """Return the dtype's name in `CODES`; the quoted format for any other dtype."""
    return _DTYPES.get(view.format.lstrip("<=@>!"), f"'{view.format}'")


def _from_buffer(value: Any) -> Tensor:
    view = get_buffer(value)
    if view is None:
        raise InvalidRequest(
            f"cannot make a tensor from a value of type {type(value).__name__}", hint="Pass nested lists or an array."
        )
    dtype = dtype_name(view)
    if dtype not in CODES:
        raise InvalidRequest(
            f"cannot make a tensor from an array of {dtype}",
            hint=f"Legal: {', '.join(CODES)}. Pass strings as a list: array.tolist().",
        )
    data, size = view.tobytes(), view.itemsize
    if view.format[0] in ">!":  # big-endian
        swapped = bytearray(len(data))
        for at in range(size):
            swapped[at::size] = data[size - 1 - at :: size]
        data = bytes(swapped)
    return Tensor(dtype, view.shape or (), data)


def _is_array(kind: type) -> bool:
    """Whether a type is an array or an array library's scalar; not numpy's strings, which are Python's, too."""
    return hasattr(kind, "__array__") and not issubclass(kind, (bytes, str))


def _plain(value: Any) -> Any:
    """Replace arrays, and the scalars of array libraries, in nested lists by Python's values."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return to_tensor(value).tolist() if _is_array(type(value)) else value


def _shape(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, (list, tuple)):
        if len(shape) == _MAX_DIMENSIONS:  # perhaps a list that contains itself
            raise InvalidRequest(
                f"lists are nested more than {len(shape)} deep", hint="TensorFlow allows no more dimensions."
            )
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flat(value: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """Yield the elements in row-major order; check that all lists of a level have the same length."""
    nested = isinstance(value, (list, tuple))
    if nested != bool(shape) or nested and len(value) != shape[0]:
        raise InvalidRequest("the lists of a tensor differ in length", hint="All rows must have the same length.")
    if not nested:
        yield value
        return
    for one in value:
        yield from _flat(one, shape[1:])
