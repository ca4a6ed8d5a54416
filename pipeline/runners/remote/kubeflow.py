"""Runs on Kubeflow Pipelines 2, with `kfp.Client`."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ServingError, UsageError
from data.families import KFP_HEALTH
from pipeline.runners.remote.backend import (
    FILE_REJECTED,
    JobPlan,
    JobState,
    JobStatus,
    JobStep,
    connection_error,
    duration_seconds,
    error_of_status,
    shorten_to_line,
    sort_by_start,
    task_names,
)

if TYPE_CHECKING:
    import kfp

_ADDRESS = re.compile(r"(?P<host>https?://.+?)/#/(?P<kind>runs|recurringrun)/details/(?P<id>[\w-]+)$")
_STATES: dict[str, JobState] = {
    "RUNNING": "running",
    "CANCELING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "cached",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "PAUSED": "paused",
}
_LOGIN = "Give a valid token with --token-file FILE; `kubectl create token` creates one."
_HINTS = {
    400: FILE_REJECTED,
    401: _LOGIN,
    403: "Give your namespace with --namespace NAME.",
    404: "Check --host, or the address of the run.",
}


def host_of(address: str) -> str:
    """Return the cluster's address from the address of a run or a schedule; empty if it is another address."""
    found = _ADDRESS.match(address)
    return found["host"] if found else ""


class Kubeflow:
    """A connection to Kubeflow; implements `pipeline.runners.remote.backend.Backend`."""

    def __init__(
        self,
        host: str,
        namespace: str = "",
        experiment: str = "Default",
        token: str = "",
        token_file: str = "",
        service_account: str = "",
    ) -> None:
        """Connect.

        Args:
          host: URL of the pipelines' console or API; https by default.
          namespace: Namespace of the runs, for clusters with several users.
          experiment: Name of the experiment; it is created if it does not exist.
          token: Token for the cluster; may be empty.
          token_file: File with the token. It is read for every request, so that a long wait survives a renewal.
          service_account: Service account of the runs; empty for the cluster's default.

        Raises:
          UsageError: If the cluster has several users and no namespace is given.
          ServingError: If the address does not answer, is not Kubeflow Pipelines, or rejects the token.
        """
        self._host = (host if "://" in host else f"https://{host}").rstrip("/")
        self._experiment, self._service_account = experiment, service_account
        with self._translate_errors():
            self._client = _connect(self._host, token, token_file)
            answer, _, headers = getattr(self._client._healthz_api, f"{KFP_HEALTH}_with_http_info")()
        if "json" not in headers.get("Content-Type", ""):
            raise ServingError(
                f"{self._host} answers with a web page, perhaps a login, and is not Kubeflow Pipelines",
                hint=f"The address often ends in /pipeline. {_LOGIN}",
            )
        if answer.multi_user and not (namespace or self._client.get_user_namespace()):
            raise UsageError(f"{self._host} has several users: a run needs a namespace", hint=_HINTS[403])
        self._namespace = namespace if answer.multi_user else ""  # a server with one user rejects any

    def check(self, plan: JobPlan) -> None:
        """See `Backend`. The rest was checked when the connection was made."""
        from google.protobuf import json_format
        from kfp.pipeline_spec import pipeline_spec_pb2

        try:
            json_format.ParseDict(dict(plan.spec), pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            raise UsageError(
                f"the file is not a valid pipeline: {shorten_to_line(str(error))}", hint=_HINTS[400]
            ) from None

    def submit(self, plan: JobPlan) -> str:
        """See `Backend`."""
        import yaml

        with tempfile.TemporaryDirectory() as folder, self._translate_errors():
            file = Path(folder, "pipeline.yaml")
            file.write_text(yaml.safe_dump(plan.spec))
            given: dict[str, Any] = {
                "experiment_id": self._client.create_experiment(
                    self._experiment, namespace=self._namespace or None
                ).experiment_id,
                "job_name": plan.name,
                "pipeline_package_path": str(file),
                "params": dict(plan.parameters),
                "pipeline_root": plan.root,
                "service_account": self._service_account or None,
            }
            if not plan.cron:
                return f"{self._host}/#/runs/details/{self._client.run_pipeline(**given).run_id}"
            made = self._client.create_recurring_run(**given, cron_expression=plan.cron, no_catchup=True)
            return f"{self._host}/#/recurringrun/details/{made.recurring_run_id}"

    def status(self, address: str) -> JobStatus:
        """See `Backend`."""
        kind, name = _kind_and_id(address)
        with self._translate_errors():
            if kind == "recurringrun":
                schedule = self._client.get_recurring_run(name)
                state: JobState = "scheduled" if schedule.status == "ENABLED" else "paused"
                return JobStatus(state, message=schedule.trigger.cron_schedule.cron)
            return _status(self._client.get_run(name))

    def cancel(self, address: str) -> None:
        """See `Backend`."""
        kind, name = _kind_and_id(address)
        with self._translate_errors():
            if kind == "recurringrun":
                self._client.disable_recurring_run(name)
            else:
                self._client.terminate_run(name)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translate the exceptions of kfp into one line, and discard what it prints."""
        import kfp_server_api
        import urllib3

        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except kfp_server_api.ApiException as error:
            raise _rejection(self._host, error) from None
        except urllib3.exceptions.HTTPError as error:
            raise connection_error(self._host, error) from None


def _connect(host: str, token: str, token_file: str) -> kfp.Client:
    import kfp
    from kfp.client import ServiceAccountTokenVolumeCredentials

    class Client(kfp.Client):
        """A client that checks the server's health once; kfp tries five times in 25 s, even if a token has expired."""

        def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
            return getattr(self._healthz_api, KFP_HEALTH)()

    return Client(
        host=host,
        existing_token=token or None,
        credentials=ServiceAccountTokenVolumeCredentials(token_file) if token_file else None,
    )


def _rejection(host: str, error: Any) -> ServingError:
    if not error.status:  # kfp's client raises this for a failed TLS handshake
        return connection_error(host, error)
    reason = shorten_to_line(_message(error.body) or str(error.reason or ""))
    return error_of_status(host, error.status, reason, "token", _HINTS)


def _message(body: Any) -> str:
    """Return the reason in the JSON of an error: `message`, or `error` of older servers; otherwise the text itself."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return re.sub(r"<[^>]*>", " ", text)
    return str(found.get("message") or found.get("error") or text) if isinstance(found, dict) else text


def _kind_and_id(address: str) -> tuple[str, str]:
    found = _ADDRESS.match(address)
    assert found, address
    return found["kind"], found["id"]


def _status(run: Any) -> JobStatus:
    spec = run.pipeline_spec or {}
    names = task_names(spec.get("pipeline_spec", spec))  # newer servers nest it, with a platform's specification
    steps: dict[str, JobStep] = {}
    details = (run.run_details.task_details if run.run_details else None) or []
    for detail in sort_by_start(details):
        name = detail.display_name.removesuffix("-driver")
        step = _step(name, detail)
        # The service also reports each component's driver, which matters only if it fails.
        failed = name in steps and steps[name].state == "failed"
        if name in names and not failed and (detail.display_name == name or step.state == "failed"):
            steps[name] = step
    message = run.error.message if run.error else ""
    return JobStatus(_state(run.state), tuple(steps.values()), shorten_to_line(message or ""))


def _step(name: str, detail: Any) -> JobStep:
    message = (detail.error.message if detail.error else "") or ""
    return JobStep(name, _state(detail.state), duration_seconds(detail), shorten_to_line(message))


def _state(text: str | None) -> JobState:
    return _STATES.get((text or "").upper(), "waiting")
