"""Cut a plan into shards. Their items are in a plan file, so that a shard is small, however many pictures it has.

The order of the items is that of their hashes. They are sorted in parts, on disk, so that the memory does not grow with
the plan.
"""

from __future__ import annotations

import operator
import pickle
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from data.files.open_file import opened
from data.files.spool import HashParts
from data.names import to_bytes
from data.sources.base import Plan, batched
from data.tables.repeats import hash_key

RECORDS_PER_SHARD = 4096
MIN_SHARDS = 8  # if there are enough records; enough shards for a few workers
RECORDS_PER_SMALL_SHARD = 128


@dataclass(frozen=True)
class Shard:
    """The part of a plan that one worker reads at a time.

    Attributes:
      index: number of the shard, 0..count - 1; part of the names of the files written.
      count: number of shards; part of the names of the files written.
      split: the split of all its records; "" if their content decides.
      plan: the plan file that has its items.
      start: the first byte of its items there.
      stop: the byte after them.
    """

    index: int
    count: int
    split: str
    plan: str
    start: int
    stop: int

    def read_items(self) -> list[Any]:
        """Return the source's items, in the order to read them."""
        with opened(self.plan) as file:
            file.seek(self.start)
            found: list[Any] = pickle.loads(file.read(self.stop - self.start))
            return found


def make_shards(plan: Plan, seed: int, folder: str) -> list[Shard]:
    """Cut a plan into shards, and write a plan file with the items of each split.

    Args:
      plan: the work, from `Source.plan`.
      seed: seed of the order of the items; the same seed gives the same shards on every machine.
      folder: for the plan files; workers must be able to read it.
    """
    per_shard = {split: _items_per_shard(len(items), plan.records_per_item) for split, items in plan.splits.items()}
    count = sum(-(-len(items) // per_shard[split]) for split, items in plan.splits.items())
    found: list[Shard] = []
    tf.io.gfile.makedirs(folder)
    for split in sorted(plan.splits):
        path, start = posixpath.join(folder, f"plan-{split or 'all'}"), 0
        with tf.io.gfile.GFile(path, "wb") as file:
            for items in batched(_shuffled(plan, split, seed), per_shard[split]):
                encoded = pickle.dumps(items, pickle.HIGHEST_PROTOCOL)
                file.write(encoded)
                found.append(Shard(len(found), count, split, path, start, start + len(encoded)))
                start += len(encoded)
    return found


def _items_per_shard(items: int, records_per_item: int) -> int:
    records = items * records_per_item
    shards = max(-(-records // RECORDS_PER_SHARD), min(MIN_SHARDS, -(-records // RECORDS_PER_SMALL_SHARD)))
    return max(1, -(-items // shards))


def _shuffled(plan: Plan, split: str, seed: int) -> Iterator[Any]:
    """Yield the items of a split in the order of the seed, however they were listed."""
    parts = HashParts[Any]()
    for place, item in enumerate(plan.splits[split]):
        text = str(place) if plan.in_order else repr(item)
        parts.add(hash_key(to_bytes(f"{seed} {split} {text}")), item)
    for part in parts.read():
        part.sort(key=operator.itemgetter(0))
        for _, item in part:
            yield item
