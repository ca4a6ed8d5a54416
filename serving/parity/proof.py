"""Send a sample of records down every route to a SavedModel, and compare the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from data.errors import UsageError
from serving.client import Client
from serving.parity import compare, routes
from serving.parity.compare import Answers, Comparison
from serving.parity.live_server import ClientFactory
from serving.parity.report import Diagnosis
from serving.parity.routes import RouteError, Rows
from serving.signatures import DEFAULT, EXAMPLES


@dataclass(frozen=True)
class Sample:
    """Records to send down every route.

    Attributes:
      records: Serialized tf.Examples.
      feature: Feature of the records that `serving_default` takes. Empty: `image` if the input is strings, otherwise
        `features`.
      trained: Answers of training's own code, all records at once first, then in other batch sizes. They are the
        reference; without them, the answers of `serving_examples` are.
    """

    records: Sequence[bytes]
    feature: str = ""
    trained: Sequence[Answers] = ()


@dataclass(frozen=True)
class Difference:
    """A route that answers otherwise than the reference, while it can still be called.

    Attributes:
      folder: Folder of the SavedModel.
      values: The feature's value in every record: encoded images, or rows of floats.
      reference: Expected answers.
      served: Answers of the route.
      ask: Calls the route again, for the given indices of records and in batches of the given size.
      tolerance: Largest difference of a score that counts as equal.
    """

    folder: str
    values: Rows
    reference: Answers
    served: Answers
    ask: Callable[[Sequence[int], int], Answers]
    tolerance: float


Explain = Callable[[Difference], "Diagnosis | None"]


@dataclass(frozen=True)
class _Route:
    """A way to call the model.

    Attributes:
      name: Name in reports.
      ask: Calls the model with rows, in batches of the given size.
      rows: All rows of the sample, as this route takes them: records, or values of the feature.
      sizes: Batch sizes to compare.
      has_thresholds: Whether the route returns thresholds if the model has them; if not, the reference's apply.
    """

    name: str
    ask: Callable[[Rows, int], Answers]
    rows: Rows
    sizes: Sequence[int]
    has_thresholds: bool = True

    def ask_records(self, records: Sequence[int], size: int) -> Answers:
        """Call the route for some records, given by their indices."""
        return self.ask([self.rows[record] for record in records], size)

    def ask_all(self) -> list[Answers | RouteError]:
        """Call the route for all records, once in each batch size."""
        return [self._answers_or_error(size) for size in self.sizes]

    def _answers_or_error(self, size: int) -> Answers | RouteError:
        try:
            return self.ask(self.rows, size)
        except RouteError as error:
            return error


@dataclass
class _Comparer:
    """Compares routes with the reference and has the first difference explained.

    Attributes:
      folder: Folder of the SavedModel.
      values: The feature's value in every record.
      reference: Expected answers.
      tolerance: Largest difference of a score that counts as equal.
      explain: Finds the cause of a difference.
      is_trained: Whether the reference is training's. Otherwise it takes the thresholds of the first route with some.
      comparisons: Results so far.
      diagnosis: Cause of the first difference, if that route answered.
    """

    folder: str
    values: Rows
    reference: Answers
    tolerance: float
    explain: Explain
    is_trained: bool
    comparisons: list[Comparison] = field(default_factory=list)
    diagnosis: Diagnosis | None = None

    def compare_routes(self, pool: Executor, pair: Sequence[_Route]) -> None:
        """Call routes in parallel, in each of their batch sizes, and compare their answers with the reference."""
        found = list(zip(pair, pool.map(_Route.ask_all, pair), strict=True))
        if not self.is_trained:
            self._take_thresholds(served for _, answers in found for served in answers)
        for route, answers in found:
            for served in answers:
                self._compare(route, served)

    def _take_thresholds(self, found: Iterable[Answers | RouteError]) -> None:
        for served in found:
            if self.reference.thresholds is None and isinstance(served, Answers):
                self.reference = replace(self.reference, thresholds=served.thresholds)

    def _compare(self, route: _Route, served: Answers | RouteError) -> None:
        is_first = not any(comparison.fault for comparison in self.comparisons)
        if isinstance(served, Answers) and not route.has_thresholds:
            served = replace(served, thresholds=self.reference.thresholds)
        comparison = self._comparison(served)
        if comparison.fault and is_first and isinstance(served, Answers):
            self.diagnosis = self.explain(
                Difference(self.folder, self.values, self.reference, served, route.ask_records, self.tolerance)
            )
        self.comparisons.append(comparison)

    def _comparison(self, served: Answers | RouteError) -> Comparison:
        if isinstance(served, Answers):
            return compare.compare_answers(self.reference, served, self.tolerance)
        fault = f"refuses a record: {served}"
        return Comparison(served.route, self.reference.route, float("inf"), served.row, 0, True, self.tolerance, fault)


def compare_routes(
    folder: str,
    clients: ClientFactory,
    sample: Sample,
    progress: Callable[[str], None] = lambda text: None,
    explain: Explain = lambda difference: None,
) -> tuple[list[Comparison], Diagnosis | None]:
    """Send the records through both signatures and a live server, and compare the answers with the reference.

    Every route is called with one record at a time, and with all at once.

    Args:
      folder: Folder of a SavedModel with a `serving_default` of one input, and with `serving_examples`.
      clients: Clients of a server of that model, from `serving.parity.live_server`.
      sample: Records to send.
      progress: Called with the name of the next step.
      explain: Finds the cause of the first difference; not called if that route refuses a record.

    Returns:
      A comparison for each route and batch size, and what `explain` returned.

    Raises:
      UsageError: If there is no such SavedModel, or the records do not fit it.
      ServingError: If the server does not come up with the model.
    """
    progress("loading the SavedModel")
    model = routes.LoadedModel(folder)
    spec = model.input
    feature = sample.feature or ("image" if spec.dtype == "string" else "features")
    values = routes.feature_values(sample.records, feature, spec.dtype)
    sizes = sorted({1, len(sample.records)})
    # Without training's answers, those of `serving_examples` to all records at once are the reference.
    of_examples = sizes if sample.trained else sizes[:-1]
    examples = _Route(EXAMPLES, model.examples, sample.records, of_examples, has_thresholds=False)
    default = _Route(DEFAULT, model.default, values, sizes)
    reference, *again = sample.trained or _answers_of(examples, sizes)
    tolerance = compare.score_tolerance(reference, again)
    comparer = _Comparer(folder, values, reference, tolerance, explain, bool(sample.trained))
    with ThreadPoolExecutor(2) as pool:  # the first answer of a route takes seconds on one core: TensorFlow optimizes
        progress(f"through {EXAMPLES} and {DEFAULT}")
        comparer.compare_routes(pool, (examples, default))
        progress("waiting for the live server")
        live = [_client_route(client, name, spec.name, values, sizes) for name, client in clients().items()]
        progress(f"through {' and '.join(route.name for route in live)}")
        comparer.compare_routes(pool, live)
    return comparer.comparisons, comparer.diagnosis


def _answers_of(route: _Route, sizes: Sequence[int]) -> list[Answers]:
    """Return a route's answers in each batch size, the largest first."""
    try:
        return [route.ask(route.rows, size) for size in reversed(sizes)]
    except RouteError as error:
        hint = "Give records that the model was made for."
        raise UsageError(f"{error.route}: refuses record {error.row}: {error}", hint=hint) from None


def _client_route(client: Client, name: str, entry: str, values: Rows, sizes: Sequence[int]) -> _Route:
    return _Route(name, lambda rows, size: routes.ask_client(client, name, entry, rows, size), values, sizes)
