"""Counters and histograms of the server, and Prometheus' text of them as TensorFlow Serving writes it.

prometheus_client cannot: it prints `request_count_total`, and a `request_count_created` beside it, for `request_count`.
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from serving.server.rpc_error import Fault

Labels = tuple[str, ...]
LATENCY_US = tuple(10 * 1.8**power for power in range(33))  # TF Serving's buckets: 10 us to about 25 min
MAX_CELLS = 10_000  # of one metric: labels come from requests, and made-up model names must not fill the memory
POWERS_OF_2 = tuple(2.0**power for power in range(15))


class Counter:
    """Numbers that only grow, one for each set of label values; safe to use from any thread."""

    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        """Args:
        name: TensorFlow's, such as `/tensorflow/serving/request_count`.
        labels: names of the labels, in TensorFlow's order.
        """
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: dict[Labels, int] = {}

    def add(self, number: int, *values: str) -> None:
        """Adds to the count of these label values."""
        with self._lock:
            if values in self._counts or len(self._counts) < MAX_CELLS:
                self._counts[values] = self._counts.get(values, 0) + number

    def total(self) -> int:
        """The sum over all label values."""
        with self._lock:
            return sum(self._counts.values())

    def lines(self) -> list[str]:
        """A line for each set of label values, sorted by them."""
        with self._lock:
            counts = sorted(self._counts.items())
        return [f"{prometheus_name(self.name)}{{{_pairs(self._labels, values)}}} {count}" for values, count in counts]


class Histogram:
    """Counts by size; a value equal to a bucket's limit falls into the next bucket, as in TensorFlow."""

    kind = "histogram"

    def __init__(self, name: str, limits: Sequence[float], *labels: str) -> None:
        """Args:
        name: TensorFlow's.
        limits: upper limits of the buckets, ascending; one without a limit is added.
        labels: names of the labels.
        """
        self.name = name
        self._limits = tuple(limits)
        self._labels = labels
        self._lock = threading.Lock()
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def add(self, value: float, *values: str) -> None:
        """Counts a value under these label values."""
        bucket = bisect_right(self._limits, value)
        with self._lock:
            if values not in self._buckets:
                if len(self._buckets) >= MAX_CELLS:
                    return
                self._buckets[values] = [0] * (len(self._limits) + 1)
                self._sums[values] = 0.0
            self._buckets[values][bucket] += 1
            self._sums[values] += value

    def lines(self) -> list[str]:
        """Cumulative buckets, sum and count for each set of label values."""
        with self._lock:
            cells = sorted((values, list(buckets), self._sums[values]) for values, buckets in self._buckets.items())
        name = prometheus_name(self.name)
        lines = []
        for values, buckets, total in cells:
            labels = _pairs(self._labels, values)
            count = 0
            for limit, number in zip((*(f"{limit:g}" for limit in self._limits), "+Inf"), buckets, strict=True):
                count += number
                lines.append(f'{name}_bucket{{{labels + "," if labels else ""}le="{limit}"}} {count}')
            lines += [f"{name}_sum{{{labels}}} {total:g}", f"{name}_count{{{labels}}} {count}"]
        return lines


class Metrics:
    """What TensorFlow Serving counts; latencies in microseconds.

    Attributes:
      request_count: Predict, Classify and Regress, over gRPC and REST, by the status they ended with.
      request_latency: of those that ended OK; the entry point is GRPC or REST.
      runtime_latency: of the session's run alone.
      request_example_counts: tf.Examples in a request; `request_example_count_total` is their sum.
      model_warmup_latency: of the whole warm-up of one version; `model_warmup_records_read` counts its requests.
      queuing_latency, wrapped_run_count: of the batching session.
    """

    def __init__(self) -> None:
        root = "/tensorflow/serving"
        self.request_count = Counter(f"{root}/request_count", "model_name", "status")
        self.request_latency = Histogram(f"{root}/request_latency", LATENCY_US, "model_name", "API", "entrypoint")
        self.runtime_latency = Histogram(f"{root}/runtime_latency", LATENCY_US, "model_name", "API", "runtime")
        self.request_example_counts = Histogram(f"{root}/request_example_counts", POWERS_OF_2, "model")
        self.request_example_count_total = Counter(f"{root}/request_example_count_total", "model")
        self.model_warmup_latency = Histogram(f"{root}/model_warmup_latency", LATENCY_US, "model_path", "status")
        self.model_warmup_records_read = Counter(f"{root}/model_warmup_records_read", "model_path", "status")
        self.queuing_latency = Histogram(f"{root}/batching_session/queuing_latency", LATENCY_US)
        self.wrapped_run_count = Counter(f"{root}/batching_session/wrapped_run_count")

    @contextmanager
    def request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request by the status it ends with, and its latency where it ends OK.

        Args:
          model: the name that was asked for; an unknown one, too, as TensorFlow Serving does.
          api: such as `Predict`, or over REST `predict`.
          entrypoint: `GRPC` or `REST`.
        """
        start = time.perf_counter_ns()
        status = "UNKNOWN"
        try:
            yield
            status = "OK"
        except Fault as fault:
            status = fault.code.name
            raise
        finally:
            self.request_count.add(1, model, status)
        self.request_latency.add((time.perf_counter_ns() - start) // 1000, model, api, entrypoint)

    def examples(self, model: str, count: int) -> None:
        """Counts the tf.Examples of one request."""
        self.request_example_counts.add(count, model)
        self.request_example_count_total.add(count, model)

    def warmed_up(self, folder: str, status: str, micros: int, records: int) -> None:
        """Counts the warm-up of one version."""
        self.model_warmup_latency.add(micros, folder, status)
        self.model_warmup_records_read.add(records, folder, status)

    def value(self, name: str) -> int:
        """A counter's total by TensorFlow's name; 0 for one that is not there, and for a histogram."""
        return sum(one.total() for one in vars(self).values() if isinstance(one, Counter) and one.name == name)

    def page(self) -> str:
        """Prometheus' text of all metrics, sorted by name; one without values has its TYPE line only."""
        lines = []
        for metric in sorted(vars(self).values(), key=lambda metric: metric.name):
            lines += [f"# TYPE {prometheus_name(metric.name)} {metric.kind}", *metric.lines()]
        return "\n".join(lines) + "\n"


def prometheus_name(name: str) -> str:
    """A TensorFlow metric's name in Prometheus: every character that is no letter, digit or `_` becomes a colon."""
    return re.sub(r"[^a-zA-Z0-9_]", ":", name)


def _pairs(labels: Sequence[str], values: Labels) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return ",".join(f'{label}="{value}"' for label, value in zip(labels, escaped, strict=True))
