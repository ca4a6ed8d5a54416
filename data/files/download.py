"""Downloads: resumed after a broken connection, verified, and complete when they get their name.

    IMAGES = File(f"{BASE}/train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz", "md5:8d4f...", 26_421_880)
    fetch([IMAGES, LABELS], folder, report)

Not `keras.utils.get_file`: it cannot resume, and its errors do not help a user without a network.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.errors import DataError, UsageError, describe_error, first_line
from data.files.atomic import atomic_path

TIMEOUT = 30.0  # seconds without a byte
TRIES = 4  # consecutive tries without a new byte
PAUSE = 1.0  # seconds before the next try; twice as long after two failed tries, and so on
REPORT_EVERY = 0.5  # seconds
_PIECE = 1 << 16
_CHECKSUM = re.compile("md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
_BUSY = frozenset({408, 429, 500, 502, 503, 504})  # HTTP statuses of temporary failures


@dataclass(frozen=True)
class File:
    """A file to download.

    Attributes:
      url: http or https.
      name: its name in the folder, without a path.
      checksum: "md5:" or "sha256:" and the lower-case hex digits.
      bytes: its size.
    """

    url: str
    name: str
    checksum: str
    bytes: int

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UsageError(f"file.url must begin with http:// or https://, got '{self.url}'")
        if self.name in ("", ".", "..") or {"/", "\\"} & set(self.name):
            raise UsageError(f"file.name must be a plain file name, got '{self.name}'")
        if not _CHECKSUM.fullmatch(self.checksum):
            raise UsageError(f"file.checksum must be md5: or sha256: and hex digits, got '{self.checksum}'")
        if self.bytes < 1:
            raise UsageError(f"file.bytes must be at least 1, got {self.bytes}")


class _TemporaryFailure(Exception):
    """A failure for which another try may help: a broken connection, a busy server."""


def fetch(files: Sequence[File], folder: str, report: Callable[[str], None] = print, instead: str = "") -> None:
    """Download files into a folder; a file that exists with the right checksum is left unchanged.

    A file is written to `NAME.partial`. If the last call or connection broke off, the download resumes there if the
    server supports it (HTTP Range). The file gets its name when its size and checksum are right.

    Args:
      files: the files, in this order.
      folder: created if it does not exist.
      report: called with lines of progress, "NAME 12.3 of 26.4 MB" (10^6 bytes), at most two a second.
      instead: what users without a network can put into a folder instead; empty: the files.

    Raises:
      DataError: If there is no network, an HTTP error, a wrong size or checksum, or no space left; the hint describes
        how to provide the data by hand.
    """
    wanted = instead or ", ".join(file.name for file in files)
    by_hand = f"no network? Put {wanted} into a folder and give it with --data DIR"
    progress = _Progress(report)
    for file in files:
        target = os.path.join(folder, file.name)
        if _size(target) == file.bytes and _checksum(target, file) == file.checksum:
            continue
        try:
            os.makedirs(folder, exist_ok=True)
            with atomic_path(target, keep=True) as partial:
                _download(file, partial, progress, by_hand)
                _verify(file, partial)
        except OSError as error:  # not of the network: those are caught in `_open` and `_receive`
            hint = "Is there space on the disk, and may this user write there? Or give the data with --data DIR."
            raise DataError(f"cannot write {target}.partial: {describe_error(error)}", hint=hint) from error


class _Progress:
    """Reports lines of progress at a limited rate."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report, self._next = report, 0.0

    def __call__(self, file: File, have: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REPORT_EVERY
            self._report(f"{file.name} {have / 1e6:.1f} of {file.bytes / 1e6:.1f} MB")


def _download(file: File, partial: str, progress: _Progress, by_hand: str) -> None:
    """Download until `partial` has the file's size; stop after `TRIES` consecutive tries without a new byte."""
    if _size(partial) > file.bytes:
        os.remove(partial)
    furthest, tries = _size(partial), 0
    while _size(partial) < file.bytes:
        try:
            with _open(file, _size(partial), by_hand) as response:
                _receive(response, file, partial, progress, by_hand)
        except _TemporaryFailure as failure:
            tries = 1 if _size(partial) > furthest else tries + 1
            furthest = max(furthest, _size(partial))
            if tries == TRIES:
                raise DataError(
                    f"{file.url} broke off at {furthest:,} of {file.bytes:,} bytes, {TRIES} times: {failure}",
                    hint=f"Run it again to resume the download. {by_hand}",
                ) from None
            time.sleep(PAUSE * tries)


def _open(file: File, have: int, by_hand: str) -> http.client.HTTPResponse:
    """Return the answer to a request for the missing bytes.

    Raises:
      _TemporaryFailure: If there is no answer, and another try may help.
      DataError: If there is no answer, and no other try can help.
    """
    headers = {"User-Agent": "skewless"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        request = urllib.request.Request(file.url, headers=headers)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
        return response
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        if error.code in _BUSY:
            raise _TemporaryFailure(f"HTTP {error.code} {error.reason}") from error
        raise DataError(f"{file.url}: HTTP {error.code} {error.reason}", hint=by_hand) from error
    except (OSError, http.client.HTTPException) as error:  # a URLError is an OSError
        reason = getattr(error, "reason", None)  # of a URLError: an exception or a text
        text = reason if isinstance(reason, str) else describe_error(reason or error)
        if isinstance(reason, (socket.gaierror, ConnectionRefusedError, ssl.SSLError)):
            raise DataError(f"cannot reach {file.url}: {text}", hint=by_hand) from error
        raise _TemporaryFailure(text) from error


def _receive(response: http.client.HTTPResponse, file: File, partial: str, progress: _Progress, by_hand: str) -> None:
    """Append the bytes that the server sends; start again if it sends the whole file.

    Raises:
      _TemporaryFailure: If some bytes are still missing.
      DataError: If the file at the server has another size.
    """
    have = _size(partial) if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and have + int(length) != file.bytes:
        raise DataError(
            f"{file.url} has {have + int(length):,} bytes, expected {file.bytes:,}: it is a different file",
            hint=by_hand,
        )
    with open(partial, "ab" if have else "wb") as out:
        while have < file.bytes:
            try:
                piece = response.read(min(_PIECE, file.bytes - have))
            except (OSError, http.client.HTTPException) as error:
                raise _TemporaryFailure(first_line(error)) from error
            if not piece:
                raise _TemporaryFailure("the connection was closed")
            out.write(piece)
            have += len(piece)
            progress(file, have)


def _verify(file: File, partial: str) -> None:
    """Check the file's checksum.

    Raises:
      DataError: If it is wrong; the file is then deleted.
    """
    found = _checksum(partial, file)
    if found != file.checksum:
        os.remove(partial)
        raise DataError(
            f"{file.name} from {file.url} has the checksum {found}, expected {file.checksum}; it was deleted",
            hint="Try again. If that fails, the file on the server has changed: get the right one and use --data DIR.",
        )


def _checksum(path: str, file: File) -> str:
    """Return the checksum of a path, with the method and in the form of `file.checksum`."""
    method = file.checksum.partition(":")[0]
    found = hashlib.new(method)
    with open(path, "rb") as content:
        while piece := content.read(1 << 20):
            found.update(piece)
    return f"{method}:{found.hexdigest()}"


def _size(path: str) -> int:
    """Return the size of a file in bytes; 0 if it does not exist."""
    return os.path.getsize(path) if os.path.isfile(path) else 0
