"""A model is evaluated on a sample of very many held-out examples: the same in each evaluation."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

import numpy as np
import pytest

from components.release import sample
from components.release.measures import ACCURACY
from components.release.predictions import read_predictions
from components.release.sample import EvaluationSample
from components.task.task import Task
from data.sources import Csv
from data.spec import Classes, Vector
from pipeline.report.collect import summarize_evaluation
from tests.components.release.judge import CLASSES, Judge, place_records
from tests.tasks.tiny import TASK

ROWS: Task = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Classes())
COUNT = 300


def test_the_metrics_are_those_of_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(COUNT, 3)).astype(np.float32), rng.integers(0, 3, COUNT)
    records = place_records(features, [CLASSES[label] for label in labels])
    judge = Judge(tmp_path, ROWS, records)
    whole, _ = judge(np.eye(3, dtype=np.float32))
    assert (whole.examples, whole.held_out) == (COUNT, 0)
    monkeypatch.setattr(sample, "MOST", COUNT // 3)
    rows = [number for number, record in enumerate(records) if zlib.crc32(record) / 2**32 < 1 / 3]
    assert COUNT // 4 < len(rows) < COUNT // 2
    for baseline in (None, np.ones((3, 3), np.float32)):
        found, _ = judge(np.eye(3, dtype=np.float32), baseline)
        assert (found.examples, found.held_out) == (len(rows), COUNT)
        right = features[rows].argmax(axis=1) == labels[rows]
        assert found.metrics["overall"][ACCURACY] == pytest.approx(right.mean())
        kept = read_predictions(judge.evaluation)
        assert kept is not None
        assert sorted(map(tuple, kept.vectors)) == sorted(map(tuple, features[rows]))
    summary = summarize_evaluation(found, ACCURACY, "", judge.evaluation)
    assert summary.held_out == COUNT


def test_of_few_examples_all_are_evaluated() -> None:
    assert (
        EvaluationSample.of(0).is_whole
        and EvaluationSample.of(sample.MOST).is_whole
        and b"any" in EvaluationSample.of(sample.MOST)
    )
    assert EvaluationSample.of(4 * sample.MOST).share == 0.25


def test_the_share_is_kept() -> None:
    records = [np.random.default_rng(number).bytes(40) for number in range(20_000)]
    for share in (0.5, 0.1, 0.01):
        count = sum(record in EvaluationSample(0, share) for record in records)
        assert abs(count - share * len(records)) < 5 * (share * len(records)) ** 0.5
