"""Whether the places of a run on Vertex AI are there: asked of Cloud Storage before anything is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.errors import ServingError, UsageError
from pipeline.runners.remote.google import translate_errors

_MAKE = "Make it with `gcloud storage buckets create`, in the region of the runs, or look for a slip of the pen."
_SKIP = "Where only the run's service account may look there, submit with --no-check."


def check_buckets(
    credentials: Any, project: str, written: Mapping[str, str | None], read: Mapping[str, str | None]
) -> None:
    """Sees that a run can write where it will, and that something lies where it will read.

    Args:
      written, read: gs:// URIs by the option that gives them; None is passed over.

    Raises:
      UsageError: there is no such bucket, or nothing to read.
      ServingError: these credentials may not look there; Cloud Storage does not answer.
    """
    from google.api_core import exceptions as api
    from google.cloud.storage import Client

    client = Client(project=project, credentials=credentials)
    for places, check_one in ((written, _writable), (read, _holds)):
        for option, uri in places.items():
            bucket, _, folder = (uri or "").removeprefix("gs://").partition("/")
            with translate_errors("Cloud Storage"):
                try:
                    if uri:
                        check_one(client, bucket, folder.rstrip("/"), f"{option} {uri}")
                except api.NotFound:
                    raise UsageError(f"{option} {uri}: there is no bucket {bucket}", hint=_MAKE) from None
                except api.Forbidden:
                    raise ServingError(f"{option} {uri}: these credentials may not look there", hint=_SKIP) from None


def _writable(client: Any, bucket: str, folder: str, given: str) -> None:
    """Asks for permissions: nothing is written to find out."""
    wanted = ("storage.objects.create", "storage.objects.get")
    missing = sorted({*wanted} - {*client.bucket(bucket).test_iam_permissions(wanted, timeout=30, retry=None)})
    if missing:
        raise ServingError(f"{given}: these credentials have no {' and no '.join(missing)}", hint=_SKIP)


def _holds(client: Any, bucket: str, folder: str, given: str) -> None:
    prefix = f"{folder}/" if folder else ""
    if not any(True for _ in client.list_blobs(bucket, prefix=prefix, max_results=1, timeout=30, retry=None)):
        raise UsageError(f"{given}: nothing lies there", hint="Give the folder that holds the data.")
