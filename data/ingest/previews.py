"""Previews of pictures that a folder of shards does not hold or names twice: made while their bytes are at hand."""

from __future__ import annotations

import itertools
import json
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from data.files.atomic import write_aside
from data.images.previews import Preview, preview_file
from data.records import Rejected

PREVIEWS = "previews.jsonl"
MOST = 60  # previews of the quarantine


class ShardPreviews:
    """The previews of the rejected pictures of one shard.

    Attributes:
      found: by source.

    Args:
      shards: number of all shards, which share the previews.
    """

    def __init__(self, shards: int) -> None:
        self.found: dict[str, Preview] = {}
        self._each = max(1, -(-MOST // shards))
        self._tried: Counter[str] = Counter()

    def add(self, rejected: Rejected) -> None:
        """Make a preview, if the picture is one of the first of its reason in this shard, and Pillow can show it."""
        if rejected.contents and self._tried[rejected.reason] < self._each:
            self._tried[rejected.reason] += 1
            preview = preview_file(rejected.contents)
            if preview:
                self.found[rejected.source] = preview


def choose_previews(rejected: Sequence[Rejected], found: Mapping[str, Preview]) -> dict[str, Preview]:
    """Return at most `MOST` previews of a quarantine; the reasons take turns, so that each gets its share.

    Args:
      rejected: the whole quarantine.
      found: previews by source.
    """
    by_reason: dict[str, list[str]] = {}
    for one in rejected:
        if one.source in found:
            by_reason.setdefault(one.reason, []).append(one.source)
    turns = itertools.zip_longest(*by_reason.values())
    chosen = [source for turn in turns for source in turn if source is not None]
    return {source: found[source] for source in chosen[:MOST]}


def write_previews(previews: Mapping[str, Preview], folder: str) -> None:
    """Write previews by source into the folder of the shards, a line each; nothing if there are none."""
    if previews:
        lines = (json.dumps({"source": source, **one._asdict()}) + "\n" for source, one in previews.items())
        write_aside(posixpath.join(folder, PREVIEWS), "".join(lines))


def read_previews(folder: str) -> dict[str, Preview]:
    """Return the previews by source that `write_previews` wrote; none if an earlier version made the shards."""
    return dict(_lines(posixpath.join(folder, PREVIEWS)))


def _lines(path: str) -> Iterator[tuple[str, Preview]]:
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path) as file:
        for line in file:
            one = json.loads(line)
            yield one["source"], Preview(one["thumbnail"], one["width"], one["height"])
