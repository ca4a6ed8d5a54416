"""Training on several machines: who takes part, and what happens when one of them is lost.

TensorFlow forms a cluster once in the life of a process, before anything else, and a cluster that has lost a worker
never works again. So each worker trains in a process of its own, which ends when another one is lost and is started
again: it waits for the others, and all go on from the chief's last checkpoint.
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

from components.progress import report
from data import errors
from data.errors import SkewlessError, UsageError
from data.files.atomic import write_aside

LOST = 75  # exit status of a training whose cluster has broken: EX_TEMPFAIL
RESTARTS = 10  # one after the other; a training that went well for so many seconds is told from one that cannot
_STEADY = 600.0
_JOB = "multi_worker.json"  # in the Trainer's folder, while it trains
_FIELDS = ("custom_config", "schema_path", "transform_output", "train_files", "serving_model_dir", "model_run_dir")


@dataclass(frozen=True)
class Cluster:
    """Who trains together.

    Attributes:
      index: of this process; the chief's is 0.
      addresses: HOST:PORT of each.
    """

    index: int
    addresses: tuple[str, ...]

    @classmethod
    def from_environment(cls) -> Cluster:
        """What TF_CONFIG says.

        Raises:
          UsageError: there is none, or it does not say who is who.
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
                f"train.strategy=multi_worker needs TF_CONFIG, which names the workers and this one, got '{text}'",
                hint="""For example '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, """
                """"task": {"type": "worker", "index": 0}}'""",
            ) from None


def lead(fn_args: Any) -> None:
    """Trains with the other workers, whom the chief tells by a file what to do.

    Args:
      fn_args: of the Trainer.

    Raises:
      UsageError: there is no TF_CONFIG.
      SkewlessError: as the training in the process did; or workers were lost again and again.
    """
    cluster = Cluster.from_environment()
    job = json.dumps({name: getattr(fn_args, name) for name in _FIELDS})
    with tempfile.TemporaryDirectory() as own:
        trainer = posixpath.dirname(posixpath.dirname(fn_args.model_run_dir))
        file = posixpath.join(own if cluster.index else trainer, _JOB)
        write_aside(file, job)
        if not cluster.index:
            report(f"the other workers: python -m components.training.worker {file}")
        try:
            run(file)
        finally:
            tf.io.gfile.remove(file)


def run(file: str) -> None:
    """Trains as the file says, once it is there, in processes, until one of them comes to the end.

    Raises:
      SkewlessError: as the training in the process did; or workers were lost again and again.
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
                hint="The log has TensorFlow's words. The same call goes on from the last checkpoint.",
            )
        report("a worker was lost; waiting for it, to go on from the last checkpoint")


def _process(file: str) -> int:
    """Runs one process to its end, and says what it says.

    Returns:
      Its status: 0, LOST, or that of a signal, below 0.

    Raises:
      SkewlessError: the process did.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "components.training.worker", "--once", file]
    # It ends when its standard input does: with this process, however that ends.
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            fault: SkewlessError | None = None
            for line in process.stdout or ():
                kind, _, text = line.rstrip("\n").partition(" ")
                if kind == "say":
                    report(json.loads(text))
                elif kind == "error":
                    fault = _fault(**json.loads(text))
                else:
                    print(line, end="", file=sys.stderr)
            status = process.wait()
        finally:
            process.kill()
    if status > 0 and status != LOST:
        raise fault or SkewlessError(f"the training process ended with status {status}", hint="The log tells why.")
    return status


def _fault(message: str, hint: str, status: int) -> SkewlessError:
    kinds = [getattr(errors, name) for name in dir(errors) if name.endswith("Error")]
    return next(kind for kind in kinds if kind.exit_code == status)(message, hint)
