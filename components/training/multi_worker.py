"""Training on several machines: the cluster, and what happens when a worker is lost.

TensorFlow forms a cluster once per process, before anything else, and a cluster that has lost a worker never works
again. So each worker trains in a child process that ends when another worker is lost. It is started again, waits for
the others, and all continue from the chief's last checkpoint.
"""

from __future__ import annotations

import json
import os
import posixpath
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from components.process_errors import parse_error_line
from components.progress import report
from data.errors import SkewlessError, UsageError
from data.files.atomic import write_aside

LOST = 75  # exit status of a training whose cluster has broken: EX_TEMPFAIL
RESTARTS = 10  # at most, each within `_STEADY` seconds of the last: a training that never succeeds must end
_STEADY = 600.0
PROGRESS = "progress: "  # prefix of a line of the child process: JSON of a text for `components.progress`
_JOB = "multi_worker.json"  # in the Trainer's folder, while it trains
_FIELDS = ("custom_config", "schema_path", "transform_output", "train_files", "serving_model_dir", "model_run_dir")


@dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
      index: Index of this process; the chief's is 0.
      addresses: HOST:PORT of each process.
    """

    index: int
    addresses: tuple[str, ...]

    @classmethod
    def from_environment(cls) -> Cluster:
        """Return the cluster of TF_CONFIG.

        Raises:
          UsageError: If TF_CONFIG is missing or not valid.
        """
        text = os.environ.get("TF_CONFIG", "")
        try:
            config = json.loads(text)
            kinds, task = config["cluster"], config["task"]
            members = [(kind, at) for kind in ("chief", "worker") for at in range(len(kinds.get(kind, ())))]
            index = members.index((task["type"], int(task["index"])))
            return cls(index, tuple(kinds[kind][at] for kind, at in members))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f"train.strategy=multi_worker needs TF_CONFIG with the workers and the index of this one, got '{text}'",
                hint="""For example '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, """
                """"task": {"type": "worker", "index": 0}}'""",
            ) from None


def lead_training(fn_args: Any) -> None:
    """Train together with the other workers; the chief writes a file with the arguments for them.

    Args:
      fn_args: TFX's arguments of the Trainer.

    Raises:
      UsageError: If there is no TF_CONFIG.
      SkewlessError: If the training fails, or workers are lost too often.
    """
    cluster = Cluster.from_environment()
    job = json.dumps({name: getattr(fn_args, name) for name in _FIELDS})
    with tempfile.TemporaryDirectory() as own:
        trainer = posixpath.dirname(posixpath.dirname(fn_args.model_run_dir))
        file = posixpath.join(own if cluster.index else trainer, _JOB)
        write_aside(file, job)
        if not cluster.index:
            report(f"start the other workers with: python -m components.training.worker {file}")
        try:
            run_worker(file)
        finally:
            tf.io.gfile.remove(file)


def run_worker(file: str) -> None:
    """Wait for the file and train with its arguments, in one child process after the other, until one succeeds.

    Raises:
      SkewlessError: If the training fails, or workers are lost too often.
    """
    restarts = 0
    while True:
        while not tf.io.gfile.exists(file):
            time.sleep(1)
        began = time.monotonic()
        status = _process(file)
        if status == 0:
            return
        restarts = restarts + 1 if time.monotonic() - began < _STEADY else 1
        if restarts > RESTARTS:
            raise SkewlessError(
                f"a worker was lost {RESTARTS} times, the last time with status {status}",
                hint="The log has TensorFlow's messages. The same command continues from the last checkpoint.",
            )
        report("a worker was lost; waiting for it to continue from the last checkpoint")


def _process(file: str) -> int:
    """Run one child process to its end, and report its progress.

    Returns:
      Its status: 0, LOST, or below 0 for a signal.

    Raises:
      SkewlessError: If the training failed.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "components.training.worker", "--once", file]
    # The child ends when its standard input closes: with this process, however it ends.
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            fault: SkewlessError | None = None
            for line in process.stdout or ():
                if line.startswith(PROGRESS):
                    report(json.loads(line.removeprefix(PROGRESS)))
                elif error := parse_error_line(line):
                    fault = error
                else:
                    print(line, end="", file=sys.stderr)
            status = process.wait()
        finally:
            process.kill()
    if status > 0 and status != LOST:
        raise fault or SkewlessError(
            f"the training process ended with status {status}", hint="See the log for the cause."
        )
    return status
