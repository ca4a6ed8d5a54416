"""`skewless compile`: a task as a file for Vertex AI or Kubeflow, without credentials or network."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from components.task import overrides
from data.errors import UsageError, unknown
from data.files.atomic import atomic_path
from pipeline.paths import check_path, check_pattern
from pipeline.registry import resolve_task
from pipeline.report.quiet import quiet_console
from pipeline.runners import beam

_LABEL = re.compile(r"[a-z][-_a-z0-9]{0,62}=[-_a-z0-9]{0,63}")
# As Docker has it: github.com/distribution/reference, "Grammar".
_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"([A-Za-z0-9.-]+(:\d+)?/)?{_NAME}(/{_NAME})*(:\w[\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?", re.ASCII
)
TARGETS = {"vertex": "Vertex AI", "kubeflow": "Kubeflow"}
"""What a user calls it -> what the world does."""


@dataclass(frozen=True)
class CompileOptions:
    """What a user asked for, as it was typed; see `pipeline.runners.compiler.kubeflow.PlatformOptions`."""

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


def compile_task(options: CompileOptions) -> None:
    """Writes the file, and says what can be set at submission.

    Raises:
      UsageError: whatever can be known to be wrong before the file is submitted; nothing is written then.
    """
    check_compile_options(options)
    if importlib.util.find_spec("kfp") is None:
        raise UsageError("compiling needs kfp", hint="pip install 'skewless[kubeflow]', here and in the image.")
    path, values = resolve_task(options.task), overrides.parse_assignments(options.assignments)
    check_installed(path)
    with quiet_console() as console:
        with console.status("loading TensorFlow and TFX"):
            from components.task.reference import TaskReference
            from pipeline.runners.compiler.kubeflow import PlatformOptions, Target, compile_pipeline

            options = PlatformOptions(
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
            )
            reference = TaskReference(path, values)
            name, job = reference.load().name, compile_pipeline(reference, options)
        file = options.output or f"{name}.{'json' if options.target == 'vertex' else 'yaml'}"
        write_compiled(job, file, options.target)
        console.print(f"file        {file}  ({TARGETS[options.target]})")
        console.print(f"root        {job['runtimeConfig']['gcsOutputDirectory']}")
        for parameter, about in sorted(job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"].items()):
            console.print(f"parameter   {parameter} = {about.get('defaultValue', '(to be given at submission)')}")
        if any((uri or "").startswith("s3://") for uri in (options.pipeline_root, options.data, options.baseline)):
            console.print("note        TensorFlow knows no s3:// of its own: see docs/deploy.md on buckets")


def write_compiled(job: dict[str, Any], file: str, target: str) -> None:
    """Vertex takes the whole job as JSON, Kubeflow the pipelineSpec as YAML; written aside, then renamed.

    Raises:
      UsageError: there is no such folder.
    """
    import yaml

    text = json.dumps(job, indent=1, sort_keys=True) if target == "vertex" else yaml.safe_dump(job["pipelineSpec"])
    try:
        with atomic_path(file) as partial:
            Path(partial).write_text(text)
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        told = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {file}: {told}", hint="Name another file with -o FILE.") from None


def check_compile_options(options: CompileOptions) -> None:
    """Everything that needs no TensorFlow to be seen.

    Raises:
      UsageError: see above.
    """
    target = options.target
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    if not _IMAGE.fullmatch(options.image):
        problem = f"'{options.image}' is no name of an image" if options.image else "no image to run in"
        hint = "Give the image that was built from the Dockerfile: --image HOST/NAME:TAG, the name in small letters"
        raise UsageError(problem, hint=hint)
    if not options.pipeline_root:
        raise UsageError("no place for what runs write", hint="Give a bucket: --pipeline-root gs://BUCKET/FOLDER")
    check_pattern("--pipeline-root", options.pipeline_root)
    for option in ("pipeline_root", "data", "baseline"):
        check_uri(f"--{option.replace('_', '-')}", getattr(options, option), target)
    if options.baseline and target == "vertex":
        raise UsageError(
            "--baseline is for Kubeflow: Vertex AI looks for the latest blessed model itself", hint="Leave it out."
        )
    for label in options.labels:
        if target == "kubeflow":
            raise UsageError("Kubeflow's file has no labels", hint="Leave --label out; name the run at submission.")
        if not _LABEL.fullmatch(label):
            raise UsageError(
                f"--label {label}: expected KEY=VALUE", hint="Small letters, digits, _ and -, up to 63 of each."
            )


def check_uri(option: str, uri: str | None, target: str) -> None:
    """Sees that a target can reach a place, if one is given.

    Raises:
      UsageError: a local path, or a kind of storage that the target has not; names the option.
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
    kind = "is a local path" if not separator or scheme == "file" else "is no bucket"
    raise UsageError(
        f"{option} {uri} {kind}, which {TARGETS[target]} cannot reach", hint="Give a bucket: gs://BUCKET/FOLDER"
    )


def check_installed(path: str) -> None:
    """Sees that the task's module comes from Skewless or another installed package, as it will in the image.

    Raises:
      UsageError: it is a file of this folder, say, which the image would not have.
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
        f"task {path} lies in {origin}, not in an installed package: the image does not have it",
        hint="Make it a package (a folder with a pyproject.toml), `pip install` it here and in the Dockerfile, and"
        f" compile it as {module}:{path.partition(':')[2]} from another folder.",
    )
