"""Names of files of any bytes, compared with the file system's own encoding."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from data.names import from_bytes, list_names, printable, to_bytes, to_utf8


@pytest.mark.parametrize("name", [b"a.jpg", "é花.jpg".encode(), b"caf\xe9.jpg", b"\xff\xfe", b"\xed\xb3\xa9"])
def test_there_and_back(name):
    text = os.fsdecode(name)
    assert to_bytes(text) == name == os.fsencode(text)
    assert from_bytes(name) == text == json.loads(json.dumps(text))


def test_any_bytes():
    for seed in range(300):
        name = np.random.default_rng(seed).bytes(9)
        assert to_bytes(from_bytes(name)) == name
        for text in (printable(from_bytes(name)), to_utf8(from_bytes(name))):
            text.encode()
        assert printable(from_bytes(name)).isprintable()


@pytest.mark.parametrize("convert", [printable, to_utf8])
def test_bytes_that_are_not_utf8_are_escaped(convert):
    assert convert(os.fsdecode(b"caf\xe9")) == r"caf\xe9" == convert(r"caf\xe9")
    assert convert("é花 😀") == "é花 😀"


def test_control_characters_are_escaped_for_a_message_only():
    name = "a\nb\x1b[31m\u202e"
    assert printable(name) == r"a\nb\x1b[31m\u202e" and to_utf8(name) == name
    assert printable("\ud800") == r"\ud800"


def test_list_names():
    assert list_names(["a", "b", "c"], 3) == "a, b, c"
    assert list_names(["a", "b", "c"], 2) == "a, b and 1 more"
