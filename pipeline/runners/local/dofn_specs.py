"""Beam asks a step for its state and timers once, not before each bundle: in a small run that takes seconds."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.transforms import userstate

ASKED = "get_dofn_specs"  # of `userstate`; private to Beam


@contextlib.contextmanager
def specs_once() -> Iterator[None]:
    """Keep what Beam finds in the methods of a DoFn until the block ends; no more than that if Beam has changed.

    Beam looks at all methods of a DoFn whenever it runs it, and the methods of an object do not change.
    """
    stock = getattr(userstate, ASKED, None)
    if stock is None:
        yield
        return
    setattr(userstate, ASKED, _keep(stock))
    try:
        yield
    finally:
        setattr(userstate, ASKED, stock)


def _keep(stock: Callable[[Any], tuple[set[Any], set[Any]]]) -> Callable[[Any], tuple[set[Any], set[Any]]]:
    found: weakref.WeakKeyDictionary[Any, tuple[set[Any], set[Any]]] = weakref.WeakKeyDictionary()

    @functools.wraps(stock)
    def specs_of(dofn: Any) -> tuple[set[Any], set[Any]]:
        try:
            states, timers = found.get(dofn) or found.setdefault(dofn, stock(dofn))
        except TypeError:  # without a hash
            states, timers = stock(dofn)
        return set(states), set(timers)

    return specs_of
