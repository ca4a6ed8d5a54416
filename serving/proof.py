"""The proof that a SavedModel answers alike by every route that a caller may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serving import parity, routes
from serving.parity import Answers, Comparison


def compare_routes(
    folder: str,
    records: Sequence[bytes],
    feature: str = "",
    command: Sequence[str] = routes.SERVER,
    say: Callable[[str], None] = lambda text: None,
) -> list[Comparison]:
    """The records through both signatures and a live server, one by one and all at once, against `serving_examples`.

    Args:
      folder: of a SavedModel with `serving_default` of one input, and `serving_examples`.
      records: serialized tf.Examples.
      feature: of the examples, what `serving_default` takes; "": `image` where that is strings, else `features`.
      command: of the live server, without ports and model.
      say: told what is done next.

    Raises:
      UsageError: no such SavedModel, or records that are not for it.
      ServingError: the server does not come to serve it.
    """
    say("loading the model")
    model, sizes = routes.Signatures(folder), sorted({1, len(records)})
    spec = model.input
    name = feature or ("image" if spec.dtype == "string" else "features")
    values = routes.values_of(records, name, spec.dtype)
    say("through the signatures")
    reference, *again = [model.examples(records, size) for size in reversed(sizes)]
    others: list[Answers] = [*again, *(model.default(values, size) for size in sizes)]
    say("through a live server")
    with routes.live(folder, command) as clients:
        for route, client in clients.items():
            say(f"over {route}")
            others += [routes.over(client, route, spec.name, values, size) for size in sizes]
    allowed = parity.tolerance(reference, again)
    return [parity.compare(reference, one, allowed) for one in others]
