from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest

from data.errors import UsageError
from data.fields import LARGEST, check_fields


@dataclass(frozen=True)
class Some:
    count: int = 1
    rate: float = 0.5
    limit: float | None = None
    flag: bool = False
    text: str = ""
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    pairs: tuple[tuple[int, float], ...] | Callable[[int], float] = ()
    two: tuple[int, int] = (0, 0)
    inner: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        check_fields(self, "some")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("count", 8.0, "some.count must be a whole number, got 8.0"),
        ("count", "8", "some.count must be a whole number, got '8'"),
        ("count", True, "some.count must be a whole number, got True"),
        ("count", None, "some.count must be a whole number, got None"),
        ("count", LARGEST + 1, f"some.count must be a whole number of at most {LARGEST}, got {LARGEST + 1}"),
        ("count", -(10**30), f"of at most {LARGEST}, got -1000"),
        ("rate", math.nan, "some.rate must be a number that is finite, got nan"),
        ("rate", -math.inf, "some.rate must be a number that is finite, got -inf"),
        ("rate", np.float32("nan"), "some.rate must be a number that is finite, got "),
        ("rate", "0.5", "some.rate must be a number, got '0.5'"),
        ("rate", False, "some.rate must be a number, got False"),
        ("limit", math.nan, "some.limit must be a number or None that is finite, got nan"),
        ("limit", "none", "some.limit must be a number or None, got 'none'"),
        ("flag", 1, "some.flag must be True or False, got 1"),
        ("text", b"a", "some.text must be a text, got b'a'"),
        ("text", "caf\udce9", "some.text must be a text, got 'caf\\udce9'"),
        ("text", "a\0b", "some.text must be a text, got 'a\\x00b'"),
        ("mode", "c", "some.mode must be one of a, b, got 'c'"),
        ("names", "label", "some.names must be a tuple of texts, got 'label'"),
        ("names", ("a", 1), "some.names must be a tuple of texts, got ('a', 1)"),
        (
            "pairs",
            ((1, math.nan),),
            "some.pairs must be a tuple of (a whole number, a number) or a function, got ((1, ",
        ),
        ("pairs", 3, "some.pairs must be "),
        ("two", (1, 2, 3), "some.two must be (a whole number, a whole number), got (1, 2, 3)"),
        ("inner", 1.5, "some.inner must be a Fraction, got 1.5"),
        ("names", "x" * 1000, "got 'xxx"),
    ],
)
def test_a_value_of_another_type_is_one_clear_line(field: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Some(**{field: value})
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("names", ["a", "b"], ("a", "b")),
        ("pairs", [[25, 0.1]], ((25, 0.1),)),
        ("pairs", max, max),
        ("count", np.int64(8), 8),
        ("count", LARGEST, LARGEST),
        ("rate", np.float32(0.5), 0.5),
        ("rate", 2, 2),
        ("limit", None, None),
    ],
)
def test_what_is_meant_is_taken(field: str, value: Any, kept: Any) -> None:
    found = getattr(Some(**{field: value}), field)
    assert found == kept and type(found) is type(kept)
