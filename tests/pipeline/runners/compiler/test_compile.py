"""`skewless compile` writes valid files, with each option in its place, and rejects wrong options."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components, dsl
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.utils import import_utils

from components.review.html_output import HtmlReportGenExecutor
from components.task.overrides import apply_settings
from components.task.reference import TaskReference
from components.tuning.plan import TuningPlan
from data.errors import UsageError
from pipeline.commands.compile import (
    CompileOptions,
    check_compile_options,
    check_installed,
    compile_task,
    write_compiled,
)
from pipeline.commands.completion import COMPONENTS
from pipeline.registry import resolve_task
from pipeline.runners.beam import LOCAL
from pipeline.runners.compiler import parameters
from pipeline.runners.compiler.kubeflow import PlatformOptions, compile_pipeline
from pipeline.tasks import linear_regression
from tests.pipeline.conftest import environment

DIGITS, LINE = "pipeline.tasks.digits:TASK", "pipeline.tasks.linear_regression:TASK"
VERTEX = PlatformOptions("vertex", "host/skewless:1", "gs://bucket/root")
KUBEFLOW = PlatformOptions("kubeflow", "host/skewless:1", "s3://bucket/root", data="s3://bucket/data")


def _job(options: PlatformOptions = VERTEX, path: str = DIGITS, **settings: str) -> dict[str, Any]:
    values = {name.replace("__", "."): text for name, text in settings.items()}
    return compile_pipeline(TaskReference(path, values), options)


def _container(job: dict[str, Any], name: str) -> dict[str, Any]:
    return job["pipelineSpec"]["deploymentSpec"]["executors"][f"{name}_executor"]["container"]


def _tasks(job: dict[str, Any]) -> dict[str, Any]:
    return job["pipelineSpec"]["root"]["dag"]["tasks"]


def _parameters(job: dict[str, Any]) -> dict[str, Any]:
    return job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]


@pytest.fixture(scope="module")
def vertex() -> dict[str, Any]:
    return _job()


@pytest.fixture(scope="module")
def kubeflow() -> dict[str, Any]:
    return _job(dataclasses.replace(KUBEFLOW, baseline="s3://bucket/model"), LINE)


# The files


@pytest.mark.parametrize("target", ["vertex", "kubeflow"])
def test_the_file_is_a_pipeline_spec(target: str, request: pytest.FixtureRequest) -> None:
    job = request.getfixturevalue(target)
    json_format.ParseDict(job, pipeline_spec_pb2.PipelineJob())
    spec = json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(job["pipelineSpec"]["deploymentSpec"], deployment)
    assert spec.schema_version == "2.1.0"
    for name, task in spec.root.dag.tasks.items():
        executor = deployment.executors[spec.components[task.component_ref.name].executor_label]
        assert executor.HasField("container") == (not name.startswith("Baseline"))
        if executor.HasField("container"):
            assert executor.container.image == "host/skewless:1"
            assert list(executor.container.command)[:2] == ["python", "-m"]


def test_kubeflows_own_loader_takes_the_yaml(kubeflow: dict[str, Any]) -> None:
    loaded = components.load_component_from_text(yaml.safe_dump(kubeflow["pipelineSpec"]))
    assert loaded.component_spec.name == "linear-regression"
    inputs = {name: one.default for name, one in loaded.component_spec.inputs.items()}
    assert inputs == {
        "data": "s3://bucket/data",
        "baseline": "s3://bucket/model",
        "serving": "s3://bucket/root/linear_regression/serving/linear_regression",
        "train_epochs": "500",
    }


def test_vertexs_own_class_takes_the_json(vertex: dict[str, Any], tmp_path: Path) -> None:
    aiplatform = pytest.importorskip("google.cloud.aiplatform")
    from google.auth.credentials import AnonymousCredentials

    file = tmp_path / "digits.json"
    file.write_text(json.dumps(vertex))
    job = aiplatform.PipelineJob(
        display_name="digits",
        template_path=str(file),
        project="p",
        location="us-central1",
        credentials=AnonymousCredentials(),
        parameter_values={"data": "gs://bucket/data", "train_epochs": "3"},
    )
    config = job._gca_resource.runtime_config  # `gca_resource` waits for the submission
    assert config.gcs_output_directory == "gs://bucket/root/digits/artifacts"
    assert dict(config.parameter_values) == {"data": "gs://bucket/data", "train_epochs": "3"}
    with pytest.raises(ValueError, match="train_epoch"):
        aiplatform.PipelineJob(
            display_name="digits",
            template_path=str(file),
            project="p",
            location="us-central1",
            credentials=AnonymousCredentials(),
            parameter_values={"train_epoch": "3"},
        )


def test_the_same_options_give_the_same_file(vertex: dict[str, Any]) -> None:
    assert json.dumps(_job(), sort_keys=True) == json.dumps(vertex, sort_keys=True)


# The options


def test_vertex_queries_for_the_baseline_and_kubeflow_imports_it(
    vertex: dict[str, Any], kubeflow: dict[str, Any]
) -> None:
    executors = vertex["pipelineSpec"]["deploymentSpec"]["executors"]
    assert sorted(name for name, one in executors.items() if "resolver" in one) == [
        "Baseline-model-blessing-resolver_executor",
        "Baseline-model-resolver_executor",
    ]
    executors = kubeflow["pipelineSpec"]["deploymentSpec"]["executors"]
    assert [name for name, one in executors.items() if "container" not in one] == ["Baseline_executor"]
    assert "importer" in executors["Baseline_executor"]
    assert _tasks(kubeflow)["Baseline"]["inputs"]["parameters"]["artifact_uri"] == {
        "componentInputParameter": "baseline"
    }
    without = _job(KUBEFLOW, LINE)
    assert "Baseline" not in _tasks(without) and "baseline" not in _parameters(without)
    assert "baseline_model" not in _tasks(without)["Evaluator"]["inputs"]["artifacts"]


def test_resources_go_to_the_containers_named() -> None:
    wanted = (
        "Trainer.machine=n1-standard-8",
        "Trainer.gpu=NVIDIA_TESLA_T4:2",
        "Transform.cpu=4",
        "Evaluator.memory=7.5G",
    )
    job = _job(dataclasses.replace(VERTEX, resources=wanted))
    assert _container(job, "Trainer")["resources"] == {
        "cpuLimit": 8.0,
        "memoryLimit": 30.0,
        "accelerator": {"type": "NVIDIA_TESLA_T4", "count": "2"},
    }
    assert _container(job, "Transform")["resources"] == {"cpuLimit": 4.0}
    assert _container(job, "Evaluator")["resources"] == {"memoryLimit": 7.5}
    assert "resources" not in _container(job, "SchemaGen")
    job = _job(dataclasses.replace(KUBEFLOW, resources=("Trainer.gpu=nvidia.com/gpu",)), LINE)
    assert _container(job, "Trainer")["resources"]["accelerator"] == {"type": "nvidia.com/gpu", "count": "1"}


def test_the_completion_of_shells_knows_the_components(vertex: dict[str, Any]) -> None:
    plan = TuningPlan({"train.epochs": "1,2"}, algorithm="grid")
    jobs = [vertex, _job(dataclasses.replace(VERTEX, plan=plan, tuners=2))]
    executors = [job["pipelineSpec"]["deploymentSpec"]["executors"] for job in jobs]
    names = {name.removesuffix("_executor") for found in executors for name in found if "container" in found[name]}
    assert {name.partition("-")[0] for name in names} == set(COMPONENTS)


def test_beam_arguments_go_to_all_components_or_to_one() -> None:
    job = _job(dataclasses.replace(VERTEX, beam_args=("--a=1", "Transform:--runner=DataflowRunner")))
    for name in ("ExampleGen", "StatisticsGen", "Transform", "Evaluator", "Pusher"):
        arguments = _container(job, name)["args"]
        assert "--a=1" in arguments and f"--runner={LOCAL}" in arguments
        assert ("--runner=DataflowRunner" in arguments) == (name == "Transform")
    assert _container(job, "Transform")["args"][-1] == "--runner=DataflowRunner"  # the last one wins


def test_caching_is_on_or_off(vertex: dict[str, Any], kubeflow: dict[str, Any]) -> None:
    on = {"enableCache": True}
    assert {name: one.get("cachingOptions") for name, one in _tasks(vertex).items() if "resolver" not in name} == (
        {name: on for name in _tasks(vertex) if "resolver" not in name}
    )
    off = _job(dataclasses.replace(VERTEX, cache=False))
    assert all(not one.get("cachingOptions") for one in _tasks(off).values())
    assert _tasks(kubeflow)["Trainer"]["cachingOptions"] == on
    assert _tasks(kubeflow)["ExampleGen"]["cachingOptions"] == {}  # no driver tells Kubeflow that the data changed


def test_our_driver_looks_at_the_data(vertex: dict[str, Any]) -> None:
    driver = _container(vertex, "ExampleGen")["lifecycle"]["preCacheCheck"]
    assert driver["command"] == ["python", "-m", "components.prepare.example_gen_driver"] and "{{$}}" in driver["args"]


@pytest.mark.parametrize("target", ["vertex", "kubeflow"])
def test_the_page_is_an_artifact_that_the_console_shows(target: str, request: pytest.FixtureRequest) -> None:
    """Its type is that of `Output[HTML]` in kfp; ReportGen's container knows this type, and names the file as URI."""
    job = request.getfixturevalue(target)
    outputs = job["pipelineSpec"]["components"]["ReportGen"]["outputDefinitions"]["artifacts"]
    assert outputs["html"]["artifactType"] == {
        "schemaTitle": dsl.HTML.schema_title,
        "schemaVersion": dsl.HTML.schema_version,
    }
    container = _container(job, "ReportGen")
    assert container["command"] == ["python", "-m", "components.review.html_output"]
    path = container["args"][container["args"].index("--executor_class_path") + 1]
    assert import_utils.import_class_by_path(path) is HtmlReportGenExecutor


