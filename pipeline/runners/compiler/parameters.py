"""Run parameters: settings that can be changed at submission, without compiling again.

A setting (`train.epochs`) is text inside the JSON of a component's `custom_config`. The compiled file has a
placeholder there, `{{$.inputs.parameters['pipelinechannel--train_epochs']}}`, which the platform replaces: the form
that the KFP compiler itself writes for a parameter inside a string. TFX's compiler has no such parameters.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from components.task import overrides
from components.task.reference import KEY, TaskReference
from data.augmentation.config import Augmentation
from data.errors import UsageError, unknown

CHANNEL = "pipelinechannel--"
ALWAYS = ("train.epochs",)
_PARTS = ("train", "augment", "model", "serving")  # read from the custom_config only, with no effect on the graph


def parameter_name(setting: str) -> str:
    """Return the parameter's name, `train_epochs`, for a setting's, `train.epochs`: platforms allow no dots."""
    return setting.replace(".", "_")


def placeholder(name: str) -> str:
    """Return the text that a platform replaces by the parameter's value."""
    return f"{{{{$.inputs.parameters['{CHANNEL}{name}']}}}}"


def is_placeholder(text: str) -> bool:
    """Return whether a text is a placeholder."""
    return text.startswith("{{$.inputs.parameters[")


def default_values(reference: TaskReference, chosen: Sequence[str], tuned: Collection[str] = ()) -> dict[str, str]:
    """Return the run parameters with their current values: `ALWAYS`, and the chosen settings.

    Args:
      reference: The task and its settings.
      chosen: Names of settings.
      tuned: Names of settings that have another value in each trial.

    Raises:
      UsageError: If a setting does not exist, is tuned, is fixed when a pipeline is compiled, or has no text.
    """
    for name in chosen:
        if name in tuned:
            raise UsageError(f"{name} is tuned, so it cannot be a run parameter", hint="Leave one of them out.")
    task = reference.load()
    legal = [name for name in overrides.setting_names(task) if name.partition(".")[0] in _PARTS]
    found = {}
    for name in dict.fromkeys((*(one for one in ALWAYS if one not in tuned), *chosen)):
        if name not in legal:
            if name in overrides.setting_names(task):
                raise UsageError(
                    f"{name} cannot be a run parameter: it shapes the pipeline",
                    hint=f"Compile with --set {name}=VALUE. Run parameters start with {', '.join(_PARTS)}.",
                )
            raise unknown("setting", name, legal)
        found[name] = reference.settings[name] if name in reference.settings else _default(name, _value(task, name))
    return found


def _value(task: Any, name: str) -> Any:
    for part in name.split("."):
        task = getattr(task, part)
    return task


def _default(name: str, value: Any) -> str:
    """Return the value that a task has for a setting as text.

    Raises:
      UsageError: If it is an object or a function.
    """
    if value == Augmentation():
        return "none"
    if not isinstance(value, (str, int, float, tuple, Mapping, type(None))):
        raise UsageError(
            f"{name} cannot be a run parameter: its value in the task is not a text", hint=f"Use --set {name}=TEXT."
        )
    return _text(value)


def _text(value: Any, separator: str = ",") -> str:
    """Return a value as `--set` takes it: `none`, `true`, "a,b", "a:b,c:d"; of a dictionary "a:1,b:2"."""
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return separator.join(_text(one, ":") for one in value)
    return str(value)


def declare_parameter(spec: dict[str, Any], name: str, default: str | None, description: str) -> None:
    """Declare a text parameter of the pipeline.

    Args:
      spec: JSON of the PipelineSpec; changed.
      name: Of the parameter.
      default: Its value if none is given at submission; None: it must be given.
      description: For the console of the platform.
    """
    found: dict[str, Any] = {"parameterType": "STRING", "description": description}
    if default is not None:
        found |= {"defaultValue": default, "isOptional": True}
    spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})[name] = found


def parameterize_settings(spec: dict[str, Any], names: Sequence[str]) -> None:
    """Replace settings by placeholders in the custom_config of each task that depends on them."""
    for task in spec["root"]["dag"]["tasks"].values():
        for values in _constants(task, "custom_config"):
            config = json.loads(values["constant"])
            used = [name for name in names for one in task_references(config) if name in one["depends"]]
            for name in used:
                for one in task_references(config):
                    one["settings"][name] = placeholder(parameter_name(name))
                connect_parameter(task, parameter_name(name))
            if used:
                values["constant"] = json.dumps(config, sort_keys=True)


def parameterize_push(spec: dict[str, Any], name: str) -> str:
    """Replace the Pusher's folder by a placeholder.

    Returns:
      The folder.
    """
    folder = ""
    for task in spec["root"]["dag"]["tasks"].values():
        for values in _constants(task, "push_destination"):
            config = json.loads(values["constant"])
            folder = config["filesystem"]["base_directory"]
            config["filesystem"]["base_directory"] = placeholder(name)
            values["constant"] = json.dumps(config, sort_keys=True)
            connect_parameter(task, name)
    return folder


def connect_parameter(task: dict[str, Any], name: str) -> None:
    """Connect a task with the run parameter that its placeholders name."""
    task["inputs"]["parameters"][f"{CHANNEL}{name}"] = {"componentInputParameter": name}


def task_references(config: Any) -> Iterator[dict[str, Any]]:
    """Yield the references to the Skewless task that a component's custom_config contains, at any depth."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == KEY:
                yield value
            else:
                yield from task_references(value)


def _constants(task: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = task.get("inputs", {}).get("parameters", {}).get(name, {}).get("runtimeValue")
    return [found] if found else []
