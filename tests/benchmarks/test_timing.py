"""The clock of the benchmarks: equal sides are equal, and one that takes twice as long has half the rate."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import timing
from benchmarks.timing import Laps, Side, Span, cost_ratio, counted, once, rate_ratio, time_side, time_sides


class Hours:
    """A clock that only the sides move, so that no other work on the machine changes a result."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def side(self, pause: float, start: float = 0.0, steps: int = 10**6, size: int = 1) -> Side:
        """Return a side that takes `start` seconds before its first step, and `pause` seconds for each."""

        def steps_of() -> Generator[int, None, None]:
            self.now += start
            for _ in range(steps):
                self.now += pause
                yield size

        return steps_of

    def time(self, warm_up: float = 0.0, window: float | None = None, **sides: Side) -> dict[str, list[Span]]:
        return time_sides(sides, 3, warm_up=warm_up, window=window, clock=self)


def test_two_equal_sides_have_the_same_rate() -> None:
    hours = Hours()
    spans = hours.time(0.05, 0.2, ours=hours.side(0.01), peer=hours.side(0.01))
    assert rate_ratio(spans["ours"], spans["peer"]) == pytest.approx(1.0)


def test_a_side_that_takes_twice_as_long_has_half_the_rate() -> None:
    hours = Hours()
    spans = hours.time(0.05, 0.2, ours=hours.side(0.02), peer=hours.side(0.01))
    assert rate_ratio(spans["ours"], spans["peer"]) == pytest.approx(0.5)
    assert rate_ratio(spans["peer"], spans["ours"]) == pytest.approx(2.0)
    assert [round(one.rate, 6) for one in spans["peer"]] == [100.0] * 3


def test_the_start_counts_on_no_side_or_on_both() -> None:
    hours = Hours()
    warm = hours.time(0.02, 0.2, ours=hours.side(0.01, start=0.3), peer=hours.side(0.01))
    assert rate_ratio(warm["ours"], warm["peer"]) == pytest.approx(1.0)
    cold = hours.time(ours=hours.side(0.01, 0.3, steps=10), peer=hours.side(0.01, steps=10))
    assert [one[0].seconds for one in cold.values()] == pytest.approx([0.4, 0.1])


def test_large_steps_count_as_much_as_small_ones() -> None:
    """A side that hands out 8 at once after 80 ms is as fast as one that hands out 1 after 10 ms."""
    hours = Hours()
    spans = hours.time(0.02, 0.3, ours=hours.side(0.08, size=8), peer=hours.side(0.01))
    assert rate_ratio(spans["ours"], spans["peer"]) == pytest.approx(1.0)


def worker(loops: int) -> Side:
    """Return a side that computes."""

    def side() -> Generator[int, None, None]:
        while True:
            sum(range(loops))
            yield 1

    return side


def test_cpu_time_of_equal_and_of_double_work() -> None:
    sides = {"ours": worker(20_000), "equal": worker(20_000), "half": worker(10_000)}
    spans = time_sides(sides, 5, warm_up=0.02, window=0.1)
    assert cost_ratio(spans["ours"], spans["equal"]) == pytest.approx(1.0, abs=0.2)
    assert cost_ratio(spans["ours"], spans["half"]) == pytest.approx(0.5, abs=0.15)


def test_child_processes_count() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    ended = time_side(once(lambda: subprocess.run([sys.executable, "-c", busy], check=True)))
    assert ended.count == 1 and 0.28 <= ended.processor <= ended.seconds + 0.1

    def beside_a_child() -> Generator[int, None, None]:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
            try:
                while True:
                    time.sleep(0.05)
                    yield 1
            finally:
                child.kill()

    assert time_side(beside_a_child, warm_up=0.1, window=0.4).processor > 0.03


def test_a_side_that_ends_too_early_is_an_error() -> None:
    hours = Hours()
    for warm_up, window in ((0.0, 0.5), (0.5, 0.1), (0.5, None)):
        with pytest.raises(ValueError, match="ended before its span"):
            hours.time(warm_up, window, ours=hours.side(0.01, steps=3))


def test_a_side_is_closed_before_the_next_one_begins() -> None:
    events = []

    def side() -> Generator[int, None, None]:
        events.append("open")
        try:
            while True:
                yield 1
        finally:
            events.append("close")

    time_sides({"a": side, "b": side}, 2, window=0.01)
    assert events == ["open", "close"] * 4


def test_each_round_begins_with_another_side() -> None:
    order: list[str] = []
    sides = {name: once(lambda name=name: order.append(name)) for name in "abc"}  # type: ignore[misc]
    time_sides(sides, 3)
    assert "".join(order) == "abcbcacab"


def test_a_side_of_another_type_or_size_is_not_timed() -> None:
    shape = (8, 6, 3)
    assert list(counted([(np.zeros((5, 8, 6, 3), np.float32), 0)] * 2, shape)) == [5, 5]
    for batch in (np.zeros((5, 8, 6, 3), np.uint8), np.zeros((5, 6, 8, 3), np.float32)):
        with pytest.raises(AssertionError, match=r"not float32 \[N"):
            list(counted([(batch, 0)], shape))


def test_laps_follow_each_other() -> None:
    start = time.perf_counter()
    laps = Laps()
    for count in (1, 2, 3):
        laps.lap(count)
    assert [one.count for one in laps.spans] == [1, 2, 3]
    assert 0 < sum(one.seconds for one in laps.spans) <= time.perf_counter() - start


def test_no_benchmark_has_a_clock_of_its_own() -> None:
    """Callers of a server measure the latency of each answer; `benchmarks.scale` compares us only with ourselves."""
    own = re.compile(r"perf_counter|process_time|time\.time\(|timeit")
    files = Path(timing.__file__).parent.glob("*.py")
    found = {file.name for file in files if own.search(file.read_text())}
    assert found - {"scale.py", "scale_once.py"} == {"timing.py", "serving_load.py"}
