"""Batching: which requests run together, what each gets back, and which are refused."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from serving.server.batching.batch_scheduler import BatchQueue, SharedBatchScheduler
from serving.server.batching.batching_session import BatchingSession, BatchingSessionFactory
from serving.server.batching.options import BatchingOptions
from serving.server.config.protos import BatchingParameters
from serving.server.rpc_error import Fault
from serving.server.saved_model.saved_model_bundle import SavedModelBundle
from serving.server.saved_model.servable import Servable

Code = grpc.StatusCode
LONG = 30_000_000  # micros: longer than any test


class _Rows(tf.Module):
    """Computes outputs that show the whole batch in every row."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def rows(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(x)[0]
        return {
            "double": x * 2.0,
            "count": tf.fill([count], count),
            "sum": tf.fill([count], tf.reduce_sum(x)),
            "scalar": tf.reduce_sum(x),
            "first": x[:1],
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="a"), tf.TensorSpec(None, tf.int64, name="b")])
    def pair(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"joined": tf.strings.join([a, tf.strings.as_string(b)])}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def product(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, tf.ones([2, 1]))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="turns")])
    def spin(self, turns: tf.Tensor) -> dict[str, tf.Tensor]:
        most = tf.reduce_max(turns)
        return {
            "turns": turns + 0 * tf.while_loop(lambda i: i < most, lambda i: [i + 1], [tf.constant(0, tf.int64)])[0]
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "1"
    module = _Rows()
    signatures = {name: getattr(module, name) for name in ("rows", "pair", "product", "spin")}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


@pytest.fixture(scope="module")
def servable(folder: Path) -> Iterator[SavedModelBundle]:
    bundle = SavedModelBundle(str(folder))
    yield bundle
    bundle.close()


class Gate:
    """A Servable whose runs wait while the gate is shut.

    Attributes:
      entered: released once for each run that begins.
    """

    def __init__(self, servable: Servable) -> None:
        self.signatures, self.dtype, self.close = servable.signatures, servable.dtype, servable.close
        self.entered = threading.Semaphore(0)
        self._servable = servable
        self._opened = threading.Event()
        self.open()

    def shut(self) -> None:
        self._opened.clear()

    def open(self) -> None:
        self._opened.set()

    def run(self, feeds: Any, fetches: Any, timeout: float | None = None) -> list[Any]:
        self.entered.release()
        assert self._opened.wait(20)
        return self._servable.run(feeds, fetches, timeout)


_caller = threading.local()


@pytest.fixture(autouse=True)
def observed_arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set `_caller.arrived` of the calling thread as soon as its request is in a queue."""
    add = BatchQueue.add

    def observed(self: BatchQueue, *args: Any) -> Any:
        tasks = add(self, *args)
        if hasattr(_caller, "arrived"):
            _caller.arrived.set()
        return tasks

    monkeypatch.setattr(BatchQueue, "add", observed)


class Batched:
    """A batched model, and threads that call it."""

    def __init__(self, servable: Servable, **options: Any) -> None:
        values = {"num_batch_threads": 2, "max_batch_size": 4, "batch_timeout_micros": LONG} | options
        values.setdefault("max_execution_batch_size", values["max_batch_size"])
        self.options = BatchingOptions(**values)
        self.scheduler = SharedBatchScheduler(self.options.num_batch_threads, "batching")
        self.gate = Gate(servable)
        self.model = BatchingSession(self.gate, self.options, self.scheduler)
        self.callers = ThreadPoolExecutor(32)

    def run(self, signature: str, outputs: str, timeout: float | None = None, **inputs: Any) -> list[Any]:
        definition = self.model.signatures[signature]
        feeds = {definition.inputs[alias].name: np.asarray(value) for alias, value in inputs.items()}
        return self.model.run(feeds, [definition.outputs[alias].name for alias in outputs.split()], timeout)

    def ask(self, *args: Any, **inputs: Any) -> Future[Any]:
        """Run in another thread; return as soon as the request is in its queue, or has ended."""
        arrived = threading.Event()

        def call() -> Any:
            _caller.arrived = arrived
            try:
                return self.run(*args, **inputs)
            finally:
                arrived.set()

        future = self.callers.submit(call)
        assert arrived.wait(20)
        return future

    def rows(self, count: int, start: float = 0.0, outputs: str = "double count sum", width: int = 1) -> Future[Any]:
        x = np.arange(start, start + count, dtype=np.float32)[:, None].repeat(width, axis=1)
        return self.ask("rows", outputs, x=x)

    def spin(self, turns: int, timeout: float | None = None, rows: int = 1) -> Future[Any]:
        return self.ask("spin", "turns", timeout, turns=np.full([rows], turns))

    def block(self) -> Future[Any]:
        """Shut the gate, and occupy a thread with a full batch that waits there."""
        self.gate.shut()
        future = self.spin(0, rows=self.options.max_execution_batch_size)
        assert self.gate.entered.acquire(timeout=20)
        return future

    def close(self) -> None:
        self.gate.open()
        self.callers.shutdown()
        self.scheduler.close()


@pytest.fixture
def batched(servable: SavedModelBundle) -> Iterator[Any]:
    started: list[Batched] = []

    def start(**options: Any) -> Batched:
        started.append(Batched(servable, **options))
        return started[-1]

    yield start
    for model in started:
        model.close()


def refused(future: Future[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(Fault) as caught:
        future.result(timeout=20)
    return caught.value.code, caught.value.message


def answers(*futures: Future[Any]) -> list[list[Any]]:
    return [[np.asarray(value).tolist() for value in future.result(timeout=20)] for future in futures]


# --- what runs together ---


def test_a_batch_runs_when_it_is_full_and_each_gets_its_own_rows(batched: Any) -> None:
    model = batched()
    assert answers(model.rows(1, 5.0), model.rows(2, 1.0), model.rows(1, 9.0)) == [
        [[[10.0]], [4], [17.0]],
        [[[2.0], [4.0]], [4, 4], [17.0, 17.0]],
        [[[18.0]], [4], [17.0]],
    ]


def test_a_batch_runs_when_its_first_request_has_waited_long_enough(batched: Any) -> None:
    model = batched(batch_timeout_micros=300_000)
    start = time.monotonic()
    both = model.rows(1), model.rows(1)
    assert [outputs[1] for outputs in answers(*both)] == [[2], [2]]
    assert time.monotonic() - start >= 0.3


def test_the_first_request_of_a_batch_sets_its_time() -> None:
    queue = BatchQueue(BatchingOptions(batch_timeout_micros=300_000), lambda batch: None)
    assert queue.due() is None and not queue.is_due(1000.0)
    for now in (100.0, 100.25):
        queue.add({}, 1, None, now)
    assert queue.due() == pytest.approx(100.3)
    assert not queue.is_due(100.299) and queue.is_due(100.301)
    assert [task.size for task in queue.take().tasks] == [1, 1]
    assert queue.due() is None


def test_a_request_that_does_not_fit_opens_the_next_batch(batched: Any) -> None:
    model = batched(num_batch_threads=1)
    three, two = model.rows(3), model.rows(2)
    assert answers(three)[0][1] == [3, 3, 3]
    assert answers(model.rows(2), two)[0][1] == [4, 4]


def test_other_outputs_are_another_queue(batched: Any) -> None:
    model = batched(max_batch_size=2)
    futures = [model.rows(1, outputs=outputs) for outputs in ("count", "count double", "double count", "count")]
    assert answers(*futures) == [[[2]], [[2], [[0.0]]], [[[0.0]], [2]], [[2]]]


def test_without_a_wait_a_lone_request_runs_alone_in_its_callers_thread(batched: Any) -> None:
    model = batched(batch_timeout_micros=0)
    assert answers(model.rows(3))[0][1] == [3, 3, 3]
    assert model.run("pair", "joined", a=np.array([b"a"], object), b=[7])[0].tolist() == [b"a7"]


def test_strings_and_two_inputs(batched: Any) -> None:
    model = batched(max_batch_size=3)
    both = [
        model.ask("pair", "joined", a=np.array([b"a", b"b"], object), b=np.array([1, 2])),
        model.ask("pair", "joined", a=np.array([b"c"], object), b=np.array([3])),
    ]
    assert answers(*both) == [[[b"a1", b"b2"]], [[b"c3"]]]


def test_many_callers_of_two_models_share_the_threads(servable: SavedModelBundle) -> None:
    threads = SharedBatchScheduler(2, "shared")
    options = BatchingOptions(max_batch_size=8, max_execution_batch_size=8, max_enqueued_batches=1000)
    models = [BatchingSession(servable, options, threads) for _ in range(2)]
    definition = servable.signatures["rows"]

    def call(number: int) -> bool:
        x = np.full([1 + number % 3, 2], number, np.float32)
        fetches = [definition.outputs[alias].name for alias in ("double", "count")]
        doubles, counts = models[number % 2].run({definition.inputs["x"].name: x}, fetches, 20.0)
        return np.array_equal(doubles, x * 2) and counts[0] <= 8

    with ThreadPoolExecutor(16) as callers:
        assert all(callers.map(call, range(600)))
    threads.close()


# --- padding ---


def test_allowed_sizes_are_filled_with_the_first_row_of_the_last_request(batched: Any) -> None:
    model = batched(max_batch_size=8, allowed_batch_sizes=(2, 8), batch_timeout_micros=0, num_batch_threads=1)
    model.block()
    first, last = model.rows(1, 100.0), model.rows(2, 10.0)
    model.gate.open()
    assert answers(first, last) == [
        [[[200.0]], [8], [100.0 + 21.0 + 5 * 10.0]],
        [[[20.0], [22.0]], [8, 8], [171.0, 171.0]],
    ]
    assert answers(model.rows(2))[0][1] == [2, 2]


def test_variable_length_inputs_are_filled_with_their_first_value(batched: Any) -> None:
    model = batched(max_batch_size=2, pad_variable_length_inputs=True)
    assert answers(model.rows(1, 3.0, width=1), model.rows(1, 5.0, width=3)) == [
        [[[6.0, 6.0, 6.0]], [2], [24.0]],
        [[[10.0, 10.0, 10.0]], [2], [24.0]],
    ]


def test_large_requests_are_spread_over_batches(batched: Any) -> None:
    model = batched(
        max_batch_size=10,
        max_execution_batch_size=4,
        enable_large_batch_splitting=True,
        batch_timeout_micros=0,
        num_batch_threads=1,
    )
    model.block()
    small, large = model.rows(1, 100.0), model.rows(9)
    model.gate.open()
    assert answers(small)[0][1] == [4]
    doubles, counts, _ = answers(large)[0]
    assert doubles == [[2.0 * i] for i in range(9)]
    assert counts == [4] * 3 + [4] * 4 + [2] * 2


def test_parts_of_one_request_run_on_as_many_threads_as_there_are(batched: Any) -> None:
    model = batched(
        num_batch_threads=2,
        max_batch_size=2,
        max_execution_batch_size=1,
        enable_large_batch_splitting=True,
        batch_timeout_micros=0,
    )
    model.gate.shut()
    future = model.spin(7, rows=2)
    for _ in range(2):  # both parts have begun before either may end
        assert model.gate.entered.acquire(timeout=20)
    model.gate.open()
    assert answers(future) == [[[7, 7]]]


# --- refusals ---


def test_what_cannot_be_batched(batched: Any) -> None:
    model = batched(max_batch_size=2)
    wide, narrow = model.rows(1, width=2, outputs="double"), model.rows(1, width=1, outputs="double")
    name = model.model.signatures["rows"].inputs["x"].name
    text = (
        f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. Set "
        "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions "
        "starting with the first dim."
    )
    assert refused(wide) == refused(narrow) == (Code.FAILED_PRECONDITION, text)
    assert refused(model.ask("rows", "double", x=np.float32(1))) == (
        Code.INVALID_ARGUMENT,
        "Batching Run() input tensors must have at least one dimension",
    )
    assert refused(model.ask("pair", "joined", a=np.array([b"a"], object), b=np.array([1, 2]))) == (
        Code.INVALID_ARGUMENT,
        "Batching Run() input tensors must have equal 0th-dimension size",
    )
    assert refused(model.rows(3)) == (Code.INVALID_ARGUMENT, "Task size 3 is larger than maximum input batch size 2")
    assert refused(model.rows(2, outputs="scalar")) == (
        Code.FAILED_PRECONDITION,
        "Batched output tensor has 0 dimensions",
    )
    assert refused(model.rows(2, outputs="first")) == (
        Code.FAILED_PRECONDITION,
        "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors",
    )
    mixed = model.rows(1, outputs="double"), model.ask("rows", "double", x=np.ones([1, 1]))
    assert (
        refused(mixed[0])
        == refused(mixed[1])
        == (
            Code.INTERNAL,
            "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data "
            "types. Got float and double.",
        )
    )


def test_a_fault_of_the_run_goes_to_all_of_the_batch_as_the_unbatched_run_tells_it(
    batched: Any, servable: SavedModelBundle
) -> None:
    model = batched(max_batch_size=2)
    wrong = np.ones([1, 3], np.float32)
    both = model.ask("product", "y", x=wrong), model.ask("product", "y", x=wrong)
    assert refused(both[0]) == refused(both[1])
    definition = servable.signatures["product"]
    with pytest.raises(Fault) as caught:
        servable.run({definition.inputs["x"].name: wrong.repeat(2, 0)}, [definition.outputs["y"].name])
    assert refused(both[0]) == (caught.value.code, caught.value.message)
    assert caught.value.message.startswith("Matrix size-incompatible: In[0]: [2,3], In[1]: [2,1]")


def test_a_full_queue_refuses_and_recovers(batched: Any) -> None:
    model = batched(num_batch_threads=1, max_batch_size=1, max_enqueued_batches=2, batch_timeout_micros=0)
    busy = model.block()
    waiting = [model.spin(1), model.spin(2)]
    assert refused(model.spin(3)) == (
        Code.UNAVAILABLE,
        "The batch scheduling queue to which this task was submitted is full; currently 2 batches enqueued and "
        "max_enqueued_batches is 2",
    )
    model.gate.open()
    assert answers(busy, *waiting) == [[[0]], [[1]], [[2]]]
    assert answers(model.spin(4)) == [[[4]]]


def test_a_full_queue_that_splits_reports_its_capacity(batched: Any) -> None:
    model = batched(
        num_batch_threads=1,
        max_batch_size=10,
        max_execution_batch_size=2,
        max_enqueued_batches=2,
        enable_large_batch_splitting=True,
        batch_timeout_micros=0,
    )
    busy = model.block()
    waiting = model.spin(1)
    assert refused(model.spin(1, rows=4)) == (
        Code.UNAVAILABLE,
        "The batch scheduling queue to which this task was submitted is full; task size is 4 but scheduling capacity "
        "is only 3 (num_enqueued_batches=1, max_enqueued_batches=2, open_batch_size=1, max_execution_batch_size=2)",
    )
    last = model.spin(5, rows=3)
    model.gate.open()
    assert answers(busy, waiting, last) == [[[0, 0]], [[1]], [[5, 5, 5]]]


def test_deadlines(batched: Any) -> None:
    model = batched(num_batch_threads=1, max_batch_size=2, batch_timeout_micros=0)
    assert refused(model.spin(2**60, timeout=0.3))[0] is Code.DEADLINE_EXCEEDED
    assert model.gate.entered.acquire(timeout=20)
    busy = model.block()
    both_late = model.spin(1, timeout=1e-6), model.spin(2, timeout=2e-6)
    late, patient = model.spin(3, timeout=1e-6), model.spin(4)
    model.gate.open()
    busy.result(timeout=20)
    for future in both_late:
        assert refused(future) == (
            Code.RESOURCE_EXHAUSTED,
            "Run() timeout exceeded while waiting in batching queue",
        )
    assert answers(late, patient) == [[[3]], [[4]]], "the longest time of the batch counts"


# --- options ---


def parse(text: str) -> Any:
    return text_format.Parse(text, BatchingParameters())


def test_options_of_a_text() -> None:
    assert BatchingOptions.from_proto(parse("")) == BatchingOptions()
    assert (
        BatchingOptions().max_batch_size,
        BatchingOptions().batch_timeout_micros,
        BatchingOptions().max_enqueued_batches,
    ) == (
        1000,
        0,
        10,
    )
    assert BatchingOptions.from_proto(
        parse(
            "max_batch_size { value: 8 } batch_timeout_micros { value: 0 } max_enqueued_batches { value: 0 } "
            "num_batch_threads { value: 3 } thread_pool_name { value: 'p' } allowed_batch_sizes: [2, 8] "
            "pad_variable_length_inputs: true"
        )
    ) == BatchingOptions(8, 0, 1, 3, "p", (2, 8), True, False, 8)
    split = parse(
        "max_batch_size { value: 8 } enable_large_batch_splitting { value: True } max_execution_batch_size { value: 4 "
        "} allowed_batch_sizes: 1 allowed_batch_sizes: 4"
    )
    assert BatchingOptions.from_proto(split).max_execution_batch_size == 4
    split.ClearField("allowed_batch_sizes")
    split.ClearField("max_execution_batch_size")
    assert BatchingOptions.from_proto(split).max_execution_batch_size == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "allowed_batch_sizes: 4 max_batch_size { value: 8 }",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "allowed_batch_sizes: 8 max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 4 }",
            "Last entry in allowed_batch_sizes must be equal to max_execution_batch_size; last entry was 8; expected 4",
        ),
        (
            "allowed_batch_sizes: [4, 2, 8] max_batch_size { value: 8 }",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        ("max_batch_size { value: 0 }", "input_batch_size_limit must be positive; was 0"),
    ],
)
def test_options_out_of_range(text: str, message: str) -> None:
    with pytest.raises(Fault) as caught:
        BatchingOptions.from_proto(parse(text))
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


def test_options_of_each_version(servable: SavedModelBundle, tmp_path: Path) -> None:
    batching = BatchingSessionFactory(
        BatchingOptions(num_batch_threads=1, max_batch_size=7, max_execution_batch_size=7), per_model=True
    )
    assert batching.wrap(servable, str(tmp_path)) is servable
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    wrapped = batching.wrap(servable, str(tmp_path))
    definition = servable.signatures["rows"]
    with pytest.raises(Fault, match="Task size 3 is larger than maximum input batch size 2"):
        wrapped.run({definition.inputs["x"].name: np.ones([3, 1], np.float32)}, [definition.outputs["double"].name])
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size: 2")
    with pytest.raises(Fault, match="batching_params.pbtxt as BatchingParameters"):
        batching.wrap(servable, str(tmp_path))
    batching.close()


# --- what is left behind ---


def test_unloading_leaves_no_thread_and_no_model(folder: Path) -> None:
    others = set(threading.enumerate())  # another test's gRPC threads may end in the meantime, so none are counted
    batching = BatchingSessionFactory(BatchingOptions(num_batch_threads=2, batch_timeout_micros=1000))
    workers = set(threading.enumerate()) - others
    assert len(workers) == 2
    loaded = SavedModelBundle(str(folder))
    model = batching.wrap(loaded, str(folder))
    definition = model.signatures["rows"]
    feeds = {definition.inputs["x"].name: np.ones([2, 1], np.float32)}
    for _ in range(3):
        assert model.run(feeds, [definition.outputs["count"].name])[0].tolist() == [2, 2]
    gone = weakref.ref(loaded)
    model.close()
    assert set(threading.enumerate()) - others == workers
    del loaded, model, definition
    gc.collect()
    assert gone() is None
    batching.close()
    assert set(threading.enumerate()) <= others
