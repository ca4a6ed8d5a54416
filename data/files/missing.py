"""The error for a data folder that is not there; loads no TensorFlow, so that a command can raise it at once."""

from __future__ import annotations

import os

from data.errors import DataError
from data.names import printable


def no_folder(folder: str) -> DataError:
    """Return the error for a data folder that does not exist, or is a file."""
    if os.path.isfile(folder):
        hint = "Name its folder, or the one that you unpack an archive into: --data DIR."
        return DataError(f"no data folder at {printable(folder)}, which is a file", hint=hint)
    return DataError(f"no data folder at {printable(folder)}", hint="Name the folder with the data: --data DIR.")
