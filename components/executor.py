"""The base of all executors: typed access to an execution, a line in the log when its work begins, and errors.

TFX creates an executor by the path of its class, in the process of the run or in a container, and calls `Do`.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from components.process_errors import printing_errors
from components.task.reference import task_of
from components.task.task import Task

CUSTOM_CONFIG = standard_component_specs.CUSTOM_CONFIG_KEY
Artifacts = dict[str, list[types.Artifact]]

log = logging.getLogger(__name__)


def started_line(component: str) -> str:
    """Return the text that the log has once a component has begun its own work.

    A cached component has none. A test that stops a run within a component waits for this line, not for a time.
    """
    return f"{component} started"


@dataclass(frozen=True)
class Execution:
    """One execution of a component: what TFX passes to an executor.

    Attributes:
      inputs: Artifacts by input key.
      outputs: Artifacts by output key; an executor fills their folders and custom properties.
      properties: Execution properties by name.
    """

    inputs: Artifacts
    outputs: Artifacts
    properties: dict[str, Any]

    def input(self, key: str) -> types.Artifact:
        """Return the only artifact of an input.

        Raises:
          ValueError: If there is not exactly one.
        """
        return artifact_utils.get_single_instance(self.inputs[key])

    def output(self, key: str) -> types.Artifact:
        """Return the only artifact of an output."""
        return artifact_utils.get_single_instance(self.outputs[key])

    @property
    def config(self) -> dict[str, Any]:
        """The `custom_config` property, parsed: a `TaskReference.config` and what the component adds to it.

        ExampleGen has a protocol buffer in this property: see `components.prepare.example_gen`.
        """
        config: dict[str, Any] = json_utils.loads(self.properties[CUSTOM_CONFIG])
        return config

    @property
    def task(self) -> Task:
        """The task of the `custom_config`."""
        return task_of(self.config)

    def with_inputs(self, **inputs: list[types.Artifact]) -> Execution:
        """Return a copy in which some inputs have other artifacts."""
        return dataclasses.replace(self, inputs={**self.inputs, **inputs})

    def with_config(self, **values: Any) -> Execution:
        """Return a copy whose `custom_config` has further values."""
        config = json_utils.dumps({**self.config, **values})
        return dataclasses.replace(self, properties={**self.properties, CUSTOM_CONFIG: config})


class ComponentExecutor(base_executor.BaseExecutor):
    """Base of the executors of all components.

    A subclass is called after its component, `SchemaGenExecutor`, and implements `execute`. One that extends an
    executor of TFX names it as its second base, and calls `run_stock`.
    """

    def Do(  # noqa: N802
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        """Log that the work begins, and execute.

        Raises:
          SkewlessError: If the data, the task or the model are at fault. Its line (`components.process_errors`) is
            printed to standard error, for the process that started this one.
        """
        log.info(started_line(type(self).__name__.removesuffix("Executor")))
        with printing_errors():
            self.execute(Execution(input_dict, output_dict, exec_properties))

    def execute(self, execution: Execution) -> None:
        """Do the component's work; by default that of TFX's executor."""
        self.run_stock(execution)

    def run_stock(self, execution: Execution) -> None:
        """Run the executor of TFX that this one extends."""
        super().Do(execution.inputs, execution.outputs, execution.properties)
