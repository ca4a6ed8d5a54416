"""Plan files: every item in one shard, the order by the seed and not by the listing, and small shards."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.files import spool
from data.ingest.plan_files import MIN_SHARDS, RECORDS_PER_SHARD, make_shards
from data.sources import ImageFolder, Plan
from data.spec import Image, Labels


def items_of(plan: Plan, seed: int, folder: Path) -> list[list[Any]]:
    return [shard.read_items() for shard in make_shards(plan, seed, str(folder))]


@pytest.mark.parametrize("records_per_item", [1, 64])
@pytest.mark.parametrize("count", [1, 7, 128, 129, 1023, 1024, 1025, 40_000, 100_001])
def test_shards_hold_every_item_once_and_are_of_like_size(count, records_per_item, tmp_path):
    items = -(-count // records_per_item)
    plan = Plan({"train": range(items), "eval": range(items, items + 5)}, records_per_item)
    shards = make_shards(plan, 3, str(tmp_path))
    assert sorted(item for shard in shards for item in shard.read_items()) == list(range(items + 5))
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert {shard.count for shard in shards} == {len(shards)}
    train = [shard for shard in shards if shard.split == "train"]
    assert {item for shard in train for item in shard.read_items()} == set(range(items))
    assert max(len(shard.read_items()) for shard in train) * records_per_item <= RECORDS_PER_SHARD + records_per_item
    if count >= 1024 and records_per_item == 1:
        assert len(train) >= MIN_SHARDS


def test_shards_by_hand(tmp_path):
    def number(count: int) -> int:
        return len(make_shards(Plan({"": range(count)}), 0, str(tmp_path)))

    assert [number(count) for count in (1, 128, 129, 1024, 10_000, 8 * 4096, 8 * 4096 + 1)] == [1, 1, 2, 8, 8, 8, 9]


def test_the_seed_decides_the_order_of_items(tmp_path):
    plan = Plan({"": [f"{i}.jpg" for i in range(500)]})

    def order(seed: int) -> list[str]:
        return [item for shard in make_shards(plan, seed, str(tmp_path)) for item in shard.read_items()]

    assert order(1) == order(1) != order(2) and sorted(order(1)) == sorted(order(2)) == sorted(plan.splits[""])
    assert order(1)[:125] != plan.splits[""][:125]


@pytest.mark.parametrize("in_order", [True, False])
def test_on_disk_and_in_memory_the_order_is_the_same(
    in_order: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan({"": [(f"c{i % 3}/{i}.jpg", f"c{i % 3}") for i in range(5000)]}, in_order=in_order)
    expected = items_of(plan, 3, tmp_path / "memory")
    monkeypatch.setattr(spool, "_BUFFERED", 37)
    assert items_of(plan, 3, tmp_path / "disk") == expected


def test_the_order_of_the_listing_decides_nothing_if_it_is_not_fixed(tmp_path: Path) -> None:
    listed = [(f"c{i % 3}/{i}.jpg", f"c{i % 3}") for i in range(3000)]
    expected = items_of(Plan({"": listed}, in_order=False), 0, tmp_path)
    others: list[Sequence[Any]] = [listed[::-1], random.Random(0).sample(listed, len(listed))]
    for other in others:
        assert items_of(Plan({"": other}, in_order=False), 0, tmp_path) == expected
        assert items_of(Plan({"": other}), 0, tmp_path) != expected


@pytest.mark.parametrize("label", [None, Labels()])
def test_a_folder_is_planned_alike_however_it_was_written(
    label: Labels | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its entries come in pieces, and its items and groups are on disk."""
    names = [f"{name}/{number}.jpg" for number in range(200) for name in ("a", "b", "c") if number % 5 or name != "b"]
    for folder, order in (("one", names), ("two", random.Random(1).sample(names, len(names)))):
        for name in order:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).touch()
    expected = items_of(ImageFolder().plan(str(tmp_path / "one"), Image(4, 4), label), 0, tmp_path / "plan")
    assert sum(map(len, expected)) == (200 if label else len(names))
    for module, limit in (("listing", "_SORTED"), ("spool", "_CHUNK"), ("spool", "_BUFFERED")):
        monkeypatch.setattr(f"data.files.{module}.{limit}", 7)
    found = items_of(ImageFolder().plan(str(tmp_path / "two"), Image(4, 4), label), 0, tmp_path / "plan")
    assert found == expected


def test_the_shards_of_a_million_items_are_small(tmp_path: Path) -> None:
    """Beam holds them in its job graph, which Dataflow limits to 10 MB."""
    shards = make_shards(Plan({"": range(1_000_000)}), 0, str(tmp_path / ("folder" * 20)))
    assert len(shards) == 245
    assert sum(len(pickle.dumps(shard)) for shard in shards) < 150_000
