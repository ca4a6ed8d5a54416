"""Errors that one process prints and another one reads."""

from __future__ import annotations

import traceback

import pytest

from components.process_errors import Raised, error_line, last_raised, parse_error_line, read_error
from data import errors
from data.errors import DataError, ServingError, SkewlessError, UsageError
from serving.client.errors import NotFound

KINDS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SkewlessError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_its_kind_message_and_hint(kind: type[SkewlessError]) -> None:
    line = error_line(kind("caf\u00e9:\n'a'", "Do this.\nThen that."))
    assert "\n" not in line and line.isascii()
    found = parse_error_line(line)
    assert type(found) is kind and str(found) == "caf\u00e9:\n'a'" and found.hint == "Do this.\nThen that."


def test_a_subclass_elsewhere_becomes_its_nearest_kind() -> None:
    found = parse_error_line(error_line(NotFound("no picture")))
    assert type(found) in NotFound.__mro__ and type(found) in KINDS and str(found) == "no picture"


def test_any_other_error_names_its_class() -> None:
    found = parse_error_line(error_line(ValueError("two")))
    assert type(found) is SkewlessError and str(found) == "ValueError: two" and found.hint == ""


def test_other_lines_are_no_errors() -> None:
    assert parse_error_line("error: no data") is None and read_error("done\n") is None


def test_the_last_line_counts_before_any_traceback() -> None:
    first, last = error_line(UsageError("first")), error_line(DataError("last", "hint"))
    found = read_error(f"{first}\nbetween\n{last}\nTraceback (most recent call last):\nValueError: after it\n")
    assert type(found) is DataError and (str(found), found.hint) == ("last", "hint")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (DataError("few [while running 'Write']"), DataError, "few"),
        (ServingError("gone"), ServingError, "gone"),
        (ValueError("a\nb"), SkewlessError, "ValueError: a"),
        (RuntimeError("x" * 999), SkewlessError, f"RuntimeError: {'x' * 300}"),
    ],
)
def test_the_exception_of_a_traceback_is_read(error: Exception, kind: type[SkewlessError], message: str) -> None:
    text = "".join(traceback.format_exception(type(error), error, None))
    found = read_error(f"a line\nTraceback (most recent call last):\n  File ...\n{text}another\n")
    assert type(found) is kind and str(found) == message


def test_a_status_of_grpc_is_its_details() -> None:
    text = 'grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC:\n\tdetails = "failed to connect"\n>'
    found = last_raised(text)
    assert found == Raised("", "failed to connect") and str(found) == "failed to connect"
    assert str(last_raised("  ModuleNotFoundError: No module named 'x'")) == "ModuleNotFoundError: No module named 'x'"
    assert last_raised("nothing") is None