def test_labels_are_the_jobs() -> None:
    assert _job(dataclasses.replace(VERTEX, labels={"team": "flowers"}))["labels"]["team"] == "flowers"


def test_run_parameters_reach_the_components() -> None:
    chosen = ("train.learning_rate", "serving.batching.max_batch_size")
    job = _job(dataclasses.replace(VERTEX, parameters=chosen), train__epochs="3")
    assert {name: one.get("defaultValue") for name, one in _parameters(job).items()} == {
        "data": None,
        "serving": "gs://bucket/root/digits/serving/digits",
        "train_epochs": "3",
        "train_learning_rate": "0.002",
        "serving_batching_max_batch_size": "0",
    }
    inputs = _tasks(job)["Trainer"]["inputs"]["parameters"]
    config = json.loads(inputs["custom_config"]["runtimeValue"]["constant"])["skewless"]
    for name in ("train.epochs", *chosen):
        channel = f"pipelinechannel--{name.replace('.', '_')}"
        assert config["settings"][name] == f"{{{{$.inputs.parameters['{channel}']}}}}"
        assert inputs[channel] == {"componentInputParameter": name.replace(".", "_")}
    assert _tasks(job)["ExampleGen"]["inputs"]["parameters"]["input_base"] == {"componentInputParameter": "data"}
    assert "pipelinechannel--train_epochs" not in _tasks(job)["SchemaGen"]["inputs"]["parameters"]
    pushed = _tasks(job)["Pusher"]["inputs"]["parameters"]["push_destination"]["runtimeValue"]["constant"]
    assert json.loads(pushed)["filesystem"]["base_directory"] == parameters.placeholder("serving")


