"""List a Cloud Storage bucket with sizes and times: a thousand names a request, several folders at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from data.errors import DataError, describe_error

_REQUESTS = 16  # at a time; each page is in memory until it is used
_FIELDS = "items(name,size,updated),prefixes,nextPageToken"


class BucketPage(NamedTuple):
    """A part of what is directly in a folder of a bucket; the pages of a folder come in the order of the names.

    Attributes:
      folder: path below the listed folder; "" for itself.
      files: (name, size in bytes, time of the last change in microseconds since 1970) of each file.
      folders: names of the folders.
    """

    folder: str
    files: list[tuple[str, int, int]]
    folders: list[str]


def is_bucket(path: str) -> bool:
    """Return whether a path is in Cloud Storage."""
    return path.startswith("gs://")


def list_bucket(folder: str) -> Iterator[BucketPage] | None:
    """Yield what is below a folder of a bucket, page by page.

    Args:
      folder: `gs://bucket/folder`.

    Returns:
      The pages; None if Google's client is not installed, or finds no credentials.

    Raises:
      DataError: If a request fails, when the pages are asked for.
    """
    try:
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import storage
    except ImportError:
        return None
    bucket, _, prefix = folder.removeprefix("gs://").strip("/").partition("/")
    try:
        client = storage.Client(project=None)  # listing needs none
    except (GoogleAuthError, OSError):
        return None
    return _all_pages(client, bucket, f"{prefix}/" if prefix else "")


def _all_pages(client: Any, bucket: str, prefix: str) -> Iterator[BucketPage]:
    waiting: deque[tuple[str, str | None]] = deque([("", None)])  # a folder, and where its next page begins
    running: set[Future[tuple[BucketPage, str | None]]] = set()
    with ThreadPoolExecutor(_REQUESTS) as pool:
        while waiting or running:
            while waiting and len(running) < _REQUESTS:
                running.add(pool.submit(_read_page, client, bucket, prefix, *waiting.popleft()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                page, token = _result(one, bucket)
                waiting.extend((f"{page.folder}/{name}".lstrip("/"), None) for name in page.folders)
                if token:
                    waiting.appendleft((page.folder, token))
                yield page


def _result(done: Future[tuple[BucketPage, str | None]], bucket: str) -> tuple[BucketPage, str | None]:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        return done.result()
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise DataError(
            f"cannot list the bucket gs://{bucket}: {describe_error(error)}",
            hint="Does it exist, and may these credentials list its objects?",
        ) from None


def _read_page(client: Any, bucket: str, prefix: str, folder: str, token: str | None) -> tuple[BucketPage, str | None]:
    """Return one page, and where the next one begins; None after the last."""
    start = f"{prefix}{folder}/" if folder else prefix
    found = client.list_blobs(bucket, prefix=start, delimiter="/", page_token=token, fields=_FIELDS)
    page = next(found.pages, ())
    files = [
        (one.name[len(start) :], one.size or 0, int(one.updated.timestamp() * 1e6) if one.updated else 0)
        for one in page
        if one.name != start  # some tools write an empty object in place of a folder
    ]
    folders = sorted(name[len(start) : -1] for name in found.prefixes)
    return BucketPage(folder, files, folders), found.next_page_token
