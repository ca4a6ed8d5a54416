"""How long the commands that only look something up take: `benchmarks.run` calls it with the root of a finished run."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

from benchmarks.timing import Span, once, time_sides
from data.errors import SkewlessError
from pipeline.paths import Paths

START_S = 180
LISTENS = re.compile(r"Running gRPC ModelServer at (\S+) \.\.\.")


def time_commands(root: Path, task: str, data: Path, rounds: int) -> dict[str, list[Span]]:
    """Time each command as a process, from its start to its end.

    Args:
      root: Of a run that pushed.
      task: Name of the task.
      data: Folder of pictures; one of them is asked about.
      rounds: Times that each is started.

    Returns:
      The spans by name, and those of Python alone.
    """
    with _server(root, task) as address:
        picture = next(iter(sorted(data.rglob("*.png")) or sorted(data.rglob("*.*"))))
        skewless = [sys.executable, "-m", "pipeline.cli"]
        commands = {
            "tasks": [*skewless, "tasks"],
            "runs": [*skewless, "runs", task, "--root", str(root)],
            "predict": [*skewless, "predict", str(picture), "--server", address, "--model", task],
            "help": [*skewless, "--help"],
            "python": [sys.executable, "-c", "pass"],
        }
        for command in commands.values():
            _call(command)  # files are in the page cache afterwards, and bytecode is compiled
        return time_sides({name: once(partial(_call, command)) for name, command in commands.items()}, rounds)


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise SkewlessError(f"`{' '.join(command[2:5])}` failed: {lines[-1]}")


@contextlib.contextmanager
def _server(root: Path, task: str) -> Generator[str, None, None]:
    """Serve the pushed model, and yield the server's address."""
    log, base = root / "server.log", Paths(str(root), task).serving
    flags = ["--port=0", f"--model_name={task}", f"--model_base_path={base}"]
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "serving.server", *flags], stdout=file, stderr=file)
    try:
        end = time.monotonic() + START_S
        while not (found := LISTENS.search(log.read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > end:
                raise SkewlessError("the server did not start", hint=log.read_text(errors="replace")[-500:])
            time.sleep(0.05)
        yield found[1].replace("0.0.0.0", "127.0.0.1")
    finally:
        process.kill()
        process.wait()
