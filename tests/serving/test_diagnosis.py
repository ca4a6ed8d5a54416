"""Each planted skew is named for what it is, and what nothing explains is told as that."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.diagnosis import Diagnosis, diagnose
from serving.parity import Answers, compare, tolerance
from serving.routes import Signatures
from tests.serving import planted


@pytest.fixture(scope="module")
def values() -> list[bytes]:
    return planted.pictures()


def _compared(found: planted.Planted, values: list[bytes], batch: int = 16) -> tuple[Answers, Answers, float, str]:
    reference = found.reference(values, batch)
    allowed = tolerance(reference, [found.reference(values, 1)])
    served = Signatures(found.folder).default(values, batch)
    return reference, served, allowed, compare(reference, served, allowed).fault


def _diagnosed(found: planted.Planted, values: list[bytes], batch: int = 16) -> Diagnosis:
    reference, served, allowed, fault = _compared(found, values, batch)
    assert fault
    return diagnose(found.folder, values, reference, served, Signatures(found.folder).default, found.trained, allowed)


def test_the_clean_model_has_no_fault(tmp_path: Path, values: list[bytes]) -> None:
    assert not _compared(planted.plant("clean", str(tmp_path)), values)[3]


@pytest.mark.parametrize("skew", planted.SKEWS)
def test_each_planted_skew_is_named(tmp_path: Path, values: list[bytes], skew: str) -> None:
    found = _diagnosed(planted.plant(skew, str(tmp_path)), values)
    print(found)
    expected = planted.SKEWS[skew]
    assert (found.stage, found.skew[: len(expected.skew)]) == (expected.stage, expected.skew)
    assert " or " not in found.skew
