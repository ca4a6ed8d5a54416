"""Measure our server against a plain grpcio servicer, the model without a server, and TensorFlow Serving if installed.

    python -m benchmarks.serving [--quick]

Each server is a process. The callers are another process (`benchmarks.serving_load`), the same for all servers: 1, 16
and 48 connections, each with one request of one row at a time. The servers take turns, in rounds; the medians count.
`plain` is a grpcio servicer around the same session (`benchmarks.serving_sides`). `ours` runs without batching, `ours
batched` with it; so does `tensorflow_model_server`, if it is on PATH, with the same parameters. `in process` is the
model without a server, called by one thread: with one row for the single caller, else with batches of the largest size
that the servers form, after the same warm-up. The goal of the heavy model, which shows what batching gains, is a share
of that rate. `start` is the time from a new process to its first answer, of our server and of the plain one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path

import click

from benchmarks.report import Goal, Terminal, Verdict, judge, median, ours_to_peers, quiet
from benchmarks.timing import Span, run_alternately, time_sides
from data.errors import SkewlessError
from pipeline.cli import report_errors

METHOD = "tensorflow.serving.PredictionService/Predict"
CALLERS = (1, 16, 48)
THREADS = 64
BATCH = {"small": 16, "heavy": 24}
BATCHES_AT_A_TIME = {"small": 1, "heavy": os.cpu_count() or 1}  # the second is the server's default
WAIT_MICROS = {"small": 5_000, "heavy": 300_000}
ANNOUNCED = re.compile(r"Running gRPC ModelServer at (\S+) \.\.\.")
INSIDE = "in process"
COLUMNS = (("requests_s", 0), ("p50_ms", 2), ("p99_ms", 2))
START_S = 180
WARM_SHARE = 3  # of the callers' seconds, one third before warms the server up
GOALS: dict[str, Goal] = {
    "small, 16 callers, ours batched/plain": (">=", 2.0),
    "small, 16 callers, p99, ours batched/plain": ("<=", 1.0),
    "heavy, 48 callers, ours batched/in process": (">=", 1.0),
    "memory after/before": ("<=", 1.03),
    "start, ours/plain": ("<=", 0.68),
}
Load = dict[str, float]
Found = dict[tuple[str, int, str], list[Load]]  # by model, callers and server; one for each round


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="One short round with few callers, to check that the benchmark works.")
def main(quick: bool) -> None:
    """Measure all servers."""
    seconds, rounds, requests = (0.5, 1, 1_000) if quick else (3.0, 5, 100_000)
    with report_errors(), quiet("serving") as (terminal, scratch), contextlib.ExitStack() as running:
        with terminal.console.status("writing two models"):
            _output("models", str(scratch))
        with terminal.console.status("starting a server, again and again"):
            starts = {} if quick else _time_starts(scratch, rounds)
        with terminal.console.status("starting the servers"):
            small = _servers("small", scratch, running, only=("plain", "ours batched") if quick else ())
            heavy = {} if quick else _servers("heavy", scratch, running)
        found: Found = {}
        for count in (16,) if quick else CALLERS:
            with terminal.console.status(f"{count} callers of the small model"):
                _measure("small", count, small, scratch, seconds, rounds, found)
        if heavy:
            with terminal.console.status("48 callers of the heavy model"):
                _measure("heavy", CALLERS[-1], heavy, scratch, 2 * seconds, 3, found)
        with terminal.console.status(f"{requests:,} requests"):
            memory = _memory(small["ours batched"], scratch, requests)
        terminal.finish(_report(found, memory, starts, terminal))


class _Server:
    """A server process that listens."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        self.address = ""

    def wait(self) -> None:
        """Wait until the server listens.

        Raises:
          SkewlessError: If the server ends, or does not start in time.
        """
        end = time.monotonic() + START_S
        while not (found := ANNOUNCED.search(self._log.read_text(errors="replace"))):
            if self.process.poll() is not None or time.monotonic() > end:
                lines = self._log.read_text(errors="replace").strip().splitlines() or ["no output"]
                raise SkewlessError(f"a server did not start: {lines[-1]}", hint=str(self._log))
            time.sleep(0.01)
        self.address = found[1].replace("0.0.0.0", "127.0.0.1")

    def memory_mb(self) -> float:
        """Return the resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> None:
        """Kill the server."""
        self.process.kill()
        self.process.wait()


def _commands(name: str, scratch: Path) -> dict[str, list[str]]:
    """Return the commands of the servers of one model, by name."""
    base, parameters = scratch / name, scratch / f"{name}.pbtxt"
    parameters.write_text(
        f"max_batch_size {{ value: {BATCH[name]} }} batch_timeout_micros {{ value: {WAIT_MICROS[name]} }} "
        f"num_batch_threads {{ value: {BATCHES_AT_A_TIME[name]} }} "
        "max_enqueued_batches { value: 100 }"
    )
    flags = [f"--model_name={name}", f"--model_base_path={base}", f"--grpc_max_threads={THREADS}"]
    batching = ["--enable_batching=true", f"--batching_parameters_file={parameters}"]
    ours = [sys.executable, "-m", "serving.server", "--port=0", *flags]
    plain = [sys.executable, "-m", "benchmarks.serving_sides", "plain", str(base), str(THREADS)]
    commands = {"plain": plain, "ours": ours, "ours batched": [*ours, *batching]}
    if real := shutil.which("tensorflow_model_server"):
        commands["real"] = [real, f"--port={_free_port()}", *flags]
        commands["real batched"] = [real, f"--port={_free_port()}", *flags, *batching]
    return commands


def _servers(name: str, scratch: Path, running: contextlib.ExitStack, only: Collection[str] = ()) -> dict[str, _Server]:
    """Start the servers of one model; return them by name when all listen."""
    commands, started = _commands(name, scratch), {}
    for side in only or commands:
        started[side] = _Server(commands[side], scratch / f"{name} {side}.log")
        running.callback(started[side].stop)
    for server in started.values():
        server.wait()
    return started


def _time_starts(scratch: Path, rounds: int) -> dict[str, list[Span]]:
    """Time new processes, each with the small model, until their first answer."""
    import grpc

    commands, request = _commands("small", scratch), (scratch / "small.request").read_bytes()

    def start(side: str) -> Generator[int, None, None]:
        server = _Server(commands[side], scratch / f"start {side}.log")
        try:
            server.wait()
            with grpc.insecure_channel(server.address) as channel:
                channel.unary_unary(f"/{METHOD}")(request, timeout=START_S)
            yield 1
        finally:
            server.stop()

    sides = [side for side in ("ours", "plain", "real") if side in commands]
    return time_sides({side: partial(start, side) for side in sides}, rounds)


def _measure(
    name: str,
    callers: int,
    servers: Mapping[str, _Server],
    scratch: Path,
    seconds: float,
    rounds: int,
    found: Found,
) -> None:
    """Add the loads of each round to `found`, for each server and for the model without one."""
    ways: dict[str, Callable[[], Load]] = {
        side: lambda server=server: _load(server, scratch / f"{name}.request", callers, seconds)  # type: ignore[misc]
        for side, server in servers.items()
    }
    ways[INSIDE] = lambda: _inside(scratch / name, callers if callers == 1 else BATCH[name], seconds)
    for side, loads in run_alternately(ways, rounds).items():
        found[name, callers, side] = loads


def _inside(base: Path, rows: int, seconds: float) -> Load:
    """Return the rate of the model without a server, in batches of `rows` rows."""
    printed = _output("inside", str(base), str(rows), f"{seconds:g}", f"{seconds / WARM_SHARE:g}")
    load: Load = json.loads(printed.splitlines()[-1])
    return load


def _load(server: _Server, request: Path, callers: int, seconds: float) -> Load:
    """Call a server from `callers` connections.

    Raises:
      SkewlessError: If a request got no answer.
    """
    command = [sys.executable, "-m", "benchmarks.serving_load", server.address, METHOD, str(callers), f"{seconds:g}"]
    with request.open("rb") as file:
        done = subprocess.run([*command, f"{seconds / WARM_SHARE:g}"], stdin=file, capture_output=True, check=False)
    if done.returncode:
        raise SkewlessError(f"the callers failed: {done.stderr.decode().strip().splitlines()[-1]}")
    load: Load = json.loads(done.stdout)
    if load["failed"]:
        raise SkewlessError(f"{load['failed']} of {load['requests'] + load['failed']} requests got no answer")
    return load


def _memory(server: _Server, scratch: Path, requests: int) -> dict[str, float]:
    """Return the resident memory before and after `requests` requests; a tenth of them warm the server up before."""
    request, sent = scratch / "small.request", 0.0
    _load(server, request, 16, max(0.5, requests / 10 / 3000))
    before = server.memory_mb()
    while sent < requests:
        sent += _load(server, request, 16, max(0.5, min(10.0, (requests - sent) / 3000)))["requests"]
    return {"requests": sent, "before_mb": round(before, 1), "after_mb": round(server.memory_mb(), 1)}


def _output(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_sides", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SkewlessError(f"serving_sides {arguments[0]} failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _report(found: Found, memory: Mapping[str, float], starts: Mapping[str, list[Span]], terminal: Terminal) -> Verdict:
    """Print the table and compare the measured ratios with the goals."""
    middle = {case: {key: median([load[key] for load in loads]) for key in loads[0]} for case, loads in found.items()}
    terminal.table(
        "one-row requests, median of the rounds",
        ["model, callers, server", "rows/s", "p50 ms", "p99 ms"],
        [
            [
                f"{name}, {callers}, {side}",
                *(f"{one[key]:,.{digits}f}" if key in one else "" for key, digits in COLUMNS),
            ]
            for (name, callers, side), one in middle.items()
        ],
    )
    ratios = {name: round(ratio, 3) for name, ratio in _ratios(middle)}
    ratios["memory after/before"] = round(memory["after_mb"] / memory["before_mb"], 3)
    if starts:
        seconds = {side: median([one.seconds for one in spans]) for side, spans in starts.items()}
        rows = [[side, f"{taken:.2f}"] for side, taken in seconds.items()]
        terminal.table("from a new process to its first answer", ["server of one model", "s"], rows)
        ratios |= {f"start, {name}": round(1 / ratio, 3) for name, ratio in ours_to_peers(starts).items()}
    facts = {
        "memory": memory,
        "callers' share of a core": round(max(one.get("cpu", 0.0) for one in middle.values()), 3),
        "rows_s": {", ".join(map(str, case)): round(one["requests_s"]) for case, one in middle.items()},
        "p50_ms": {
            ", ".join(map(str, case)): round(one["p50_ms"], 2) for case, one in middle.items() if "p50_ms" in one
        },
        "p99_ms": {
            ", ".join(map(str, case)): round(one["p99_ms"], 2) for case, one in middle.items() if "p99_ms" in one
        },
    }
    return judge("serving", ratios, GOALS, facts)


def _ratios(middle: Mapping[tuple[str, int, str], Load]) -> Iterator[tuple[str, float]]:
    """Yield each server's ratios to the plain servicer, and the heavy model's to the model without a server."""
    for (name, callers, side), one in middle.items():
        plain, inside = middle[name, callers, "plain"], middle[name, callers, INSIDE]
        if side not in ("plain", INSIDE):
            yield f"{name}, {callers} callers, {side}/plain", one["requests_s"] / plain["requests_s"]
            yield f"{name}, {callers} callers, p99, {side}/plain", one["p99_ms"] / plain["p99_ms"]
        if name == "heavy" and side != INSIDE:
            yield f"{name}, {callers} callers, {side}/in process", one["requests_s"] / inside["requests_s"]


if __name__ == "__main__":
    main()
