"""A compiled tuning: several Tuners as containers, and the component that merges their trials."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.task.reference import TaskReference
from components.tuning.plan import TuningPlan
from components.tuning.record import TuningRecord
from data.errors import UsageError
from pipeline.commands.compile import CompileOptions, check_compile_options, write_compiled
from pipeline.commands.search import SearchOptions
from pipeline.paths import Paths
from pipeline.runners.compiler.compiled_file import CompiledFile
from pipeline.runners.compiler.kubeflow import PlatformOptions, compile_pipeline
from pipeline.runners.simulator import run
from pipeline.runners.simulator.store import ArtifactStore
from tests import PROJECT
from tests.components.tuning.conftest import Search

TINY = "tests.tasks.tiny:TASK"
PLAN = TuningPlan({"train.learning_rate": "0.01..0.1:0.03", "train.keep": "last,best"}, 3, "grid")
OPTIONS = PlatformOptions("vertex", "i", "gs://b/r", plan=PLAN, tuners=2, resources=["Tuner.cpu=4"])
TUNERS = ("Tuner-1", "Tuner-2")


def _compiled(options: PlatformOptions = OPTIONS, **settings: str) -> dict[str, Any]:
    values = {name.replace("__", "."): text for name, text in settings.items()}
    return compile_pipeline(TaskReference(TINY, values), options)


@pytest.mark.parametrize("target", ["vertex", "kubeflow"])
def test_the_tuners_depend_on_the_data_and_only_the_merge_on_them(target: Any, tmp_path: Path) -> None:
    job = _compiled(dataclasses.replace(OPTIONS, target=target))
    spec = json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    depends = {name: set(task.dependent_tasks) for name, task in spec.root.dag.tasks.items()}
    prepared = {"ExampleGen", "ExampleValidator", "SchemaGen", "Transform"}
    assert {name: depends[name] for name in (*TUNERS, "MergeTrials")} == {
        "Tuner-1": prepared,
        "Tuner-2": prepared,
        "MergeTrials": set(TUNERS),
    }
    assert depends.keys() == {*prepared, "StatisticsGen", *TUNERS, "MergeTrials"}
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    assert [executors[f"{name}_executor"]["container"]["resources"]["cpuLimit"] for name in TUNERS] == [4.0, 4.0]
    assert set(spec.root.input_definitions.parameters) == {"data", "train_epochs"}
    write_compiled(job, str(tmp_path / "file"), target)
    assert CompiledFile.load(str(tmp_path / "file")).order()[-1] == "MergeTrials"


def test_one_tuner_needs_no_merge_and_a_tuned_setting_is_no_parameter() -> None:
    plan = TuningPlan({"train.epochs": "1,2"})
    options = dataclasses.replace(OPTIONS, plan=plan, tuners=1, parameters=["train.learning_rate"])
    spec = _compiled(options)["pipelineSpec"]
    assert "Tuner" in spec["root"]["dag"]["tasks"] and "MergeTrials" not in spec["root"]["dag"]["tasks"]
    assert set(spec["root"]["inputDefinitions"]["parameters"]) == {"data", "train_learning_rate"}
    with pytest.raises(UsageError, match="train.epochs is tuned, so it cannot be a run parameter"):
        _compiled(dataclasses.replace(options, parameters=["train.epochs"]))
    with pytest.raises(UsageError, match="bayesian cannot have parallel trials"):
        _compiled(dataclasses.replace(OPTIONS, plan=dataclasses.replace(PLAN, algorithm="bayesian")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parallel": 2}, "--parallel are for a tuning"),
        ({"search": SearchOptions(trials=3)}, "--parallel are for a tuning"),
        ({"search": SearchOptions(("a=1,2",)), "baseline": "s3://b/m"}, "--baseline is for a run"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], words: str) -> None:
    given = CompileOptions("digits", "kubeflow", "host/i:1", "s3://b/r", **options)
    with pytest.raises(UsageError, match=words) as caught:
        check_compile_options(given)
    assert caught.value.hint


def _artifact(spec: CompiledFile, task: str, key: str, uri: str, **metadata: str) -> dict[str, Any]:
    kind = spec.component(task)["outputDefinitions"]["artifacts"][key]["artifactType"]
    return {"name": f"{task}/{key}", "uri": uri, "type": kind, "metadata": metadata}


@pytest.mark.slow
@pytest.mark.usefixtures("forked_containers")
def test_containers_find_together_what_one_tuner_finds(
    digit_named: SimpleNamespace, search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    (tmp_path / "tiny.json").write_text(json.dumps(_compiled(train__epochs="2")))
    spec = CompiledFile.load(str(tmp_path / "tiny.json"))
    place = run.RunLocation(Paths(str(tmp_path / "root"), "tiny"), "1", str(tmp_path / "logs"))
    parameters = spec.parameters({"data": str(digit_named.data)}, str(tmp_path / "root"))
    of_examples = {"split_names": '["train", "eval"]', "payload_format": "FORMAT_TF_EXAMPLE"}
    outputs: dict[str, Any] = {
        "ExampleGen": {"examples": [_artifact(spec, "ExampleGen", "examples", digit_named.examples, **of_examples)]},
        "SchemaGen": {"schema": [_artifact(spec, "SchemaGen", "schema", digit_named.schema)]},
        "Transform": {"transform_graph": [_artifact(spec, "Transform", "transform_graph", digit_named.transform)]},
    }
    store = ArtifactStore(str(tmp_path / "store"))
    for task in (*TUNERS, "MergeTrials"):
        outputs[task], _ = run._execute(spec, task, spec.inputs(task, parameters, outputs), store, place)
    parts = [TuningRecord.read(outputs[name]["tuner_results"][0]["uri"]) for name in TUNERS]
    assert [[one.number for one in part.trials] for part in parts] == [[1, 3], [2]]
    (merged,) = outputs["MergeTrials"]["tuner_results"]
    found, alone = TuningRecord.read(merged["uri"]), search(TINY, PLAN, train__epochs="2")
    assert [one.settings for one in found.trials] == [one.settings for one in alone.trials]
    for one, other in zip(found.trials, alone.trials, strict=True):
        for name, values in other.history.items():
            assert one.history[name] == pytest.approx(values, rel=1e-5)
    best = found.ranked[0]
    assert merged["metadata"]["best_settings"] == " ".join(found.assignments)
    assert merged["metadata"]["best_score"] == pytest.approx(best.score)
    folder = Path(outputs["MergeTrials"]["best_hyperparameters"][0]["uri"])
    values = json.loads((folder / "best_hyperparameters.txt").read_text())["values"]
    assert values == {
        "train.learning_rate": float(best.settings["train.learning_rate"]),
        "train.keep": best.settings["train.keep"],
    }
    rows = json.loads(Path(merged["uri"], "tuner_results.json").read_text())
    assert [row["score"] for row in rows] == [one.score for one in found.ranked]
