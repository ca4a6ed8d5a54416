"""`skewless submit`: start a run of a compiled file, or a schedule of runs, on Vertex AI or Kubeflow."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from components.task import overrides
from data.errors import UsageError, unknown
from data.fields import is_finite
from pipeline.commands.compile import TARGETS, check_uri
from pipeline.commands.job import INTERRUPTED, check_client, follow_up, tokens, watch
from pipeline.paths import Paths, check_pattern
from pipeline.report.quiet import quiet_console
from pipeline.report.waiting import Waiting
from pipeline.runners.compiler.compiled_file import CompiledFile
from pipeline.runners.remote.backend import Backend, JobPlan
from pipeline.runners.remote.cron import translate_schedule
from pipeline.runners.remote.kubeflow import Kubeflow
from pipeline.runners.remote.vertex import Vertex

_PLACES = ("data", "serving", "baseline")  # run parameters that are URIs
_ONLY = {
    "vertex": ("project", "region", "network", "api_endpoint"),
    "kubeflow": ("host", "namespace", "experiment", "token", "token_file"),
}


@dataclass(frozen=True)
class SubmitOptions:
    """The options of `skewless submit`.

    Attributes:
      file: File that `skewless compile` wrote; it names the target.
      pipeline_root, data, assignments: Replace the file's values.
      cache: False runs every component, also those with results from earlier runs.
      name: Name of the run or the schedule; the default is the pipeline's name and the time (UTC).
      schedule: Five fields of cron.
      wait, poll, timeout: See `pipeline.commands.job.JobOptions`.
      check: Check the buckets first (Vertex AI).
      project, region, network, api_endpoint: For Vertex AI.
      host, namespace, experiment, token, token_file: For Kubeflow.
      service_account: For both.
    """

    file: str
    target: str = ""
    pipeline_root: str = ""
    data: str | None = None
    assignments: Sequence[str] = ()
    cache: bool = True
    name: str = ""
    schedule: str = ""
    wait: bool = False
    poll: float = 10.0
    timeout: float | None = None
    check: bool = True
    service_account: str = ""
    project: str = ""
    region: str = ""
    network: str = ""
    api_endpoint: str = ""
    host: str = ""
    namespace: str = ""
    experiment: str = ""
    token: str = ""
    token_file: str = ""


def submit_file(options: SubmitOptions) -> int:
    """Submit the file and print the run's name and address; with `wait`, show the run until it ends.

    Returns:
      The exit status: 0, or 130 after Ctrl-C.

    Raises:
      UsageError: If an option or the file is wrong; nothing is submitted then.
      ServingError: If the service does not answer or refuses.
      SkewlessError: If the run fails, is cancelled or does not end in time (with `wait`).
    """
    compiled = CompiledFile.load(options.file)
    check_submission(options, compiled)
    plan = plan_job(options, compiled, datetime.datetime.now(datetime.timezone.utc))
    check_client(compiled.target)
    try:
        with quiet_console() as console:
            with console.status(Waiting(f"connecting to {TARGETS[compiled.target]}")):
                backend = _connected(options, compiled.target)
                backend.check(plan)
                address = backend.submit(plan)
            console.print(f"{'schedule' if plan.cron else 'run':<10}{plan.name}")
            for name, value in sorted(plan.parameters.items()):
                console.print(f"[dim]{'parameter':<10}{name} = {escape(str(value))}[/]")
            console.print(f"{'console':<10}{address}")
    except KeyboardInterrupt:
        message = f"interrupted; see in the console whether {plan.name} was submitted"
        Console(stderr=True, highlight=False).print(message)
        return INTERRUPTED
    if options.wait:
        return watch(backend, address, options.poll, options.timeout)
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[dim]{escape(follow_up(address))}[/]")
    return 0


def check_submission(options: SubmitOptions, compiled: CompiledFile) -> None:
    """Check that the options fit the file and each other.

    Raises:
      UsageError: If they do not.
    """
    file, target = options.file, compiled.target
    if options.target and options.target not in TARGETS:
        raise unknown("target", options.target, TARGETS)
    if options.target not in ("", target):
        raise UsageError(
            f"{file} was compiled for {TARGETS[target]}, not for {TARGETS[options.target]}",
            hint=f"Compile it with --target {options.target}, or leave --target out.",
        )
    for other, names in _ONLY.items():
        for option in names:
            if other != target and getattr(options, option):
                raise UsageError(
                    f"--{option.replace('_', '-')} is for {TARGETS[other]}; {file} is for {TARGETS[target]}",
                    hint="Leave it out.",
                )
    if options.schedule and options.wait:
        raise UsageError("--schedule starts no run now that --wait could wait for", hint="Leave one of them out.")
    if target == "vertex":
        _check_vertex(options)
    elif not _host(options):
        raise UsageError(
            "no cluster to submit to", hint="Give the address of Kubeflow Pipelines: --host https://HOST/pipeline"
        )


def _check_vertex(options: SubmitOptions) -> None:
    if not re.fullmatch(r"[a-z]+-[a-z]+\d+", options.region):
        problem = f"'{options.region}' is not a region" if options.region else "no region to run in"
        raise UsageError(problem, hint="Give the region of the bucket: --region europe-west4")
    if options.network and not re.fullmatch(r"projects/[^/]+/global/networks/[^/]+", options.network):
        raise UsageError(
            f"--network {options.network} is not a full name",
            hint="Give it as projects/PROJECT-NUMBER/global/networks/NAME.",
        )
    if options.name and not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", options.name):
        raise UsageError(
            f"--name {options.name}: Vertex AI does not accept this name",
            hint="Use small letters, digits and -, with a letter first.",
        )


def plan_job(options: SubmitOptions, compiled: CompiledFile, now: datetime.datetime) -> JobPlan:
    """Return what to submit.

    Args:
      options: The options of the command.
      compiled: The file.
      now: Time that becomes part of the default name.

    Raises:
      UsageError: If a run parameter is unknown, missing or wrong, the target cannot reach a folder, or the schedule is
        not valid.
    """
    target = compiled.target
    base = (options.pipeline_root or compiled.base).rstrip("/")
    check_uri("--pipeline-root", base, target)
    check_pattern("--pipeline-root", base)
    given = overrides.parse_assignments(options.assignments)
    if options.data is not None:
        given["data"] = options.data
    values = compiled.parameters(given, base)
    for name in _PLACES:
        check_uri(f"--{name}" if name == "data" else f"--set {name}", values.get(name), target)
    for name, about in compiled.declared.items():
        if name not in values:
            give = "--data URI" if name == "data" else f"--set {name}=VALUE"
            what = about.get("description", "")
            raise UsageError(f"the run parameter {name} has no value ({what})", hint=f"Add {give}")
        _check_number(name, about.get("defaultValue"), values[name])
    return JobPlan(
        spec=compiled.spec if options.cache else _without_cache(compiled.spec),
        root=Paths(base, compiled.task).artifacts,
        name=options.name or f"{compiled.spec['pipelineInfo']['name']}-{now:%Y%m%d%H%M%S}",
        parameters=values,
        labels=compiled.labels,
        cron=translate_schedule(options.schedule, target) if options.schedule else "",
    )


def _check_number(name: str, default: Any, value: Any) -> None:
    """Check that the value of a numeric parameter is a number; its range is checked by the Trainer."""
    if _is_number(default) and not _is_number(value) and value != "none":
        raise UsageError(f"the run parameter {name} must be a number, like {default}; got '{value}'")


def _is_number(text: Any) -> bool:
    try:
        return is_finite(float(text))
    except (TypeError, ValueError):
        return False


def _without_cache(spec: Mapping[str, Any]) -> dict[str, Any]:
    tasks = {name: {**task, "cachingOptions": {}} for name, task in spec["root"]["dag"]["tasks"].items()}
    return {**spec, "root": {**spec["root"], "dag": {**spec["root"]["dag"], "tasks": tasks}}}


def _host(options: SubmitOptions) -> str:
    """Return the cluster's address; kfp's command line and client read the same variables."""
    return options.host or os.environ.get("KFP_ENDPOINT") or os.environ.get("KF_PIPELINES_ENDPOINT") or ""


def _connected(options: SubmitOptions, target: str) -> Backend:
    if target == "vertex":
        return Vertex(
            options.region,
            options.project,
            options.api_endpoint,
            options.service_account,
            options.network,
            options.check,
        )
    token, token_file = tokens(options.token, options.token_file)
    return Kubeflow(
        _host(options),
        options.namespace or os.environ.get("KFP_NAMESPACE", ""),
        options.experiment or "Default",
        token,
        token_file,
        options.service_account,
    )
