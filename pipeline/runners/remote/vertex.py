"""Runs on Vertex AI, with the client that `google.cloud.aiplatform.PipelineJob` uses.

PipelineJob itself is not used: its submit() creates a bucket if the name is misspelt, or prints a traceback if it may
not; it drops the file's labels; and it waits forever for a job that was cancelled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from data.errors import UsageError
from pipeline.runners.remote import buckets, google
from pipeline.runners.remote.backend import (
    JobPlan,
    JobState,
    JobStatus,
    JobStep,
    duration_seconds,
    shorten_to_line,
    sort_by_start,
    task_names,
)

CONSOLE = "https://console.cloud.google.com/vertex-ai/locations"
_KINDS = {"runs": "pipelineJobs", "schedules": "schedules"}
_ADDRESS = re.compile(
    re.escape(CONSOLE)
    + r"/(?P<region>[a-z0-9-]+)/pipelines/(?P<kind>runs|schedules)/(?P<id>[\w-]+)\?project=(?P<project>[\w.:-]+)"
)
_NAME = re.compile(
    r"projects/(?P<project>[\w.:-]+)/locations/(?P<region>[a-z0-9-]+)/(?P<kind>pipelineJobs|schedules)/(?P<id>[\w-]+)"
)
_TIMEOUT = 60.0  # seconds for a request
_RUNS: dict[str, JobState] = {
    "PIPELINE_STATE_RUNNING": "running",
    "PIPELINE_STATE_CANCELLING": "running",
    "PIPELINE_STATE_SUCCEEDED": "succeeded",
    "PIPELINE_STATE_FAILED": "failed",
    "PIPELINE_STATE_CANCELLED": "cancelled",
    "PIPELINE_STATE_PAUSED": "paused",
}
_STEPS: dict[str, JobState] = {
    "RUNNING": "running",
    "CANCEL_PENDING": "running",
    "CANCELLING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "cached",  # "skipped due to cache hit" in its documentation
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "NOT_TRIGGERED": "cancelled",
}


@dataclass(frozen=True)
class VertexLocation:
    """A run or a schedule, parsed from the address of its page in the console or from its resource name."""

    project: str
    region: str
    kind: str
    id: str

    @classmethod
    def parse(cls, text: str) -> VertexLocation | None:
        """Parse an address or a resource name; return None for any other text."""
        found = _ADDRESS.match(text) or _NAME.fullmatch(text)
        if not found:
            return None
        kind = _KINDS.get(found["kind"], found["kind"])
        return cls(found["project"], found["region"], kind, found["id"])

    @property
    def resource(self) -> str:
        """The resource name."""
        return f"projects/{self.project}/locations/{self.region}/{self.kind}/{self.id}"

    def __str__(self) -> str:
        page = "runs" if self.kind == "pipelineJobs" else self.kind
        return f"{CONSOLE}/{self.region}/pipelines/{page}/{self.id}?project={self.project}"


class Vertex:
    """A connection to Vertex AI; implements `pipeline.runners.remote.backend.Backend`."""

    def __init__(
        self,
        region: str,
        project: str = "",
        endpoint: str = "",
        service_account: str = "",
        network: str = "",
        check_buckets: bool = True,
    ) -> None:
        """Connect.

        Args:
          region: Region of the runs.
          project: Google's project; by default the credentials' project.
          endpoint: HOST[:PORT] or http://HOST:PORT; by default the region's endpoint.
          service_account: Service account of the runs; empty for the project's default.
          network: Full name of the network of the runs; may be empty.
          check_buckets: Whether `check` looks into the buckets.

        Raises:
          UsageError: If there is no project.
          ServingError: If there are no credentials, or they have expired.
        """
        self._credentials, own = google.credentials()
        self._project, self._region = project or own, region
        if not self._project:
            raise UsageError("the credentials have no project", hint="Give it with --project NAME.")
        self._endpoint = endpoint or f"{region}-aiplatform.googleapis.com"
        self._service_account, self._network, self._check_buckets = service_account, network, check_buckets

    def check(self, plan: JobPlan) -> None:
        """See `Backend`."""
        if self._check_buckets:
            written = {"--pipeline-root": plan.root, "--set serving": plan.parameters.get("serving")}
            buckets.check_buckets(self._credentials, self._project, written, {"--data": plan.parameters.get("data")})

    def submit(self, plan: JobPlan) -> str:
        """See `Backend`."""
        from google.cloud.aiplatform_v1 import types
        from google.protobuf import json_format

        parent = f"projects/{self._project}/locations/{self._region}"
        job = types.PipelineJob()
        fields = {
            "displayName": plan.name,
            "pipelineSpec": plan.spec,
            "labels": plan.labels,
            "runtimeConfig": {"gcsOutputDirectory": plan.root, "parameterValues": plan.parameters},
            "serviceAccount": self._service_account,
            "network": self._network,
        }
        json_format.ParseDict(fields, types.PipelineJob.pb(job))
        with google.translate_errors(self._endpoint):
            if not plan.cron:
                made = self._jobs().create_pipeline_job(
                    parent=parent, pipeline_job=job, pipeline_job_id=plan.name, timeout=_TIMEOUT
                )
            else:
                schedule = types.Schedule(
                    display_name=plan.name,
                    cron=plan.cron,
                    max_concurrent_run_count=1,  # the next run takes this one's model as baseline
                    create_pipeline_job_request=types.CreatePipelineJobRequest(parent=parent, pipeline_job=job),
                )
                made = self._schedules().create_schedule(parent=parent, schedule=schedule, timeout=_TIMEOUT)
        found = VertexLocation.parse(made.name)
        assert found, made.name
        # The service may answer with the project's number; users know its name.
        return str(VertexLocation(self._project, found.region, found.kind, found.id))

    def status(self, address: str) -> JobStatus:
        """See `Backend`."""
        place = _location(address)
        with google.translate_errors(self._endpoint):
            if place.kind == "schedules":
                schedule = self._schedules().get_schedule(name=place.resource, timeout=_TIMEOUT)
                state: JobState = "scheduled" if schedule.state.name == "ACTIVE" else "paused"
                return JobStatus(state, message=f"{schedule.cron}, {schedule.started_run_count} runs so far")
            job = self._jobs().get_pipeline_job(name=place.resource, timeout=_TIMEOUT)
        return _status(job)

    def cancel(self, address: str) -> None:
        """See `Backend`."""
        place = _location(address)
        with google.translate_errors(self._endpoint):
            if place.kind == "schedules":
                self._schedules().pause_schedule(name=place.resource, timeout=_TIMEOUT)
            else:
                self._jobs().cancel_pipeline_job(name=place.resource, timeout=_TIMEOUT)

    def _jobs(self) -> Any:
        from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient

        return self._client(PipelineServiceClient)

    def _schedules(self) -> Any:
        from google.cloud.aiplatform_v1.services.schedule_service import ScheduleServiceClient

        return self._client(ScheduleServiceClient)

    def _client(self, kind: Any) -> Any:
        # REST, not gRPC: it passes proxies, and it reports expired credentials, for which gRPC answers UNAVAILABLE.
        return kind(credentials=self._credentials, transport="rest", client_options={"api_endpoint": self._endpoint})


def _location(address: str) -> VertexLocation:
    found = VertexLocation.parse(address)
    assert found, address
    return found


def _status(job: Any) -> JobStatus:
    from google.protobuf import json_format

    names = task_names(json_format.MessageToDict(type(job).pb(job)).get("pipelineSpec"))
    details = [
        one for one in job.job_detail.task_details if one.task_name in names
    ]  # without the one of the pipeline itself
    steps = tuple(_step(one) for one in sort_by_start(details))
    return JobStatus(_RUNS.get(job.state.name, "waiting"), steps, shorten_to_line(job.error.message))


def _step(detail: Any) -> JobStep:
    state = _STEPS.get(detail.state.name, "waiting")
    return JobStep(detail.task_name, state, duration_seconds(detail), shorten_to_line(detail.error.message))
