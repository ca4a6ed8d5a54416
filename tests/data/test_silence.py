"""File descriptors are redirected for C, too, and restored after an exception."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from data.silence import silent_imports
from tests import PROJECT

_CODE = """
import os, sys
from data.silence import redirect_descriptors
print("before")  # still in Python's buffer
with open(sys.argv[1], "wb") as log, redirect_descriptors(log.fileno(), 1, 2):
    print("printed")
    os.write(2, b"of C\\n")
print("after")
"""


def test_what_is_written_is_redirected_and_nothing_is_lost(tmp_path) -> None:
    command = [sys.executable, "-c", _CODE, str(tmp_path / "log")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("before\nafter\n", "", 0)
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["of C", "printed"]


def test_standard_error_is_discarded_and_an_exception_is_raised(capfd) -> None:
    with pytest.raises(ValueError), silent_imports():
        os.write(1, b"kept\n")
        os.write(2, b"discarded\n")
        raise ValueError
    os.write(2, b"again\n")
    assert capfd.readouterr() == ("kept\n", "again\n")
