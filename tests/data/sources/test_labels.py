"""The rule for labels; `test_contract` checks that it is the same in every source."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from data.sources.labels import InvalidLabel, label_order, parse_label, parse_number, resolve_class
from data.spec import Classes, Number

NAMES = ("zero", "one", "two")


@pytest.mark.parametrize(
    ("value", "names", "expected"),
    [
        ("cat", (), "cat"),
        (" cat\t", (), "cat"),
        (b"cat", (), "cat"),
        ("猫".encode(), (), "猫"),
        (1, (), "1"),
        (1.0, (), "1"),
        ("1", (), "1"),
        ("1.0", (), "1"),
        (b"1.", (), "1"),
        (-1, (), "-1"),
        ("01", (), "01"),
        (True, (), "True"),
        (True, NAMES, "one"),
        (1, NAMES, "one"),
        ("1", NAMES, "one"),
        ("1.0", NAMES, "one"),
        (2.0, NAMES, "two"),
        ("two", NAMES, "two"),
        (1, ("1", "2", "3"), "1"),  # a name goes before an index
        (0, ("1", "2", "3"), "1"),
        (np.int64(2), NAMES, "two"),
        (np.float32(2), NAMES, "two"),
        (10**25, (), str(10**25)),
    ],
)
def test_what_is_a_class(value, names, expected):
    assert parse_label([value], Classes(names)) == expected


@pytest.mark.parametrize(
    ("values", "names", "said"),
    [
        ([], (), "empty"),
        ([""], (), "empty"),
        (["  "], (), "empty"),
        ([b""], (), "empty"),
        ([float("nan")], (), "NaN"),
        (["nan"], (), "NaN"),
        (["NaN"], (), "NaN"),
        ([1.5], (), "not whole"),
        (["1.5"], (), "not whole"),
        ([b"caf\xe9"], (), "not UTF-8"),
        (["a\0b"], (), "control characters"),
        (["a\nb"], (), "control characters"),
        (["caf\udce9"], (), "control characters"),
        ([1, 0], (), "2 values: a label has one value"),
        ([3], NAMES, "not among the task's label.names"),
        ([-1], NAMES, "not among"),
        (["three"], NAMES, "not among"),
        ([None], (), "NoneType"),
        ([(1, 2)], (), "tuple"),
        ([1j], (), "complex"),
        ([float("inf")], (), "not whole"),
    ],
)
def test_what_is_no_class(values, names, said):
    with pytest.raises(InvalidLabel, match=said):
        parse_label(values, Classes(names))


@pytest.mark.parametrize(("value", "expected"), [("3", 3.0), (b"2.5", 2.5), (7, 7.0), (True, 1.0), (" 1e3 ", 1000.0)])
def test_what_is_a_number(value, expected):
    assert parse_label([value], Number()) == expected


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1e39", "2020_01", "1,5", None, float("nan"), 10**400])
def test_what_is_no_number(value):
    with pytest.raises(InvalidLabel):
        parse_number(value)


def test_a_folder_is_its_name():
    assert resolve_class("1.0", Classes()) == "1.0" and resolve_class("1", Classes(NAMES)) == "one"
    assert resolve_class(unicodedata.normalize("NFD", "café"), Classes()) == "café"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["-1", "0", "10", "2", "1"], ["-1", "0", "1", "2", "10"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["b", "a", "B"], ["B", "a", "b"]),
    ],
)
def test_the_order(names, expected):
    assert label_order(names) == label_order(iter(names)) == expected
