r"""Worker of a training on several machines.

    TF_CONFIG='{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 1}}' \
      python -m components.training.worker skewless-root/TASK/artifacts/Trainer/multi_worker.json

The chief, index 0, is `skewless run TASK --set train.strategy=multi_worker`; it writes the file while it trains. A
worker waits for the file, and writes nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import select
import sys
import traceback
from types import SimpleNamespace

import tensorflow as tf

from components.process_errors import error_line
from components.progress import LOGGER, report
from components.training import multi_worker
from data.errors import SkewlessError
from data.input.reader import InputShard

_BROKEN = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def main(file: str) -> None:
    """Wait until the chief trains, and take part to the end."""
    _show(logging.Formatter("%(message)s"))
    cluster = multi_worker.Cluster.from_environment()
    report(f"worker {cluster.index} of {len(cluster.addresses)}, waiting for {file}")
    multi_worker.run_worker(file)


def train_once(file: str) -> int:
    """Train once, in a child process of `main`.

    Returns:
      The exit status.
    """
    _end_with_parent()
    _show(_Json())
    try:
        _train(file)
    except _BROKEN as error:
        print(error, file=sys.stderr)
        return multi_worker.LOST
    except SkewlessError as error:
        print(error_line(error))
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        print(error_line(error))
        return SkewlessError.exit_code
    return 0


def _train(file: str) -> None:
    cluster = multi_worker.Cluster.from_environment()
    others = [address for at, address in enumerate(cluster.addresses) if at != cluster.index]
    if others:
        report(f"waiting for {', '.join(others)}")
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # must be the first thing TensorFlow does
    from components.training.replicas import Replicas
    from components.training.trainer import train_on

    with tf.io.gfile.GFile(file) as text:  # only now: the chief writes it before it joins the cluster
        fn_args = SimpleNamespace(**json.loads(text.read()))
    replicas = Replicas(strategy, InputShard(cluster.index, len(cluster.addresses)))
    if replicas.is_chief and tf.io.gfile.exists(fn_args.serving_model_dir):
        tf.io.gfile.rmtree(fn_args.serving_model_dir)  # an incomplete export from before a worker was lost
    train_on(replicas, fn_args)


def _end_with_parent() -> None:
    """Let the kernel end this process, by SIGIO, when the other end of standard input closes.

    A thread could not do it: TensorFlow holds the interpreter while it waits for the other workers.
    """
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it is closed already
        os._exit(1)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{multi_worker.PROGRESS}{json.dumps(record.getMessage())}"


def _show(formatter: logging.Formatter) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        "python -m components.training.worker", description="Worker of a training on several machines."
    )
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("file", help="multi_worker.json, written by the chief into the Trainer's folder")
    given = parser.parse_args()
    if given.once:
        code = train_once(given.file)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # at once: a normal exit waits for the lost cluster
    try:
        main(given.file)
    except SkewlessError as error:
        print(f"error: {error}\n{error.hint}".strip(), file=sys.stderr)
        sys.exit(error.exit_code)
