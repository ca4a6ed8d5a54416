"""The API server of Kubeflow Pipelines 2, as far as `submit` uses it: its paths, its JSON, its checks, its errors."""

from __future__ import annotations

import copy
import json
import re
import uuid
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.pipeline.runners.remote.local_service import Asked, Progress, Rejection, Service

_PATH = re.compile(r"/apis/v2beta1/(healthz|experiments|runs|recurringruns)(?:/([\w-]+))?(:\w+)?$")
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 503: 14}
_STATES = {"CANCELLED": "CANCELED", "CANCELLING": "CANCELING"}
_START, _END = "2026-01-01T00:00:00Z", "2026-01-01T00:00:07.5Z"


class Kubeflow(Service):
    """`token`: required in every request; `namespaces`: of a cluster with several users; `login`: a login page."""

    def __init__(self) -> None:
        super().__init__()
        self.token = self.login = ""
        self.namespaces: tuple[str, ...] = ()
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, tuple[dict[str, Any], Progress]] = {}
        self.schedules: dict[str, dict[str, Any]] = {}

    def answer(self, asked: Asked) -> Any:
        if self.login:
            return self.login
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            raise Rejection(401, "Unauthorized: the token has expired")
        found = _PATH.match(asked.path)
        if not found:
            raise Rejection(404, "Not Found")
        return getattr(self, f"_{found[1]}")(asked, found[2], found[3])

    def refused(self, refusal: Rejection) -> Any:
        message = str(refusal)
        return {"error": message, "code": _CODES[refusal.code], "message": message, "details": []}

    def _healthz(self, asked: Asked, name: str | None, verb: str | None) -> Any:
        return {"multi_user": True} if self.namespaces else {}  # false is left out in the JSON of a message

    def _experiments(self, asked: Asked, name: str | None, verb: str | None) -> Any:
        if asked.method == "GET":
            self._check_namespace(asked.query.get("namespace", ""))
            (wanted,) = json.loads(asked.query["filter"])["predicates"]
            assert (wanted["operation"], wanted["key"]) == (1, "display_name")
            known = self.experiments.values()
            found = [one for one in known if one["display_name"] == wanted["stringValue"]]
            return {"experiments": found} if found else {}
        self._check_namespace(asked.body.get("namespace", ""))
        made = {**asked.body, "experiment_id": str(uuid.uuid4())}
        self.experiments[made["experiment_id"]] = made
        return made

    def _check_namespace(self, namespace: str) -> None:
        if not self.namespaces and namespace:
            raise Rejection(400, "In single-user mode, the namespace must be empty")
        if self.namespaces and namespace not in self.namespaces:
            raise Rejection(403, f"User 'me' is not authorized with reason: no access to namespace '{namespace}'")

    def _checked(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("experiment_id") not in self.experiments:
            raise Rejection(400, "Failed to create a run: Referred experiment not found")
        try:
            spec = json_format.ParseDict(body["pipeline_spec"], pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            raise Rejection(400, f"InvalidInputError: unknown template format: {error}") from None
        executors = body["pipeline_spec"]["deploymentSpec"]["executors"]
        if any("resolver" in one for one in executors.values()):
            raise Rejection(400, "InvalidInputError: resolvers are not supported")
        values = body["runtime_config"].get("parameters", {})
        for name, about in spec.root.input_definitions.parameters.items():
            if name not in values and not about.HasField("default_value"):
                raise Rejection(400, f"InvalidInputError: parameter {name} is required but not provided")
        if set(values) - set(spec.root.input_definitions.parameters):
            raise Rejection(400, "InvalidInputError: unknown parameters")
        return copy.deepcopy(body["pipeline_spec"])

    def _runs(self, asked: Asked, name: str | None, verb: str | None) -> Any:
        if name is None:
            spec = self._checked(asked.body)
            made = {**asked.body, "run_id": str(uuid.uuid4()), "state": "PENDING"}
            self.runs[made["run_id"]] = made, Progress(spec, self.script)
            return made
        if name not in self.runs:
            raise Rejection(404, f"ResourceNotFoundError: Run {name} not found")
        run, progress = self.runs[name]
        if verb == ":terminate":
            progress.cancel()
            return {}
        self.look(progress)
        return {**run, "state": _STATES.get(progress.state, progress.state), "run_details": _details(progress)}

    def _recurringruns(self, asked: Asked, name: str | None, verb: str | None) -> Any:
        if name is None:
            self._checked(asked.body)
            if len(asked.body["trigger"]["cron_schedule"]["cron"].split()) != 6:
                raise Rejection(400, "InvalidInputError: the schedule has to have six fields")
            made = {**asked.body, "recurring_run_id": str(uuid.uuid4()), "status": "ENABLED"}
            self.schedules[made["recurring_run_id"]] = made
            return made
        if verb == ":disable":
            self.schedules[name]["status"] = "DISABLED"
            return {}
        return self.schedules[name]


def _details(progress: Progress) -> dict[str, Any]:
    """Return the details of each component and of its driver and its pod, as the workflow has them."""
    details: list[dict[str, Any]] = [{"display_name": "root", "state": "RUNNING"}]
    for name, state in progress.states.items():
        if state == "PENDING":
            continue
        details.append({"display_name": f"{name}-driver", "state": "SUCCEEDED", "start_time": _START})
        one = {"display_name": name, "state": _STATES.get(state, state), "start_time": _START}
        if state != "RUNNING":
            one["end_time"] = _END
        details.append(one)
        details.append({**one, "display_name": "executor"})
        if state == "FAILED":
            one["error"] = {"code": 9, "message": progress.script.fails[name]}
    return {"task_details": details}
