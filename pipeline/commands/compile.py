"""`skewless compile`: write a task as a file for Vertex AI or Kubeflow, without credentials or network."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from components.task import overrides
from data.errors import UsageError, unknown
from data.files.atomic import atomic_path
from pipeline.commands.search import SearchOptions
from pipeline.next_steps import NextStep, print_next, skewless_command
from pipeline.paths import check_path, check_pattern
from pipeline.registry import resolve_task
from pipeline.report.quiet import quiet_console
from pipeline.report.waiting import Waiting
from pipeline.runners import beam

_LABEL = re.compile(r"[a-z][-_a-z0-9]{0,62}=[-_a-z0-9]{0,63}")
# Docker's grammar of image names: github.com/distribution/reference, "Grammar".
_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"([A-Za-z0-9.-]+(:\d+)?/)?{_NAME}(/{_NAME})*(:\w[\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?", re.ASCII
)
TARGETS = {"vertex": "Vertex AI", "kubeflow": "Kubeflow"}
"""Value of --target -> name of the platform."""


@dataclass(frozen=True)
class CompileOptions:
    """The options of `skewless compile`; see `pipeline.runners.compiler.kubeflow.PlatformOptions`."""

    task: str
    target: str
    image: str = ""
    pipeline_root: str = ""
    data: str | None = None
    baseline: str | None = None
    output: str | None = None
    assignments: Sequence[str] = ()
    parameters: Sequence[str] = ()
    beam_runner: beam.Name = "direct"
    beam_args: Sequence[str] = ()
    resources: Sequence[str] = ()
    labels: Sequence[str] = ()
    cache: bool = True
    search: SearchOptions = field(default_factory=SearchOptions)
    parallel: int = 1


def compile_task(options: CompileOptions) -> None:
    """Write the file and print the parameters that can be set at submission.

    Raises:
      UsageError: If an option or the task is wrong; nothing is written then.
    """
    check_compile_options(options)
    if importlib.util.find_spec("kfp") is None:
        hint = "Install it here and in the image: pip install 'skewless[kubeflow]'"
        raise UsageError("compiling needs the package kfp", hint=hint)
    path, values = resolve_task(options.task), overrides.parse_assignments(options.assignments)
    check_installed(path)
    with quiet_console() as console:
        with console.status(Waiting("loading TensorFlow and TFX")):
            from components.task.reference import TaskReference
            from pipeline.runners.compiler.kubeflow import PlatformOptions, Target, compile_pipeline

            platform = PlatformOptions(
                target=typing.cast(Target, options.target),
                image=options.image,
                root=options.pipeline_root,
                data=options.data,
                baseline=options.baseline,
                beam_runner=options.beam_runner,
                beam_args=options.beam_args,
                resources=options.resources,
                cache=options.cache,
                labels=dict(label.split("=", 1) for label in options.labels),
                parameters=options.parameters,
                plan=options.search.plan(values) if options.search.over else None,
                tuners=options.parallel,
            )
            reference = TaskReference(path, values)
            name, job = reference.load().name, compile_pipeline(reference, platform)
        ending = "json" if options.target == "vertex" else "yaml"
        file = options.output or f"{name}{'-tuning' if options.search.over else ''}.{ending}"
        write_compiled(job, file, options.target)
        console.print(f"file        {file}  ({TARGETS[options.target]})")
        console.print(f"root        {job['runtimeConfig']['gcsOutputDirectory']}")
        for parameter, about in sorted(job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"].items()):
            console.print(f"parameter   {parameter} = {about.get('defaultValue', '(required at submission)')}")
        if any((uri or "").startswith("s3://") for uri in (options.pipeline_root, options.data, options.baseline)):
            console.print("note        TensorFlow alone cannot read s3://: see docs/how-to/beam.md on buckets")
        print_next(console, _next_steps(options, file))


def _next_steps(options: CompileOptions, file: str) -> list[NextStep]:
    """Return how to try the file here, and how to submit it."""
    where = "--region REGION" if options.target == "vertex" else "--host URL"
    data = " --data URI" if options.data is None else ""
    here = NextStep(skewless_command("run", "--compiled", file), "try it on this machine")
    return [here, NextStep(f"{skewless_command('submit', file)} {where}{data}", f"run it on {TARGETS[options.target]}")]


def write_compiled(job: dict[str, Any], file: str, target: str) -> None:
    """Write the whole job as JSON for Vertex AI, or its pipelineSpec as YAML for Kubeflow.

    Raises:
      UsageError: If the file cannot be written.
    """
    import yaml

    text = json.dumps(job, indent=1, sort_keys=True) if target == "vertex" else yaml.safe_dump(job["pipelineSpec"])
    try:
        with atomic_path(file) as partial:
            Path(partial).write_text(text)
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {file}: {reason}", hint="Name another file with -o FILE.") from None


def check_compile_options(options: CompileOptions) -> None:
    """Check the options, as far as that needs no TensorFlow.

    Raises:
      UsageError: If one is wrong.
    """
    target = options.target
    if not target:
        raise UsageError("no platform to compile for", hint=f"Give one: --target {' or --target '.join(TARGETS)}")
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    if not _IMAGE.fullmatch(options.image):
        problem = f"'{options.image}' is not the name of an image" if options.image else "no image to run in"
        hint = "Give the image that you built from the Dockerfile: --image HOST/NAME:TAG, the name in small letters"
        raise UsageError(problem, hint=hint)
    if not options.pipeline_root:
        hint = "Give a folder in a bucket: --pipeline-root gs://BUCKET/FOLDER"
        raise UsageError("no folder for what runs write", hint=hint)
    check_pattern("--pipeline-root", options.pipeline_root)
    for option in ("pipeline_root", "data", "baseline"):
        check_uri(f"--{option.replace('_', '-')}", getattr(options, option), target)
    _check_search(options)
    if options.baseline and target == "vertex":
        raise UsageError(
            "--baseline is for Kubeflow: Vertex AI finds the latest blessed model itself", hint="Leave it out."
        )
    for label in options.labels:
        if target == "kubeflow":
            raise UsageError(
                "--label is for Vertex AI: Kubeflow's file has no labels",
                hint="Leave it out, and name the run at submission.",
            )
        if not _LABEL.fullmatch(label):
            raise UsageError(
                f"--label {label}: expected KEY=VALUE",
                hint="Use small letters, digits, _ and -, at most 63 characters for each.",
            )


def _check_search(options: CompileOptions) -> None:
    search = options.search
    if not search.over and (options.parallel > 1 or search != SearchOptions()):
        raise UsageError(
            "--trials, --algorithm, --objective and --parallel are for a tuning", hint="Add --over KEY=VALUES."
        )
    if search.over and options.baseline:
        raise UsageError("--baseline is for a run: a tuning releases no model", hint="Leave it out.")


def check_uri(option: str, uri: str | None, target: str) -> None:
    """Check that the target can reach a URI, if there is one.

    Raises:
      UsageError: If it is a local path, or storage that the target does not have.
    """
    if uri is None:
        return
    check_path(option, uri)
    scheme, separator, rest = uri.partition("://")
    if (
        not rest.startswith("/")
        and separator
        and rest
        and (scheme == "gs" if target == "vertex" else scheme not in ("", "file"))
    ):
        return
    kind = "is a local path" if not separator or scheme == "file" else "is not a bucket"
    raise UsageError(
        f"{option} {uri} {kind}, which {TARGETS[target]} cannot reach",
        hint="Give a folder in a bucket: gs://BUCKET/FOLDER",
    )


def check_installed(path: str) -> None:
    """Check that the task's module is part of an installed package, because the image has only those.

    Raises:
      UsageError: If it is, for example, a file in the current folder.
    """
    module = path.partition(":")[0]
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(module)
    origin = Path(spec.origin).resolve() if spec and spec.origin else Path()
    if top == __name__.partition(".")[0] or {"site-packages", "dist-packages"} & set(origin.parts):
        return
    for name in importlib.metadata.packages_distributions().get(top, []):
        about = json.loads(importlib.metadata.distribution(name).read_text("direct_url.json") or "{}")
        folder = unquote(urlsplit(about.get("url", "")).path)
        if about.get("dir_info", {}).get("editable") and origin.is_relative_to(Path(folder).resolve()):
            return
    raise UsageError(
        f"the image does not have task {path}: {origin} is not part of an installed package",
        hint="Make it a package (a folder with a pyproject.toml), `pip install` it here and in the Dockerfile, and"
        f" compile it as {module}:{path.partition(':')[2]} from another folder.",
    )
