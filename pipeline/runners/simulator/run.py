"""A whole run of a compiled file."""

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


@dataclass(frozen=True)
class RunLocation:
    """Where a run writes.

    Attributes:
      paths: of the task, below the folder that stands in for the bucket.
      run_id: names the run's folder below `artifacts/compiled/`.
      logs: folder that takes a log of each task.
    """

    paths: Paths
    run_id: str
    logs: str

    def folder(self, task: str) -> str:
        """Of a task's outputs, each in a folder of its key."""
        return f"{self.paths.artifacts}/compiled/{self.run_id}/{task}"


def run_compiled_pipeline(
    compiled: CompiledFile, parameters: Mapping[str, Any], place: RunLocation, display: Display
) -> dict[str, Artifact]:
    """Runs every task in order, without a cache.

    Args:
      compiled: the file.
      parameters: values of all its run parameters.
      place: where to write.
      display: is told what goes on.

    Returns:
      The outputs of the task that pushed, by key.

    Raises:
      QualityError, SkewError: a model that was not pushed, because the Evaluator or the skew gate did not bless it.
      SkewlessError: a task failed.
    """
    store = ArtifactStore(f"{place.paths.folder}/{STORE}")
    outputs: dict[str, dict[str, list[Artifact]]] = {}
    pushed: dict[str, Artifact] = {}
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
        if any(artifact_type(one) == "tfx.PushedModel" for found in outputs[task].values() for one in found):
            pushed = {key: found[0] for key, found in outputs[task].items()}
    _check(outputs)
    return pushed


def _execute(
    compiled: CompiledFile, task: str, inputs: dict[str, Any], store: ArtifactStore, place: RunLocation
) -> tuple[dict[str, list[Artifact]], str]:
    """The outputs of a task, and a word on them."""
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
        raise UsageError(f"it is {', '.join(executor)}, which only the backend can run")
    done = launch_container(executor["container"], inputs, new, place.folder(task), f"{place.logs}/{task}.log")
    reasons = [one["metadata"]["no_baseline"] for one in done.values() if "no_baseline" in one["metadata"]]
    why = f"no baseline: {reasons[0]}" if reasons else "in a process of its own"  # as the Evaluator's blessing says
    return {key: [one] for key, one in done.items()}, why


def _check(outputs: Mapping[str, Mapping[str, list[Artifact]]]) -> None:
    """Says which component did not bless the model."""
    for task, found in outputs.items():
        for artifact in (one for artifacts in found.values() for one in artifacts):
            metadata = artifact.get("metadata", {})
            if metadata.get("blessed", 1) == 0:
                kind = SkewError if artifact_type(artifact) == "tfx.InfraBlessing" else QualityError
                raise kind(f"not pushed: {task} did not bless the model", hint=f"Its outputs: {artifact['uri']}/..")
