"""A worker of a training on several machines.

    TF_CONFIG='{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 1}}' \\
      python -m components.training.worker skewless-root/TASK/artifacts/Trainer/multi_worker.json

The chief, number 0, is `skewless run TASK --set train.strategy=multi_worker`; it writes the file while it trains. This
one waits for it, and writes nothing.
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
    """Waits until the chief trains, and takes part to the end."""
    _show(logging.Formatter("%(message)s"))
    cluster = multi_worker.Cluster.from_environment()
    report(f"worker {cluster.index} of {len(cluster.addresses)}, waiting for {file}")
    multi_worker.run(file)


def once(file: str) -> int:
    """One try; TF_CONFIG has been looked at.

    Returns:
      Exit status.
    """
    _end_with_parent()
    _show(_Json())
    try:
        _train(file)
    except _BROKEN as error:
        print(error, file=sys.stderr)
        return multi_worker.LOST
    except SkewlessError as error:
        return _report(str(error), error.hint, error.exit_code)
    except Exception as error:
        traceback.print_exc()
        return _report(f"{type(error).__name__}: {error}", "", SkewlessError.exit_code)
    return 0


def _train(file: str) -> None:
    cluster = multi_worker.Cluster.from_environment()
    others = [address for at, address in enumerate(cluster.addresses) if at != cluster.index]
    if others:
        report(f"waiting for {', '.join(others)}")
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before TensorFlow does anything else
    from components.training.replicas import Replicas
    from components.training.trainer import train

    with tf.io.gfile.GFile(file) as text:  # only now: the chief wrote it before it joined
        fn_args = SimpleNamespace(**json.loads(text.read()))
    replicas = Replicas(strategy, InputShard(cluster.index, len(cluster.addresses)))
    if replicas.is_chief and tf.io.gfile.exists(fn_args.serving_model_dir):
        tf.io.gfile.rmtree(fn_args.serving_model_dir)  # half of what was exported when a worker was lost
    train(fn_args, replicas)


def _end_with_parent() -> None:
    """By the signal of the kernel, whose default is to end the process, when the other end of standard input closes: a
    thread would not get to it while TensorFlow waits for the others, which it does without giving way."""
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it is closed already
        os._exit(1)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"say {json.dumps(record.getMessage())}"


def _show(formatter: logging.Formatter) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def _report(message: str, hint: str, status: int) -> int:
    print("error", json.dumps({"message": message, "hint": hint, "status": status}))
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        "python -m components.training.worker", description="A worker of a training on several."
    )
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("file", help="multi_worker.json, which the chief writes into the Trainer's folder")
    given = parser.parse_args()
    if given.once:
        code = once(given.file)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # at once: a cluster that is gone would be waited for
    try:
        main(given.file)
    except SkewlessError as error:
        print(f"error: {error}\n{error.hint}".strip(), file=sys.stderr)
        sys.exit(error.exit_code)