def test_a_settings_text_gives_the_setting_back() -> None:
    """The default values of run parameters have the format of `--set`."""
    reference = TaskReference(DIGITS, {"train.schedule": "25:0.01,50:0.001", "train.stop_when": "accuracy > 0.89"})
    names = ("train.schedule", "train.patience", "train.tensorboard", "train.stop_when", "augment.rotation_range")
    found = parameters.default_values(TaskReference(DIGITS), names)
    assert found["train.patience"] == "none" and found["train.tensorboard"] == "false"
    assert apply_settings(TaskReference(DIGITS).load(), found) == TaskReference(DIGITS).load()
    found = parameters.default_values(reference, names)
    assert apply_settings(TaskReference(DIGITS).load(), found) == reference.load()
    assert found["train.schedule"] == "25:0.01,50:0.001"


def test_an_augmentation_is_a_run_parameter_if_it_has_a_text() -> None:
    """`digits` has none."""
    assert parameters.default_values(TaskReference(DIGITS), ["augment"])["augment"] == "none"
    text = "rand_augment(num_ops=1), random_flip"
    assert parameters.default_values(TaskReference(DIGITS, {"augment": text}), ["augment"])["augment"] == text
    with pytest.raises(UsageError, match="augment cannot be a run parameter: its value in the task is not a text"):
        parameters.default_values(TaskReference("pipeline.tasks.horse_or_human"), ["augment"])
    weights = TaskReference(DIGITS, {"train.class_weight": "0:2.0,1:0.5"})
    assert parameters.default_values(weights, ["train.class_weight"])["train.class_weight"] == "0:2.0,1:0.5"


# Bad input

