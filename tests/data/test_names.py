"""Names of files of any bytes, against the file system's own coding."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from data.names import from_bytes, printable, to_bytes


@pytest.mark.parametrize("name", [b"a.jpg", "é花.jpg".encode(), b"caf\xe9.jpg", b"\xff\xfe", b"\xed\xb3\xa9"])
def test_there_and_back(name):
    text = os.fsdecode(name)
    assert to_bytes(text) == name == os.fsencode(text)
    assert from_bytes(name) == text == json.loads(json.dumps(text))


def test_any_bytes():
    for seed in range(300):
        name = np.random.default_rng(seed).bytes(9)
        assert to_bytes(from_bytes(name)) == name
        printable(from_bytes(name)).encode()


def test_printable():
    assert printable(os.fsdecode(b"caf\xe9")) == r"caf\xe9" == printable(r"caf\xe9")
    assert printable("é花 😀") == "é花 😀"
