"""One container of a compiled pipeline as a process: its command, its arguments, and its output file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.process_errors import read_error
from data.errors import SkewlessError
from pipeline.runners.compiler.compiled_file import Artifact


def launch_container(
    container: Mapping[str, Any], inputs: dict[str, Any], outputs: dict[str, Artifact], folder: str, log: str
) -> dict[str, Artifact]:
    """Run a container's driver, if it has one, then its executor.

    Args:
      container: JSON of the PipelineContainerSpec.
      inputs: JSON of the ExecutorInput's `inputs`; the driver changes its parameters.
      outputs: Artifacts to write, by key.
      folder: Folder of the task: the working folder of the processes; the output file is written there.
      log: Path of the file for the output of the processes.

    Returns:
      The outputs with the properties that the executor gave them.

    Raises:
      SkewlessError: If a process failed; an error of Skewless keeps its class and message.
    """
    for artifact in outputs.values():
        os.makedirs(artifact["uri"], exist_ok=True)
    os.makedirs(folder, exist_ok=True)
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    file = Path(folder, "executor_output.json")
    driver = container.get("lifecycle", {}).get("preCacheCheck")
    for process in [driver, container] if driver else [container]:
        executor_input = {
            "inputs": inputs,
            "outputs": {
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in outputs.items()},
                "outputFile": str(file),
            },
        }
        command = [*process["command"], *process["args"]]
        _run([part.replace("{{$}}", json.dumps(executor_input)) for part in command], folder, log)
        written = json.loads(file.read_text()) if file.exists() else {}
        inputs["parameterValues"].update(written.get("parameterValues", {}))
        for key, found in written.get("artifacts", {}).items():
            (artifact,) = found["artifacts"]
            outputs[key] = {**outputs[key], **artifact}
    return outputs


def _run(command: Sequence[str], folder: str, log: str) -> None:
    """Run a command as in the image: `python` is this interpreter, and the source tree is not the working folder."""
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', '')}"}
    with open(log, "a") as file:
        start = file.tell()
        try:
            done = subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        except OSError as error:
            raise SkewlessError(f"cannot run '{command[0]}': {error.strerror}", hint=f"Log: {log}") from None
    if done.returncode:
        with open(log, errors="replace") as file:
            file.seek(start)
            raise _error(file.read(), done.returncode, log)


def _error(printed: str, status: int, log: str) -> SkewlessError:
    """Return the error of a failed process, from its output."""
    if status < 0:
        return SkewlessError(f"killed by signal {-status}", hint=f"Signal 9 can mean too little memory. Log: {log}")
    error = read_error(printed)
    if error is None:
        last = printed.strip().splitlines()[-1:] or ["no output"]
        return SkewlessError(f"exit status {status}: {last[0][:300]}", hint=f"Log: {log}")
    error.hint = f"{error.hint}\nLog: {log}".strip()
    return error
