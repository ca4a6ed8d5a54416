"""A compiled file: its tasks in order, its run parameters, and the inputs of each task."""

from __future__ import annotations

import graphlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UsageError, describe_error, unknown

Artifact = dict[str, Any]  # JSON of a RuntimeArtifact: name, uri, type, metadata
Outputs = Mapping[str, Mapping[str, list[Artifact]]]  # by task and key
_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")

_WRITE_IT = "Give a file that `skewless compile` wrote."


@dataclass(frozen=True)
class CompiledFile:
    """The content of a file that `skewless compile` wrote.

    Attributes:
      spec: JSON of the PipelineSpec.
      root: The pipeline root, `<URI>/<task>/artifacts`.
      values: Run parameters that the file itself sets.
      target: "vertex" or "kubeflow".
      labels: Labels of the job on Vertex AI.
    """

    spec: Mapping[str, Any]
    root: str
    values: Mapping[str, Any]
    target: str
    labels: Mapping[str, str]

    @classmethod
    def load(cls, file: str) -> CompiledFile:
        """Read the JSON of a Vertex AI job, or the YAML of a Kubeflow pipeline.

        Raises:
          UsageError: If the file cannot be read, or `skewless compile` did not write it.
        """
        import yaml

        try:
            text = Path(file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {file}: {describe_error(error)}", hint=_WRITE_IT) from None
        try:
            found = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
        except (json.JSONDecodeError, yaml.YAMLError):
            found = None
        job = found if isinstance(found, dict) else {}
        spec = job.get("pipelineSpec", job)
        config = job.get("runtimeConfig", {})
        root = config.get("gcsOutputDirectory") or spec.get("defaultPipelineRoot", "")
        if "root" not in spec or "deploymentSpec" not in spec or not root.endswith("/artifacts"):
            raise UsageError(f"{file} was not written by `skewless compile`", hint=_WRITE_IT)
        target = "vertex" if "pipelineSpec" in job else "kubeflow"
        return cls(spec, root, config.get("parameterValues", {}), target, job.get("labels", {}))

    @property
    def task(self) -> str:
        """The name of the Skewless task."""
        return self.root.split("/")[-2]

    @property
    def tasks(self) -> Mapping[str, Any]:
        """JSON of the PipelineTaskSpecs by name."""
        return self.spec["root"]["dag"]["tasks"]

    def component(self, task: str) -> Mapping[str, Any]:
        """Return the JSON of a task's ComponentSpec."""
        return self.spec["components"][self.tasks[task]["componentRef"]["name"]]

    def executor(self, task: str) -> Mapping[str, Any]:
        """Return the JSON of a task's ExecutorSpec: a container, a resolver or an importer."""
        return self.spec["deploymentSpec"]["executors"][self.component(task)["executorLabel"]]

    def order(self) -> list[str]:
        """Return the tasks, each after those that it depends on."""
        depends = {}
        for name, task in self.tasks.items():
            sources = task.get("inputs", {}).get("artifacts", {}).values()
            producers = [one["taskOutputArtifact"]["producerTask"] for one in sources]
            depends[name] = {*task.get("dependentTasks", ()), *producers}
        return list(graphlib.TopologicalSorter(depends).static_order())

    @property
    def base(self) -> str:
        """The URI below which runs write: the `--pipeline-root` of `skewless compile`."""
        return self.root.removesuffix(f"/{self.task}/artifacts")

    @property
    def declared(self) -> Mapping[str, Any]:
        """The JSON of the run parameters' definitions by name."""
        return self.spec["root"].get("inputDefinitions", {}).get("parameters", {})

    def parameters(self, given: Mapping[str, str], root: str) -> dict[str, Any]:
        """Return the run parameters: the given ones, otherwise the file's.

        Paths in the file's parameters that are below the file's root are moved below `root`.

        Args:
          given: Values by parameter (`train_epochs`) or by setting (`train.epochs`).
          root: Folder that replaces the file's bucket.

        Raises:
          UsageError: If a parameter is unknown, or its value cannot be part of a JSON string.
        """
        declared, base = self.declared, self.base
        values = {name: one["defaultValue"] for name, one in declared.items() if "defaultValue" in one}
        values |= self.values
        for name, value in values.items():
            if isinstance(value, str) and value.startswith(f"{base}/"):
                values[name] = root + value.removeprefix(base)
        for name, text in given.items():
            known = name.replace(".", "_")
            if known not in declared:
                raise unknown("run parameter", name, declared)
            if '"' in text or "\\" in text:  # the backend puts it into the JSON of a custom_config unescaped
                raise UsageError(f'run parameter {name} must not contain " or \\, got {text}')
            values[known] = text
        return values

    def inputs(self, task: str, parameters: Mapping[str, Any], outputs: Outputs) -> dict[str, Any]:
        """Return the JSON of the `inputs` of a task's ExecutorInput.

        Args:
          task: Name of the task.
          parameters: The run parameters.
          outputs: Outputs of the tasks before it.
        """
        declared = self.tasks[task].get("inputs", {})
        values: dict[str, Any] = {}
        constants = {}
        for name, source in declared.get("parameters", {}).items():
            if "componentInputParameter" in source:
                values[name] = parameters[source["componentInputParameter"]]
            else:
                constants[name] = source["runtimeValue"]["constant"]
        for name, value in constants.items():  # they contain placeholders for the run parameters
            values[name] = _PARAMETER.sub(lambda m: str(values[m[1]]), value) if isinstance(value, str) else value
        artifacts = {}
        for name, source in declared.get("artifacts", {}).items():
            producer = source["taskOutputArtifact"]
            found = outputs[producer["producerTask"]].get(producer["outputArtifactKey"], [])
            if found:  # a resolver may have found nothing
                artifacts[name] = {"artifacts": found}
        return {"parameterValues": values, "artifacts": artifacts}
