"""`skewless run --compiled FILE`: a compiled pipeline on this machine, to find out what would go wrong elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from components import settings
from data.errors import DataError, UsageError
from data.remote import is_remote
from pipeline.paths import Paths
from pipeline.registry import resolve
from pipeline.report.display import Display
from pipeline.runners.compiled.run import Place, run
from pipeline.runners.compiled.spec import Compiled
from pipeline.verbs import Request, Terminal, terminal

if TYPE_CHECKING:
    from components.reference import TaskReference


def run_compiled(request: Request, file: str) -> None:
    """Runs the file, and prints what came of it.

    Raises:
      UsageError: the file is another task's, or no file of `skewless compile`; what is fixed in it was asked for.
    """
    if request.beam_args or request.beam_runner != "direct":
        raise UsageError(
            "--beam-runner and --beam-arg are fixed in a compiled file", hint="Give it to `skewless compile`."
        )
    compiled = Compiled.load(file)
    given = settings.parse(request.assignments)
    if request.data is not None:
        given["data"] = request.data
    if is_remote(request.root):
        raise UsageError(f"--root {request.root}: a folder of this machine stands in for the bucket of a compiled file")
    request = replace(request, root=os.path.abspath(request.root))
    parameters = compiled.parameters(given, request.root)
    with terminal(request.root) as out:
        out.console.print(f"[dim]log  {out.log}[/]")
        _run(request, compiled, file, parameters, out)


def _run(request: Request, compiled: Compiled, file: str, parameters: dict[str, str], out: Terminal) -> None:
    reference, paths = _reference(compiled), Paths(request.root, compiled.task)
    if request.task and request.task != compiled.task and resolve(request.task) != reference.path:
        raise UsageError(f"{file} is of the task {reference.path}, not of {request.task}")
    _check_settings(reference, parameters)
    parameters["data"] = _data(reference, parameters.get("data"), paths)
    place = Place(paths, out.run_id, str(Path(out.log).with_suffix("")))
    with Display(out.console) as display:
        display.align(compiled.tasks)
        pushed = run(compiled, parameters, place, display)
    (model,) = pushed.values()
    out.console.print(f"pushed    version {model['metadata']['pushed_version']} in {parameters['serving']}")
    out.console.print(f"serve it  skewless serve {compiled.task} --root {request.root}")


def _reference(compiled: Compiled) -> TaskReference:
    """The task, out of any component's custom_config."""
    from components.reference import TaskReference
    from pipeline.runners.parameters import references

    for task in compiled.tasks.values():
        config = task.get("inputs", {}).get("parameters", {}).get("custom_config", {}).get("runtimeValue", {})
        for one in references(json.loads(config.get("constant", "{}"))):
            return TaskReference(one["task"])
    raise UsageError("the file names no task", hint="Compile it with `skewless compile`.")


def _check_settings(reference: TaskReference, parameters: Mapping[str, str]) -> None:
    """Tells a value that the Trainer would refuse before anything runs.

    Raises:
      UsageError: see there.
    """
    from pipeline.runners.parameters import name_of

    known = {name_of(name): name for name in settings.names(reference.load())}
    values = {known[name]: text for name, text in parameters.items() if name in known}
    replace(reference, settings=values).load()


def _data(reference: TaskReference, data: str | None, paths: Paths) -> str:
    """The data folder; of a task that brings its own data, made on first use."""
    if data is None:
        from pipeline.run import data_folder

        return data_folder(reference.load(), None, paths)
    if is_remote(data):
        return data
    if not os.path.isdir(data):
        raise DataError(f"no data folder at {data}", hint="Give the folder that holds the data with --data DIR.")
    return os.path.abspath(data)
