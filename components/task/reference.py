"""References to a task: an import path and settings, from which a component loads the task in its own process."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from components.task import fingerprint
from components.task import overrides as settings
from components.task.task import Task
from data.errors import UsageError

KEY = "skewless"  # in a component's custom_config


class _LoadedTask(NamedTuple):
    """A task as its module defines it, and with the settings of a reference applied."""

    defined: Task
    task: Task


_LOADED: dict[tuple[str, tuple[tuple[str, str], ...]], _LoadedTask] = {}  # by path and settings


@dataclass(frozen=True)
class TaskReference:
    """A task's import path, and the settings of a run.

    Attributes:
      path: `module:NAME`; without a name `TASK`.
      settings: Texts of `--set` by dotted name.
    """

    path: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> Task:
        """Return the task with the settings applied; build it once per process.

        The result is cached by task object and settings. The object is looked up in its module on every call: a
        module that was imported again defines another object, so its task is built again. A component's reference has
        only the settings of the component's parts; if these are fewer than the run's, its task is another one.

        Raises:
          UsageError: If the module or the name does not exist, if it is not a Task, or if a setting is unknown.
        """
        defined = self._import_task()
        key = (self.path, tuple(sorted(self.settings.items())))
        known = _LOADED.get(key)
        if known is None or known.defined is not defined:
            known = _LOADED[key] = _LoadedTask(defined, settings.apply_settings(defined, self.settings))
        return known.task

    def _import_task(self) -> Task:
        module, _, name = self.path.partition(":")
        try:
            found = getattr(importlib.import_module(module), name or "TASK")
        except ModuleNotFoundError as error:
            if error.name and not module.startswith(error.name):
                raise  # the task's module exists, a module that it imports does not
            hint = "Python must find it from this folder."
            raise UsageError(f"no module '{module}' for the task {self.path}", hint=hint) from None
        except AttributeError:
            hint = f"Assign the task to this name, or give the one that it has: {module}:NAME"
            raise UsageError(f"module {module} has no '{name or 'TASK'}'", hint=hint) from None
        if not isinstance(found, Task):
            hint = f"Give the name of the Task: {module}:NAME"
            raise UsageError(f"{self.path} is a {type(found).__name__}, not a Task", hint=hint)
        return found

    def config(self, *parts: str) -> dict[str, Any]:
        """Return the `custom_config` of a component.

        It covers only the named parts of the task: a change of `train` does not invalidate the cache of ingestion.

        Args:
          *parts: Fields of the task that the component reads: "feature", "label".

        Returns:
          Under `KEY`: `task`, the path; `settings`, those of the parts; `depends`, what the parts, Skewless and the
          installed packages contribute to the results (`components.task.fingerprint`).

        Raises:
          UsageError: If the task cannot be loaded.
        """
        task = self.load()
        depends = {"framework": fingerprint.framework_hash(), **fingerprint.package_versions()}
        for part in parts:
            depends.update(fingerprint.describe_dependencies(getattr(task, part), part))
        concerns = {key: text for key, text in self.settings.items() if key.partition(".")[0] in parts}
        return {KEY: {"task": self.path, "settings": concerns, "depends": depends}}


def task_of(config: Mapping[str, Any] | str) -> Task:
    """Return the task that a component's `custom_config`, or its JSON, refers to."""
    values: Mapping[str, Any] = json.loads(config) if isinstance(config, str) else config
    reference = values[KEY]
    return TaskReference(reference["task"], reference["settings"]).load()
