"""The section `proof` of the page: whether serving answers as training does, and what other clients would change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from components.review.record import ClientPicture, Picture, ProofReview, Review
from pipeline.report.page.charts import Bar, Chart, bar_chart
from pipeline.report.page.difference_map import difference_map
from pipeline.report.page.text import count_noun, format_duration, format_number, format_share
from pipeline.report.record import RunRecord
from pipeline.report.skew import first_fault, format_points, measure, worst_first
from serving.parity.client_skew import CLIENTS, ClientSkewCost
from serving.parity.compare import Comparison
from serving.parity.report import EMBEDDED, Diagnosis, SkewReport


@dataclass(frozen=True)
class RouteRow:
    """A way to call the model, compared with training.

    Attributes:
      name: Of the route: "gRPC".
      batches: How the records were sent: "one by one".
      largest: Largest difference of a score, as text.
      share: Of the tolerance, 0..1; larger ones are 1.
      share_text: The same as text.
      record: On which the difference is largest; empty if all are equal.
      flipped: Number of records with another answer, as text.
      fault: The difference in one line; empty if the route agrees.
      tolerance: As text, if it is not that of the other routes; otherwise empty.
    """

    name: str
    batches: str
    largest: str
    share: float
    share_text: str
    record: str
    flipped: str
    fault: str
    tolerance: str


@dataclass(frozen=True)
class RecordFigure:
    """A record with the routes on which it differs most.

    Attributes:
      picture: The record.
      caption: How much, and on which routes.
    """

    picture: Picture
    caption: str


@dataclass(frozen=True)
class ClientFigures:
    """What clients with their own preprocessing would have changed.

    Attributes:
      pictures: Number of pictures.
      summary: In one sentence.
      chart: Share of changed answers by client; None if there is none.
      columns: Headings of the table.
      rows: Its cells as text.
      shown: A picture of each client that changes an answer.
    """

    pictures: int
    summary: str
    chart: Chart | None
    columns: list[str]
    rows: list[list[str]]
    shown: list[ClientPicture]


@dataclass(frozen=True)
class ProofView:
    """What the template `proof.html.j2` shows.

    Attributes:
      passed: Whether serving answers as training does; None if the gate did not check the model.
      headline: The verdict in one sentence.
      figures: Name, value and detail of the key figures.
      diagnosis: Name and text of what is known about the cause; empty if there is none.
      findings: Signature, kind and detail of what was found in the graph, the weights and the labels.
      routes: The routes.
      reference: Route with which they were compared.
      map: Differences by route and record; None if they are not known.
      records: The records with the largest differences.
      clients: Client skew; None if it was not measured, as for models on numbers.
    """

    passed: bool | None
    headline: str
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    diagnosis: list[tuple[str, str]] = field(default_factory=list)
    findings: list[list[str]] = field(default_factory=list)
    routes: list[RouteRow] = field(default_factory=list)
    reference: str = ""
    map: Chart | None = None
    records: list[RecordFigure] = field(default_factory=list)
    clients: ClientFigures | None = None


def build_proof(record: RunRecord, review: Review) -> ProofView | None:
    """Return the view; None if the run ended before the gate.

    Args:
      record: Of the run.
      review: The pictures.
    """
    skew, shown = record.skew, review.proof or ProofReview()
    if skew is None:
        rejected = "The gate did not check this model: the Evaluator had rejected it, so that it is not pushed anyway."
        return ProofView(None, rejected) if record.blessed is False else None
    return ProofView(
        skew.passed,
        _headline(skew),
        _figures(skew),
        _diagnosis(skew.diagnosis) if skew.diagnosis else [],
        [[one.kind, one.signature, one.detail] for one in skew.structure],
        [_route_row(route, skew, shown) for route in skew.routes],
        skew.reference,
        difference_map(skew.routes, shown.differences, shown.records),
        _record_figures(skew.routes, shown),
        _client_figures(skew, shown) if skew.client_skew else None,
    )


def _headline(skew: SkewReport) -> str:
    if not skew.passed:
        text = first_fault(skew)
        return text[:1].upper() + text[1:] + "."
    routes, records = count_noun(len(skew.routes), "route"), count_noun(skew.records, "record")
    return f"Serving answers as training does: {routes} {_agree(len(skew.routes))} on {records}."


def _agree(count: int) -> str:
    return "agrees" if count == 1 else "agree"


def _figures(skew: SkewReport) -> list[tuple[str, str, str]]:
    generated = f"{skew.synthetic:,} of them generated edge cases" if skew.synthetic else "all of the data"
    found = [("Records", f"{skew.records:,}", generated)]
    finite = [route for route in skew.routes if math.isfinite(route.largest) and route.tolerance == skew.tolerance]
    if finite:
        largest = max(route.largest for route in finite)
        detail = f"{_share_text(largest, skew.tolerance)} the tolerance" if largest else "equal bit by bit"
        found.append(("Largest difference of a score", format_number(largest, 2), detail))
    found.append(("Tolerance", format_number(skew.tolerance, 2), "from how much training itself varies"))
    is_ours = skew.server == EMBEDDED
    server = ("embedded", "stands in for TensorFlow Serving") if is_ours else ("TF Serving", skew.server)
    found.append(("Live server", *server))
    if skew.seconds:
        found.append(("Duration", format_duration(skew.seconds), ""))
    return found


def _diagnosis(found: Diagnosis) -> list[tuple[str, str]]:
    seen = ", ".join(part for part in (found.source, found.why) if part) or f"record {found.record}"
    facts = [("Stage", found.stage), ("Cause", found.skew), ("Evidence", found.detail), ("Route", found.route)]
    return [(name, text) for name, text in [*facts, ("Seen on", seen)] if text]


def _route_row(route: Comparison, skew: SkewReport, shown: ProofReview) -> RouteRow:
    name, _, batches = route.route.partition(", ")
    is_known = math.isfinite(route.largest)
    place = f"record {route.record}"
    if route.record < len(shown.records):
        place = shown.records[route.record].source
    return RouteRow(
        name[:1].upper() + name[1:] if name.startswith(("the ", "training")) else name,
        batches or f"batches of {skew.records}",
        format_number(route.largest, 2) if is_known else "-",
        min(1.0, route.largest / route.tolerance) if is_known and route.tolerance else 1.0,
        _share_text(route.largest, route.tolerance).removesuffix(" of") if is_known else "-",
        "" if route.largest == 0 and not route.fault else place,
        f"{route.flipped:,}" if route.names_agree else "-",
        route.fault,
        "" if route.tolerance == skew.tolerance else format_number(route.tolerance, 2),
    )


def _share_text(largest: float, tolerance: float) -> str:
    """Return a difference as a share of the tolerance: "6% of", "3.2 times"."""
    ratio = largest / tolerance if tolerance else 0.0
    return f"{format_number(ratio, 2)} times" if ratio > 1 else f"{format_number(100 * ratio, 2)}% of"


def _record_figures(routes: Sequence[Comparison], shown: ProofReview) -> list[RecordFigure]:
    """Return each record once, the largest difference first."""
    largest = {route.route: route.largest for route in routes}
    by_source: dict[str, list[tuple[str, Picture]]] = {}
    for one in shown.routes:
        by_source.setdefault(one.picture.source, []).append((one.route, one.picture))
    found = []
    for pairs in by_source.values():
        names = [name for name, _ in pairs]
        most = max(names, key=lambda name: largest.get(name, 0.0))
        difference = largest.get(most, 0.0)
        text = format_number(difference, 2) if math.isfinite(difference) else "not comparable"
        where = count_noun(len(names), "route") if len(names) > 1 else most
        found.append((difference, RecordFigure(pairs[0][1], f"{text}, {where}")))
    return [figure for _, figure in sorted(found, key=lambda pair: -pair[0])]


def _client_figures(skew: SkewReport, shown: ProofReview) -> ClientFigures:
    costs = worst_first(skew.client_skew)
    changing = [cost for cost in costs if cost.flipped]
    bars = [
        Bar(cost.client, 100 * cost.flipped / cost.pictures, f"{cost.flipped:,} of {cost.pictures:,}")
        for cost in changing
    ]
    title = "Answers that each client would have changed"
    chart = bar_chart(title, bars, "% of the answers") if bars else None
    has_accuracy = any(cost.accuracy is not None for cost in costs)
    columns = ["client", "changed", "of the answers", *([measure(skew), "points"] if has_accuracy else [])]
    columns += ["largest change of a score"]
    about = {one.name: one.about for one in CLIENTS}
    columns += ["what it does"] if any(cost.client in about for cost in costs) else []
    order = {cost.client: place for place, cost in enumerate(costs)}
    return ClientFigures(
        costs[0].pictures,
        _client_summary(costs),
        chart,
        columns,
        [_client_row(cost, columns, about) for cost in costs],
        sorted(shown.clients, key=lambda one: order.get(one.client, len(order))),
    )


def _client_summary(costs: Sequence[ClientSkewCost]) -> str:
    worst, pictures = costs[0], count_noun(costs[0].pictures, "held-out picture")
    if not worst.flipped:
        who = f"None of {len(costs):,} common clients" if len(costs) > 1 else f"No client with {worst.client}"
        return f"{who} would have changed an answer on {pictures}."
    points = format_points(worst)
    change = f", {points} points" if points else ""
    who = f"{worst.client}, the worst of {len(costs):,} common clients," if len(costs) > 1 else worst.client
    return f"On {pictures}, {who} changes {count_noun(worst.flipped, 'answer')}{change}."


def _client_row(cost: ClientSkewCost, columns: Sequence[str], about: Mapping[str, str]) -> list[str]:
    largest = "cannot read them" if cost.flipped and not cost.largest else format_number(cost.largest, 2)
    cells = {
        "client": cost.client,
        "changed": f"{cost.flipped:,}",
        "of the answers": format_share(cost.flipped / cost.pictures),
        "points": format_points(cost) or "-",
        "largest change of a score": largest,
        "what it does": about.get(cost.client, ""),
    }
    return [cells.get(column, format_share(cost.accuracy)) for column in columns]
