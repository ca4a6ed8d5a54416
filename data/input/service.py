"""The tf.data service: other machines read, decode and resize; the trainer receives their batches.

    python -m data.input.service dispatcher --port 5050
    python -m data.input.service worker --port 5051 --dispatcher HOST:5050

The workers open the shards themselves, by the same paths as the trainer. The dispatcher assigns whole shards to idle
workers, so that each record comes once in an epoch. The order is not reproducible: it depends on which worker is
faster, and two trainings with the same seed differ. If a worker dies in the middle of a shard, that epoch lacks the
rest of the shard. The service does not authenticate its callers: keep it in a private network.
"""

from __future__ import annotations

import argparse
import functools
import socket
import sys
from collections.abc import Sequence

import grpc
import tensorflow as tf
from tensorflow.data.experimental import service

from data.errors import UsageError
from data.input.reader import Batches, ReadConfig
from data.service_address import host_port

TIMEOUT = 10.0  # seconds to wait for the dispatcher's first answer


def check_reachable(address: str) -> None:
    """Check that the dispatcher answers and has workers; TensorFlow itself would wait for an hour.

    Raises:
      UsageError: If no dispatcher answers at the address, or no worker has registered with it.
    """
    if not _get_workers(address):
        raise UsageError(
            f"the tf.data service at {address} has no workers",
            hint=f"Start one: python -m data.input.service worker --dispatcher {host_port(address)}",
        )


def _get_workers(address: str) -> bytes:
    """Return the dispatcher's answer, a serialized GetWorkersResponse; empty if it has no workers."""
    with grpc.insecure_channel(host_port(address)) as channel:
        try:
            return bytes(channel.unary_unary("/tensorflow.data.DispatcherService/GetWorkers")(b"", timeout=TIMEOUT))
        except grpc.RpcError as error:
            raise UsageError(
                f"no tf.data service at {address}: {error.code().name.lower().replace('_', ' ')}",
                hint="Start a dispatcher: python -m data.input.service dispatcher --port 5050",
            ) from None


def service_batches(config: ReadConfig, address: str, epochs: int, *, seed: int, shuffle_buffer: int) -> Batches:
    """Return the batches of a split as the service delivers them; a pass has each record once.

    Passes that start within an epoch skip that many batches of a new order, because the earlier order cannot be
    repeated: some records of this epoch come a second time, and others do not come.

    Args:
      config: what to read; its paths must work on the workers, too.
      address: the dispatcher's address, `grpc://HOST:PORT`.
      epochs: number of passes available; each has its own order of shards, and of records within a worker.
      seed: seed of these orders.
      shuffle_buffer: number of records that each worker draws from.

    Raises:
      UsageError: If the service does not answer, or has no workers.
    """
    check_reachable(address)

    def one_pass(epoch: int) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.constant(list(config.files)), seed=[seed, epoch])
        files = tf.data.Dataset.from_tensor_slices(order)
        records = files.interleave(tf.data.TFRecordDataset, cycle_length=min(4, len(config.files)))
        transformed = config.transform_batches(
            records.shuffle(min(shuffle_buffer, config.examples), seed=seed + epoch).batch(config.batch_size)
        )
        distributed = transformed.apply(service.distribute("distributed_epoch", address))
        return distributed.rebatch(config.batch_size)  # the last batch of each worker is smaller

    def passes(epoch: int, batch: int) -> tf.data.Dataset:
        each = [one_pass(epoch).skip(batch), *map(one_pass, range(epoch + 1, epochs))]
        return functools.reduce(tf.data.Dataset.concatenate, each).prefetch(tf.data.AUTOTUNE)

    return Batches(passes, config.steps, False)


def main(arguments: Sequence[str]) -> None:
    """Run a dispatcher or a worker until the process is stopped.

    Raises:
      UsageError: If a worker's dispatcher does not answer.
    """
    parser = argparse.ArgumentParser(
        "python -m data.input.service", description="Run one process of a tf.data service."
    )
    roles = parser.add_subparsers(dest="role", required=True)
    dispatcher = roles.add_parser("dispatcher", help="assign the shards to the workers; run one for each service")
    worker = roles.add_parser("worker", help="read, decode and resize; run as many as the trainer needs")
    worker.add_argument("--dispatcher", required=True, metavar="HOST:PORT", help="address of the dispatcher")
    worker.add_argument(
        "--host", default=socket.gethostname(), help="name or address at which the trainer reaches this machine"
    )
    for role, port in ((dispatcher, 5050), (worker, 5051)):
        role.add_argument("--port", type=int, default=port, help="port to listen on (%(default)s); 0: any free port")
    options = parser.parse_args(arguments)
    if options.role == "dispatcher":
        server = service.DispatchServer(service.DispatcherConfig(port=options.port))
    else:
        _get_workers(f"grpc://{options.dispatcher}")
        address = f"{options.host}:%port%"  # TensorFlow fills in the port
        server = service.WorkerServer(service.WorkerConfig(options.dispatcher, address, options.port))
    print(f"{options.role} is ready", getattr(server, "target", ""), flush=True)
    server.join()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as error:
        print(f"error: {error}\n{error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
