"""Shards in a bucket, read by TensorFlow's own client: the order of a disk, and several downloads at a time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.input.reader import ReadConfig, read_batches
from data.spec import LABEL, VECTOR, Number, Vector
from tests.data.input.fake_bucket import FakeBucket
from tests.data.input.vector_shards import write_vector_shards

COUNTS = (30, 1, 41, 12, 17, 22, 9, 35)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBucket]:
    (tmp_path / "objects").mkdir()
    with FakeBucket(tmp_path / "objects", tmp_path) as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


def test_the_next_epochs_are_read_ahead(bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one batch, here a whole epoch, many more epochs are read. Without the reading ahead it is a few."""
    (file,) = write_vector_shards(bucket.objects, (20,))
    downloads: list[tuple[object, ...]] = []
    answer = bucket.download

    def count_and_answer(*asked: Any) -> bytes:
        downloads.append(asked)
        return answer(*asked)

    monkeypatch.setattr(bucket, "download", count_and_answer)
    config = ReadConfig(
        [f"gs://b/{Path(file).name}"], 20, Vector(2), Number(), lambda raw: {VECTOR: raw[VECTOR], LABEL: raw[LABEL]}, 20
    )
    passes = iter(read_batches(config, cache_bytes=0, seed=7).passes())
    next(passes)
    end = time.monotonic() + 30
    while len(downloads) < 16 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(downloads) >= 16


@pytest.mark.parametrize(("seed", "together"), [(7, 4), (None, 2)])
def test_the_order_is_that_of_a_disk_and_files_are_read_side_by_side(
    bucket: FakeBucket, seed: int | None, together: int
) -> None:
    bucket.together = together
    files = write_vector_shards(bucket.objects, COUNTS)
    local = ReadConfig(
        files, sum(COUNTS), Vector(2), Number(), lambda raw: {VECTOR: raw[VECTOR], LABEL: raw[LABEL]}, 10
    )
    remote = dataclasses.replace(local, files=[f"gs://b/{Path(file).name}" for file in files])
    for epoch in (0, 1):
        expected, found = (
            list(read_batches(one, cache_bytes=0, seed=seed).one_pass(epoch).as_numpy_iterator())
            for one in (local, remote)
        )
        assert len(found) == len(expected)
        for batch, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(batch[1], other[1])
    assert bucket.most >= together
