"""Vertex AI and Kubeflow Pipelines: a task as the file that they run, by TFX's KubeflowV2DagRunner."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.types import Channel, standard_artifacts

from components.task.reference import TaskReference
from data.errors import UsageError, unknown
from pipeline import graph
from pipeline.paths import Paths
from pipeline.runners import beam
from pipeline.runners.compiler import parameters, resources

Target = Literal["vertex", "kubeflow"]
DATA, SERVING, BASELINE = "data", "serving", "baseline"  # run parameters beside the settings
_DRIVER = ["python", "-m", "components.prepare.example_gen_driver"]


@dataclass(frozen=True)
class PlatformOptions:
    """How a task is compiled.

    Attributes:
      target: "vertex" or "kubeflow".
      image: of every container; has Skewless, and the task, installed.
      root: URI below which runs write, laid out as `Paths` says.
      data: URI of the data folder, the default of the run parameter; None: it must be given at submission.
      baseline: Kubeflow, which resolves nothing itself: URI of the model not to be worse than; None: no comparison.
      beam_runner: of every component.
      beam_args: ARG for every component, or COMPONENT:ARG for one, where it wins.
      resources: COMPONENT.KEY=VALUE.
      cache: whether the backend may take a step's outputs from an earlier run.
      labels: of a Vertex job.
      parameters: settings that become run parameters.
    """

    target: Target
    image: str
    root: str
    data: str | None = None
    baseline: str | None = None
    beam_runner: beam.Name = "direct"
    beam_args: Sequence[str] = ()
    resources: Sequence[str] = ()
    cache: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    parameters: Sequence[str] = ()


def compile_pipeline(reference: TaskReference, options: PlatformOptions) -> dict[str, Any]:
    """The pipeline as JSON of a PipelineJob; its `pipelineSpec` is what Kubeflow takes.

    Raises:
      UsageError: an option that does not fit the task or the target.
    """
    task = reference.load()
    name = _legal(task.name, options.target)
    if options.target == "kubeflow" and "{" in task.source.folder:
        raise UsageError(
            f"source.folder is '{task.source.folder}': Kubeflow runs no driver that could find the latest span",
            hint="Name the folder itself with --set source.folder=..., or compile for Vertex AI.",
        )
    given = parameters.default_values(reference, options.parameters)
    paths = Paths(options.root.rstrip("/"), task.name)
    pipeline = graph.build_pipeline(
        reference,
        RuntimeParameter(name=DATA, ptype=str),
        paths,
        _beam_arguments(options),
        baseline_of=lambda _: _baseline(options),
    )
    pipeline.pipeline_info.pipeline_name = name
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
        display_name=task.name, default_image=options.image, use_pipeline_spec_2_1=True
    )
    job = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config).run(pipeline, write_out=False)
    spec = job["pipelineSpec"]
    _adapt(spec, options)
    parameters.parameterize_settings(spec, list(given))
    parameters.declare_parameter(spec, DATA, options.data, "URI of the data folder")
    parameters.declare_parameter(
        spec, SERVING, parameters.parameterize_push(spec, SERVING), "URI of the folder that servers watch"
    )
    if options.baseline:
        parameters.declare_parameter(spec, BASELINE, options.baseline, "URI of the model not to be worse than")
    for setting, text in given.items():
        parameters.declare_parameter(spec, parameters.parameter_name(setting), text, f"the setting {setting}")
    spec["defaultPipelineRoot"] = paths.artifacts
    job["labels"] = {**job.get("labels", {}), **options.labels}
    return job


def _beam_arguments(options: PlatformOptions) -> list[str]:
    """Of all components; those of one alone come with `_adapt`."""
    given = [one for one in options.beam_args if one.startswith("-")]
    folders = {"--pipeline-root": options.root, "--data": options.data}
    return beam.runner_arguments(options.beam_runner, given, folders, options.image)


def _baseline(options: PlatformOptions) -> Any:
    """Vertex looks for the latest blessed model itself; TFX compiles this one strategy into queries for it."""
    if options.target == "vertex":
        return Resolver(
            strategy_class=LatestBlessedModelStrategy,
            model=Channel(type=standard_artifacts.Model),
            model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        ).with_id("Baseline")
    if options.baseline is None:
        return None
    return Importer(
        source_uri=RuntimeParameter(name=BASELINE, ptype=str),
        artifact_type=standard_artifacts.Model,
        output_key="model",
    ).with_id("Baseline")


def _legal(name: str, target: Target) -> str:
    """The task's name as a pipeline's: small letters, digits and hyphens.

    TFX's compiler takes [a-z0-9][a-z0-9-]{0,127} (tfx.orchestration.kubeflow.v2.pipeline_builder), and so does
    Kubeflow. On Vertex AI the name begins the ID of each run, which is [a-z][-a-z0-9]{0,127}
    (google.cloud.aiplatform.constants.pipeline).

    Raises:
      UsageError: it does not become such a name, or would lose letters.
    """
    if not re.fullmatch("[a-z]" if target == "vertex" else "[a-z0-9]", name[0].lower()) or not name.isascii():
        first = "a letter" if target == "vertex" else "a letter or a digit"
        raise UsageError(
            f"task '{name}': {'Vertex AI' if target == 'vertex' else 'Kubeflow'} takes no pipeline of that name",
            hint=f"Rename the task: the letters a to z, digits, - and _, {first} first.",
        )
    return re.sub(r"[^a-z0-9-]", "-", name.lower())


def _adapt(spec: dict[str, Any], options: PlatformOptions) -> None:
    """What TFX's compiler has no word for: our driver, resources, Beam arguments of a component, no caching."""
    executors = spec["deploymentSpec"]["executors"]
    containers = {
        name: executors[spec["components"][name]["executorLabel"]]["container"]
        for name in spec["root"]["dag"]["tasks"]
        if "container" in executors[spec["components"][name]["executorLabel"]]
    }
    for name, found in resources.parse_resources(options.resources, containers, options.target).items():
        containers[name].setdefault("resources", {}).update(found)
    for argument in options.beam_args:
        component, _, rest = argument.partition(":")
        if argument.startswith("-"):
            continue  # for all: see `_beam_arguments`
        if component not in containers:
            raise unknown("component", component, containers)
        containers[component]["args"].append(rest)
    for name, task in spec["root"]["dag"]["tasks"].items():
        driver = containers.get(name, {}).get("lifecycle", {}).get("preCacheCheck")
        if driver:
            driver["command"] = _DRIVER
        # Kubeflow runs no driver, so that nothing would tell it that the data behind the same URI have changed.
        if not options.cache or (driver and options.target == "kubeflow"):
            task["cachingOptions"] = {}
