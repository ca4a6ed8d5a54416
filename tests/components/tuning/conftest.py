"""Searches in this process, on the artifacts of a real run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from keras_tuner.errors import FatalError

from components.task.reference import TaskReference
from components.tuning.plan import TuningPlan
from components.tuning.record import TuningRecord
from components.tuning.tuner import tuner_fn

Search = Callable[..., TuningRecord]


@pytest.fixture
def search(digit_named: SimpleNamespace, tmp_path: Path) -> Search:
    """Function that tunes a task as TFX's Tuner does: `search(path, plan, **settings)`, with `__` for the dot."""

    def run(path: str, plan: TuningPlan, **settings: str) -> TuningRecord:
        values = {name.replace("__", "."): text for name, text in settings.items()}
        folders = {"trials": str(tmp_path / "trials"), "scratch": str(tmp_path / "scratch"), "results": str(tmp_path)}
        arguments = SimpleNamespace(
            custom_config={**plan.config(TaskReference(path, values)), "folders": folders},
            train_files=[f"{digit_named.examples}/Split-train/*"],
            schema_path=f"{digit_named.schema}/schema.pbtxt",
            transform_graph_path=digit_named.transform,
        )
        found: Any = tuner_fn(arguments)
        try:
            found.tuner.search(**found.fit_kwargs)
        except FatalError as error:  # as the executor does
            raise error.__cause__ or error from None
        return TuningRecord.read(str(tmp_path))

    return run
