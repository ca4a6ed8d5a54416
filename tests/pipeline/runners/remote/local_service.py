"""A service on this machine that speaks JSON over HTTP, and runs that progress with each request."""

from __future__ import annotations

import graphlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Rejection(Exception):
    """An error answer: its HTTP status and the reason."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Asked:
    """A received request."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]


@dataclass
class Script:
    """What happens to runs: components that fail, and why; that are cached; or that run until they are cancelled."""

    fails: Mapping[str, str] = field(default_factory=dict)
    cached: tuple[str, ...] = ()
    endless: str = ""


class Progress:
    """A run in which one more component ends with each request for its status."""

    def __init__(self, spec: Mapping[str, Any], script: Script) -> None:
        depends = {}
        for name, task in spec["root"]["dag"]["tasks"].items():
            artifacts = task.get("inputs", {}).get("artifacts", {}).values()
            producers = [one["taskOutputArtifact"]["producerTask"] for one in artifacts]
            depends[name] = [*task.get("dependentTasks", ()), *producers]
        self.order = list(graphlib.TopologicalSorter(depends).static_order())
        self.script, self.states, self.state = script, dict.fromkeys(self.order, "PENDING"), "RUNNING"

    def advance(self) -> None:
        waiting = [name for name in self.order if self.states[name] in ("PENDING", "RUNNING")]
        if self.state == "CANCELLING":
            self.state = "CANCELLED"
            self.states |= dict.fromkeys(waiting, "CANCELLED")
        if self.state != "RUNNING":
            return
        name, *rest = waiting
        self.states[name] = "RUNNING"
        if name == self.script.endless:
            return
        if name in self.script.fails:
            self.states[name] = self.state = "FAILED"
        else:
            self.states[name] = "SKIPPED" if name in self.script.cached else "SUCCEEDED"
            self.state = "RUNNING" if rest else "SUCCEEDED"
        if self.state == "RUNNING":
            self.states[rest[0]] = "RUNNING"

    def cancel(self) -> None:
        if self.state != "RUNNING":
            raise Rejection(400, f"the run is {self.state}")
        self.state = "CANCELLING"


class Service:
    """A context manager that answers requests with `answer`, which subclasses implement."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script = Script()
        self.looks = 0  # at runs
        self.refusals: Mapping[int, Rejection] = {}  # by the number of the look
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Any:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked) -> Any:
        """Return JSON, or the text of a web page.

        Raises:
          Rejection: instead of an answer.
        """
        raise NotImplementedError

    def refused(self, refusal: Rejection) -> Any:
        """Return the JSON of an error in the format of the service."""
        raise NotImplementedError

    def look(self, progress: Progress) -> None:
        """Advance a run on a request for its status, even if there is no answer."""
        progress.advance()
        self.looks += 1
        if self.looks in self.refusals:
            raise self.refusals[self.looks]

    def bodies(self, method: str, ending: str) -> list[Any]:
        """Return what was sent to paths with that ending."""
        return [one.body for one in self.asked if one.method == method and one.path.endswith(ending)]


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            parsed = json.loads(body) if "json" in self.headers.get("Content-Type", "") and body else body
            asked = Asked(self.command, url.path, query, parsed, {k.lower(): v for k, v in self.headers.items()})
            service.asked.append(asked)
            code = 200
            try:
                found = service.answer(asked)
            except Rejection as refusal:
                code, found = refusal.code, service.refused(refusal)
            page = isinstance(found, str)
            content = (found if page else json.dumps(found)).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/html" if page else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler
