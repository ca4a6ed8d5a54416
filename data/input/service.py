"""The tf.data service: other machines read, decode and resize, and the trainer takes batches from them.

    python -m data.input.service dispatcher --port 5050
    python -m data.input.service worker --port 5051 --dispatcher HOST:5050

The workers open the shards themselves, by the same paths as the trainer. The dispatcher deals out whole shards to
whoever is free, so that each record comes once in an epoch. What is lost is the order: which worker is faster decides
it, and two trainings with the same seed differ. Where a worker dies in the middle of a shard, that epoch lacks what is
left of it. Nothing here asks who calls: keep it in a private network.
"""

from __future__ import annotations

import argparse
import functools
import re
import socket
import sys
from collections.abc import Sequence

import grpc
import tensorflow as tf
from tensorflow.data.experimental import service

from data.errors import UsageError
from data.input.reader import Batches, Reading

TIMEOUT = 10.0  # seconds for the dispatcher's first answer
_ADDRESS = re.compile(r"grpc://([^:/\s]+:\d+)")


def host_port(address: str) -> str:
    """`grpc://HOST:PORT` to `HOST:PORT`.

    Raises:
      UsageError: it is something else.
    """
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise UsageError(
            f"train.data_service must be grpc://HOST:PORT, got '{address}'",
            hint="The dispatcher's address; python -m data.input.service dispatcher --port 5050 starts one.",
        )
    return match[1]


def check(address: str) -> None:
    """Asks the dispatcher who works for it: TensorFlow would wait for an hour.

    Raises:
      UsageError: nobody answers there, something else does, or no worker has registered.
    """
    if not _workers(address):
        raise UsageError(
            f"the tf.data service at {address} has no workers",
            hint=f"python -m data.input.service worker --dispatcher {host_port(address)} starts one.",
        )


def _workers(address: str) -> bytes:
    """The dispatcher's answer, a GetWorkersResponse; empty where it has no workers."""
    with grpc.insecure_channel(host_port(address)) as channel:
        try:
            return channel.unary_unary("/tensorflow.data.DispatcherService/GetWorkers")(b"", timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise UsageError(
                f"no tf.data service at {address}: {error.code().name.lower().replace('_', ' ')}",
                hint="python -m data.input.service dispatcher starts a dispatcher, on port 5050 unless told otherwise.",
            ) from None


def batches(reading: Reading, address: str, epochs: int, *, seed: int, shuffle_buffer: int) -> Batches:
    """The batches of a split, as the service delivers them; each record once a pass.

    Begun within an epoch, the batches before are left out of an order that is not the one they had: what was trained on
    may come again, in their place others do not come in this epoch.

    Args:
      reading: what to read, by paths that the workers know, too.
      address: of the dispatcher, `grpc://HOST:PORT`.
      epochs: passes that can be asked for; each has its own order of shards, and of records within a worker.
      seed: of these orders.
      shuffle_buffer: records that each worker draws from.

    Raises:
      UsageError: the service does not answer.
    """
    check(address)

    def one_pass(epoch: int) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.constant(list(reading.files)), seed=[seed, epoch])
        files = tf.data.Dataset.from_tensor_slices(order)
        records = files.interleave(tf.data.TFRecordDataset, cycle_length=min(4, len(reading.files)))
        read = reading.transformed(
            records.shuffle(min(shuffle_buffer, reading.examples), seed=seed + epoch).batch(reading.batch_size)
        )
        dealt = read.apply(service.distribute("distributed_epoch", address))
        return dealt.rebatch(reading.batch_size)  # each worker's last batch is a smaller one

    def passes(epoch: int, batch: int) -> tf.data.Dataset:
        each = [one_pass(epoch).skip(batch), *map(one_pass, range(epoch + 1, epochs))]
        return functools.reduce(tf.data.Dataset.concatenate, each).prefetch(tf.data.AUTOTUNE)

    return Batches(passes, -(-reading.examples // reading.batch_size), False)


def main(arguments: Sequence[str]) -> None:
    """Serves until it is stopped.

    Raises:
      UsageError: a worker's dispatcher does not answer.
    """
    parser = argparse.ArgumentParser("python -m data.input.service", description="A process of a tf.data service.")
    roles = parser.add_subparsers(dest="role", required=True)
    dispatcher = roles.add_parser("dispatcher", help="deals out the shards; one for each service")
    worker = roles.add_parser("worker", help="reads, decodes and resizes; as many as the trainer needs")
    worker.add_argument("--dispatcher", required=True, metavar="HOST:PORT")
    worker.add_argument("--host", default=socket.gethostname(), help="by which the trainer reaches this machine")
    for one, port in ((dispatcher, 5050), (worker, 5051)):
        one.add_argument("--port", type=int, default=port, help="to listen on (%(default)s); 0: any free one")
    given = parser.parse_args(arguments)
    if given.role == "dispatcher":
        server = service.DispatchServer(service.DispatcherConfig(port=given.port))
    else:
        _workers(f"grpc://{given.dispatcher}")
        address = f"{given.host}:%port%"  # which TensorFlow fills in
        server = service.WorkerServer(service.WorkerConfig(given.dispatcher, address, given.port))
    print(f"{given.role} is ready", getattr(server, "target", ""), flush=True)
    server.join()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as error:
        print(f"error: {error}\n{error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
