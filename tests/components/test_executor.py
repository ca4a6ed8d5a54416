"""The base of the executors."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tfx.dsl.components.base import base_executor
from tfx.types import standard_artifacts

from components.executor import ComponentExecutor, Execution, started_line
from components.process_errors import parse_error_line
from components.task.reference import TaskReference
from data.errors import DataError
from tests.tasks import tiny


class StockExecutor(base_executor.BaseExecutor):
    """Stands for an executor of TFX."""

    calls: list[tuple[Any, Any, Any]] = []

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:  # noqa: N802
        self.calls.append((input_dict, output_dict, exec_properties))


class WrappingExecutor(ComponentExecutor, StockExecutor):
    pass


class FailingExecutor(ComponentExecutor):
    def execute(self, execution: Execution) -> None:
        raise DataError("no data", hint="Give some.")


@pytest.fixture
def execution() -> Execution:
    config = TaskReference("tests.tasks.tiny:TASK", {"train.epochs": "7"}).config("train")
    execution = Execution({"model": [standard_artifacts.Model()]}, {"schema": [standard_artifacts.Schema()]}, {})
    return Execution(execution.inputs, execution.outputs, {"custom_config": _json(config)})


def _json(config: dict[str, Any]) -> str:
    from tfx.utils import json_utils

    text: str = json_utils.dumps(config)
    return text


def test_the_log_has_a_line_before_the_work(caplog: pytest.LogCaptureFixture, execution: Execution) -> None:
    with caplog.at_level(logging.INFO):
        WrappingExecutor().Do(execution.inputs, execution.outputs, execution.properties)
    assert [one.getMessage() for one in caplog.records] == [started_line("Wrapping")]
    assert StockExecutor.calls.pop() == (execution.inputs, execution.outputs, execution.properties)


def test_an_error_is_printed_as_a_line_and_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="no data"):
        FailingExecutor().Do({}, {}, {})
    found = parse_error_line(capsys.readouterr().err.strip())
    assert type(found) is DataError and (str(found), found.hint) == ("no data", "Give some.")


def test_an_execution_gives_its_artifacts_and_its_task(execution: Execution) -> None:
    assert execution.input("model") is execution.inputs["model"][0]
    assert execution.output("schema") is execution.outputs["schema"][0]
    assert execution.task.train.epochs == 7 and execution.task.feature == tiny.TASK.feature
    with pytest.raises(ValueError):
        execution.with_inputs(model=[]).input("model")


def test_a_copy_leaves_the_execution_as_it_is(execution: Execution) -> None:
    copy = execution.with_config(classes=["a", "b"])
    assert copy.config["classes"] == ["a", "b"] and "classes" not in execution.config
    assert copy.task is execution.task
