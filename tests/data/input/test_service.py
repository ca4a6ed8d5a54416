"""A real dispatcher and two real workers, each a process, and what they deliver."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from data.errors import UsageError
from data.input import service
from data.input.reader import ReadConfig
from data.spec import LABEL, VECTOR, Number, Vector
from tests import PROJECT
from tests.data.input.vector_shards import write_vector_shards

COUNTS = (40, 1, 33, 12, 17, 25)
EXAMPLES = sum(COUNTS)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def doubled(raw):
    return {VECTOR: raw[VECTOR] * 2, LABEL: raw[LABEL]}


@pytest.fixture(scope="module")
def reading(tmp_path_factory) -> ReadConfig:
    """128 vectors (i, -i) with the label i, in six files of different length."""
    files = write_vector_shards(tmp_path_factory.mktemp("shards"), COUNTS)
    return ReadConfig(files, EXAMPLES, Vector(2), Number(), doubled, 10)


def start(*arguments: str) -> tuple[subprocess.Popen, str]:
    """Start a process of a service; return it and the line that it prints when it is ready."""
    command = [sys.executable, "-m", "data.input.service", *arguments, "--port", "0"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.fixture(scope="module")
def idle():
    """The address of a dispatcher without workers."""
    process, said = start("dispatcher")
    yield said.split()[-1]
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def address(idle):
    """The same with two workers."""
    workers = [start("worker", "--dispatcher", idle.removeprefix("grpc://"), "--host", "localhost") for _ in range(2)]
    assert [said for _, said in workers] == ["worker is ready"] * 2
    yield idle
    for process, _ in workers:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_service_without_workers_is_an_error(idle) -> None:
    with pytest.raises(UsageError, match=f"{idle} has no workers") as caught:
        service.check_reachable(idle)
    assert "python -m data.input.service worker --dispatcher localhost:" in caught.value.hint


@pytest.mark.slow
def test_each_record_comes_once_an_epoch(address, reading) -> None:
    """In each of three epochs, in full batches but for the last one, and in another order each time."""
    tf.random.set_seed(1)  # as a training does
    epochs = 3
    batches = service.service_batches(reading, address, epochs, seed=0, shuffle_buffer=64)
    assert batches.steps == 13 and not batches.in_memory
    orders = []
    given = batches.passes().as_numpy_iterator()
    for _ in range(epochs):
        some = [next(given) for _ in range(batches.steps)]
        assert [len(labels) for _, labels in some] == [10] * 12 + [8]
        labels = np.concatenate([labels for _, labels in some])
        features = np.concatenate([features for features, _ in some])
        assert Counter(labels.tolist()) == Counter(range(EXAMPLES))
        np.testing.assert_array_equal(features, np.stack([2 * labels, -2 * labels], axis=1))
        orders.append(tuple(labels.tolist()))
    assert next(given, None) is None
    assert len({tuple(range(EXAMPLES)), *orders}) == epochs + 1


@pytest.mark.slow
def test_begun_within_an_epoch_the_steps_are_those_that_are_left(address, reading) -> None:
    batches = service.service_batches(reading, address, 3, seed=0, shuffle_buffer=64)
    found = list(batches.passes(epoch=1, batch=9).as_numpy_iterator())
    assert len(found) == 4 + 13
    assert Counter(np.concatenate([labels for _, labels in found[4:]]).tolist()) == Counter(range(EXAMPLES))
    assert max(Counter(np.concatenate([labels for _, labels in found[:4]]).tolist()).values()) == 1


def test_an_address_that_does_not_answer_is_an_error_at_once(unused_port) -> None:
    with pytest.raises(UsageError, match="no tf.data service at grpc://localhost:.*: unavailable") as caught:
        service.check_reachable(f"grpc://localhost:{unused_port}")
    assert "\n" not in str(caught.value) and "python -m data.input.service dispatcher" in caught.value.hint


def test_a_worker_without_a_dispatcher_is_an_error(unused_port) -> None:
    command = [sys.executable, "-m", "data.input.service", "worker", "--dispatcher", f"localhost:{unused_port}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-2:]
    assert (
        done.returncode == 2 and last[0].startswith("error: no tf.data service at") and "Traceback" not in done.stderr
    )
