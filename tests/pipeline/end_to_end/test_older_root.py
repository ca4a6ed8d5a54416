"""A root of the older family of packages works with the newer one.

CI lets the older family run `digits` first and names its root in `SKEWLESS_OLDER_ROOT` (see .ci/run).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tensorflow as tf

from data.families import IS_NEW
from tests.pipeline.conftest import Skewless

pytestmark = pytest.mark.slow


def test_it_says_what_changed_and_the_old_model_is_the_baseline(skewless: Skewless) -> None:
    root = Path(os.environ.get("SKEWLESS_OLDER_ROOT", ""))
    versions = root / "digits" / "serving" / "digits"
    if not IS_NEW or not versions.is_dir():
        pytest.skip("no root of the older family: set SKEWLESS_OLDER_ROOT")
    (old,) = os.listdir(versions)

    outcome = skewless("run", "digits", root=root, task="digits")
    assert outcome.status == 0, outcome.err
    upgrade = f"tensorflow 2.16.2 -> {tf.__version__}"
    assert outcome.record["status"] == "pushed"
    assert set(outcome.states().values()) == {"executed"}
    for component in outcome.states():
        assert "Skewless" not in outcome.why(component) and "the code of" not in outcome.why(component)
    for component in ("ExampleGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer", "SkewGate"):
        assert upgrade in outcome.why(component)  # the others have new inputs
    assert outcome.record["evaluation"]["baseline"] > 0.95
    assert {old, str(outcome.record["pushed"]["version"])} == set(os.listdir(versions))

    again = skewless("run", "digits", root=root, task="digits")
    assert again.record["status"] == "unchanged", again.out
