"""A run of a compiled file, task by task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import QualityError, SkewError, SkewlessError, UsageError
from pipeline.paths import Paths
from pipeline.report.display import Display
from pipeline.runners.compiler.compiled_file import Artifact, CompiledFile
from pipeline.runners.simulator.launch import launch_container
from pipeline.runners.simulator.store import ArtifactStore, answer_queries, artifact_type

STORE = "compiled.jsonl"  # in the task's folder
_PAGE = "system.HTML"
_RESULTS = ("tfx.PushedModel", "tfx.TunerResults", _PAGE)  # types of what a pipeline is for


@dataclass(frozen=True)
class RunLocation:
    """The folders that a run writes to.

    Attributes:
      paths: Folders of the Skewless task, below the folder that replaces the bucket.
      run_id: Name of the run's folder below `artifacts/compiled/`.
      logs: Folder for a log of each task.
    """

    paths: Paths
    run_id: str
    logs: str

    def folder(self, task: str) -> str:
        """Return the folder of a task's outputs, which are in one folder for each key."""
        return f"{self.paths.artifacts}/compiled/{self.run_id}/{task}"


def run_compiled_pipeline(
    compiled: CompiledFile, parameters: Mapping[str, Any], place: RunLocation, display: Display
) -> dict[str, Artifact]:
    """Run all tasks in order, without a cache.

    Args:
      compiled: The file.
      parameters: Values of all its run parameters.
      place: Where to write.
      display: Shows the tasks.

    Returns:
      The outputs of the task that pushed and of the one that drew the page, or of a tuning's last task, by key.

    Raises:
      QualityError: If the Evaluator did not bless the model.
      SkewError: If the skew gate did not bless the model.
      SkewlessError: If a task failed.
    """
    store = ArtifactStore(f"{place.paths.folder}/{STORE}")
    outputs: dict[str, dict[str, list[Artifact]]] = {}
    results: dict[str, Artifact] = {}
    for task in compiled.order():
        display.started(task)
        clock = time.perf_counter()
        state, why = "failed", ""
        try:
            outputs[task], why = _execute(compiled, task, compiled.inputs(task, parameters, outputs), store, place)
            state = "executed"
        except SkewlessError as error:
            raise type(error)(f"{task} failed: {error}", hint=error.hint) from None
        finally:
            display.done(task, state, why, time.perf_counter() - clock)
        if "container" in compiled.executor(task):
            store.add([artifact for found in outputs[task].values() for artifact in found])
        if any(artifact_type(one) in _RESULTS for found in outputs[task].values() for one in found):
            results |= {key: found[0] for key, found in outputs[task].items()}
    _check_blessings(outputs)
    return results


def _execute(
    compiled: CompiledFile, task: str, inputs: dict[str, Any], store: ArtifactStore, place: RunLocation
) -> tuple[dict[str, list[Artifact]], str]:
    """Run a task; return its outputs, and a phrase on how they were made."""
    executor, component = compiled.executor(task), compiled.component(task)
    declared = component.get("outputDefinitions", {}).get("artifacts", {})
    if "resolver" in executor:
        found = answer_queries(executor["resolver"]["outputArtifactQueries"], inputs["artifacts"], store)
        names = [one["name"] for artifacts in found.values() for one in artifacts]
        return found, f"found {', '.join(names)}" if names else "found nothing in earlier runs"
    new = {
        key: {
            "name": f"{compiled.task}/{place.run_id}/{task}/{key}",
            "uri": f"{place.folder(task)}/{key}",
            "type": one["artifactType"],
            "metadata": {},
        }
        for key, one in declared.items()
    }
    if "importer" in executor:
        source = executor["importer"]["artifactUri"]
        name = source.get("runtimeParameter")
        uri = inputs["parameterValues"][name] if name else source["constant"]
        return {key: [{**one, "uri": uri}] for key, one in new.items()}, f"is {uri}"
    if "container" not in executor:
        problem = f"only the platform can run an executor of the kind {', '.join(executor)}"
        raise UsageError(problem, hint="Submit the file: skewless submit FILE")
    done = launch_container(executor["container"], inputs, new, place.folder(task), f"{place.logs}/{task}.log")
    reasons = [one["metadata"]["no_baseline"] for one in done.values() if "no_baseline" in one["metadata"]]
    why = f"no baseline: {reasons[0]}" if reasons else "in its own process"  # from the Evaluator's blessing
    return {key: [one] for key, one in done.items()}, why


def _check_blessings(outputs: Mapping[str, Mapping[str, list[Artifact]]]) -> None:
    """Check that all components blessed the model.

    Raises:
      QualityError: If the Evaluator did not.
      SkewError: If the skew gate did not.
    """
    every = [(task, one) for task, found in outputs.items() for artifacts in found.values() for one in artifacts]
    pages = [f"\nPage: {one['uri']}" for _, one in every if artifact_type(one) == _PAGE]
    for task, artifact in every:
        if artifact.get("metadata", {}).get("blessed", 1) == 0:
            kind = SkewError if artifact_type(artifact) == "tfx.InfraBlessing" else QualityError
            hint = f"Outputs: {artifact['uri']}/..{''.join(pages)}"
            raise kind(f"not pushed: {task} did not bless the model", hint=hint)
