"""The proof that a SavedModel answers alike by every route that a caller may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from data.errors import UsageError
from serving.parity import compare as parity
from serving.parity import routes
from serving.parity.compare import Answers, Comparison
from serving.parity.live_server import Server
from serving.parity.routes import Rows
from serving.signatures import DEFAULT, EXAMPLES

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """What goes down every route.

    Attributes:
      records: serialized tf.Examples.
      feature: of them, what `serving_default` takes; "": `image` where that is strings, else `features`.
      trained: what training's own route says of them, all at once and one by one: the reference. Without it,
        `serving_examples` is.
    """

    records: Sequence[bytes]
    feature: str = ""
    trained: Sequence[Answers] = ()


@dataclass(frozen=True)
class Difference:
    """A route that answers otherwise than the reference, while it can still be asked.

    Attributes:
      folder: of the SavedModel.
      values: what all records hold of the feature: encoded pictures, or rows of floats.
      reference, served: what was expected, and what the route said.
      ask: the route again: indices of records, and how many at a time.
      tolerance: what scores may differ by.
    """

    folder: str
    values: Rows
    reference: Answers
    served: Answers
    ask: Callable[[Sequence[int], int], Answers]
    tolerance: float


@dataclass(frozen=True)
class _Route:
    """A way to the model.

    Attributes:
      name: of it.
      ask: rows, and how many at a time.
      rows: what it takes: records or their values.
    """

    name: str
    ask: Callable[[Rows, int], Answers]
    rows: Rows

    def again(self, records: Sequence[int], size: int) -> Answers:
        """The same of some records, by their indices."""
        return self.ask([self.rows[record] for record in records], size)


def compare_routes(
    folder: str,
    server: Server,
    sample: Sample,
    say: Callable[[str], None] = lambda text: None,
    explain: Callable[[Difference], T | None] = lambda difference: None,
) -> tuple[list[Comparison], T | None]:
    """The records through both signatures and a live server, one by one and all at once, against the reference.

    Args:
      folder: of a SavedModel with `serving_default` of one input, and `serving_examples`.
      server: that serves it, from `serving.parity.live_server`.
      sample: the records.
      say: told what is done next.
      explain: given the first route that answers, but otherwise.

    Returns:
      A comparison for each route and batch size, and what `explain` said.

    Raises:
      UsageError: no such SavedModel, or records that are not for it.
      ServingError: the server does not come to serve it.
    """
    say("loading the SavedModel")
    model = routes.Signatures(folder)
    spec, count = model.input, len(sample.records)
    values = routes.values_of(
        sample.records, sample.feature or ("image" if spec.dtype == "string" else "features"), spec.dtype
    )
    examples = _Route(EXAMPLES, model.examples, sample.records)
    sizes = sorted({1, count})
    try:
        reference, *again = sample.trained or [examples.ask(sample.records, size) for size in reversed(sizes)]
    except routes.Refused as refused:
        raise UsageError(f"{refused.route}: refuses record {refused.row}: {refused}") from None
    allowed = parity.tolerance(reference, again)
    found: list[Comparison] = []
    told: T | None = None
    with ThreadPoolExecutor(2) as pool:  # a route's first answer is seconds of one core: its graph is laid out

        def compare(*pair: _Route) -> None:
            nonlocal told
            say(f"through {' and '.join(route.name for route in pair)}")
            for route, asked in zip(pair, pool.map(lambda route: _asked(route, sizes), pair), strict=True):
                for size, served in zip(sizes, asked, strict=True):
                    if not sample.trained and (route, size) == (examples, count):
                        continue  # the reference itself
                    one = _compared(reference, served, allowed)
                    if one.fault and isinstance(served, Answers) and not any(other.fault for other in found):
                        told = explain(Difference(folder, values, reference, served, route.again, allowed))
                    found.append(one)

        compare(examples, _Route(DEFAULT, model.default, values))
        say("waiting for the live server")
        compare(*(_Route(name, _asking(client, name, spec.name), values) for name, client in server().items()))
    return found, told


def _asked(route: _Route, sizes: Sequence[int]) -> list[Answers | routes.Refused]:
    found: list[Answers | routes.Refused] = []
    for size in sizes:
        try:
            found.append(route.ask(route.rows, size))
        except routes.Refused as refused:
            found.append(refused)
    return found


def _compared(reference: Answers, served: Answers | routes.Refused, allowed: float) -> Comparison:
    if isinstance(served, Answers):
        return parity.compare(reference, served, allowed)
    fault = f"refuses a record: {served}"
    return Comparison(served.route, reference.route, float("inf"), served.row, 0, True, allowed, fault)


def _asking(client: Any, name: str, entry: str) -> Callable[[Rows, int], Answers]:
    return lambda rows, size: routes.over(client, name, entry, rows, size)