GOOD = CompileOptions("digits", "vertex", "host/skewless:1", "gs://bucket/root")


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"target": "vertx"}, "no target 'vertx'. Did you mean 'vertex'?", "kubeflow"),
        ({"target": ""}, "no platform to compile for", "--target vertex or --target kubeflow"),
        ({"image": ""}, "no image to run in", "--image"),
        ({"image": "a b"}, "'a b' is not the name of an image", "--image"),
        ({"image": "host/Skewless:1"}, "'host/Skewless:1' is not the name of an image", "small letters"),
        ({"image": "host/skewless:"}, "'host/skewless:' is not the name of an image", "--image"),
        ({"image": "host//skewless"}, "'host//skewless' is not the name of an image", "--image"),
        ({"pipeline_root": "gs://b/[1]"}, "--pipeline-root gs://b/[1] contains [, which Beam", "* ?"),
        ({"pipeline_root": "gs:///x"}, "--pipeline-root gs:///x is not a bucket", "gs://BUCKET"),
        ({"data": ""}, "--data is empty", "--data DIR"),
        ({"pipeline_root": ""}, "no folder for what runs write", "gs://BUCKET"),
        ({"pipeline_root": "./x"}, "--pipeline-root ./x is a local path, which Vertex AI cannot reach", "gs://BUCKET"),
        ({"pipeline_root": "file:///x"}, "--pipeline-root file:///x is a local path", "gs://BUCKET"),
        ({"pipeline_root": "s3://b/x"}, "--pipeline-root s3://b/x is not a bucket, which Vertex AI", "gs://BUCKET"),
        ({"data": "/data"}, "--data /data is a local path, which Vertex AI cannot reach", "gs://BUCKET"),
        ({"data": "./x", "target": "kubeflow"}, "--data ./x is a local path, which Kubeflow", "gs://BUCKET"),
        ({"baseline": "gs://b/m"}, "--baseline is for Kubeflow", "Leave it out"),
        ({"labels": ("a=b",), "target": "kubeflow"}, "--label is for Vertex AI: ", "name the run at submission"),
        ({"labels": ("Team=b",)}, "--label Team=b: expected KEY=VALUE", "small letters"),
        ({"labels": ("team",)}, "--label team: expected KEY=VALUE", "small letters"),
    ],
)
def test_what_can_be_seen_at_once(change: dict[str, Any], words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_compile_options(dataclasses.replace(GOOD, **change))
    assert str(caught.value).startswith(words) and hint in caught.value.hint
    check_compile_options(GOOD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resources": ("Trainr.cpu=1",)}, "no component 'Trainr'. Did you mean 'Trainer'?"),
        ({"resources": ("Baseline.cpu=1",)}, "no component 'Baseline'"),
        ({"resources": ("Trainer(.cpu=1",)}, "no component 'Trainer('"),
        ({"resources": ("Trainer.cpus=1",)}, "no resource 'cpus'. Did you mean 'cpu'?"),
        ({"resources": ("Trainer",)}, "--resource Trainer: expected COMPONENT.KEY=VALUE"),
        ({"resources": ("Trainer.cpu=0",)}, "--resource Trainer.cpu=0: expected a number of CPUs above 0"),
        ({"resources": ("Trainer.memory=much",)}, "--resource Trainer.memory=much: expected a number of gigabytes"),
        ({"resources": ("Trainer.gpu=T4:x",)}, "expected a GPU as TYPE:COUNT, got 'T4:x'"),
        ({"resources": ("Trainer.gpu=nvidia.com/gpu:1",)}, "Vertex AI has no GPU 'nvidia.com/gpu'"),
        ({"resources": ("Trainer.machine=big",)}, "no machine 'big' on vertex"),
        ({"beam_args": ("Transfrom:--x=1",)}, "no component 'Transfrom'. Did you mean 'Transform'?"),
        ({"beam_args": ("x=1",)}, "no component 'x=1'"),
        ({"parameters": ("train.epoch",)}, "no setting 'train.epoch'. Did you mean 'train.epochs'?"),
        ({"parameters": ("feature.height",)}, "feature.height cannot be a run parameter"),
    ],
)
def test_what_does_not_fit_the_pipeline(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        _job(dataclasses.replace(VERTEX, **change))
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value) and caught.value.hint


def test_kubeflow_knows_no_spans_and_no_vertex_machines() -> None:
    with pytest.raises(UsageError, match="Kubeflow runs no driver"):
        _job(KUBEFLOW, source__folder="day-{SPAN}")
    for resource in ("Trainer.gpu=NVIDIA_TESLA_T4", "Trainer.machine=n1-standard-8"):
        with pytest.raises(UsageError, match="Kubernetes has no GPU|on kubeflow"):
            _job(dataclasses.replace(KUBEFLOW, resources=(resource,)))


