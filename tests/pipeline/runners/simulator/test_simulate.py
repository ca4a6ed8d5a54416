"""A compiled file runs container by container, in an environment where Skewless is installed as in the image."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.release.evaluation import Evaluation
from components.release.measures import ACCURACY
from components.task.reference import TaskReference
from data.errors import DataError, QualityError, SkewError, SkewlessError, UsageError
from data.spec import Image as Pictures
from pipeline.commands.run import RunOptions
from pipeline.commands.simulate import run_compiled
from pipeline.paths import Paths
from pipeline.runners.compiler.compiled_file import CompiledFile
from pipeline.runners.compiler.kubeflow import PlatformOptions, compile_pipeline
from pipeline.runners.simulator import run
from pipeline.runners.simulator.launch import launch_container
from pipeline.runners.simulator.store import ArtifactStore, answer_queries
from tests.dockerfile import Image
from tests.exported import export_pictures
from tests.pipeline.conftest import PROJECT, Skewless

DIGITS = TaskReference("pipeline.tasks.digits:TASK", {})
ORDER = [
    *("ExampleGen", "StatisticsGen", "SchemaGen", "Transform", "Trainer"),
    *("Evaluator", "SkewGate", "Pusher", "ReportGen"),
]


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vertex") / "digits.json"
    file.write_text(
        json.dumps(compile_pipeline(DIGITS, PlatformOptions("vertex", "i", "gs://b/r", parameters=["train.stop_when"])))
    )
    return file


@pytest.fixture(scope="module")
def kubeflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("kubeflow") / "digits.yaml"
    options = PlatformOptions("kubeflow", "i", "s3://b/r", data="s3://b/d", baseline="s3://b/m")
    file.write_text(yaml.safe_dump(compile_pipeline(DIGITS, options)["pipelineSpec"]))
    return file


# Reading


def test_tasks_come_after_what_they_depend_on(vertex: Path, kubeflow: Path) -> None:
    for file in (vertex, kubeflow):
        order = CompiledFile.load(str(file)).order()
        assert [name for name in order if name in ORDER] == ORDER
        assert order.index("ExampleValidator") < order.index("Trainer")
        assert all(order.index(name) < order.index("Evaluator") for name in order if name.startswith("Baseline"))


def test_run_parameters_have_their_defaults_below_the_root(vertex: Path, kubeflow: Path) -> None:
    found = CompiledFile.load(str(kubeflow)).parameters({"baseline": "/m"}, "/root")
    assert found == {
        "data": "s3://b/d",
        "baseline": "/m",
        "serving": "/root/digits/serving/digits",
        "train_epochs": "12",
    }
    found = CompiledFile.load(str(vertex)).parameters(
        {"train.epochs": "1", "train_stop_when": "accuracy > 0.9"}, "/root"
    )
    assert found["train_epochs"] == "1" and "data" not in found
    given = {**found, "data": "/data"}
    spec = CompiledFile.load(str(vertex))
    trainer = spec.inputs("Trainer", given, {name: {} for name in spec.tasks})["parameterValues"]
    settings = json.loads(trainer["custom_config"])["skewless"]["settings"]
    assert settings == {"train.epochs": "1", "train.stop_when": "accuracy > 0.9"}
    pushed = spec.inputs("Pusher", given, {name: {} for name in spec.tasks})["parameterValues"]["push_destination"]
    assert json.loads(pushed) == {"filesystem": {"base_directory": "/root/digits/serving/digits"}}
    assert spec.inputs("ExampleGen", given, {})["parameterValues"]["input_base"] == "/data"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train.epoch": "1"}, "no run parameter 'train.epoch'. Did you mean 'train_epochs'?"),
        ({"train.epochs": '"'}, 'run parameter train.epochs must not contain " or \\'),
    ],
)
def test_a_wrong_run_parameter(given: dict[str, str], words: str, vertex: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        CompiledFile.load(str(vertex)).parameters(given, "/root")


def test_a_compiled_setting_that_the_data_do_not_fit_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x,y\n1,2\n")
    line = TaskReference("pipeline.tasks.linear_regression:TASK", {"evaluate.split": "test", "train.epochs": "7"})
    file = tmp_path / "line.json"
    file.write_text(json.dumps(compile_pipeline(line, PlatformOptions("vertex", "i", "gs://b/r"))))
    asked = RunOptions("", str(tmp_path / "data"), str(tmp_path / "root"))
    with pytest.raises(UsageError, match="evaluate.split is test, but the data have only the splits eval, train"):
        run_compiled(asked, str(file))
    with pytest.raises(UsageError, match="train.epochs must be at least 1, got -1"):
        run_compiled(dataclasses.replace(asked, assignments=["train.epochs=-1"]), str(file))
    with pytest.raises(UsageError, match="contains \\[, which"):
        run_compiled(dataclasses.replace(asked, root=str(tmp_path / "[1]")), str(file))
    assert [one.name for one in (tmp_path / "root").iterdir()] == ["logs"]


@pytest.mark.parametrize("text", ["", "a: b", "{", "a: [", '{"pipelineSpec": {}}', "- 1"])
def test_a_file_of_another_kind(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(UsageError, match="was not written by `skewless compile`"):
        CompiledFile.load(str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot read .*No such file"):
        CompiledFile.load(str(tmp_path / "none"))


# Resolving


def test_the_resolvers_find_the_latest_blessed_model(vertex: Path, tmp_path: Path) -> None:
    """TFX's two queries: a blessing, then the model whose name the blessing has."""
    spec, store = CompiledFile.load(str(vertex)), ArtifactStore(str(tmp_path / "below" / "store"))

    def baseline() -> list[dict[str, Any]]:
        outputs: dict[str, Any] = {}
        for task in ("Baseline-model-blessing-resolver", "Baseline-model-resolver"):
            queries = spec.executor(task)["resolver"]["outputArtifactQueries"]
            outputs[task] = answer_queries(queries, spec.inputs(task, {}, outputs)["artifacts"], store)
        return outputs["Baseline-model-resolver"].get("model", [])

    def leave(run_id: int, blessed: float) -> dict[str, Any]:
        folder = tmp_path / str(run_id)
        folder.mkdir()
        model = {"name": f"m{run_id}", "uri": str(folder), "type": {"instanceSchema": "title: tfx.Model\n"}}
        kind = {"instanceSchema": "title: tfx.ModelBlessing\ntype: object\n"}
        metadata = {"blessed": blessed, "current_model_id": model["name"]}
        store.add([model, {"name": f"b{run_id}", "uri": str(folder), "type": kind, "metadata": metadata}])
        return model

    assert baseline() == []
    first = leave(1, 1.0)
    assert baseline() == [first]
    leave(2, 0.0)
    assert baseline() == [first]
    leave(3, 1.0)
    assert [one["name"] for one in baseline()] == ["m3"]
    shutil.rmtree(tmp_path / "3")  # what was deleted is not alive
    assert baseline() == [first]


