"""Opening a data file for reading, local or remote."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import tensorflow as tf

from data.errors import DataError, describe_error
from data.files.remote import is_remote
from data.names import printable


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a data file for reading.

    Raises:
      DataError: If it cannot be opened, or the block cannot read it.
    """
    try:
        with _Remote.buffered(path) if is_remote(path) else open(path, "rb") as file:
            yield file
    except (OSError, tf.errors.OpError) as error:
        raise DataError(
            f"cannot read {printable(path)}: {describe_error(error)}", hint="Does it exist, and may this user read it?"
        ) from None


class _Remote(io.RawIOBase):
    """TensorFlow's `GFile` as a Python file: `GFile` drops carriage returns, and cannot limit the length of a line."""

    def __init__(self, path: str) -> None:
        self._file = tf.io.gfile.GFile(path, "rb")

    @classmethod
    def buffered(cls, path: str) -> BinaryIO:
        """Open a file that is read in pieces of a megabyte."""
        return cast(BinaryIO, io.BufferedReader(cls(path), 1 << 20))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
