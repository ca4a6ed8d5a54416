"""The HTTP server of the REST API: an event loop for the connections, threads for the answers of `RestApi`."""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets

from serving.server.lifecycle.model_manager import ModelManager
from serving.server.metrics import Metrics
from serving.server.rest import responses
from serving.server.rest.api import HTML, JSON, TEXT, RestApi, RestResponse
from serving.server.saved_model.servable import Servable
from serving.server.services.predictor import Predictor

log = logging.getLogger(__name__)
BODY_BYTES = 2**31 - 1
UNZIPPED_BYTES = 100 << 20  # as TensorFlow Serving, where a larger body (a zip bomb) is an empty document
IDLE_S = 50.0  # for a request's headers, as in libevent, and between two requests of a connection
BODY_S = 300.0  # for a request's whole body
REPLY_S = 300.0  # for the client to read its answer
ZIP_LEVEL = 1  # JSON of numbers shrinks by half at any level, at level 1 five times faster than at 6
_NOT_FOUND = b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class RestServer(HTTPServerConnectionDelegate):
    """HTTP server with TensorFlow Serving's REST API and, if enabled, the metrics page for Prometheus."""

    def __init__(
        self,
        predictor: Predictor,
        models: ModelManager[Servable],
        port: int,
        bind: str,
        threads: int,
        timeout_s: float | None,
        cors: bool = False,
        metrics: Metrics | None = None,
        metrics_path: str | None = None,
    ) -> None:
        """Create a server, which does not listen yet.

        Args:
          predictor: answers the inference requests.
          models: knows the states of the versions.
          port: port to listen on; 0 takes a free one.
          bind: address to listen on.
          threads: requests answered at a time; the others wait.
          timeout_s: time limit of a run; None for no limit.
          cors: allow pages of other origins (`--rest_api_enable_cors_support`).
          metrics: metrics for Prometheus; needs `metrics_path`.
          metrics_path: path of the metrics page; needs `metrics`.
        """
        self._api = RestApi(predictor, models, timeout_s)
        self._address = port, bind
        self._cors = cors
        self._metrics = metrics
        self._metrics_path = metrics_path
        self._executor = ThreadPoolExecutor(threads, "rest")
        self._loop = asyncio.new_event_loop()
        self._busy: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)

    def start(self) -> int:
        """Listen and answer.

        Returns:
          The port.

        Raises:
          OSError: If the port is in use.
        """
        port, bind = self._address
        sockets = bind_sockets(port, bind, reuse_port=False)
        self._server = HTTPServer(self, idle_connection_timeout=IDLE_S, body_timeout=BODY_S, max_body_size=BODY_BYTES)
        self._loop.call_soon(self._server.add_sockets, sockets)
        self._thread.start()
        return int(sockets[0].getsockname()[1])

    def stop(self, grace_s: float) -> None:
        """Refuse new connections, wait up to `grace_s` seconds for the requests in progress, and stop."""
        asyncio.run_coroutine_threadsafe(self._stop(grace_s), self._loop).result()
        self._thread.join()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Return the delegate for a new request; Tornado calls this."""
        return _RestRequest(request_conn, self._begin)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _stop(self, grace_s: float) -> None:
        self._server.stop()
        if self._busy:
            await asyncio.wait(self._busy, timeout=grace_s)
        await self._server.close_all_connections()
        self._loop.call_soon(self._loop.stop)

    def _begin(self, request: _RestRequest) -> None:
        task = self._loop.create_task(self._respond(request))
        self._busy.add(task)  # the loop has only weak references to its tasks
        task.add_done_callback(self._busy.discard)

    async def _respond(self, request: _RestRequest) -> None:
        try:
            status, body, headers = await self._loop.run_in_executor(self._executor, self._work, request)
        except Exception:  # such as MemoryError; the client must not wait for an answer that never comes
            log.exception("no answer to %s %s", request.line.method, request.line.path)
            request.close()
            return
        reason = "Client Closed Request" if status == 499 else HTTPStatus(status).phrase
        line = ResponseStartLine("HTTP/1.1", status, reason)
        has_body = body if request.line.method != "HEAD" else None
        try:
            await asyncio.wait_for(request.connection.write_headers(line, HTTPHeaders(headers), has_body), REPLY_S)
        except (StreamClosedError, asyncio.TimeoutError):
            request.close()
            return
        request.connection.finish()

    def _work(self, request: _RestRequest) -> tuple[int, bytes, dict[str, str]]:
        """Return an answer's HTTP status, body and headers."""
        answer = self._answer(request)
        headers = {"Content-Type": answer.media}
        if self._cors and answer.media == JSON:
            headers |= _CORS
        body = answer.body
        if body and "gzip" in request.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, ZIP_LEVEL)
            headers["Content-Encoding"] = "gzip"
        return answer.status, body, headers | {"Content-Length": str(len(body))}

    def _answer(self, request: _RestRequest) -> RestResponse:
        method, path = request.line.method, request.line.path
        if self._metrics and path.partition("?")[0] == self._metrics_path:
            if path != self._metrics_path:
                return RestResponse(400, f"Unexpected path: {path}. Should be {self._metrics_path}".encode(), TEXT)
            return RestResponse(200, self._metrics.prometheus_text().encode(), TEXT)
        if not path.lower().startswith("/v1/"):
            return RestResponse(404, _NOT_FOUND, HTML)
        if method == "OPTIONS" and self._cors:
            if request.headers.get("Origin", "").startswith(("http://", "https://")):
                return RestResponse(200, b"")
            return RestResponse(400, responses.error("Origin header is missing in CORS preflight"))
        return self._api.answer(method, path, request.body())


class _RestRequest(HTTPMessageDelegate):
    """A request, collected while it arrives."""

    def __init__(self, connection: HTTPConnection, complete: Callable[[_RestRequest], None]) -> None:
        self.connection = connection
        self._complete = complete
        self._chunks: list[bytes] = []

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        self.line: RequestStartLine = start_line
        self.headers = headers

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        self._complete(self)

    def on_connection_close(self) -> None:
        self._chunks = []

    def body(self) -> bytes:
        """Return the decompressed body; empty if it cannot be decompressed."""
        body = b"".join(self._chunks)
        self._chunks = []
        return _unzipped(body) if "gzip" in self.headers.get("Content-Encoding", "") else body

    def close(self) -> None:
        """Close a connection that gets no answer."""
        self.connection.close()  # type: ignore[attr-defined]


def _unzipped(body: bytes) -> bytes:
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = unzip.decompress(body, UNZIPPED_BYTES)
    except zlib.error:
        return b""
    return content if unzip.eof else b""
