"""Run parameters: what can be set at submission, without compiling again.

A setting (`train.epochs`) travels as text inside the JSON of a component's `custom_config`. There the compiled file
has a placeholder, `{{$.inputs.parameters['pipelinechannel--train_epochs']}}`, which the backend fills in: the form
that the KFP compiler itself writes for a parameter in the middle of a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.task import overrides
from components.task.reference import KEY, TaskReference
from data.errors import UsageError, unknown

CHANNEL = "pipelinechannel--"
ALWAYS = ("train.epochs",)
_PARTS = ("train", "augment", "model", "serving")  # what is read from a custom_config alone, and shapes no graph


def parameter_name(setting: str) -> str:
    """A parameter's name, `train_epochs`, of a setting's, `train.epochs`: backends take no dots."""
    return setting.replace(".", "_")


def placeholder(name: str) -> str:
    """What a backend replaces by the parameter's value."""
    return f"{{{{$.inputs.parameters['{CHANNEL}{name}']}}}}"


def is_placeholder(text: str) -> bool:
    """Whether a backend still has to fill it in."""
    return text.startswith("{{$.inputs.parameters[")


def default_values(reference: TaskReference, chosen: Sequence[str]) -> dict[str, str]:
    """The chosen settings, and those that always are run parameters, with the values that they have now.

    Raises:
      UsageError: no setting, or one that is fixed when a pipeline is compiled.
    """
    task = reference.load()
    legal = [name for name in overrides.names(task) if name.partition(".")[0] in _PARTS]
    found = {}
    for name in dict.fromkeys((*ALWAYS, *chosen)):
        if name not in legal:
            if name in overrides.names(task):
                raise UsageError(
                    f"{name} cannot be a run parameter: it shapes the pipeline",
                    hint=f"Compile with --set {name}=VALUE. Run parameters may begin with {', '.join(_PARTS)}.",
                )
            raise unknown("setting", name, legal)
        found[name] = reference.settings.get(name, _text(_value(task, name)))
    return found


def _value(task: Any, name: str) -> Any:
    for part in name.split("."):
        task = getattr(task, part)
    return task


def _text(value: Any, separator: str = ",") -> str:
    """A value as `--set` takes it: `none`, `true`, "a,b", "a:b,c:d"."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return separator.join(_text(one, ":") for one in value)
    return str(value)


def declare_parameter(spec: dict[str, Any], name: str, default: str | None, description: str) -> None:
    """Declares a text parameter of the pipeline; without a default it must be given at submission."""
    found: dict[str, Any] = {"parameterType": "STRING", "description": description}
    if default is not None:
        found |= {"defaultValue": default, "isOptional": True}
    spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})[name] = found


def parameterize_settings(spec: dict[str, Any], names: Sequence[str]) -> None:
    """Puts placeholders for the settings into the custom_config of each task that depends on them."""
    for task in spec["root"]["dag"]["tasks"].values():
        for values in _constants(task, "custom_config"):
            config = json.loads(values["constant"])
            concerned = [name for name in names for one in task_references(config) if name in one["depends"]]
            for name in concerned:
                for one in task_references(config):
                    one["settings"][name] = placeholder(parameter_name(name))
                connect_parameter(task, parameter_name(name))
            if concerned:
                values["constant"] = json.dumps(config, sort_keys=True)


def parameterize_push(spec: dict[str, Any], name: str) -> str:
    """Puts a placeholder for the folder that the Pusher fills.

    Returns:
      The folder that was there.
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
    """Gives a task the parameter that its placeholders name."""
    task["inputs"]["parameters"][f"{CHANNEL}{name}"] = {"componentInputParameter": name}


def task_references(config: Any) -> Iterator[dict[str, Any]]:
    """The references to the task that lie anywhere in a component's custom_config."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == KEY:
                yield value
            else:
                yield from task_references(value)


def _constants(task: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = task.get("inputs", {}).get("parameters", {}).get(name, {}).get("runtimeValue")
    return [found] if found else []
