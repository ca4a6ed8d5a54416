"""Vertex AI's pipeline and schedule services, Cloud Storage and Google's token service, as far as `submit` uses them.

What comes in is read by the services' own messages and checked as they check it; credentials are signed and verified.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import jwt
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.pipeline.runners.remote.local_service import Asked, Progress, Rejection, Service

PROJECT, REGION, NUMBER = "flowers-1", "europe-west4", "123456"
ACCOUNT = "me@flowers-1.iam.gserviceaccount.com"
_PARENT = re.compile(rf"/v1/(projects/([\w-]+)/locations/{REGION})/(pipelineJobs|schedules)(?:/([\w-]+))?(:\w+)?$")
_OBJECTS = re.compile(r"/storage/v1/b/([\w.-]+)/(o|iam/testPermissions)$")


class Vertex(Service):
    """`revoked`: the key was revoked; `expired`: tokens are rejected; `forbidden`: the project belongs to others."""

    def __init__(self) -> None:
        super().__init__()
        self._key, self._certificate = _key_and_certificate()
        self.revoked = self.expired = self.forbidden = False
        self.buckets: dict[str, list[str]] = {"b": ["data/line.csv"]}
        self.readers: dict[str, list[str]] = {"b": ["storage.objects.create", "storage.objects.get"]}
        self.jobs: dict[str, tuple[types.PipelineJob, Progress]] = {}
        self.schedules: dict[str, types.Schedule] = {}

    def key_file(self, folder: Path) -> str:
        """Write the key of a service account of this project."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        about = {"type": "service_account", "project_id": PROJECT, "private_key_id": "1", "private_key": pem.decode()}
        about |= {"client_email": ACCOUNT, "client_id": "1", "token_uri": f"{self.url}/token"}
        file = folder / "key.json"
        file.write_text(json.dumps(about))
        return str(file)

    def answer(self, asked: Asked) -> Any:
        if asked.path == "/token":
            return self._token(parse_qs(asked.body.decode()))
        self._check_credentials(asked.headers.get("authorization", ""))
        if found := _OBJECTS.match(asked.path):
            return self._objects(found[1], found[2], asked.query)
        found = _PARENT.match(asked.path)
        if not found:
            raise Rejection(404, f"no method {asked.path}")
        if self.forbidden or found[2] not in (PROJECT, NUMBER):
            raise Rejection(403, f"Permission 'aiplatform.pipelineJobs.create' denied on resource '//{found[1]}'")
        act = self._pipeline_jobs if found[3] == "pipelineJobs" else self._schedules
        message = act(asked, found[1].replace(PROJECT, NUMBER), found[4], found[5])
        return json.loads(type(message).to_json(message)) if message is not None else {}

    def refused(self, refusal: Rejection) -> Any:
        if str(refusal).startswith("invalid_grant"):
            return {"error": "invalid_grant", "error_description": str(refusal).partition(": ")[2]}
        return {"error": {"code": refusal.code, "message": str(refusal)}}

    def _token(self, form: dict[str, list[str]]) -> Any:
        if self.revoked:
            raise Rejection(400, "invalid_grant: Invalid JWT Signature.")
        assert jwt.decode(form["assertion"][0], certs=self._certificate)["iss"] == ACCOUNT
        return {"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"}

    def _check_credentials(self, header: str) -> None:
        token = header.removeprefix("Bearer ")
        try:
            known = token == "ya29.token" or jwt.decode(token, certs=self._certificate)["sub"] == ACCOUNT
        except ValueError:
            known = False
        if self.expired or not known:
            raise Rejection(401, "Request had invalid authentication credentials.")

    def _objects(self, bucket: str, what: str, query: Any) -> Any:
        if bucket not in self.buckets:
            raise Rejection(404, "The specified bucket does not exist.")
        if what != "o":
            return {"kind": "storage#testIamPermissionsResponse", "permissions": self.readers[bucket]}
        if "storage.objects.get" not in self.readers[bucket]:
            raise Rejection(403, f"{ACCOUNT} does not have storage.objects.list access")
        names = [name for name in self.buckets[bucket] if name.startswith(query.get("prefix", ""))]
        return {"kind": "storage#objects", "items": [{"name": name, "bucket": bucket} for name in names]}

    def _pipeline_jobs(self, asked: Asked, parent: str, name: str | None, verb: str | None) -> Any:
        if name is None:
            job = types.PipelineJob.from_json(json.dumps(asked.body))
            spec = checked(job)
            name = asked.query["pipelineJobId"]
            if not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", name):
                raise Rejection(400, f"'{name}' is not an ID")
            if name in self.jobs:
                raise Rejection(409, f"The PipelineJob {name} already exists")
            job.name = f"{parent}/pipelineJobs/{name}"
            self.jobs[name] = job, Progress(spec, self.script)
            return job
        if name not in self.jobs:
            raise Rejection(404, f"The PipelineJob {parent}/pipelineJobs/{name} does not exist")
        job, progress = self.jobs[name]
        if verb == ":cancel":
            progress.cancel()
            return None
        self.look(progress)
        return _seen(job, progress)

    def _schedules(self, asked: Asked, parent: str, name: str | None, verb: str | None) -> Any:
        if name is None:
            schedule = types.Schedule.from_json(json.dumps(asked.body))
            checked(schedule.create_pipeline_job_request.pipeline_job)
            if schedule.max_concurrent_run_count < 1:
                raise Rejection(400, "max_concurrent_run_count is required")
            if len(schedule.cron.split()) - schedule.cron.startswith(("TZ=", "CRON_TZ=")) != 5:
                raise Rejection(400, f"'{schedule.cron}' is not a cron expression")
            name = str(len(self.schedules) + 1)
            schedule.name, schedule.state = f"{parent}/schedules/{name}", types.Schedule.State.ACTIVE
            self.schedules[name] = schedule
        elif verb == ":pause":
            self.schedules[name].state = types.Schedule.State.PAUSED  # type: ignore[assignment]
            return None
        return self.schedules[name]


