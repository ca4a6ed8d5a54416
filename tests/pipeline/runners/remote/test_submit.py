"""`skewless submit`: errors that it finds before anything is submitted, and the effect of its options."""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.errors import UsageError
from pipeline.commands.submit import SubmitOptions, plan_job
from pipeline.runners.compiler.compiled_file import CompiledFile
from pipeline.runners.remote.cron import translate_schedule
from tests.pipeline.runners.remote.kubeflow_service import Kubeflow
from tests.pipeline.runners.remote.submitting import Caller, compiled_file
from tests.pipeline.runners.remote.vertex_service import Vertex

NOW = datetime.datetime(2026, 11, 24, 13, 5, 7, tzinfo=datetime.timezone.utc)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capfd)


@pytest.fixture
def vertex() -> Iterator[Vertex]:
    with Vertex() as service:
        yield service


@pytest.fixture
def kubeflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    for name in ("KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT", "KFP_EXISTING_TOKEN", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with Kubeflow() as service:
        yield service


# What fits neither the file nor the target

GOOD = {"--region": "europe-west4", "--data": "gs://b/data"}


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"--target": "vertx"}, "no target 'vertx'. Did you mean 'vertex'?", "kubeflow"),
        ({"--target": "kubeflow"}, "was compiled for Vertex AI, not for Kubeflow", "--target kubeflow"),
        ({"--host": "http://h"}, "--host is for Kubeflow", ""),
        ({"--token-file": "t"}, "--token-file is for Kubeflow", ""),
        ({"--region": None}, "no region to run in", "--region"),
        ({"--region": "europe"}, "'europe' is not a region", "--region"),
        ({"--network": "default"}, "--network default is not a full name", "global/networks"),
        ({"--name": "My run"}, "--name My run: Vertex AI does not accept this name", "small letters"),
        ({"--data": "./data"}, "--data ./data is a local path, which Vertex AI cannot reach", "gs://BUCKET"),
        ({"--data": "s3://b/data"}, "--data s3://b/data is not a bucket, which Vertex AI", "gs://BUCKET"),
        ({"--pipeline-root": "/root"}, "--pipeline-root /root is a local path", "gs://BUCKET"),
        ({"--set": "serving=/models"}, "--set serving /models is a local path", "gs://BUCKET"),
        ({"--set": "train.epoch=3"}, "no run parameter 'train.epoch'. Did you mean 'train_epochs'?", "serving"),
        ({"--set": "train.epochs=many"}, "train_epochs must be a number, like 500; got 'many'", ""),
        ({"--set": "train.epochs=nan"}, "train_epochs must be a number, like 500; got 'nan'", ""),
        ({"--set": 'serving=gs://b/"'}, 'run parameter serving must not contain "', ""),
        ({"--set": "train.epochs"}, "train.epochs", ""),
        ({"--data": None}, "the run parameter data has no value (URI of the data folder)", "--data URI"),
        ({"--schedule": "0 3 * *"}, "--schedule 0 3 * *: 4 fields, expected 5", "day of the week"),
        ({"--schedule": "0 3 * * *", "--wait": ""}, "--schedule starts no run now", "Leave"),
    ],
)
def test_vertex_is_not_asked_where_the_request_is_wrong(
    change: dict[str, str | None], words: str, hint: str, call: Caller, vertex: Vertex, tmp_path: Path
) -> None:
    options = {**GOOD, "--api-endpoint": vertex.url, **change}
    given = [part for name, text in options.items() if text is not None for part in (name, text) if part]
    call("submit", compiled_file(tmp_path, "vertex"), *given).assert_error(2, words, hint)
    assert vertex.asked == []


@pytest.mark.parametrize(
    ("options", "words", "hint"),
    [
        (["--target", "vertex"], "was compiled for Kubeflow, not for Vertex AI", "leave --target out"),
        (["--region", "europe-west4"], "--region is for Vertex AI", ""),
        (["--data", "./data"], "--data ./data is a local path, which Kubeflow cannot reach", "gs://BUCKET"),
        (
            ["--data", "s3://b/data", "--schedule", "TZ=Europe/Rome 0 3 * * *"],
            "Kubeflow uses the time zone of the cluster",
            "TZ=",
        ),
        (
            ["--data", "s3://b/data", "--token", "a", "--token-file", "b"],
            "--token and --token-file exclude each other",
            "Leave one",
        ),
        (["--data", "s3://b/data", "--token-file", "/no/token"], "cannot read /no/token: No such file", ""),
    ],
)
def test_kubeflow_is_not_asked_where_the_request_is_wrong(
    options: list[str], words: str, hint: str, call: Caller, kubeflow: Kubeflow, tmp_path: Path
) -> None:
    file = compiled_file(tmp_path, "kubeflow")
    call("submit", file, "--host", kubeflow.url, *options).assert_error(2, words, hint)
    assert kubeflow.asked == []


def test_kubeflow_needs_a_host(call: Caller, kubeflow: Kubeflow, tmp_path: Path) -> None:
    outcome = call("submit", compiled_file(tmp_path, "kubeflow"), "--data", "gs://b/data")
    outcome.assert_error(2, "no cluster to submit to", "--host")


@pytest.mark.parametrize(
    ("text", "words"), [(None, "cannot read"), ("a: 1", "was not written by"), ("{", "was not written by")]
)
def test_the_file_must_be_a_compiled_one(text: str | None, words: str, call: Caller, tmp_path: Path) -> None:
    file = tmp_path / "line.json"
    if text is not None:
        file.write_text(text)
    call("submit", str(file), "--region", "europe-west4").assert_error(2, words)


