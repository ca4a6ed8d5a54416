"""The arguments of each of Beam's runners, parsed by Beam's options, and what is rejected before anything runs."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options import pipeline_options as options
from apache_beam.transforms.environments import DockerEnvironment, Environment, ExternalEnvironment
from tfx.utils.dependency_utils import make_beam_dependency_flags

from components.task.reference import TaskReference
from data.errors import UsageError
from pipeline.commands.run import RunOptions, beam_arguments
from pipeline.runners import beam
from pipeline.runners.compiler.kubeflow import PlatformOptions, compile_pipeline
from pipeline.runners.local.run import _root_cause
from tests.pipeline.conftest import Skewless

BUCKET: dict[str, str | None] = {"--root": "gs://bucket/root/", "--data": None}
NEEDED: dict[beam.Name, list[str]] = {
    "direct": [],
    "portable": ["--job_endpoint=jobs:8099"],
    "flink": ["--flink_master=flink:8081"],
    "spark": ["--spark_master_url=spark://master:7077"],
    "dataflow": ["--project=p", "--region=europe-west4"],
}


@pytest.fixture(autouse=True)
def java(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that Java is installed: the tests do not depend on this machine."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


def _arguments(name: beam.Name, *given: str, image: str | None = "host/skewless:1") -> list[str]:
    return beam.runner_arguments(name, [*NEEDED[name], *given], BUCKET, image)


def _read(arguments: list[str]) -> dict[str, Any]:
    return options.PipelineOptions(arguments).get_all_options()


def _environment(arguments: list[str]) -> Any:
    return Environment.from_options(options.PipelineOptions(arguments).view_as(options.PortableOptions))


@pytest.mark.parametrize("name", beam.NAMES)
def test_the_runner_is_one_of_beams_and_tfx_adds_nothing(name: beam.Name) -> None:
    found = _arguments(name)
    wanted = beam.LOCAL if name == "direct" else f"{name}runner"
    assert _read(found)["runner"].lower() == wanted.lower()
    assert make_beam_dependency_flags(found) == found


@pytest.mark.parametrize("name", ["portable", "flink", "spark"])
def test_portable_workers_are_the_image_or_a_pool(name: beam.Name) -> None:
    found = _environment(_arguments(name))
    assert isinstance(found, DockerEnvironment) and found.container_image == "host/skewless:1"
    found = _environment(_arguments(name, "--sdk_container_image=other"))
    assert isinstance(found, DockerEnvironment) and found.container_image == "other"
    pool = _arguments(name, "--environment_type=EXTERNAL", "--environment_config=pool:50000", image=None)
    found = _environment(pool)
    assert isinstance(found, ExternalEnvironment) and found.url == "pool:50000"
    assert make_beam_dependency_flags(pool) == pool
    wheel = _arguments(name, "--extra_package=skewless.whl", image=None)
    assert _read(wheel)["extra_packages"] == ["skewless.whl"] and make_beam_dependency_flags(wheel) == wheel


def test_dataflow_has_its_image_its_places_and_a_limit() -> None:
    found = _read(_arguments("dataflow"))
    assert found["sdk_container_image"] == "host/skewless:1" and "use_runner_v2" in found["experiments"]
    assert found["temp_location"] == "gs://bucket/root/beam/temp"
    assert found["staging_location"] == "gs://bucket/root/beam/staging"
    assert (found["autoscaling_algorithm"], found["max_num_workers"]) == ("THROUGHPUT_BASED", 10)


def test_what_the_user_says_wins() -> None:
    found = _read(_arguments("dataflow", "--max_num_workers", "3", "--temp_location=gs://t/t", "--num_workers=2"))
    assert (found["max_num_workers"], found["num_workers"], found["temp_location"]) == (3, 2, "gs://t/t")
    assert _read(_arguments("direct", "--direct_num_workers=4"))["direct_num_workers"] == 4


@pytest.mark.parametrize(
    ("name", "given", "words", "hint"),
    [
        ("portable", [], "Beam's portable runner needs --job_endpoint", "--beam-arg --job_endpoint="),
        ("flink", [], "Beam's flink runner needs --flink_master or --job_endpoint", "--flink_master="),
        ("spark", ["--spark_master_url="], "Beam's spark runner needs --spark_master_url or", "--spark_master_url="),
        ("dataflow", ["--region=r"], "Beam's dataflow runner needs --project", "--beam-arg --project="),
        ("dataflow", ["--project=p"], "Beam's dataflow runner needs --region", "--beam-arg --region="),
        ("dataflow", NEEDED["dataflow"], "the workers of Beam's dataflow runner have no Skewless", "IMAGE"),
        ("portable", NEEDED["portable"], "the workers of Beam's portable runner have no Skewless", "EXTERNAL"),
    ],
)
def test_what_is_missing(name: beam.Name, given: list[str], words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        beam.runner_arguments(name, given, BUCKET)
    assert str(caught.value).startswith(words) and hint in caught.value.hint and "\n" not in str(caught.value)


def test_dataflow_reaches_buckets_only() -> None:
    for folders, words in (
        ({"--root": "skewless-root"}, "cannot reach --root skewless-root"),
        ({**BUCKET, "--data": "/data"}, "cannot reach --data /data"),
    ):
        with pytest.raises(UsageError, match=words):
            beam.runner_arguments("dataflow", NEEDED["dataflow"], folders, "image")


def test_a_job_server_needs_java_unless_it_runs_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UsageError, match="starts its job server with java, which is not installed"):
        _arguments("flink")
    assert _arguments("flink", "--job_endpoint=jobs:8099") and _arguments("flink", "--flink_submit_uber_jar")


def test_a_job_endpoint_that_nobody_listens_at() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        beam.check_endpoint([f"--job_endpoint=localhost:{port}"])
    for endpoint, told in ((f"localhost:{port}", "refused"), ("jobs", "not HOST:PORT"), ("no.such.host:1", "no.such")):
        with pytest.raises(UsageError, match=f"no Beam job service at {endpoint}: .*{told}|Name or service|resolution"):
            beam.check_endpoint([f"--job_endpoint={endpoint}"])


def test_what_a_worker_elsewhere_raised_is_told_in_a_line() -> None:
    """The job service puts the traceback of the service or of the worker into the text of the error."""
    head = (
        "Pipeline job-1 failed in state FAILED: Error running pipeline.\nTraceback (most recent call last):\n  File x\n"
    )
    missing = "ModuleNotFoundError: No module named 'flowers' [while running 'WriteShard']"
    assert _root_cause(RuntimeError(f"{head}{missing}\n")) == missing
    rpc = "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.X\n"
    assert _root_cause(RuntimeError(f'{head}{rpc}\tdetails = "failed to connect"\n>')) == "failed to connect"
    assert _root_cause(ValueError("a\nb")) == "a"


def test_what_is_missing_is_told_before_anything_is_loaded(skewless: Skewless, tmp_path: Path) -> None:
    done = skewless("run", "digits", "--beam-runner", "portable", root=tmp_path)
    assert done.status == 2 and done.err.startswith("error: Beam's portable runner needs --job_endpoint\n")
    assert "Traceback" not in done.err + done.out and not (tmp_path / "digits").exists()


def test_a_task_of_this_folder_is_not_in_the_workers_image() -> None:
    request = RunOptions("tests.tasks.tiny", None, "root", beam_runner="flink", beam_args=(*NEEDED["flink"],))
    pool = ("--environment_type=EXTERNAL", "--environment_config=pool:1")
    assert beam_arguments(dataclasses.replace(request, beam_args=(*request.beam_args, *pool)), "tests.tasks.tiny:TASK")
    given = (*request.beam_args, "--sdk_container_image=image")
    with pytest.raises(UsageError, match="the image does not have task"):
        beam_arguments(dataclasses.replace(request, beam_args=given), "tests.tasks.tiny:TASK")


def test_a_compiled_file_has_its_image_as_the_workers() -> None:
    given = PlatformOptions(
        "vertex",
        "host/skewless:1",
        "gs://bucket/root",
        beam_runner="dataflow",
        beam_args=[*NEEDED["dataflow"], "Evaluator:--max_num_workers=20"],
    )
    job = compile_pipeline(TaskReference("pipeline.tasks.digits:TASK", {}), given)
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    for name, workers in (("ExampleGen", 10), ("Evaluator", 20)):
        found = _read(executors[f"{name}_executor"]["container"]["args"])
        assert found["runner"] == "DataflowRunner" and found["sdk_container_image"] == "host/skewless:1"
        assert found["project"] == "p" and found["max_num_workers"] == workers
        assert found["temp_location"] == "gs://bucket/root/beam/temp"
    with pytest.raises(UsageError, match="cannot reach --pipeline-root s3://b/r"):
        compile_pipeline(
            TaskReference("pipeline.tasks.digits:TASK", {}),
            dataclasses.replace(given, target="kubeflow", root="s3://b/r"),
        )
