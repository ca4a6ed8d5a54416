"""The rule for labels; `test_contract` checks that it is the same in every source."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from data.sources.labels import InvalidLabel, indicated_names, label_order, parse_label, parse_number, resolve_class
from data.spec import Classes, Labels, Number

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


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ([], (), ()),
        (["cat"], (), ("cat",)),
        (["dog", " cat ", b"dog"], (), ("cat", "dog")),
        ([10, 9.0, "10.0"], (), ("9", "10")),  # numbers are in the order of their values
        ([2, "zero"], NAMES, ("two", "zero")),
        (np.array([1, 0]), NAMES, ("one", "zero")),
        (["cafe\u0301", "caf\u00e9"], (), ("caf\u00e9",)),
        (["only"], ("only",), ("only",)),
    ],
)
def test_what_are_several_labels(values, names, expected):
    assert parse_label(values, Labels(names)) == expected


@pytest.mark.parametrize(
    ("values", "names", "said"),
    [
        ([""], (), "empty"),  # unlike no value
        (["cat", " "], (), "empty"),
        (["cat", float("nan")], (), "NaN"),
        (["cat", None], (), "NoneType"),
        ([0.5], (), "not whole"),
        (["cat", b"\xe9"], (), "not UTF-8"),
        (["cat", "a\0"], (), "control characters"),
        (["one", 3], NAMES, "'3' is not among"),
        ([True, False], NAMES, "True is not the name of a label"),
        ([np.bool_(True)], ("True",), "True is not"),
    ],
)
def test_what_are_no_labels(values, names, said):
    with pytest.raises(InvalidLabel, match=said):
        parse_label(values, Labels(names))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0, 0], ()),
        ([1, 0, 1], ("two", "zero")),
        (["1", " 0 ", "1.0"], ("two", "zero")),
        ([b"true", "False", True], ("two", "zero")),
        (np.array([0.0, 1.0, 0.0]), ("one",)),
        (np.array([False, True, True]), ("one", "two")),
    ],
)
def test_truth_values(values, expected):
    assert indicated_names(values, NAMES) == expected


@pytest.mark.parametrize("value", [2, -1, 0.5, float("nan"), "", "yes", "2", None, "cat", (1,)])
def test_what_is_no_truth_value(value):
    with pytest.raises(InvalidLabel, match="for the label 'one' is neither 0 nor 1"):
        indicated_names([0, value, 1], NAMES)


def test_a_truth_value_too_few():
    with pytest.raises(InvalidLabel, match="2 truth values for 3 labels"):
        indicated_names([0, 1], NAMES)


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
