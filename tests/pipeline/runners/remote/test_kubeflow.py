"""`skewless submit` and `skewless job` against the REST API of Kubeflow Pipelines 2."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.runners.remote import follow
from tests.pipeline.conftest import COMMAND, environment
from tests.pipeline.runners.remote.kubeflow_service import Kubeflow
from tests.pipeline.runners.remote.local_service import Rejection, Script
from tests.pipeline.runners.remote.submitting import Caller, CommandResult, compiled_file, interrupted, job_of, started

VARIABLES = (
    "KFP_ENDPOINT",
    "KFP_NAMESPACE",
    "KFP_EXISTING_TOKEN",
    "KF_PIPELINES_ENDPOINT",
    "KF_PIPELINES_SA_TOKEN_PATH",
)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with Kubeflow() as service:
        yield service


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capfd)


Submit = Callable[..., CommandResult]


@pytest.fixture
def submit(service: Kubeflow, call: Caller, tmp_path: Path) -> Submit:
    file = compiled_file(tmp_path, "kubeflow")
    return lambda *more: call(
        "submit", file, "--host", service.url, "--data", "s3://b/data", "--name", "line 1", "--poll", "0.1", *more
    )


# A run


def test_a_run_from_its_submission_to_its_end(submit: Submit, service: Kubeflow) -> None:
    service.script = Script(cached=("ExampleGen",))
    outcome = submit("--wait", "--service-account", "runner", "--set", "train.epochs=3", "--experiment", "lines")
    assert outcome.status == 0 and outcome.err == "", outcome
    (name,) = service.runs
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["run", "line", "1"] and outcome.address == f"{service.url}/#/runs/details/{name}"
    assert lines[-1] == "succeeded"
    ended = [line.split()[:2] for line in lines if line.startswith(("done", "cached"))]
    assert ["cached", "ExampleGen"] in ended and ["done", "Pusher"] in ended
    assert {component for _, component in ended} == set(job_of("kubeflow")["pipelineSpec"]["root"]["dag"]["tasks"])
    assert "7.5 s" in outcome.out

    (body,) = service.bodies("POST", "/runs")
    assert body["service_account"] == "runner" and body["runtime_config"] == {
        "pipeline_root": "gs://b/root/linear_regression/artifacts",
        "parameters": {
            "data": "s3://b/data",
            "serving": "gs://b/root/linear_regression/serving/linear_regression",
            "train_epochs": "3",
        },
    }
    (experiment,) = service.experiments.values()
    assert experiment["display_name"] == "lines" and body["experiment_id"] == experiment["experiment_id"]


def test_an_experiment_is_made_once(submit: Submit, service: Kubeflow) -> None:
    assert submit().status == submit().status == 0
    assert [one["display_name"] for one in service.experiments.values()] == ["Default"] and len(service.runs) == 2


def test_a_component_that_fails_is_named_with_its_reason(submit: Submit, service: Kubeflow) -> None:
    service.script = Script(fails={"Trainer": "Error (exit code 1)"})
    outcome = submit("--wait")
    outcome.assert_error(1, "Trainer failed: Error (exit code 1)", f"{service.url}/#/runs/details/")
    assert "\nfailed Trainer " in outcome.out and "Evaluator" not in outcome.out


def test_without_wait_it_says_how_to_look_and_to_stop(submit: Submit, call: Caller, service: Kubeflow) -> None:
    service.script = Script(endless="Transform")
    outcome = submit()
    assert outcome.status == 0 and f"skewless job '{outcome.address}' --cancel" in outcome.err
    looked = call("job", outcome.address)
    assert looked.status == 0 and looked.out.splitlines()[-1] == "running", looked
    stopped = call("job", outcome.address, "--cancel", "--wait", "--poll", "0.1")
    assert stopped.status == 0 and stopped.out.splitlines()[0] == "cancelling", stopped
    assert stopped.out.splitlines()[-1] == "cancelled"
    ((_, progress),) = service.runs.values()
    assert progress.state == "CANCELLED"
    call("job", outcome.address).assert_error(1, "the run was cancelled", outcome.address)


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_and_not_the_run(service: Kubeflow, tmp_path: Path) -> None:
    """In a separate process, which also shows that nothing of kfp's output is printed."""
    service.script = Script(endless="Transform")
    arguments = ["--host", service.url, "--data", "s3://b/data", "--name", "line-1", "--wait", "--poll", "0.1"]
    with started("submit", compiled_file(tmp_path, "kubeflow"), *arguments, HOME=str(tmp_path)) as process:
        seen, err = interrupted(process)
    assert process.returncode == 130 and err.splitlines()[0] == "interrupted; the run goes on"
    assert len(err.splitlines()) == 3 and "--cancel" in err
    assert {line.split()[0] for line in seen} == {"run", "parameter", "console", "done"}
    ((_, progress),) = service.runs.values()
    assert progress.state == "RUNNING"


