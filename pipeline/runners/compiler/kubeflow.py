"""Compilation of a task for Vertex AI or Kubeflow Pipelines, with TFX's KubeflowV2DagRunner.

The options are our own, because TFX's compiler has none for them: run parameters inside a component's settings,
resources and Beam arguments by component, caching by platform, labels, the driver of our ExampleGen, and the page of
ReportGen as HTML that the platform shows. They are added to the JSON that it returns.
"""

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
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel, standard_artifacts
from tfx.utils import name_utils

from components.review import html_output
from components.review.report_gen import ReportGen
from components.task.reference import TaskReference
from components.tuning.plan import TuningPlan
from data.errors import UsageError, unknown
from pipeline import graph
from pipeline.paths import Paths
from pipeline.runners import beam
from pipeline.runners.compiler import parameters, resources

Target = Literal["vertex", "kubeflow"]
DATA, SERVING, BASELINE = "data", "serving", "baseline"  # run parameters that are not settings
_DRIVER = ["python", "-m", "components.prepare.example_gen_driver"]
_REPORT_GEN = ReportGen.__name__


@dataclass(frozen=True)
class PlatformOptions:
    """Options of a compilation.

    Attributes:
      target: Platform to compile for: "vertex" or "kubeflow".
      image: Image of every container; Skewless and the task are installed in it.
      root: URI below which runs write; its folders are those of `pipeline.paths.Paths`.
      data: URI of the data folder, as default of the run parameter; None: it must be given at submission.
      baseline: For Kubeflow, which has no resolvers: URI of the model that a new one must not be worse than; None: no
        comparison.
      beam_runner: Beam's runner for every component.
      beam_args: ARG for every component, or COMPONENT:ARG for one, which takes precedence.
      resources: COMPONENT.KEY=VALUE, see `pipeline.runners.compiler.resources`.
      cache: Whether the platform may reuse a component's outputs from an earlier run.
      labels: Labels of a Vertex AI job.
      parameters: Settings that become run parameters.
      plan: What to tune; None: a run.
      tuners: Number of Tuners, which train at the same time.
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
    plan: TuningPlan | None = None
    tuners: int = 1


def compile_pipeline(reference: TaskReference, options: PlatformOptions) -> dict[str, Any]:
    """Compile a task.

    Args:
      reference: The task and its settings.
      options: Options of the compilation.

    Returns:
      JSON of a PipelineJob for Vertex AI; its `pipelineSpec` is what Kubeflow takes.

    Raises:
      UsageError: If an option does not fit the task or the platform.
    """
    task = reference.load()
    name = _legal(task.name, options.target)
    if options.target == "kubeflow" and "{" in task.source.folder:
        raise UsageError(
            f"source.folder is '{task.source.folder}', but Kubeflow runs no driver, which would find the latest span",
            hint="Give a folder without a pattern with --set source.folder=..., or compile for Vertex AI.",
        )
    given = parameters.default_values(reference, options.parameters, options.plan.over if options.plan else ())
    paths = Paths(options.root.rstrip("/"), task.name)
    pipeline = _build(reference, options, paths)
    pipeline.pipeline_info.pipeline_name = name
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
        display_name=task.name, default_image=options.image, use_pipeline_spec_2_1=True
    )
    job = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config).run(pipeline, write_out=False)
    spec = job["pipelineSpec"]
    _adapt(spec, options)
    parameters.parameterize_settings(spec, list(given))
    parameters.declare_parameter(spec, DATA, options.data, "URI of the data folder")
    if not options.plan:
        parameters.declare_parameter(
            spec, SERVING, parameters.parameterize_push(spec, SERVING), "URI of the folder of the served versions"
        )
    if options.baseline:
        parameters.declare_parameter(
            spec, BASELINE, options.baseline, "URI of the model that a new one must not be worse than"
        )
    for setting, text in given.items():
        parameters.declare_parameter(spec, parameters.parameter_name(setting), text, f"the setting {setting}")
    spec["defaultPipelineRoot"] = paths.artifacts
    job["labels"] = {**job.get("labels", {}), **options.labels}
    return job


def _build(reference: TaskReference, options: PlatformOptions, paths: Paths) -> Pipeline:
    """Return the pipeline of a run, or of a tuning.

    The Tuners of a tuning are containers like all others. TFX's own way to parallel trials on Vertex AI starts a
    second job from a container, which needs credentials there, cannot run on Kubeflow or here, and ends with its chief.
    """
    data, beam_args = RuntimeParameter(name=DATA, ptype=str), _beam_arguments(options)
    if options.plan:
        return graph.build_tuning_pipeline(reference, data, paths, beam_args, options.plan, tuners=options.tuners)
    return graph.build_pipeline(reference, data, paths, beam_args, baseline_of=lambda _: _baseline(options))


def _beam_arguments(options: PlatformOptions) -> list[str]:
    """Return the arguments of all components; `_adapt` adds those of single components."""
    given = [one for one in options.beam_args if one.startswith("-")]
    folders = {"--pipeline-root": options.root, "--data": options.data}
    return beam.runner_arguments(options.beam_runner, given, folders, options.image)


def _baseline(options: PlatformOptions) -> Any:
    """Return the node that finds the baseline; None for a Kubeflow pipeline without one.

    Vertex AI finds the latest blessed model itself: TFX compiles this one strategy into queries.
    """
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
    """Return the pipeline's name for a task's: lower-case letters, digits and hyphens.

    TFX's compiler allows [a-z0-9][a-z0-9-]{0,127} (tfx.orchestration.kubeflow.v2.pipeline_builder), and so does
    Kubeflow. On Vertex AI the name is the start of each run's ID, which is [a-z][-a-z0-9]{0,127}
    (google.cloud.aiplatform.constants.pipeline).

    Raises:
      UsageError: If the task's name cannot be converted, or would lose letters.
    """
    if not re.fullmatch("[a-z]" if target == "vertex" else "[a-z0-9]", name[0].lower()) or not name.isascii():
        platform, first = ("Vertex AI", "a letter") if target == "vertex" else ("Kubeflow", "a letter or a digit")
        raise UsageError(
            f"task '{name}': {platform} does not allow this name for a pipeline",
            hint=f"Rename the task: the letters a to z, digits, - and _, with {first} first.",
        )
    return re.sub(r"[^a-z0-9-]", "-", name.lower())


def _adapt(spec: dict[str, Any], options: PlatformOptions) -> None:
    """Add to a compiled pipeline our driver, resources, Beam arguments of single components, and caching options."""
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
            continue  # of all components, see `_beam_arguments`
        if component not in containers:
            raise unknown("component", component, containers)
        containers[component]["args"].append(rest)
    for name, task in spec["root"]["dag"]["tasks"].items():
        driver = containers.get(name, {}).get("lifecycle", {}).get("preCacheCheck")
        if driver:
            driver["command"] = _DRIVER
        # Kubeflow runs no driver, so it cannot see that the data behind the same URI have changed.
        if not options.cache or (driver and options.target == "kubeflow"):
            task["cachingOptions"] = {}
    if _REPORT_GEN in containers:
        _show_page(spec["components"][_REPORT_GEN], containers[_REPORT_GEN])


def _show_page(component: dict[str, Any], container: dict[str, Any]) -> None:
    """Let ReportGen write an artifact that the platform shows."""
    component["outputDefinitions"]["artifacts"][html_output.OUTPUT]["artifactType"] = dict(html_output.HTML_TYPE)
    container["command"] = ["python", "-m", html_output.__name__]
    place = container["args"].index("--executor_class_path") + 1
    container["args"][place] = name_utils.get_full_name(html_output.HtmlReportGenExecutor)
