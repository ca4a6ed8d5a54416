"""How a component finds the task again in its own process: an import path, settings, and what it depends on."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.task import fingerprint
from components.task import overrides as settings
from components.task.task import Task
from data.errors import UsageError

KEY = "skewless"  # in a component's custom_config


@dataclass(frozen=True)
class TaskReference:
    """Where a task is defined and how this run changes it.

    Attributes:
      path: `module:NAME`.
      settings: `--set` by dotted name.
    """

    path: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> Task:
        """Imports the task and applies the settings.

        Raises:
          UsageError: no such module or name, not a Task, or a setting it does not have.
        """
        module, _, name = self.path.partition(":")
        try:
            found = getattr(importlib.import_module(module), name or "TASK")
        except ModuleNotFoundError as error:
            if error.name and not module.startswith(error.name):
                raise  # the task's module is there, something that it imports is not
            raise UsageError(f"no module '{module}' for the task {self.path}") from None
        except AttributeError:
            raise UsageError(f"module {module} has no '{name or 'TASK'}'") from None
        if not isinstance(found, Task):
            raise UsageError(f"{self.path} is a {type(found).__name__}, not a Task")
        return settings.apply(found, self.settings)

    def config(self, *parts: str) -> dict[str, Any]:
        """A component's custom_config: only what concerns the named fields of the task, so that a change of `train`
        leaves ingestion in the cache."""
        task = self.load()
        depends = {"framework": fingerprint.framework_hash(), **fingerprint.packages()}
        for part in parts:
            depends.update(fingerprint.describe(getattr(task, part), part))
        concerns = {key: text for key, text in self.settings.items() if key.partition(".")[0] in parts}
        return {KEY: {"task": self.path, "settings": concerns, "depends": depends}}


def task_of(config: Mapping[str, Any] | str) -> Task:
    """The task that a component's custom_config (or its JSON) refers to."""
    values: Mapping[str, Any] = json.loads(config) if isinstance(config, str) else config
    reference = values[KEY]
    return TaskReference(reference["task"], reference["settings"]).load()
