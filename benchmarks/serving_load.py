"""The callers of `benchmarks.serving`: one process that calls a gRPC server as fast as it answers.

    python -m benchmarks.serving_load HOST:PORT METHOD CALLERS SECONDS < REQUEST

METHOD is `package.Service/Method`. The serialized request is read from stdin; the result is one line of JSON. Each
caller is a separate connection with one request at a time. A gRPC client in Python costs as much CPU as the servers
that it measures, on the same cores. So this client writes HTTP/2 frames itself, prepared once, and reads only the frame
headers of an answer (RFC 9113, section 4.1): about 20 us per call, the same for every server.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
WINDOW = 2**30
MAX_REQUEST = 16_384 - 5  # bytes: one DATA frame
FRAME_HEADER = 9  # bytes
MESSAGE_HEADER = 5  # bytes: gRPC's flag and length


@dataclass
class Tally:
    """The callers' results.

    Attributes:
      latencies: Seconds until each answer.
      failed: Number of requests without an answer.
    """

    latencies: list[float] = field(default_factory=list)
    failed: int = 0


class Caller:
    """One connection with one request at a time."""

    def __init__(self, address: str, method: str, request: bytes) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = _headers(f"/{method}", address)
        self._body = b"\0" + struct.pack(">I", len(request)) + request
        self._stream = -1
        self._buffer = b""
        self._answered = False
        self._started = 0.0
        self.socket.sendall(
            PREFACE
            + _frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WINDOW))
            + _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW))
        )

    def send(self) -> None:
        """Send the next request."""
        self._stream += 2
        self._answered = False
        self._started = time.perf_counter()
        self.socket.sendall(
            _frame(HEADERS, END_HEADERS, self._stream, self._head) + _frame(DATA, END_STREAM, self._stream, self._body)
        )

    def read(self, tally: Tally) -> bool:
        """Read the available bytes.

        Returns:
          Whether the request has ended.

        Raises:
          ConnectionError: If the server closes the connection.
        """
        got = self.socket.recv(1 << 16)
        if not got:
            raise ConnectionError("the server closed the connection")
        buffer = self._buffer + got if self._buffer else got
        place, ended = 0, False
        while len(buffer) - place >= FRAME_HEADER:
            end = place + FRAME_HEADER + int.from_bytes(buffer[place : place + 3], "big")
            if len(buffer) < end:
                break
            ended |= self._handle(buffer[place + 3], buffer[place + 4], buffer[place + FRAME_HEADER : end])
            place = end
        self._buffer = buffer[place:]
        if ended and self._answered:
            tally.latencies.append(time.perf_counter() - self._started)
        elif ended:
            tally.failed += 1
        return ended

    def _handle(self, kind: int, flags: int, payload: bytes) -> bool:
        """Handle one frame; return whether it ends the request."""
        if kind == GOAWAY:
            raise ConnectionError("the server sent GOAWAY")
        if kind in (PING, SETTINGS) and not flags & ACK:
            self.socket.sendall(_frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind == DATA and len(payload) > MESSAGE_HEADER:
            self._answered = True
        return kind == RST_STREAM or (kind in (DATA, HEADERS) and bool(flags & END_STREAM))


def measure_load(
    address: str, method: str, request: bytes, callers: int, seconds: float, warm_s: float
) -> dict[str, float]:
    """Call a server for some seconds, after a warm-up that does not count.

    Args:
      address: host:port of the server.
      method: package.Service/Method.
      request: Serialized request, at most `MAX_REQUEST` bytes.
      callers: Number of connections.
      seconds: Seconds to measure.
      warm_s: Seconds of the warm-up.

    Returns:
      requests_s, p50_ms, p99_ms, requests, failed, and cpu: the share of one core that the callers themselves use.

    Raises:
      ValueError: If the request is too long for one frame.
    """
    if len(request) > MAX_REQUEST:
        raise ValueError(f"the request has {len(request)} bytes; at most {MAX_REQUEST} are allowed")
    tally = Tally()
    selector = selectors.DefaultSelector()
    for _ in range(callers):
        caller = Caller(address, method, request)
        selector.register(caller.socket, selectors.EVENT_READ, caller)
        caller.send()
    _call_until(time.perf_counter() + warm_s, selector, Tally())
    start, cpu = time.perf_counter(), time.process_time()
    _call_until(start + seconds, selector, tally)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    times = sorted(tally.latencies) or [0.0]
    return {
        "requests_s": len(tally.latencies) / took,
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[len(times) * 99 // 100],
        "requests": len(tally.latencies),
        "failed": tally.failed,
        "cpu": cpu / took,
    }


def _call_until(end: float, selector: selectors.BaseSelector, tally: Tally) -> None:
    while time.perf_counter() < end:
        for key, _ in selector.select(timeout=max(0.0, end - time.perf_counter())):
            if key.data.read(tally):
                key.data.send()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _headers(path: str, authority: str) -> bytes:
    """Return a gRPC request's headers in HPACK (RFC 7541): static table and plain literals, the same for each call."""

    def text(value: str) -> bytes:
        raw = value.encode()
        assert len(raw) < 127
        return bytes([len(raw)]) + raw

    post, http = b"\x83", b"\x86"
    return (
        post
        + http
        + (b"\x04" + text(path))
        + (b"\x01" + text(authority))
        + (b"\x0f\x10" + text("application/grpc"))  # content-type
        + (b"\x00" + text("te") + text("trailers"))
    )


if __name__ == "__main__":
    _address, _method, _callers, _seconds, _warm = sys.argv[1:6]
    print(
        json.dumps(
            measure_load(_address, _method, sys.stdin.buffer.read(), int(_callers), float(_seconds), float(_warm))
        )
    )