@pytest.mark.parametrize("name", ["linear_regression", "a--b", "A1", "a-", "a" * 63])
@pytest.mark.parametrize("target", [VERTEX, KUBEFLOW], ids=lambda target: target.target)
def test_names_that_a_target_takes(name: str, target: PlatformOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_regression, "TASK", dataclasses.replace(linear_regression.TASK, name=name))
    found = _job(target, LINE)["pipelineSpec"]["pipelineInfo"]["name"]
    assert found == name.lower().replace("_", "-")
    assert re.fullmatch("[a-z][-a-z0-9]{0,127}", f"{found}-20260101000000")  # what a run on Vertex AI is called


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (VERTEX, "\u82b1", "Vertex AI does not allow this name for a pipeline"),
        (KUBEFLOW, "\u82b1", "Kubeflow does not allow this name for a pipeline"),
        (KUBEFLOW, "a\u82b1", "Kubeflow does not allow this name for a pipeline"),
        (VERTEX, "1a", "Vertex AI does not allow this name for a pipeline"),
        (VERTEX, "_a", "Vertex AI does not allow this name for a pipeline"),
        (KUBEFLOW, "_a", "Kubeflow does not allow this name for a pipeline"),
    ],
)
def test_names_that_a_target_refuses(
    target: PlatformOptions, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_regression, "TASK", dataclasses.replace(linear_regression.TASK, name=name))
    with pytest.raises(UsageError) as caught:
        _job(target, LINE)
    assert str(caught.value) == f"task '{name}': {words}" and "Rename the task" in caught.value.hint


def test_a_digit_first_is_fine_for_kubeflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_regression, "TASK", dataclasses.replace(linear_regression.TASK, name="1a"))
    assert _job(KUBEFLOW, LINE)["pipelineSpec"]["pipelineInfo"]["name"] == "1a"


@pytest.mark.parametrize("file", ["folder", "no/such/file", "a\0b"])
def test_a_file_that_cannot_be_written(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        write_compiled({"pipelineSpec": {}}, file, "vertex")
    assert os.listdir(tmp_path) == ["folder"]


MODULE = "from tests.tasks.tiny import TASK\n"


def test_a_task_of_this_folder_is_not_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_flowers.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        compile_task(dataclasses.replace(GOOD, task="my_flowers"))
    assert f"does not have task my_flowers:TASK: {tmp_path}/my_flowers.py is not part of an installed package" in str(
        caught.value
    )
    assert "pip install" in caught.value.hint and "my_flowers:TASK" in caught.value.hint
    assert os.listdir(tmp_path) == ["my_flowers.py"]


def test_a_task_of_an_installed_package_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for site, package in (("site-packages", "my_zoo"), ("work", "my_farm")):
        (tmp_path / site / package).mkdir(parents=True)
        (tmp_path / site / package / "__init__.py").touch()
        (tmp_path / site / package / "cats.py").write_text(MODULE)
    about = tmp_path / "site-packages" / "farm-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: farm\nVersion: 1\n")
    (about / "top_level.txt").write_text("my_farm\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages"), str(tmp_path / "work")])
    check_installed(resolve_task("my_zoo.cats:TASK"))
    check_installed(resolve_task("digits"))
    with pytest.raises(UsageError, match="not part of an installed package"):
        check_installed(resolve_task("my_farm.cats:TASK"))
    (about / "direct_url.json").write_text(
        json.dumps({"url": f"file://{tmp_path}/work", "dir_info": {"editable": True}})
    )
    check_installed(resolve_task("my_farm.cats:TASK"))


# As the user sees it


@pytest.mark.slow
def test_the_command_writes_the_file_without_credentials_or_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "compile", "digits", "--image", "host/skewless:1"]
    bare = {name: value for name, value in environment().items() if not name.startswith(("GOOGLE_", "CLOUDSDK_"))}
    bare |= {"HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9", "NO_GCE_CHECK": "true"}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=300
        )

    done = call("--target", "kubeflow", "--pipeline-root", "gs://bucket/root", "--baseline", "s3://bucket/model")
    assert done.returncode == 0 and "digits.yaml" in done.stdout, done.stderr
    assert "TensorFlow alone cannot read s3://" in done.stdout
    assert "data = (required at submission)" in done.stdout and "train_epochs = 12" in done.stdout
    assert yaml.safe_load((tmp_path / "digits.yaml").read_text())["pipelineInfo"]["name"] == "digits"
    before = sorted(os.listdir(tmp_path))
    done = call("--target", "vertex", "--pipeline-root", "./x")
    assert done.returncode == 2 and done.stderr.startswith("error: --pipeline-root ./x is a local path")
    done = call("--target", "vertex", "--pipeline-root", "gs://bucket/root", "-o", "no/such/digits.json")
    assert done.returncode == 2 and "cannot write no/such/digits.json" in done.stderr
    assert "Traceback" not in done.stderr and sorted(os.listdir(tmp_path)) == before
