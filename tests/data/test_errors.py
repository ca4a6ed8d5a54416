"""Texts of errors on one line; those of TensorFlow are compared with what TensorFlow itself raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from data.errors import describe_error, first_line, op_message
from data.families import IS_NEW
from data.images import ops, pixel_limit
from data.spec import Image

SPEC = Image(4, 4)
KINDS = "JPEG, JPEG XL, PNG, GIF, BMP, WebP" if IS_NEW else "JPEG, PNG, GIF, BMP"  # TensorFlow's words
WIDE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (2**15).to_bytes(4, "big") * 2 + bytes(20)


def in_dataset(contents: list[bytes]) -> None:
    list(tf.data.Dataset.from_tensors(contents).map(lambda some: ops.decode_batch(some, SPEC)))


@pytest.mark.parametrize("ask", [in_dataset, tf.function(lambda some: ops.decode_batch(some, SPEC)), tf.io.decode_jpeg])
def test_words_of_an_op_wherever_it_ran(ask: Callable[[Any], Any]) -> None:
    for content, words in {
        b"no picture": f"Unknown image file format. One of {KINDS} required.",
        WIDE: pixel_limit.refusal(SPEC.max_pixels),
    }.items():
        if ask is tf.io.decode_jpeg and content is WIDE:
            continue  # it has no limit of ours
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            ask(content if ask is tf.io.decode_jpeg else [content])
        assert op_message(str(caught.value)) == op_message(caught.value.message) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("\n\t [[{{node a}}]]", ""),
        ("one\ntwo", "one"),
        (
            "Graph execution error:\n\nDetected at node a defined at (most recent call last):\n"
            "<stack traces unavailable>\nwords\n\t [[{{node a}}]] [Op:__inference_f_1]",
            "words",
        ),
    ],
)
def test_lines(text: str, words: str) -> None:
    assert op_message(text) == words


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  \n  two  \n"), "two"),
        (ValueError(), "ValueError"),
        (KeyError("name"), "'name'"),
        (ValueError("shape [[1, 2]]"), "shape [[1, 2]]"),
        (ValueError("File x is damaged"), "File x is damaged"),
        (tf.errors.NotFoundError(None, None, "no file\n\t [[{{node a}}]] [Op:ReadFile]"), "no file"),
        (tf.errors.NotFoundError(None, None, ""), "NotFoundError"),
        (RuntimeError("x" * 1000), "x" * 300),
    ],
)
def test_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_reason_of_an_error() -> None:
    assert describe_error(FileNotFoundError(2, "No such file or directory", "x")) == "No such file or directory"
    assert describe_error(OSError("one\ntwo")) == "one"
    assert describe_error(ValueError()) == "ValueError"
