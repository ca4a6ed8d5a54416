"""Metrics: their text in Prometheus' own parser, counting from many threads, and the monitoring file."""

from __future__ import annotations

import threading

import grpc
import pytest
from google.protobuf import text_format
from prometheus_client.parser import text_string_to_metric_families

from serving.server.config.protos import MonitoringConfig
from serving.server.metrics import MAX_CELLS, Counter, Metrics, Sampler, prometheus_name, prometheus_path
from serving.server.rpc_error import Fault


def test_names_become_prometheus_names() -> None:
    assert prometheus_name("/tensorflow/serving/request_count") == ":tensorflow:serving:request_count"
    assert prometheus_name("/tensorflow/a-b.c") == ":tensorflow:a:b:c"


def test_a_value_at_a_limit_is_in_the_next_bucket() -> None:
    histogram = Sampler("/h", (1.0, 2.0, 4.0), "model")
    for value in (0.5, 1.0, 2.0, 3.9, 4.0, 100.0):
        histogram.add(value, "m")
    assert histogram.lines() == [
        ':h_bucket{model="m",le="1"} 1',
        ':h_bucket{model="m",le="2"} 2',
        ':h_bucket{model="m",le="4"} 4',
        ':h_bucket{model="m",le="+Inf"} 6',
        ':h_sum{model="m"} 111.4',
        ':h_count{model="m"} 6',
    ]


def test_latency_buckets_are_tensorflow_servings() -> None:
    metrics = Metrics()
    metrics.request_latency.add(5, "m", "Predict", "GRPC")
    limits = [line.split('le="')[1].split('"')[0] for line in metrics.request_latency.lines()[:-2]]
    assert len(limits) == 34
    assert limits[:6] == ["10", "18", "32.4", "58.32", "104.976", "188.957"]
    assert limits[-2:] == ["1.47476e+09", "+Inf"]  # 10 * 1.8^32


def test_prometheus_parses_the_text() -> None:
    metrics = Metrics()
    awkward = 'a"b\\c'
    with metrics.track_request(awkward, "Predict", "GRPC"):
        pass
    with pytest.raises(Fault), metrics.track_request(awkward, "Predict", "GRPC"):
        raise Fault(grpc.StatusCode.NOT_FOUND, "")
    with pytest.raises(ZeroDivisionError), metrics.track_request(awkward, "Predict", "GRPC"):
        raise ZeroDivisionError
    metrics.count_examples(awkward, 3)
    found = {family.name: family for family in text_string_to_metric_families(metrics.prometheus_text())}
    counts = {sample.labels["status"]: sample.value for sample in found[":tensorflow:serving:request_count"].samples}
    assert counts == {"OK": 1, "NOT_FOUND": 1, "UNKNOWN": 1}
    latency = found[":tensorflow:serving:request_latency"]
    assert latency.type == "histogram"
    last = [sample for sample in latency.samples if sample.name.endswith("_count")]
    assert [sample.value for sample in last] == [1]
    assert last[0].labels == {"model_name": awkward, "API": "Predict", "entrypoint": "GRPC"}


def test_threads_lose_no_count() -> None:
    counter, histogram = Counter("/c", "model"), Sampler("/h", (1.0,), "model")

    def count() -> None:
        for _ in range(5000):
            counter.add(1, "m")
            histogram.add(1, "m")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.lines() == [':c{model="m"} 40000']
    assert histogram.lines()[-1] == ':h_count{model="m"} 40000'


def test_invented_names_do_not_fill_the_memory() -> None:
    counter, histogram = Counter("/c", "model"), Sampler("/h", (), "model")
    for number in range(MAX_CELLS + 10):
        counter.add(1, str(number))
        histogram.add(1, str(number))
    counter.add(1, "0")
    assert len(counter.lines()) == MAX_CELLS and ':c{model="0"} 2' in counter.lines()
    assert len(histogram.lines()) == 3 * MAX_CELLS


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { path: '/x' }", None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config: { enable: true, path: "/x" }', "/x"),
    ],
)
def test_the_monitoring_file(text: str, path: str | None) -> None:
    assert prometheus_path(text_format.Parse(text, MonitoringConfig())) == path


def test_a_counter_s_value_is_that_of_all_its_labels() -> None:
    metrics = Metrics()
    metrics.request_count.add(2, "a", "OK")
    metrics.request_count.add(3, "b", "NOT_FOUND")
    assert metrics.counter_total("/tensorflow/serving/request_count") == 5
    assert metrics.counter_total("/tensorflow/serving/request_latency") == metrics.counter_total("/no/such") == 0