@pytest.mark.slow
def test_on_a_terminal_it_shows_what_is_going_on_now(service: Kubeflow, tmp_path: Path) -> None:
    """Nothing of kfp's output is printed, although a spinner could bring it to the terminal."""
    service.script = Script(cached=("ExampleGen",))
    ours, theirs = pty.openpty()
    arguments = ["submit", compiled_file(tmp_path, "kubeflow"), "--host", service.url, "--data", "s3://b/data"]
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--wait", "--poll", "0.2"],
        env=environment(TERM="xterm", HOME=str(tmp_path)),
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # Linux' way to say that the other end is closed
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "connecting to Kubeflow" in words and re.search(r"\S Trainer\s", words) and "succeeded" in words
    assert "details:" not in words and "Warning" not in words, words


def test_a_service_that_is_away_for_a_moment_is_asked_again(submit: Submit, service: Kubeflow) -> None:
    service.refusals = dict.fromkeys((2, 3, 5), Rejection(503, "no healthy upstream"))
    outcome = submit("--wait")
    assert outcome.status == 0 and outcome.err == "" and service.looks > 5


def test_a_service_that_stays_away_is_given_up(
    submit: Submit, service: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0.3)
    service.refusals = dict.fromkeys(range(2, 100), Rejection(503, "no healthy upstream"))
    submit("--wait").assert_error(6, "has an internal error (503): no healthy upstream", "The run goes on.")


# Schedules


def test_a_schedule(submit: Submit, call: Caller, service: Kubeflow) -> None:
    outcome = submit("--schedule", "0 3 * * mon-fri")
    ((name, schedule),) = service.schedules.items()
    page = f"{service.url}/#/recurringrun/details/{name}"
    assert (
        outcome.status == 0
        and outcome.out.splitlines()[0].split() == ["schedule", "line", "1"]
        and outcome.address == page
    )
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * mon-fri"
    assert schedule["mode"] == "ENABLE" and schedule["no_catchup"] is True and int(schedule["max_concurrency"]) == 1
    assert schedule["runtime_config"]["parameters"]["data"] == "s3://b/data" and service.runs == {}
    assert call("job", page).out == "scheduled 0 0 3 * * mon-fri\n"
    assert call("job", page, "--cancel").out == "cancelling\n"
    assert schedule["status"] == "DISABLED" and call("job", page).out.startswith("paused")


# Who asks


