"""`skewless run --compiled FILE`: run a compiled pipeline on this machine, to find errors before it is submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.task import overrides as settings
from data.errors import UsageError
from data.files.remote import is_remote
from data.spec import Image
from pipeline.commands.run import RunOptions, Terminal, terminal
from pipeline.commands.tune import conclude_tuning
from pipeline.next_steps import after_push, find_picture, print_next
from pipeline.paths import Paths, absolute_path, check_root
from pipeline.registry import resolve_task
from pipeline.report.display import Display
from pipeline.runners.compiler.compiled_file import CompiledFile
from pipeline.runners.simulator.run import RunLocation, run_compiled_pipeline

if TYPE_CHECKING:
    from components.task.reference import TaskReference


def run_compiled(options: RunOptions, file: str) -> None:
    """Run the file and print the result.

    Raises:
      UsageError: If the file is another task's or not written by `skewless compile`, or an option changes what is
        fixed in it.
    """
    if options.beam_args or options.beam_runner != "direct":
        raise UsageError(
            "--beam-runner and --beam-arg are fixed in a compiled file", hint="Give them to `skewless compile`."
        )
    compiled = CompiledFile.load(file)
    given = settings.parse_assignments(options.assignments)
    if options.data is not None:
        given["data"] = options.data
    if is_remote(options.root):
        raise UsageError(
            f"--root {options.root}: --compiled needs a local folder in place of the bucket",
            hint="Give a folder with --root DIR.",
        )
    check_root(options.root)
    options = replace(options, root=absolute_path(options.root))
    parameters = compiled.parameters(given, options.root)
    with terminal(replace(options, task="")) as out:
        out.console.print(f"[dim]log  {out.log}[/]")
        _run(options, compiled, file, parameters, out)


def _run(options: RunOptions, compiled: CompiledFile, file: str, parameters: dict[str, str], out: Terminal) -> None:
    reference, paths = _reference(compiled), Paths(options.root, compiled.task)
    if options.task and options.task != compiled.task and resolve_task(options.task) != reference.path:
        raise UsageError(f"{file} is of the task {reference.path}, not of {options.task}", hint="Leave TASK out.")
    reference = _set(reference, parameters)
    parameters["data"] = _data(reference, parameters.get("data"), paths)
    place = RunLocation(paths, out.run_id, str(Path(out.log).with_suffix("")))
    with Display(out.console) as display:
        display.align(compiled.tasks)
        found = run_compiled_pipeline(compiled, parameters, place, display)
    if "tuner_results" in found:
        task = options.task or reference.path
        conclude_tuning(replace(options, task=task), reference.settings, found["tuner_results"]["uri"], paths, out)
        return
    version = found["pushed_model"]["metadata"]["pushed_version"]
    out.console.print(f"pushed    version {version} in {parameters['serving']}")
    if "html" in found:  # a file that an earlier version compiled has none
        out.console.print(f"page      {found['html']['uri']}")
    picture = find_picture(parameters["data"]) if isinstance(reference.load().feature, Image) else ""
    print_next(out.console, after_push(compiled.task, options.root, picture)[1:])


def _reference(compiled: CompiledFile) -> TaskReference:
    """Return the compiled task and its settings, from the custom_config of the components."""
    from components.task.reference import TaskReference
    from pipeline.runners.compiler.parameters import is_placeholder, task_references

    path, values = "", dict[str, str]()
    for task in compiled.tasks.values():
        config = task.get("inputs", {}).get("parameters", {}).get("custom_config", {}).get("runtimeValue", {})
        for one in task_references(json.loads(config.get("constant", "{}"))):
            path = one["task"]
            values |= {name: text for name, text in one["settings"].items() if not is_placeholder(text)}
    if path:
        return TaskReference(path, values)
    raise UsageError("the file names no task", hint="Compile it with `skewless compile`.")


def _set(reference: TaskReference, parameters: Mapping[str, str]) -> TaskReference:
    """Return the reference with the values of the run parameters, checked before anything runs.

    Raises:
      UsageError: If the task rejects a value.
    """
    from pipeline.runners.compiler.parameters import parameter_name

    known = {parameter_name(name): name for name in settings.setting_names(reference.load())}
    values = {known[name]: text for name, text in parameters.items() if name in known}
    found = replace(reference, settings={**reference.settings, **values})
    found.load()
    return found


def _data(reference: TaskReference, data: str | None, paths: Paths) -> str:
    """Return the data folder; a task with its own data writes it on first use."""
    from pipeline.runners.local.data_folder import check_data_folder, resolve_data_folder

    task = reference.load()
    folder = resolve_data_folder(task, data, paths)
    check_data_folder(task, folder, paths)
    return folder
