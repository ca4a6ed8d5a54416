"""Counters and histograms of the server, and their text for Prometheus as TensorFlow Serving writes it.

prometheus_client cannot write that text: for `request_count` it prints `request_count_total` and an additional
`request_count_created`.
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from serving.server.rpc_error import Fault

Labels = tuple[str, ...]
LATENCY_US = tuple(10 * 1.8**power for power in range(33))  # TensorFlow Serving's buckets: 10 us to about 25 min
MAX_CELLS = 10_000  # of one metric: labels come from requests, and invented model names must not fill the memory
POWERS_OF_2 = tuple(2.0**power for power in range(15))
DEFAULT_PATH = "/monitoring/prometheus/metrics"


class Counter:
    """Numbers that only grow, one for each set of label values; may be used from any thread."""

    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        """Create a counter without values.

        Args:
          name: TensorFlow's name, such as `/tensorflow/serving/request_count`.
          labels: names of the labels, in TensorFlow's order.
        """
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: dict[Labels, int] = {}

    def add(self, number: int, *values: str) -> None:
        """Add to the count of these label values."""
        with self._lock:
            if values in self._counts or len(self._counts) < MAX_CELLS:
                self._counts[values] = self._counts.get(values, 0) + number

    def total(self) -> int:
        """Return the sum over all label values."""
        with self._lock:
            return sum(self._counts.values())

    def lines(self) -> list[str]:
        """Return a line for each set of label values, sorted by them."""
        with self._lock:
            counts = sorted(self._counts.items())
        name = prometheus_name(self.name)
        return [f"{name}{{{_pairs(self._labels, values)}}} {count}" for values, count in counts]


class Sampler:
    """A histogram, which TensorFlow calls a sampler: counts of values in buckets; may be used from any thread.

    A value equal to a bucket's limit falls into the next bucket, as in TensorFlow.
    """

    kind = "histogram"

    def __init__(self, name: str, limits: Sequence[float], *labels: str) -> None:
        """Create a histogram without values.

        Args:
          name: TensorFlow's name.
          limits: upper limits of the buckets, in ascending order; a last bucket without a limit is added.
          labels: names of the labels.
        """
        self.name = name
        self._limits = tuple(limits)
        self._labels = labels
        self._lock = threading.Lock()
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def add(self, value: float, *values: str) -> None:
        """Count a value under these label values."""
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
        """Return the cumulative buckets, the sum and the count for each set of label values."""
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
    """The metrics that TensorFlow Serving has; latencies are in microseconds.

    Attributes:
      request_count: Predict, Classify and Regress requests over gRPC and REST, by their final status.
      request_latency: latency of those that ended OK; the entry point is GRPC or REST.
      runtime_latency: latency of the session's run alone.
      request_example_counts: number of tf.Examples in each request.
      request_example_count_total: their sum.
      model_warmup_latency: duration of the warm-up of each version.
      model_warmup_records_read: number of requests in each warm-up.
      queuing_latency: time in the queue of the batching session; never filled.
      wrapped_run_count: runs of the batching session; never filled.
    """

    def __init__(self) -> None:
        root = "/tensorflow/serving"
        self.request_count = Counter(f"{root}/request_count", "model_name", "status")
        self.request_latency = Sampler(f"{root}/request_latency", LATENCY_US, "model_name", "API", "entrypoint")
        self.runtime_latency = Sampler(f"{root}/runtime_latency", LATENCY_US, "model_name", "API", "runtime")
        self.request_example_counts = Sampler(f"{root}/request_example_counts", POWERS_OF_2, "model")
        self.request_example_count_total = Counter(f"{root}/request_example_count_total", "model")
        self.model_warmup_latency = Sampler(f"{root}/model_warmup_latency", LATENCY_US, "model_path", "status")
        self.model_warmup_records_read = Counter(f"{root}/model_warmup_records_read", "model_path", "status")
        self.queuing_latency = Sampler(f"{root}/batching_session/queuing_latency", LATENCY_US)
        self.wrapped_run_count = Counter(f"{root}/batching_session/wrapped_run_count")

    @contextmanager
    def track_request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Count a request by its final status, and record its latency if it ends OK.

        Args:
          model: name in the request, even if there is no such model: TensorFlow Serving counts it too.
          api: API, such as `Predict`, or `predict` over REST.
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

    def count_examples(self, model: str, count: int) -> None:
        """Count the tf.Examples of one request."""
        self.request_example_counts.add(count, model)
        self.request_example_count_total.add(count, model)

    def count_warm_up(self, folder: str, status: str, micros: int, records: int) -> None:
        """Count the warm-up of one version."""
        self.model_warmup_latency.add(micros, folder, status)
        self.model_warmup_records_read.add(records, folder, status)

    def counter_total(self, name: str) -> int:
        """Return a counter's total by TensorFlow's name; 0 for a histogram or an unknown name."""
        return sum(
            metric.total() for metric in vars(self).values() if isinstance(metric, Counter) and metric.name == name
        )

    def prometheus_text(self) -> str:
        """Return Prometheus' text of all metrics, sorted by name; a metric without values has only its TYPE line."""
        lines = []
        for metric in sorted(vars(self).values(), key=lambda metric: metric.name):
            lines += [f"# TYPE {prometheus_name(metric.name)} {metric.kind}", *metric.lines()]
        return "\n".join(lines) + "\n"


def prometheus_name(name: str) -> str:
    """Return a TensorFlow metric's name in Prometheus, with a colon for every character but letters, digits and `_`."""
    return re.sub(r"[^a-zA-Z0-9_]", ":", name)


def prometheus_path(config: Any) -> str | None:
    """Return the path of the metrics on the REST port.

    Args:
      config: `tensorflow.serving.MonitoringConfig`, from `--monitoring_config_file`.

    Returns:
      The path, or None if the config does not enable Prometheus.
    """
    prometheus = config.prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else None


def _pairs(labels: Sequence[str], values: Labels) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return ",".join(f'{label}="{value}"' for label, value in zip(labels, escaped, strict=True))
