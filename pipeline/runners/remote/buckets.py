"""Checks in Cloud Storage of the folders of a Vertex AI run, before anything is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.errors import ServingError, UsageError
from pipeline.runners.remote.google import translate_errors

_MAKE = "Check the name, or create the bucket in the region of the runs with `gcloud storage buckets create`."
_SKIP = "If only the service account of the run has access, submit with --no-check."


def check_buckets(
    credentials: Any, project: str, written: Mapping[str, str | None], read: Mapping[str, str | None]
) -> None:
    """Check that a run can write to its folders, and that the folders to read are not empty.

    Args:
      credentials: Google's credentials.
      project: Google's project.
      written: gs:// URIs of folders to write to, by the option that gives them; None is skipped.
      read: The same of folders to read from.

    Raises:
      UsageError: If a bucket does not exist, or there is nothing to read.
      ServingError: If the credentials have no access, or Cloud Storage does not answer.
    """
    from google.api_core import exceptions as api
    from google.cloud.storage import Client

    client = Client(project=project, credentials=credentials)
    for places, check_one in ((written, _check_writable), (read, _check_not_empty)):
        for option, uri in places.items():
            bucket, _, folder = (uri or "").removeprefix("gs://").partition("/")
            with translate_errors("Cloud Storage"):
                try:
                    if uri:
                        check_one(client, bucket, folder.rstrip("/"), f"{option} {uri}")
                except api.NotFound:
                    raise UsageError(f"{option} {uri}: no bucket {bucket}", hint=_MAKE) from None
                except api.Forbidden:
                    raise ServingError(f"{option} {uri}: these credentials have no access", hint=_SKIP) from None


def _check_writable(client: Any, bucket: str, folder: str, given: str) -> None:
    """Check the permissions of a folder to write to, without writing.

    Raises:
      ServingError: If one is missing.
    """
    wanted = ("storage.objects.create", "storage.objects.get")
    missing = sorted({*wanted} - {*client.bucket(bucket).test_iam_permissions(wanted, timeout=30, retry=None)})
    if missing:
        raise ServingError(f"{given}: these credentials do not have {' and '.join(missing)}", hint=_SKIP)


def _check_not_empty(client: Any, bucket: str, folder: str, given: str) -> None:
    """Check that a folder to read from has a file.

    Raises:
      UsageError: If it has none.
    """
    prefix = f"{folder}/" if folder else ""
    if not any(True for _ in client.list_blobs(bucket, prefix=prefix, max_results=1, timeout=30, retry=None)):
        raise UsageError(f"{given}: no files", hint="Give the folder that holds the data.")
