"""Split many rows into requests of limited size, several of them at once, with the answers in the rows' order."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from serving.client.errors import TOO_LONG, InvalidRequest, ServerFailure

_TOO_MANY = re.compile(r"Task size \d+ is larger than maximum input batch size(?: (\d+))?")  # TensorFlow Serving's
Row = TypeVar("Row")
Answer = TypeVar("Answer")


class BatchLimit:
    """Maximum number of rows in a request. It falls if the server has a lower limit."""

    def __init__(self, rows: int) -> None:
        """Start with a limit.

        Args:
          rows: At least 1.
        """
        self.rows = rows

    def split(self, call: Callable[[Sequence[Row]], list[Answer]], rows: Sequence[Row]) -> list[Answer]:
        """Answer all rows with requests within the limit, one after another.

        Args:
          call: Sends one request, and returns an answer for each of its rows.
          rows: Any number of rows.

        Raises:
          ServerFailure: If there are more or fewer answers than rows.
        """
        answers: list[Answer] = []
        small_enough = len(rows)  # rows that are not too many bytes; holds for these rows only
        while len(answers) < len(rows):
            part = rows[len(answers) : len(answers) + min(self.rows, small_enough)]
            try:
                found = call(part)
            except InvalidRequest as error:
                if len(part) > 1 and TOO_LONG.search(str(error)):
                    small_enough = len(part) // 2
                elif not self._lower(str(error), len(part)):
                    raise
                continue
            if len(found) != len(part):
                raise ServerFailure(
                    f"the server returned {len(found)} answers for {len(part)} rows",
                    hint="The signature must return one answer for each row.",
                )
            answers += found
        return answers

    def _lower(self, message: str, sent: int) -> bool:
        """Lower the limit to the one in the server's message, or to half; return False for any other message."""
        found = _TOO_MANY.search(message)
        if not found or sent == 1:
            return False
        limit = int(found[1]) if found[1] else 0
        self.rows = min(self.rows, limit if 0 < limit < sent else sent // 2)
        return True


def group_into_batches(
    items: Iterable[Row], size: Callable[[Row], int], rows: int, max_bytes: int
) -> Iterator[list[Row]]:
    """Yield groups of at most `rows` items and `max_bytes` bytes in all; a single item may be larger."""
    batch: list[Row] = []
    total = 0
    for item in items:
        if batch and (len(batch) == rows or total + size(item) > max_bytes):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size(item)
    if batch:
        yield batch


def map_ordered(call: Callable[[Row], Answer], items: Iterable[Row], in_flight: int) -> Iterator[Answer]:
    """Yield `call(item)` for each item in order, with `in_flight` calls at once in threads.

    Reads items only as fast as the answers are taken. If the caller stops early, the calls in progress end by
    themselves, and their answers are dropped.
    """
    items = iter(items)
    first = list(itertools.islice(items, 2))
    if len(first) < 2:  # a thread for a single call would only cost time
        yield from map(call, first)
        return
    pool = ThreadPoolExecutor(in_flight)
    waiting: deque[Future[Answer]] = deque()
    try:
        for item in itertools.chain(first, items):
            waiting.append(pool.submit(call, item))
            if len(waiting) == in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