def test_a_token_by_option_file_or_environment(
    submit: Submit, service: Kubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.token = "secret"
    file = tmp_path / "token"
    file.write_text("secret")
    submit().assert_error(6, "does not accept the token (401): Unauthorized: the token has expired", "--token-file")
    submit("--token", "old").assert_error(6, "does not accept the token (401)", "kubectl create token")
    assert len(service.asked) == 2 and service.runs == {}  # kfp itself would ask five times, in 25 seconds
    for options in (["--token", "secret"], ["--token-file", str(file)]):
        outcome = submit(*options)
        assert outcome.status == 0 and "secret" not in outcome.out + outcome.err
    for name, value in (("KFP_EXISTING_TOKEN", "secret"), ("KF_PIPELINES_SA_TOKEN_PATH", str(file))):
        monkeypatch.setenv(name, value)
        assert submit().status == 0
        monkeypatch.delenv(name)


def test_a_token_that_is_renewed_while_waiting(submit: Submit, service: Kubeflow, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    service.token = "first"
    looks = service.look

    def renewing(progress: Any) -> None:
        if service.looks == 3:
            service.token = "second"
            file.write_text("second")
        looks(progress)

    service.look = renewing  # type: ignore[method-assign]
    assert submit("--wait", "--token-file", str(file)).status == 0
    assert service.asked[-1].headers["authorization"] == "Bearer second"


def test_a_token_that_expires_while_waiting(submit: Submit, service: Kubeflow) -> None:
    service.refusals = dict.fromkeys(range(3, 100), Rejection(401, "token expired"))
    outcome = submit("--wait", "--token", "any")
    outcome.assert_error(
        6, "does not accept the token (401): token expired", "The run goes on.\nShow:    skewless job '"
    )


def test_a_cluster_with_many_users(submit: Submit, service: Kubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    service.namespaces = ("mine",)
    submit().assert_error(2, "has several users: a run needs a namespace", "--namespace")
    submit("--namespace", "theirs").assert_error(
        6, "rejects the request (403): User 'me' is not authorized", "--namespace"
    )
    assert service.runs == service.experiments == {}
    assert submit("--namespace", "mine").status == 0
    monkeypatch.setenv("KFP_NAMESPACE", "mine")
    assert submit().status == 0
    (experiment,) = service.experiments.values()
    assert experiment["namespace"] == "mine"


def test_a_cluster_with_one_user_is_told_no_namespace(submit: Submit, service: Kubeflow) -> None:
    assert submit("--namespace", "kubeflow").status == 0 and "namespace" not in service.bodies("POST", "/runs")[0]


# Where


def test_a_page_before_the_pipelines(submit: Submit, service: Kubeflow) -> None:
    service.login = "<html><body>Log in to multi_user Kubeflow</body></html>"
    submit().assert_error(6, "answers with a web page, perhaps a login, and is not Kubeflow Pipelines", "/pipeline")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://127.0.0.1:9", "cannot reach http://127.0.0.1:9: "),
        ("127.0.0.1:9", "cannot reach https://127.0.0.1:9: "),
        ("http://no-such-host.invalid", "cannot reach http://no-such-host.invalid: "),
    ],
)
def test_a_host_that_nobody_answers(host: str, words: str, submit: Submit) -> None:
    outcome = submit("--host", host)
    outcome.assert_error(6, words)
    assert (
        "refused" in outcome.err
        or "resolve" in outcome.err
        or "not known" in outcome.err
        or "resolution" in outcome.err
    )


def test_the_host_from_the_environment(
    call: Caller, service: Kubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_ENDPOINT", f"{service.url}/")
    outcome = call("submit", compiled_file(tmp_path, "kubeflow"), "--data", "s3://b/data")
    assert outcome.status == 0 and outcome.address.startswith(f"{service.url}/#/runs/details/"), outcome


# What is asked


def test_a_file_that_the_cluster_rejects(submit: Submit, service: Kubeflow, tmp_path: Path) -> None:
    """A file for Vertex AI that looks like one for Kubeflow has resolvers."""
    compiled_file(tmp_path, "kubeflow", job_of("vertex"))
    submit().assert_error(
        6, "rejects the request (400): InvalidInputError: resolvers are not supported", "Compile it again"
    )
    assert service.runs == {}


def test_a_file_that_is_no_pipeline(submit: Submit, service: Kubeflow, tmp_path: Path) -> None:
    job = job_of("kubeflow")
    job["pipelineSpec"]["root"]["dag"]["tasks"]["Trainer"]["retries"] = 3
    compiled_file(tmp_path, "kubeflow", job)
    outcome = submit()
    outcome.assert_error(2, "the file is not a valid pipeline: ", "Compile it again")
    assert "retries" in outcome.err and service.runs == {}


def test_a_run_that_is_not_there(call: Caller, service: Kubeflow) -> None:
    outcome = call("job", f"{service.url}/#/runs/details/{json.dumps(1)}")
    outcome.assert_error(6, "rejects the request (404): ResourceNotFoundError: Run 1 not found", "address of the run")
