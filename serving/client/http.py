"""HTTP requests over kept connections that threads share, with urllib3 1.26 or 2.

urllib3 opens, keeps and replaces the connections, and speaks HTTP and TLS. Its retries are off: `serving.client.retry`
decides about them. urllib3 lacks three things, which this module adds:

* A deadline for the whole request. `urllib3.Timeout(total=...)` covers connecting and the wait for the status line:
  each read of the body may take that long again, and 1.26 sends with the timeout that the last request left behind.
* An end to the requests in progress when the client is closed: `pool.close()` closes idle connections only.
* A second try if the server closes a kept connection at the moment of the request. urllib3 checks a kept connection
  before it uses it, but not afterwards.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import weakref
from typing import Any, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from serving.client.errors import TransportError

MAX_IDLE = 1000
"""Maximum number of idle connections to keep: more than a client has threads."""
_PIECE_BYTES = 1 << 16
_HEADERS = {"Content-Type": "application/json"}
_DROPPED = (http.client.RemoteDisconnected, ConnectionError)


class HttpAnswer(NamedTuple):
    """Status and body of an answer."""

    status: int
    body: bytes


class HttpConnections:
    """Connections to one server, as many as there are requests at once."""

    def __init__(self, netloc: str, context: ssl.SSLContext | None, max_message_bytes: int) -> None:
        """Open no connection yet.

        Args:
          netloc: `host:port`.
          context: TLS settings; None for plain HTTP.
          max_message_bytes: Limit for the body of a request and of an answer.
        """
        host, _, port = netloc.rpartition(":")
        host = host.encode("idna").decode()  # urllib3 would need the package idna
        options: dict[str, Any] = {"maxsize": MAX_IDLE, "owner": self}
        if context is None:
            self._pool: Any = urllib3.HTTPConnectionPool(host, int(port), **options)
            self._pool.ConnectionCls = _PlainConnection
        else:
            # urllib3 then compares the host with the certificate itself: 1.26 passes no IP address to OpenSSL.
            context.check_hostname = False
            self._pool = urllib3.HTTPSConnectionPool(host, int(port), ssl_context=context, **options)
            self._pool.ConnectionCls = _TlsConnection
        self._max_bytes = max_message_bytes
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_OwnedConnection] = weakref.WeakSet()
        self.current = _CurrentRequest()

    def close(self) -> None:
        """Close all connections, also those in use: their requests fail."""
        self._pool.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.kept_socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer

    def request(self, method: str, path: str, body: bytes, timeout: float) -> HttpAnswer:
        """Send one request and read its answer.

        Args:
          method: "GET" or "POST".
          path: Path of the URL, quoted.
          body: JSON; empty for none.
          timeout: Seconds for all of it.

        Raises:
          TransportError: UNAVAILABLE if there is no connection or it breaks, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED if a
            body is too large, INTERNAL if the server does not speak HTTP, CANCELLED after `close`.
        """
        self._check_size(len(body), "Sent")
        self.current.end = time.monotonic() + timeout
        while True:
            self.current.has_connected = False
            try:
                response = self._pool.urlopen(
                    method,
                    path,
                    body=body or None,
                    headers=_HEADERS,
                    retries=False,
                    redirect=False,
                    timeout=urllib3.Timeout(total=self.current.seconds_left()),
                    preload_content=False,
                    enforce_content_length=True,
                )
                return HttpAnswer(response.status, self._read_body(response))
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if isinstance(_cause(error), _DROPPED) and not self.current.has_connected:
                    continue  # a server closes idle connections at any time: this says nothing about its state
                raise _to_transport_error(error) from error

    def _read_body(self, response: Any) -> bytes:
        pieces: list[bytes] = []
        size = 0
        with contextlib.closing(response):
            self._limit_next_read(response)
            for piece in response.stream(_PIECE_BYTES, decode_content=False):
                size += len(piece)
                self._check_size(size, "Received")
                pieces.append(piece)
                self._limit_next_read(response)
        return b"".join(pieces)

    def _limit_next_read(self, response: Any) -> None:
        if response.connection is not None:  # else the body is complete, and another thread may use the connection
            response.connection.kept_socket.settimeout(self.current.seconds_left())

    def _check_size(self, size: int, verb: str) -> None:
        if size > self._max_bytes:  # the message that gRPC has for this
            raise TransportError("RESOURCE_EXHAUSTED", f"{verb} message larger than max ({size} vs. {self._max_bytes})")

    def register(self, connection: _OwnedConnection) -> None:
        """Remember a connection that has just been opened."""
        self.current.has_connected = True
        with self._lock:
            self._open.add(connection)


class _CurrentRequest(threading.local):
    """The request that this thread makes.

    Attributes:
      end: When its time is over, by `time.monotonic`.
      has_connected: Whether a new connection was opened for it.
    """

    end = 0.0
    has_connected = False

    def seconds_left(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _OwnedConnection:
    """Mixin for urllib3's connections: `HttpConnections` learns of each, and sending keeps to the deadline.

    Attributes:
      kept_socket: The socket. http.client forgets it as soon as an answer says "Connection: close".
    """

    kept_socket: socket.socket

    def __init__(self, *args: Any, owner: HttpConnections, **options: Any) -> None:
        super().__init__(*args, **options)
        self._owner = owner

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.kept_socket = self.sock  # type: ignore[attr-defined]
        self._owner.register(self)

    def request(self, *args: Any, **options: Any) -> None:
        if self.sock is None:  # type: ignore[attr-defined]
            self.connect()
        self.kept_socket.settimeout(self._owner.current.seconds_left())
        super().request(*args, **options)  # type: ignore[misc]


class _PlainConnection(_OwnedConnection, HTTPConnection):  # type: ignore[misc]
    pass


class _TlsConnection(_OwnedConnection, HTTPSConnection):  # type: ignore[misc]
    pass


def _cause(error: BaseException) -> BaseException:
    """Return the error that urllib3 has wrapped, or the error itself."""
    wrapped = (urllib3.exceptions.ProtocolError, urllib3.exceptions.SSLError)
    found = error.args[-1] if isinstance(error, wrapped) and error.args else None
    return found if isinstance(found, BaseException) else error


def _to_transport_error(error: Exception) -> TransportError:
    cause = _cause(error)
    is_new = isinstance(error, urllib3.exceptions.NewConnectionError)  # urllib3 1.26 calls it a timeout, too
    if not is_new and isinstance(error, urllib3.exceptions.TimeoutError) or isinstance(cause, TimeoutError):
        return TransportError("DEADLINE_EXCEEDED", "")
    if isinstance(error, urllib3.exceptions.ClosedPoolError):
        return TransportError("CANCELLED", "the client is closed")
    if isinstance(error, urllib3.exceptions.SSLError):
        return TransportError("UNAVAILABLE", f"TLS: {getattr(cause, 'reason', None) or cause}")
    if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, http.client.RemoteDisconnected):
        return TransportError(
            "INTERNAL", "it does not speak HTTP; the address of a gRPC port must not start with http://"
        )
    return TransportError("UNAVAILABLE", "the connection broke")
