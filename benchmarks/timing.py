"""The clock of all benchmarks: every side over the same span, after the same warm-up, in turn with the others."""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
Clock = Callable[[], float]
Side = Callable[[], Generator[int, None, None]]
"""Begins one side's work anew. Each step yields how many pictures (or runs, or answers) came out of it."""


@dataclass(frozen=True)
class Span:
    """What came out of a side in its span.

    Attributes:
      count: Number of pictures, runs or answers.
      seconds: Of wall-clock time.
      processor: CPU seconds of this process and its child processes.
    """

    count: int
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        """Number per second."""
        return self.count / self.seconds

    @property
    def cost(self) -> float:
        """CPU seconds for each."""
        return self.processor / self.count


def run_alternately(ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run every implementation once per round.

    Each round begins with another one, so that a slow phase of the machine slows all of them.

    Returns:
      The results of each implementation, by round.
    """
    names = list(ways)
    results: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            gc.collect()  # what the side before has left must not run on
            results[name].append(ways[name]())
    return results


def time_sides(
    sides: Mapping[str, Side],
    rounds: int,
    *,
    warm_up: float = 0.0,
    window: float | None = None,
    clock: Clock = time.perf_counter,
) -> dict[str, list[Span]]:
    """Time every side once in each round, in the order of `run_alternately`.

    Args:
      sides: Sides by name.
      rounds: Number of rounds.
      warm_up: Seconds that each side runs before its span begins; 0: the span includes the start.
      window: Seconds that each span lasts, to the end of a step; None: until the side ends.
      clock: Returns the seconds since some moment.

    Returns:
      The spans of each side, by round.
    """

    def timed(side: Side) -> Span:
        return time_side(side, warm_up, window, clock)

    gc.freeze()  # what lives already need not be looked through each time
    try:
        return run_alternately({name: partial(timed, side) for name, side in sides.items()}, rounds)
    finally:
        gc.unfreeze()


def time_side(side: Side, warm_up: float = 0.0, window: float | None = None, clock: Clock = time.perf_counter) -> Span:
    """Time one side; see `time_sides`.

    With a warm-up, the span begins at the end of a step. It always ends at one.

    Raises:
      ValueError: If the side ends before its span does.
    """
    begin, start, used, count = clock(), 0.0, 0.0, -1
    if not warm_up:
        start, used, count = begin, _processor_seconds(), 0
    steps = side()
    try:
        for step in steps:
            now = clock()
            if count < 0 and now - begin >= warm_up:
                start, used, count = now, _processor_seconds(), 0
            elif count >= 0:
                count += step
                if window is not None and now - start >= window:
                    return Span(count, now - start, _processor_seconds() - used)
        seconds = clock() - start
        if window is not None or count <= 0:
            raise ValueError("a side ended before its span; give it more to do")
        return Span(count, seconds, _processor_seconds() - used)
    finally:
        steps.close()


def once(work: Callable[[], object]) -> Side:
    """Return a side that does the work once, which counts as 1; time it without a warm-up and without a window."""

    def steps() -> Generator[int, None, None]:
        work()
        yield 1

    return steps


def counted(batches: Iterable[Any], shape: tuple[int, ...]) -> Generator[int, None, None]:
    """Yield the number of pictures in each batch, so that all sides end in the same type and size.

    Args:
      batches: Sequences whose first item is the pictures, of numpy, TensorFlow or PyTorch.
      shape: Of one picture.

    Raises:
      AssertionError: If a batch is not float32 [N, *shape].
    """
    for images, *_ in batches:
        if tuple(images.shape[1:]) != shape or "float32" not in str(images.dtype):
            raise AssertionError(f"a batch is {images.dtype} {tuple(images.shape)}, not float32 [N, *{shape}]")
        yield len(images)


class Laps:
    """The spans between calls of `lap`, for what ends inside of other code, as the epochs of Keras' `fit` do.

    Attributes:
      spans: One for each lap; the first begins with this object.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._since = time.perf_counter(), _processor_seconds()

    def lap(self, count: int = 1) -> None:
        """End a span in which `count` came out, and begin the next one."""
        (start, used), self._since = self._since, (time.perf_counter(), _processor_seconds())
        self.spans.append(Span(count, self._since[0] - start, self._since[1] - used))


def rate_ratio(ours: Sequence[Span], peer: Sequence[Span]) -> float:
    """Return how many times the peer's rate ours is: the median of the rounds."""
    return statistics.median(one.rate / other.rate for one, other in zip(ours, peer, strict=True))


def cost_ratio(ours: Sequence[Span], peer: Sequence[Span]) -> float:
    """Return how many times our CPU time the peer takes; other work on the machine disturbs it less than the rate."""
    return statistics.median(other.cost / one.cost for one, other in zip(ours, peer, strict=True))


def _processor_seconds() -> float:
    """Return the CPU time of this process, of its child processes, and of those that have ended."""
    ended = os.times()
    seconds = time.process_time() + ended.children_user + ended.children_system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(child.cpu_times()[:4])  # user, system, and those of its ended children
    return seconds
