"""One container as a process: its own command and arguments, and its output file read back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import errors
from data.errors import SkewlessError
from pipeline.runners.compiler.compiled_file import Artifact

_RAISED = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Failed)): (.*)")  # the last line of a traceback


def launch_container(
    container: Mapping[str, Any], inputs: dict[str, Any], outputs: dict[str, Artifact], folder: str, log: str
) -> dict[str, Artifact]:
    """Runs the driver, where there is one, then the executor.

    Args:
      container: JSON of the PipelineContainerSpec.
      inputs: of the ExecutorInput; the driver changes its parameters.
      outputs: the artifacts to write, by key.
      folder: of the task, and the process's working folder; gets the output file.
      log: takes what the processes print.

    Returns:
      The outputs with what the executor says of them.

    Raises:
      SkewlessError: a process failed; an error of Skewless keeps its words and exit status.
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
        said = json.loads(file.read_text()) if file.exists() else {}
        inputs["parameterValues"].update(said.get("parameterValues", {}))
        for key, found in said.get("artifacts", {}).items():
            (artifact,) = found["artifacts"]
            outputs[key] = {**outputs[key], **artifact}
    return outputs


def _run(command: Sequence[str], folder: str, log: str) -> None:
    """Runs a command as the image would: `python` is the one that runs this, and no source tree is at hand."""
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', '')}"}
    with open(log, "a") as file:
        start = file.tell()
        try:
            done = subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        except OSError as error:
            raise SkewlessError(f"cannot run '{command[0]}': {error.strerror}", hint=f"log: {log}") from None
    if done.returncode:
        with open(log, errors="replace") as file:
            file.seek(start)
            raise _error(file.read(), done.returncode, log)


def _error(printed: str, status: int, log: str) -> SkewlessError:
    """What a failed process printed, as the error that it raised."""
    if status < 0:
        return SkewlessError(f"killed by signal {-status}", hint=f"9 may be too little memory. Its log: {log}")
    raised = [match for match in map(_RAISED.match, printed.splitlines()) if match]
    if not raised:
        last = printed.strip().splitlines()[-1:] or ["no word"]
        return SkewlessError(f"exit status {status}: {last[0][:300]}", hint=f"Its log: {log}")
    kind, words = raised[-1][1], raised[-1][2].partition(" [while running")[0]
    ours = getattr(errors, kind.rpartition(".")[2], None)
    if isinstance(ours, type) and issubclass(ours, SkewlessError):
        return ours(words, hint=f"Its log: {log}")
    return SkewlessError(f"{kind}: {words[:300]}", hint=f"Its log: {log}")
