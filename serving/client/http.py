"""HTTP requests over connections that are kept, from any thread."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from typing import Any

from serving.client.errors import Refusal

_PIECE = 1 << 16
_BROKEN = (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest)


class Connections:
    """As many connections to one server as there are requests at once; idle ones are used again."""

    def __init__(self, netloc: str, context: ssl.SSLContext | None, max_message_bytes: int) -> None:
        """Args:
        netloc: `host:port`.
        context: for TLS.
        max_message_bytes: of a request's body or an answer's.
        """
        self._netloc = netloc
        self._context = context
        self._max_bytes = max_message_bytes
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._all: set[http.client.HTTPConnection] = set()
        self._closed = False

    def close(self) -> None:
        """Closes all of them, those in use, too."""
        with self._lock:
            self._closed = True
            for connection in self._all:
                if connection.sock:
                    with contextlib.suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
                connection.close()
            self._all.clear()
            self._idle.clear()

    def request(self, method: str, path: str, body: bytes, timeout: float) -> tuple[int, bytes]:
        """One request and the status and body of its answer.

        Raises:
          Refusal: UNAVAILABLE without a connection, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED above the size limit.
        """
        if len(body) > self._max_bytes:
            raise Refusal("RESOURCE_EXHAUSTED", f"Sent message larger than max ({len(body)} vs. {self._max_bytes})")
        end = time.monotonic() + timeout
        while True:
            connection, used = self._take(timeout)
            try:
                answer = self._asked(connection, method, path, body, end)
            except BaseException as error:
                self._drop(connection)
                # A server closes idle connections when it likes: that one has gone says nothing about the server.
                if used and isinstance(error, _BROKEN) and not self._closed and time.monotonic() < end:
                    continue
                raise _refusal(error) from error
            self._keep(connection)
            return answer

    def _asked(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes, end: float
    ) -> tuple[int, bytes]:
        connection.timeout = _left(end)
        if connection.sock is None:
            connection.connect()
        sock: Any = connection.sock  # kept here: an answer with "Connection: close" takes it from the connection
        sock.settimeout(_left(end))
        connection.request(method, path, body or None, {"Content-Type": "application/json"})
        sock.settimeout(_left(end))
        response = connection.getresponse()
        pieces: list[bytes] = []
        size = 0
        while True:  # piece by piece: a slow server must not get the whole timeout for each of them
            sock.settimeout(_left(end))
            piece = response.read(_PIECE)
            if not piece:
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
                return response.status, b"".join(pieces)
            size += len(piece)
            if size > self._max_bytes:
                raise Refusal("RESOURCE_EXHAUSTED", f"Received message larger than max ({size} vs. {self._max_bytes})")
            pieces.append(piece)

    def _take(self, timeout: float) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._closed:
                raise Refusal("CANCELLED", "the client is closed")
            if self._idle:
                return self._idle.pop(), True
            if self._context:
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    self._netloc, timeout=timeout, context=self._context
                )
            else:
                connection = http.client.HTTPConnection(self._netloc, timeout=timeout)
            self._all.add(connection)
            return connection, False

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._all.discard(connection)
        connection.close()


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _refusal(error: BaseException) -> BaseException:
    """What happened as a status of gRPC; anything else as it is."""
    if isinstance(error, TimeoutError):
        return Refusal("DEADLINE_EXCEEDED", "")
    if isinstance(error, ssl.SSLError):
        return Refusal("UNAVAILABLE", f"TLS: {error.reason or error}")
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, http.client.RemoteDisconnected):
        return Refusal("INTERNAL", "it does not speak HTTP; a gRPC port's address has no http:// in front")
    if isinstance(error, (OSError, http.client.HTTPException, UnicodeError)):
        return Refusal("UNAVAILABLE", f"connection broke: {error}")
    return error