def test_an_importer_gives_the_uri_of_the_run_parameter(kubeflow: Path, tmp_path: Path) -> None:
    spec = CompiledFile.load(str(kubeflow))
    place = run.RunLocation(Paths(str(tmp_path), "digits"), "1", str(tmp_path))
    parameters = spec.parameters({"baseline": "/models/3"}, str(tmp_path))
    inputs = spec.inputs("Baseline", parameters, {})
    outputs, why = run._execute(spec, "Baseline", inputs, ArtifactStore(str(tmp_path / "store")), place)
    assert outputs["model"][0]["uri"] == "/models/3" and why == "is /models/3"
    evaluator = spec.inputs("Evaluator", parameters, {name: {} for name in spec.tasks} | {"Baseline": outputs})
    assert evaluator["artifacts"]["baseline_model"]["artifacts"] == outputs["model"]


# Launching


def _launch(code: str, folder: Path) -> dict[str, Any]:
    container = {"command": ["python", "-c", code], "args": ["{{$}}"]}
    outputs = {"model": {"name": "m", "uri": str(folder / "model"), "type": {}, "metadata": {}}}
    return launch_container(container, {"parameterValues": {"a": 1}}, outputs, str(folder), str(folder / "log"))


def test_a_container_gets_its_input_and_its_output_is_read(tmp_path: Path) -> None:
    code = """
import json, os, sys
given = json.loads(sys.argv[1])
assert given["inputs"] == {"parameterValues": {"a": 1}} and sys.executable == os.environ["WANTED"]
model = given["outputs"]["artifacts"]["model"]["artifacts"][0]
assert os.path.isdir(model["uri"])
found = {"name": "m", "uri": model["uri"], "metadata": {"b": 2.0}}
open(given["outputs"]["outputFile"], "w").write(json.dumps({"artifacts": {"model": {"artifacts": [found]}}}))
"""
    os.environ["WANTED"] = sys.executable
    try:
        found = _launch(code, tmp_path)
    finally:
        del os.environ["WANTED"]
    assert found["model"] == {"name": "m", "uri": f"{tmp_path}/model", "type": {}, "metadata": {"b": 2.0}}


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("from data.errors import DataError; raise DataError('no class in x')", DataError, "no class in x"),
        ("raise RuntimeError('data.errors.DataError: few [while running step]')", SkewlessError, "RuntimeError: data"),
        ("raise ValueError('a\\nb')", SkewlessError, "ValueError: a"),
        ("raise SystemExit('bad flag')", SkewlessError, "exit status 1: bad flag"),
        ("raise SystemExit(3)", SkewlessError, "exit status 3: no output"),
        ("import os; os.kill(os.getpid(), 9)", SkewlessError, "killed by signal 9"),
    ],
)
def test_a_container_that_fails_is_told_in_a_line(
    code: str, kind: type[SkewlessError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SkewlessError) as caught:
        _launch(f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{code}", tmp_path)
    assert type(caught.value) is kind and str(caught.value).startswith(words)
    assert "\n" not in str(caught.value) and str(tmp_path / "log") in caught.value.hint


def test_the_error_of_a_container_keeps_its_hint(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from components.process_errors import printing_errors
from data.errors import DataError
with printing_errors():
    raise DataError("few", hint="Add some.")
"""
    with pytest.raises(DataError, match="^few$") as caught:
        _launch(code, tmp_path)
    assert caught.value.hint == f"Add some.\nLog: {tmp_path / 'log'}"


@pytest.mark.parametrize(("title", "kind"), [("ModelBlessing", QualityError), ("InfraBlessing", SkewError)])
def test_a_model_without_a_blessing_is_not_pushed(title: str, kind: type[SkewlessError]) -> None:
    blessing = {"uri": "/b", "type": {"instanceSchema": f"title: tfx.{title}\n"}, "metadata": {"blessed": 0.0}}
    page = {"uri": "/p/report.html", "type": {"schemaTitle": "system.HTML"}}
    with pytest.raises(kind, match="not pushed: Gate did not bless the model") as caught:
        run._check_blessings({"Gate": {"blessing": [blessing]}, "ReportGen": {"html": [page]}})
    assert caught.value.hint == "Outputs: /b/..\nPage: /p/report.html"


# The whole


@pytest.fixture(scope="module")
def root(image: Image) -> Path:
    """Return the folder of a run of one epoch, with a model that hardly has to learn."""
    options = ["--target", "vertex", "--image", "host/skewless:1", "--pipeline-root", "gs://bucket/root"]
    settings = ("evaluate.min_accuracy=0.2", "gate.sample=8", "gate.pictures=0")
    options += [part for one in settings for part in ("--set", one)]
    done = image.run("skewless", "compile", "digits", *options)
    assert done.returncode == 0, done.stderr
    done = image.run(
        "skewless", "run", "digits", "--compiled", "digits.json", "--root", "root", "--set", "train.epochs=1"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines, expected = done.stdout.splitlines(), r"(log|done|pushed|page|next) "
    assert [line for line in lines if not re.match(expected, line)] == [] and done.stderr == ""
    assert any("Baseline-model-resolver" in line and "nothing in earlier runs" in line for line in lines)
    return image.work / "root"


def _left(root: Path) -> dict[str, dict[str, Any]]:
    """Return the outputs of the first run by task."""
    found: dict[str, dict[str, Any]] = {}
    for line in (root / "digits" / run.STORE).read_text().splitlines():
        artifact = json.loads(line)
        found.setdefault(artifact["name"].split("/")[-2], {})[artifact["name"].split("/")[-1]] = [artifact]
    return found


def _evaluations(root: Path) -> list[Evaluation]:
    return [
        Evaluation.load(str(one), ACCURACY) for one in sorted(root.glob("digits/artifacts/*/*/Evaluator/evaluation"))
    ]


@pytest.mark.slow
def test_a_compiled_file_runs_to_a_pushed_model(root: Path) -> None:
    (found,) = _evaluations(root)
    assert found.examples == 380 and found.baseline is None
    (version,) = (root / "digits" / "serving" / "digits").iterdir()
    assert (version / "saved_model.pb").exists()
    (report,) = root.glob("digits/artifacts/*/*/Trainer/model_run/training.json")
    assert json.loads(report.read_text())["epochs"] == 1
    logs = {path.stem for path in root.glob("logs/*/*.log")}
    assert {"ExampleGen", "Transform", "Trainer", "Evaluator", "SkewGate", "Pusher", "ReportGen"} <= logs


def _page(artifact: dict[str, Any]) -> str:
    """Return the page at an artifact's URI, which a console shows."""
    assert artifact["uri"].endswith("/ReportGen/html/report.html")
    return Path(artifact["uri"]).read_text()


@pytest.mark.slow
def test_the_page_is_at_its_artifacts_uri(root: Path) -> None:
    (artifact,) = _left(root)["ReportGen"]["html"]
    assert artifact["type"] == {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}
    page = _page(artifact)
    (version,) = (root / "digits" / "serving" / "digits").iterdir()
    assert page.startswith("<!doctype html>") and f"version {version.name}" in page and "Not pushed" not in page


@pytest.mark.slow
@pytest.mark.usefixtures("forked_containers")
def test_a_rejected_model_gets_a_page(image: Image, root: Path, tmp_path: Path) -> None:
    """The gate and the Pusher run on the platform, too, and leave a model alone that the Evaluator did not bless."""
    spec, outputs = CompiledFile.load(str(image.work / "digits.json")), _left(root)
    outputs["Evaluator"]["blessing"][0]["metadata"]["blessed"] = 0.0
    place = run.RunLocation(Paths(str(tmp_path), "digits"), "2", str(tmp_path))
    parameters = spec.parameters({"data": "/data"}, str(tmp_path))
    for task in ("SkewGate", "Pusher", "ReportGen"):
        inputs = spec.inputs(task, parameters, outputs)
        outputs[task], _ = run._execute(spec, task, inputs, ArtifactStore(str(tmp_path / "store")), place)
    assert outputs["SkewGate"]["blessing"][0]["metadata"]["blessed"] == 0.0
    assert not (tmp_path / "digits" / "serving").exists()
    page = _page(outputs["ReportGen"]["html"][0])
    assert page.startswith("<!doctype html>") and "Not pushed" in page


@pytest.mark.slow
@pytest.mark.usefixtures("forked_containers")
def test_a_second_run_meets_a_blessed_baseline(image: Image, root: Path, tmp_path: Path) -> None:
    """The resolvers run, and the Evaluator with the examples and the model of the first run."""
    spec, outputs = CompiledFile.load(str(image.work / "digits.json")), _left(root)
    store, place = (
        ArtifactStore(str(root / "digits" / run.STORE)),
        run.RunLocation(Paths(str(tmp_path), "digits"), "2", str(tmp_path)),
    )
    parameters, why = spec.parameters({}, str(root)), dict[str, str]()
    for task in (one for one in spec.order() if one.startswith(("Baseline", "Evaluator"))):
        outputs[task], why[task] = run._execute(spec, task, spec.inputs(task, parameters, outputs), store, place)
    assert why["Baseline-model-resolver"].endswith("/Trainer/model")
    (first,) = _evaluations(root)
    second = Evaluation.load(outputs["Evaluator"]["evaluation"][0]["uri"], ACCURACY)
    assert second.baseline == first.metrics["overall"][ACCURACY] == second.metrics["overall"][ACCURACY]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_containers")
@pytest.mark.parametrize("kind", ["served", "nothing", "other"])
def test_an_imported_baseline_is_what_is_served(kind: str, root: Path, kubeflow: Path, tmp_path: Path) -> None:
    """Kubeflow's Evaluator compares the first run's model with the folder of the served versions."""
    spec, serving = CompiledFile.load(str(kubeflow)), root / "digits" / "serving" / "digits"
    folder = serving if kind == "served" else tmp_path / kind
    if kind == "other":
        export_pictures(folder / "7", Pictures(4, 4), ("one", "two", "3"))
    place = run.RunLocation(Paths(str(tmp_path), "digits"), "1", str(tmp_path))
    outputs: dict[str, Any] = dict(_left(root))
    for task in ("Baseline", "Evaluator"):
        inputs = spec.inputs(task, {"baseline": str(folder)}, outputs)
        outputs[task], why = run._execute(spec, task, inputs, ArtifactStore(str(tmp_path / "store")), place)
    evaluation = outputs["Evaluator"]["evaluation"][0]["uri"]
    found, blessing = Evaluation.load(evaluation, ACCURACY), outputs["Evaluator"]["blessing"][0]["metadata"]
    assert not Path(evaluation, ".baseline").exists()
    if kind == "served":
        assert found.baseline is not None and found.baseline <= found.metrics["overall"][ACCURACY]
        assert Path(blessing["baseline_model"]) == max(serving.iterdir()) and "no_baseline" not in blessing
        return
    told = f"there is no model at {folder}" if kind == "nothing" else "the last model knew one, two, 3 (on the "
    assert found.baseline is None and "baseline_model" not in blessing
    assert blessing["no_baseline"].startswith(told) and why.startswith(f"no baseline: {told}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--set", "train.epochs=many"), 2, "error: train.epochs must be a whole number, got 'many'"),
        (("--root", "gs://b/r"), 2, "error: --root gs://b/r: --compiled needs a local folder in place of the bucket"),
        (("--data", "/no/such"), 3, "error: no data folder at /no/such"),
        (("--data", "{empty}"), 3, "error: ExampleGen failed: no class in {empty}: the folder is empty"),
        (("--beam-arg", "--x"), 2, "error: --beam-runner and --beam-arg are fixed in a compiled file"),
    ],
)
def test_what_fails_is_told_in_a_line(
    arguments: tuple[str, ...], status: int, words: str, vertex: Path, skewless: Skewless, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    empty, root = tmp_path / "empty", () if "--root" in arguments else ("--root", str(tmp_path / "root"))
    done = skewless("run", "--compiled", str(vertex), *root, *(one.format(empty=empty) for one in arguments))
    assert done.status == status and done.err.startswith(words.format(empty=empty)), done.err
    assert "Traceback" not in done.err + done.out


@pytest.mark.slow
def test_a_file_of_another_task(vertex: Path, skewless: Skewless, tmp_path: Path) -> None:
    done = skewless("run", "fashion_mnist", "--compiled", str(vertex), "--root", str(tmp_path))
    assert done.status == 2
    assert done.err.startswith(f"error: {vertex} is of the task pipeline.tasks.digits:TASK, not of fashion_mnist")
