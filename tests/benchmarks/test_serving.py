"""The benchmark of the server: callers distinguish answers from rejections, and the verdict follows from figures."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from benchmarks.serving_load import measure_load
from tests.benchmarks.verdict import follows


def _serve(behaviour: Any) -> tuple[grpc.Server, str]:
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(behaviour)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", {"C": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def test_callers_send_the_request_and_count_answers_and_rejections() -> None:
    seen: list[bytes] = []

    def answer(request: bytes, context: Any) -> bytes:
        seen.append(request)
        return b"yes" if len(seen) % 2 else context.abort(grpc.StatusCode.UNAVAILABLE, "no")

    server, address = _serve(answer)
    request = bytes(range(256)) * 50
    found = measure_load(address, "a.B/C", request, callers=1, seconds=0.5, warm_s=0.0)
    server.stop(1).wait()
    assert set(seen) == {request}
    assert found["requests"] > 5 and abs(found["requests"] - found["failed"]) <= 1
    assert len(seen) - 2 <= found["requests"] + found["failed"] <= len(seen)
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["requests_s"] == pytest.approx(found["requests"] / 0.5, rel=0.2)


def test_a_request_too_long_for_one_frame_is_rejected() -> None:
    with pytest.raises(ValueError, match="at most 16379 are allowed"):
        measure_load("127.0.0.1:1", "a.B/C", b"x" * 16_380, callers=1, seconds=0.1, warm_s=0.0)


@pytest.mark.slow
def test_quick() -> None:
    command = [sys.executable, "-m", "benchmarks.serving", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "serving"
    assert found["goal_met"] is follows(found)
    assert set(found["ratios"]) == {
        "small, 16 callers, ours batched/plain",
        "small, 16 callers, p99, ours batched/plain",
        "memory after/before",
    }
    assert found["ratios"].keys() < found["goals"].keys()
    assert found["facts"]["memory"]["requests"] >= 1000