@pytest.mark.parametrize(
    ("target", "package", "options"),
    [
        ("vertex", "google.cloud.aiplatform_v1", ["--region", "europe-west4"]),
        ("kubeflow", "kfp", ["--host", "http://127.0.0.1:9"]),
    ],
)
def test_the_client_must_be_installed(
    target: str, package: str, options: list[str], call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = compiled_file(tmp_path, target)
    monkeypatch.setitem(sys.modules, package, None)  # as Python itself marks what cannot be imported
    outcome = call("submit", file, "--data", "gs://b/data", *options)
    outcome.assert_error(2, f"{package} is not installed", f"pip install 'skewless[{target}]'")


def test_a_job_is_known_by_its_address(call: Caller) -> None:
    for address in ("digits-1", "https://console.cloud.google.com/vertex-ai", "https://host/runs/1"):
        call("job", address).assert_error(2, f"{address} is not the address of a run", "skewless submit")


# What is submitted


def _planned(tmp_path: Path, target: str, **options: Any) -> Any:
    file = compiled_file(tmp_path, target)
    request = dataclasses.replace(SubmitOptions(file, data="gs://b/data"), **options)
    return plan_job(request, CompiledFile.load(file), NOW)


def test_the_plan_is_the_files_own(tmp_path: Path) -> None:
    plan = _planned(tmp_path, "vertex")
    assert plan.name == "linear-regression-20261124130507" and plan.cron == ""
    assert plan.root == "gs://b/root/linear_regression/artifacts"
    assert plan.parameters == {
        "data": "gs://b/data",
        "serving": "gs://b/root/linear_regression/serving/linear_regression",
        "train_epochs": "500",
    }
    assert plan.labels["team"] == "flowers" and plan.spec["pipelineInfo"]["name"] == "linear-regression"


@pytest.mark.parametrize("target", ["vertex", "kubeflow"])
def test_another_root_takes_along_what_lay_below_the_first(tmp_path: Path, target: str) -> None:
    plan = _planned(tmp_path, target, pipeline_root="gs://other/place/", assignments=("train.epochs=3",))
    assert plan.root == "gs://other/place/linear_regression/artifacts"
    assert plan.parameters["serving"] == "gs://other/place/linear_regression/serving/linear_regression"
    assert plan.parameters["train_epochs"] == "3" and plan.parameters["data"] == "gs://b/data"


def test_without_cache_no_component_takes_anything_from_earlier_runs(tmp_path: Path) -> None:
    tasks = _planned(tmp_path, "vertex").spec["root"]["dag"]["tasks"]
    assert tasks["Trainer"]["cachingOptions"] == {"enableCache": True}
    plan = _planned(tmp_path, "vertex", cache=False)
    without = plan.spec["root"]["dag"]["tasks"]
    assert without.keys() == tasks.keys() and not any(task["cachingOptions"] for task in without.values())
    assert without["Trainer"]["inputs"] == tasks["Trainer"]["inputs"]
    assert plan.spec["components"] == _planned(tmp_path, "vertex").spec["components"]


# Schedules


@pytest.mark.parametrize(
    ("text", "vertex", "kubeflow"),
    [
        ("0 3 * * *", "0 3 * * *", "0 0 3 * * *"),
        ("*/15  8-18 1,15 JAN-mar Mon-FRI", "*/15 8-18 1,15 JAN-mar Mon-FRI", "0 */15 8-18 1,15 JAN-mar Mon-FRI"),
        ("59 23 31 12 6", "59 23 31 12 6", "0 59 23 31 12 6"),
        ("10-50/20 * * * *", "10-50/20 * * * *", "0 10-50/20 * * * *"),
    ],
)
def test_five_fields_mean_the_same_on_both(text: str, vertex: str, kubeflow: str) -> None:
    """Kubeflow's first field is the seconds: five fields unchanged would run every hour, not every day."""
    assert translate_schedule(text, "vertex") == vertex
    assert translate_schedule(text, "kubeflow") == kubeflow


def test_vertex_takes_a_time_zone() -> None:
    assert translate_schedule("TZ=Europe/Berlin 0 3 * * *", "vertex") == "TZ=Europe/Berlin 0 3 * * *"
    assert translate_schedule("CRON_TZ=UTC 0 3 * * *", "vertex") == "CRON_TZ=UTC 0 3 * * *"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 fields"),
        ("daily", "1 fields"),
        ("0 0 3 * * *", "6 fields"),
        ("60 3 * * *", "'60' is not a valid minute"),
        ("0 24 * * *", "'24' is not a valid hour"),
        ("0 3 0 * *", "'0' is not a valid day of the month"),
        ("0 3 * 13 *", "'13' is not a valid month"),
        ("0 3 * * 7", "'7' is not a valid day of the week"),
        ("0 3 * * fri-mon", "'fri-mon' is not a valid day of the week"),
        ("0 3 * * mon,", "'mon,' is not a valid day of the week"),
        ("*/0 3 * * *", "'*/0' is not a valid minute"),
        ("1-2-3 3 * * *", "'1-2-3' is not a valid minute"),
    ],
)
def test_a_schedule_that_says_no_time(text: str, words: str) -> None:
    for target in ("vertex", "kubeflow"):
        with pytest.raises(UsageError, match="--schedule") as caught:
            translate_schedule(text, target)
        assert words in str(caught.value) and "minute, hour" in caught.value.hint
