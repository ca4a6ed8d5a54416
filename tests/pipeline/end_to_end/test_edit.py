"""A user's module, edited between runs: exactly the components that depend on the edit run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.conftest import PROJECT, Skewless

pytestmark = pytest.mark.slow


def test_an_edit_reruns_what_depends_on_it(
    skewless: Skewless, tmp_path: Path, picture_folder: Callable[..., Path]
) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 40, "dogs": 40})
    source = (PROJECT / "tests" / "tasks" / "tiny.py").read_text()
    module = tmp_path / "mine.py"

    def run(text: str) -> tuple[list[str], dict[str, str]]:
        """Return what was executed, without the Baseline, and why."""
        module.write_text(text)
        settings = ("--set", "evaluate.max_drop=1")
        outcome = skewless("run", "mine", "--data", str(data), *settings, root=tmp_path, task="tiny", cwd=tmp_path)
        assert outcome.status == 0, outcome.err
        found = [one for one in outcome.record["components"] if one["name"] != "Baseline"]
        executed = [one["name"] for one in found if one["state"] == "executed"]
        return executed, {one["name"]: one["why"] for one in found}

    assert len(run(source)[0]) == 10
    assert run(source.replace('"""uint8', '"""Pixels, uint8') + "\n# a comment\n")[0] == []
    edited = source.replace("keras.layers.Flatten(),", "keras.layers.Flatten(), keras.layers.Dropout(0.1),")
    executed, why = run(edited)
    assert executed == ["Trainer", "Evaluator", "SkewGate", "Pusher", "ReportGen"]
    assert why["Trainer"] == "the code of model has changed"
    assert "new model" in why["Evaluator"] and "new baseline model" in why["Evaluator"]
    (data / "cats" / "0000.jpg").unlink()
    executed, why = run(edited)
    assert len(executed) == 10 and why["ExampleGen"] == "the data have changed"
