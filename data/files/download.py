"""Files from the network: resumed where the connection broke, checked, and never half there under their own name.

    IMAGES = File(f"{BASE}/train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz", "md5:8d4f...", 26_421_880)
    fetch([IMAGES, LABELS], folder, say)

Own code because `keras.utils.get_file` cannot resume, and tells a user without a network nothing about what to do.
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
TRIES = 4  # in a row that bring no byte more than was there before
PAUSE = 1.0  # seconds before the next try; after two that failed twice that, and so on
SAY_EVERY = 0.5  # seconds
_PIECE = 1 << 16
_CHECKSUM = re.compile("md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
_BUSY = frozenset({408, 429, 500, 502, 503, 504})  # HTTP statuses that may go away by themselves


@dataclass(frozen=True)
class File:
    """A file to download.

    Attributes:
      url: http or https.
      name: under which it comes to lie in the folder; no path.
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


class _Dropped(Exception):
    """What another try may mend: a broken connection, a busy server."""


def fetch(files: Sequence[File], folder: str, say: Callable[[str], None] = print, instead: str = "") -> None:
    """Downloads the files into a folder; what already lies there with the right checksum is left as it is.

    A file grows as `NAME.partial`, from where the last call or connection broke off if the server can (HTTP Range),
    and gets its name when its size and checksum are right.

    Args:
      files: what to download, in this order.
      folder: made if it is not there.
      say: gets lines of progress, "NAME 12.3 of 26.4 MB" (10^6 bytes), at most two a second.
      instead: what a user without a network puts into a folder of their own; empty: the files.

    Raises:
      DataError: no network, an HTTP error, a wrong size or checksum, no room; the hint tells how to do without.
    """
    wanted = instead or ", ".join(file.name for file in files)
    by_hand = f"no network? Put {wanted} into a folder and give it with --data DIR"
    progress = _Progress(say)
    for file in files:
        target = os.path.join(folder, file.name)
        if _size(target) == file.bytes and _checksum(target, file) == file.checksum:
            continue
        try:
            os.makedirs(folder, exist_ok=True)
            with atomic_path(target, keep=True) as partial:
                _download(file, partial, progress, by_hand)
                _check(file, partial)
        except OSError as error:  # the network's own are caught where they arise
            raise DataError(f"cannot write {target}.partial: {describe_error(error)}") from error


class _Progress:
    """Passes on lines, not too many."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._next = say, 0.0

    def __call__(self, file: File, have: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SAY_EVERY
            self._say(f"{file.name} {have / 1e6:.1f} of {file.bytes / 1e6:.1f} MB")


def _download(file: File, partial: str, progress: _Progress, by_hand: str) -> None:
    """Makes `partial` as long as the file is to be, in as many tries as bring something, and `TRIES` that do not."""
    if _size(partial) > file.bytes:
        os.remove(partial)
    furthest, tries = _size(partial), 0
    while _size(partial) < file.bytes:
        try:
            with _open(file, _size(partial), by_hand) as response:
                _receive(response, file, partial, progress, by_hand)
        except _Dropped as dropped:
            tries = 1 if _size(partial) > furthest else tries + 1
            furthest = max(furthest, _size(partial))
            if tries == TRIES:
                raise DataError(
                    f"{file.url} broke off at {furthest:,} of {file.bytes:,} bytes, {TRIES} times: {dropped}",
                    hint=f"The same call goes on from there. {by_hand}",
                ) from None
            time.sleep(PAUSE * tries)


def _open(file: File, have: int, by_hand: str) -> http.client.HTTPResponse:
    """The answer to a request for what is missing.

    Raises:
      _Dropped: none for now.
      DataError: none, and none to be expected.
    """
    headers = {"User-Agent": "skewless"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(file.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code in _BUSY:
            raise _Dropped(f"HTTP {error.code} {error.reason}") from error
        raise DataError(f"{file.url}: HTTP {error.code} {error.reason}", hint=by_hand) from error
    except (OSError, http.client.HTTPException) as error:  # a URLError is an OSError
        reason = getattr(error, "reason", None)  # of a URLError: an exception or a text
        text = reason if isinstance(reason, str) else describe_error(reason or error)
        if isinstance(reason, (socket.gaierror, ConnectionRefusedError, ssl.SSLError)):
            raise DataError(f"cannot reach {file.url}: {text}", hint=by_hand) from error
        raise _Dropped(text) from error


def _receive(response: http.client.HTTPResponse, file: File, partial: str, progress: _Progress, by_hand: str) -> None:
    """Appends what the server sends; from the start, where it sends the whole.

    Raises:
      _Dropped: less came than is missing.
      DataError: it is a file of another size.
    """
    have = _size(partial) if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and have + int(length) != file.bytes:
        raise DataError(
            f"{file.url} has {have + int(length):,} bytes, expected {file.bytes:,}: it is another file", hint=by_hand
        )
    with open(partial, "ab" if have else "wb") as out:
        while have < file.bytes:
            try:
                piece = response.read(min(_PIECE, file.bytes - have))
            except (OSError, http.client.HTTPException) as error:
                raise _Dropped(first_line(error)) from error
            if not piece:
                raise _Dropped("the connection was closed")
            out.write(piece)
            have += len(piece)
            progress(file, have)


def _check(file: File, partial: str) -> None:
    """Raises DataError, and removes the file, where the checksum is another."""
    found = _checksum(partial, file)
    if found != file.checksum:
        os.remove(partial)
        raise DataError(
            f"{file.name} from {file.url} has the checksum {found}, expected {file.checksum}; it was deleted",
            hint="Try again; if it stays so, the file there has changed: get the right one and use --data DIR.",
        )


def _checksum(path: str, file: File) -> str:
    """The file's checksum in the form and by the method of `file.checksum`."""
    method = file.checksum.partition(":")[0]
    found = hashlib.new(method)
    with open(path, "rb") as content:
        while piece := content.read(1 << 20):
            found.update(piece)
    return f"{method}:{found.hexdigest()}"


def _size(path: str) -> int:
    """Bytes; 0 where there is no such file."""
    return os.path.getsize(path) if os.path.isfile(path) else 0