def checked(job: types.PipelineJob) -> dict[str, Any]:
    """Return the JSON of the job's PipelineSpec, parsed by the message class of Kubeflow Pipelines."""
    fields = json_format.MessageToDict(types.PipelineJob.pb(job))
    spec = fields["pipelineSpec"]
    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        raise Rejection(400, f"Invalid PipelineSpec: {error}") from None
    given = fields.get("runtimeConfig", {})
    if not given.get("gcsOutputDirectory", "").startswith("gs://"):
        raise Rejection(400, "gcs_output_directory must be a Cloud Storage URI")
    declared, values = spec["root"]["inputDefinitions"]["parameters"], given.get("parameterValues", {})
    for name, about in declared.items():
        if "defaultValue" not in about and name not in values:
            raise Rejection(400, f"Required input parameter {name} is missing")
    if set(values) - set(declared):
        raise Rejection(400, f"Unknown input parameters {set(values) - set(declared)}")
    for part in [part for label in job.labels.items() for part in label]:
        if not re.fullmatch(r"[a-z0-9_-]{0,63}", part):
            raise Rejection(400, f"'{part}' is not a label")
    return spec


def _seen(job: types.PipelineJob, progress: Progress) -> types.PipelineJob:
    """Return the job in its current state; its details have an entry for the job itself, too."""
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    details = [{"task_name": job.name.rpartition("/")[2], "state": "RUNNING", "start_time": start}]
    for number, (name, state) in enumerate(progress.states.items()):
        if state == "PENDING":
            continue
        begin = start + datetime.timedelta(seconds=10 * number)
        one = {"task_name": name, "state": state, "start_time": begin}
        if state not in ("RUNNING", "CANCELLED"):
            one["end_time"] = begin + datetime.timedelta(seconds=7.5)
        if state == "FAILED":
            one["error"] = {"code": 9, "message": progress.script.fails[name]}
        details.append(one)
    seen = types.PipelineJob(job)
    seen.state = types.PipelineState[f"PIPELINE_STATE_{progress.state}"]  # type: ignore[misc]
    seen.job_detail = types.PipelineJobDetail(task_details=details)
    if progress.state == "FAILED":
        seen.error = {"code": 9, "message": "The DAG failed because some tasks failed."}
    return seen


@functools.cache
def _key_and_certificate() -> tuple[rsa.RSAPrivateKey, bytes]:
    """Return a service account's key, and a certificate of its public key, as Google publishes them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "me")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return key, made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
