"""`skewless submit` and `skewless job` against Vertex AI's message classes over HTTP, with signed credentials."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.runners.remote import follow
from tests.pipeline import conftest
from tests.pipeline.runners.remote.local_service import Rejection, Script
from tests.pipeline.runners.remote.submitting import Caller, CommandResult, compiled_file, interrupted, job_of, started
from tests.pipeline.runners.remote.vertex_service import NUMBER, PROJECT, Vertex

PAGE = "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines"
RUN = f"{PAGE}/runs/line-1?project={PROJECT}"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vertex]:
    with Vertex() as service:
        for name, value in _environment(service, tmp_path).items():
            monkeypatch.setenv(name, value)
        yield service


def _environment(service: Vertex, folder: Path) -> dict[str, str]:
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": service.key_file(folder),
        "STORAGE_EMULATOR_HOST": service.url,
        "NO_GCE_CHECK": "true",
        "NO_PROXY": "127.0.0.1",
        "HOME": str(folder),
    }


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capfd)


Submit = Callable[..., CommandResult]


def _arguments(service: Vertex, folder: Path) -> list[str]:
    file = compiled_file(folder, "vertex")
    return [file, "--region", "europe-west4", "--data", "gs://b/data", "--api-endpoint", service.url]


@pytest.fixture
def submit(service: Vertex, call: Caller, tmp_path: Path) -> Submit:
    arguments = _arguments(service, tmp_path)
    return lambda *more: call("submit", *arguments, "--name", "line-1", "--poll", "0.1", *more)


# A run


def test_a_run_from_its_submission_to_its_end(submit: Submit, service: Vertex) -> None:
    service.script = Script(cached=("ExampleGen",))
    network = "projects/123456/global/networks/mine"
    outcome = submit("--wait", "--service-account", "runner@x", "--network", network, "--set", "train.epochs=3")
    assert outcome.status == 0 and outcome.err == "", outcome
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["run", "line-1"] and outcome.address == RUN
    assert lines[-1] == "succeeded"
    assert [line.split()[1] for line in lines if line.startswith("cached")] == ["ExampleGen"]
    done = [line.split()[1] for line in lines if line.startswith("done")]
    assert {*done, "ExampleGen"} == set(job_of("vertex")["pipelineSpec"]["root"]["dag"]["tasks"])
    assert done.index("Trainer") < done.index("Evaluator") < done.index("Pusher")
    assert re.search(r"Trainer +7\.5 s", outcome.out)

    (body,) = service.bodies("POST", "/pipelineJobs")
    assert body["labels"] == {**job_of("vertex")["labels"], "team": "flowers"} and len(body["labels"]) > 1
    assert body["serviceAccount"] == "runner@x" and body["network"] == network
    assert body["runtimeConfig"]["gcsOutputDirectory"] == "gs://b/root/linear_regression/artifacts"
    assert body["runtimeConfig"]["parameterValues"]["train_epochs"] == "3"
    assert body["pipelineSpec"] == job_of("vertex")["pipelineSpec"]
    assert service.jobs["line-1"][0].name == f"projects/{NUMBER}/locations/europe-west4/pipelineJobs/line-1"


def test_a_component_that_fails_is_named_with_its_reason(submit: Submit, service: Vertex) -> None:
    service.script = Script(fails={"Trainer": "The replica workerpool0-0 exited with\n a non-zero status of 1."})
    outcome = submit("--wait")
    outcome.assert_error(1, "Trainer failed: The replica workerpool0-0 exited with a non-zero status of 1.", RUN)
    assert re.search("(?m)^failed Trainer ", outcome.out) and "Evaluator" not in outcome.out


def test_without_wait_it_says_how_to_look_and_to_stop(submit: Submit, call: Caller, service: Vertex) -> None:
    service.script = Script(endless="Transform")
    outcome = submit()
    assert outcome.status == 0 and outcome.address == RUN
    assert f"skewless job '{RUN}' --wait" in outcome.err and f"skewless job '{RUN}' --cancel" in outcome.err
    assert [one.method for one in service.asked if "pipelineJobs" in one.path] == ["POST"]
    access = ("--api-endpoint", service.url)
    looked = call("job", RUN, *access)
    assert looked.status == 0 and looked.out.splitlines()[-1] == "running", looked
    assert call("job", f"projects/{NUMBER}/locations/europe-west4/pipelineJobs/line-1", *access).status == 0
    stopped = call("job", RUN, *access, "--cancel", "--wait", "--poll", "0.1")
    assert stopped.status == 0 and stopped.out.splitlines()[0] == "cancelling", stopped
    assert stopped.out.splitlines()[-1] == "cancelled" and service.jobs["line-1"][1].state == "CANCELLED"
    call("job", RUN, *access).assert_error(1, "the run was cancelled", RUN)
    again = call("job", RUN, *access, "--cancel")
    assert again.status == 0 and again.out.startswith("nothing to cancel: the run has ended\n")


def test_a_run_may_go_on_longer_than_the_waiting(submit: Submit, service: Vertex) -> None:
    service.script = Script(endless="Transform")
    submit("--wait", "--poll", "60", "--timeout", "0.5").assert_error(
        1, "not ended within 0.5 seconds", f"skewless job '{RUN}'"
    )
    assert service.jobs["line-1"][1].state == "RUNNING" and service.looks == 2  # at once, and at the end


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_and_not_the_run(service: Vertex, tmp_path: Path) -> None:
    service.script = Script(endless="Transform")
    arguments = [*_arguments(service, tmp_path), "--name", "line-1", "--wait", "--poll", "0.1"]
    with started("submit", *arguments, **_environment(service, tmp_path)) as process:
        err = interrupted(process)[1]
    assert process.returncode == 130 and err.splitlines()[0] == "interrupted; the run goes on"
    assert f"skewless job '{RUN}' --cancel" in err and "Traceback" not in err
    assert service.jobs["line-1"][1].state == "RUNNING"


AWAY = Rejection(503, "The service is currently unavailable.")


def test_a_service_that_is_away_for_a_moment_is_asked_again(submit: Submit, service: Vertex) -> None:
    service.refusals = {2: AWAY, 3: AWAY, 5: AWAY}
    outcome = submit("--wait")
    assert outcome.status == 0 and outcome.err == "" and service.looks > 5


def test_a_service_that_stays_away_is_given_up(
    submit: Submit, service: Vertex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0.3)
    service.refusals = dict.fromkeys(range(2, 100), AWAY)
    outcome = submit("--wait")
    outcome.assert_error(6, "has an internal error (503): The service is currently unavailable.", "The run goes on.")
    assert 4 <= service.looks <= 8


def test_credentials_that_expire_while_waiting(submit: Submit, service: Vertex) -> None:
    service.refusals = dict.fromkeys(range(3, 100), Rejection(401, "Request had invalid authentication credentials."))
    outcome = submit("--wait")
    outcome.assert_error(6, "does not accept the credentials (401)", f"The run goes on.\nShow:    skewless job '{RUN}'")
    assert "gcloud auth application-default login" in outcome.err


# Schedules


def test_a_schedule(submit: Submit, call: Caller, service: Vertex) -> None:
    outcome = submit("--schedule", "TZ=Europe/Rome 0 3 * * mon-fri")
    page = f"{PAGE}/schedules/1?project={PROJECT}"
    assert (
        outcome.status == 0
        and outcome.out.splitlines()[0].split() == ["schedule", "line-1"]
        and outcome.address == page
    )
    schedule = service.schedules["1"]
    assert schedule.cron == "TZ=Europe/Rome 0 3 * * mon-fri" and schedule.max_concurrent_run_count == 1
    job = schedule.create_pipeline_job_request.pipeline_job
    assert dict(job.labels)["team"] == "flowers" and service.jobs == {}
    access = ("--api-endpoint", service.url)
    assert call("job", page, *access).out == "scheduled TZ=Europe/Rome 0 3 * * mon-fri, 0 runs so far\n"
    assert call("job", page, *access, "--cancel").out.splitlines()[0] == "cancelling"
    assert call("job", page, *access).out.startswith("paused")


# Who asks


def test_a_key_that_was_revoked(submit: Submit, service: Vertex) -> None:
    service.revoked = True
    outcome = submit("--no-check")  # nor is it the bucket's look that finds out
    outcome.assert_error(6, "have expired or were revoked: invalid_grant: Invalid JWT Signature.", "gcloud auth")
    assert {one.path for one in service.asked} == {"/token"}


def test_no_credentials(submit: Submit, service: Vertex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    submit().assert_error(6, "no Google credentials", "gcloud auth application-default login")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/key.json")
    submit().assert_error(6, "no Google credentials: File /no/key.json was not found", "GOOGLE_APPLICATION")
    assert service.asked == []


def test_credentials_that_the_service_does_not_take(submit: Submit, service: Vertex) -> None:
    service.expired = True
    submit("--no-check").assert_error(6, "does not accept the credentials (401)", "gcloud auth")
    assert service.jobs == {}


def test_another_ones_project(submit: Submit) -> None:
    outcome = submit("--no-check", "--project", "theirs")
    outcome.assert_error(
        6, "rejects the request (403): Permission 'aiplatform.pipelineJobs.create' denied", "roles/aiplatform.user"
    )


# What is asked


def test_a_file_that_the_service_rejects(submit: Submit, service: Vertex, tmp_path: Path) -> None:
    job = job_of("vertex")
    job["pipelineSpec"]["root"]["dag"]["tasks"]["Trainer"]["retries"] = 3
    compiled_file(tmp_path, "vertex", job)
    submit().assert_error(6, "rejects the request (400): Invalid PipelineSpec", "Compile it again")
    assert service.jobs == {}


def test_a_name_that_is_taken_and_a_run_that_is_not_there(submit: Submit, call: Caller, service: Vertex) -> None:
    assert submit().status == 0
    submit().assert_error(6, "rejects the request (409): The PipelineJob line-1 already exists", "--name")
    outcome = call("job", RUN.replace("line-1", "line-2"), "--api-endpoint", service.url)
    outcome.assert_error(6, "line-2 does not exist", "address of the run")


def test_an_endpoint_that_nobody_answers(submit: Submit) -> None:
    outcome = submit("--no-check", "--api-endpoint", "http://127.0.0.1:9")
    outcome.assert_error(6, "cannot reach http://127.0.0.1:9: [Errno 111] Connection refused")


# Where


@pytest.mark.parametrize(
    ("options", "status", "words", "hint"),
    [
        (
            ["--pipeline-root", "gs://c/root"],
            2,
            "--pipeline-root gs://c/root/linear_regression/artifacts: no bucket c",
            "",
        ),
        (["--data", "gs://c/data"], 2, "--data gs://c/data: no bucket c", "gcloud storage buckets create"),
        (["--data", "gs://b/dat"], 2, "--data gs://b/dat: no files", "holds the data"),
        (["--pipeline-root", "gs://d/root"], 6, "these credentials do not have storage.objects.create", "--no-check"),
        (
            ["--set", "serving=gs://d/s"],
            6,
            "--set serving gs://d/s: these credentials do not have storage",
            "--no-check",
        ),
        (["--data", "gs://d/data"], 6, "--data gs://d/data: these credentials have no access", "--no-check"),
    ],
)
def test_the_buckets_are_looked_into_first(
    options: list[str], status: int, words: str, hint: str, submit: Submit, service: Vertex
) -> None:
    service.buckets["d"], service.readers["d"] = [], []
    submit(*options).assert_error(status, words, hint)
    assert service.jobs == {}
    assert submit(*options, "--no-check").status == 0


# As the user sees it


@pytest.mark.slow
def test_the_command_is_quiet_and_loads_no_tensorflow(service: Vertex, tmp_path: Path) -> None:
    program = "import sys; from pipeline import cli; sys.argv[0] = 'skewless'\ntry: cli.main()\nfinally:"
    program += " print(sorted({'tensorflow', 'tfx', 'apache_beam', 'keras', 'numpy', 'kfp'} & set(sys.modules)))"
    arguments = ["submit", *_arguments(service, tmp_path), "--name", "line-1", "--wait", "--poll", "0.1"]
    environ = {**conftest.environment(), **_environment(service, tmp_path)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=conftest.PROJECT, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]" and lines[-2] == "succeeded"
    assert {line.split()[0] for line in lines[:-2]} == {"run", "parameter", "console", "done"}
