"""The skew gate's report for the terminal: routes, findings in the graph, diagnosis, and the cost of client skew."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.parity.client_skew import ClientSkewCost
from serving.parity.report import SkewReport


def print_skew(skew: SkewReport, console: Console) -> None:
    """Print a report completely."""
    print_routes(skew, console)
    print_structure(skew, console)
    print_diagnosis(skew, console)
    print_client_skew(skew, console)


def print_routes(skew: SkewReport, console: Console) -> None:
    """Print a row for each route, the number of records, and whether all routes agree."""
    other = "labels" if skew.is_multi_label else "class"
    table = _table(
        f"against {skew.reference}",
        ("route", "largest\ndifference", "at\nrecord", f"other\n{other}", ""),
    )
    table.columns[0].no_wrap = True  # the fault wraps instead
    for route in skew.routes:
        largest = format_number(route.largest) if math.isfinite(route.largest) else "-"
        place = "-" if route.largest == 0 and not route.fault else str(route.record)
        flipped = str(route.flipped) if route.names_agree else "-"  # not counted if the names differ
        within = "" if route.tolerance == skew.tolerance else f", within {format_number(route.tolerance)}"
        mark = f"[red]{escape(route.fault)}[/]" if route.fault else f"[green]same{within}[/]"
        table.add_row(escape(route.route), largest, place, flipped, mark)
    console.print(table, soft_wrap=False)
    synthetic = f", {skew.synthetic} of them generated edge cases" if skew.synthetic else ""
    seconds = f"; {skew.seconds:.1f} s" if skew.seconds else ""
    records = f"{_count(skew.records, 'record')}{synthetic}; tolerance {format_number(skew.tolerance)}"
    _print(console, f"[dim]{records}; live server: {escape(skew.server)}{seconds}[/]")
    faults = sum(bool(route.fault) for route in skew.routes)
    if faults:
        differ = "differs" if faults == 1 else "differ"
        of = f"{faults} of {_count(len(skew.routes), 'route')}"
        _print(console, f"[bold red]skew[/]       {of} {differ} from {escape(skew.reference)}")
    else:
        _print(console, f"[bold green]same[/]       {_agree(skew)}")


def print_structure(skew: SkewReport, console: Console) -> None:
    """Print the findings in the served graph, the weights and the labels."""
    for finding in skew.structure:
        _print(console, f"[bold red]{finding.kind:<10}[/] {escape(finding.signature)}: {escape(finding.detail)}")
    if not skew.structure:
        _print(console, "[bold green]graph[/]      no findings")


def print_diagnosis(skew: SkewReport, console: Console) -> None:
    """Print the first stage that differs and the record that shows it; nothing if there is no diagnosis."""
    found = skew.diagnosis
    if not found:
        return
    _print(console, f"[bold red]first[/]      {escape(found.stage)}: [bold]{escape(found.skew)}[/]")
    source = f", {escape(found.source)}" if found.source else ""
    why = f" ({escape(found.why)})" if found.why else ""
    _print(console, f"           {escape(found.route)}: record {found.record}{why}{source}")
    if found.detail:
        _print(console, f"           {escape(found.detail)}")


def print_client_skew(skew: SkewReport, console: Console) -> None:
    """Print what each client with its own preprocessing would have changed, the worst first; nothing without any."""
    costs = worst_first(skew.client_skew)
    if not costs:
        return
    served = costs[0].accuracy_served
    with_a = ", exact match" if skew.is_multi_label else " with an accuracy of"  # the title must not be wider
    accuracy_served = "" if served is None else f"{with_a} {format_share(served)}"
    title = f"client skew avoided: {_count(costs[0].pictures, 'answer')} served{accuracy_served}"
    has_accuracy = any(cost.accuracy is not None for cost in costs)
    accuracy = (measure(skew).replace(" ", "\n"), "points") if has_accuracy else ()
    table = _table(title, ("a client with", "changed", "", *accuracy, "largest change\nof a score"))
    for cost in costs:
        row = [escape(cost.client), str(cost.flipped), format_share(cost.flipped / cost.pictures)]
        row += [_accuracy(cost), format_points(cost) or "-"] if has_accuracy else []
        table.add_row(*row, format_largest(cost), style="" if cost.flipped else "dim")
    console.print()
    console.print(table, soft_wrap=False)
    if not costs[0].flipped:
        _print(console, "[dim]no client would have changed an answer of this model[/]")


def summary_line(skew: SkewReport) -> str:
    """Return a passed report in one line, without markup: how many routes agree, and the worst client."""
    costs = worst_first(skew.client_skew)
    if not costs:
        return _agree(skew)
    worst, answers = costs[0], _count(costs[0].pictures, "answer")
    if not worst.flipped:
        who = f"none of {len(costs)} common clients" if len(costs) > 1 else f"a client with {worst.client}"
        return f"{_agree(skew)}; {who} would {'' if len(costs) > 1 else 'not '}have changed any of {answers}"
    unit = f"points{' of exact match' if skew.is_multi_label else ''}"
    change = f" ({format_points(worst)} {unit})" if format_points(worst) else ""
    changed = f"would have changed {worst.flipped} of {answers}{change}"
    return f"{_agree(skew)}; a client with {worst.client} {changed}"


def first_fault(skew: SkewReport) -> str:
    """Return the most specific fault in one line; empty if there is none."""
    found, routes = skew.diagnosis, [route for route in skew.routes if route.fault]
    if found and found.stage != "unknown":
        seen = ", ".join(part for part in (found.source, found.why) if part) or f"record {found.record}"
        return f"serving differs from training in the {found.stage}: {found.skew} (seen on {seen})"
    if routes:
        return f"{routes[0].route}: {routes[0].fault}, record {routes[0].record}"
    return "".join(f"{finding.signature}: {finding.detail}" for finding in skew.structure[:1])


def measure(skew: SkewReport) -> str:
    """Return what `ClientSkewCost.accuracy` is: the accuracy, or the share of pictures whose labels are all right."""
    return "exact match" if skew.is_multi_label else "accuracy"


def worst_first(costs: Sequence[ClientSkewCost]) -> list[ClientSkewCost]:
    """Sort clients by the answers changed, then by the accuracy lost, then by the largest change of a score."""
    return sorted(costs, key=lambda cost: (-cost.flipped, cost.accuracy or 0.0, -cost.largest))


def format_points(cost: ClientSkewCost) -> str:
    """Return the change of the accuracy in percentage points, "-4.3", "0.0", "+0.4"; empty if it is unknown."""
    if cost.accuracy is None or cost.accuracy_served is None:
        return ""
    change = 100 * (cost.accuracy - cost.accuracy_served)
    if abs(change) < 0.005:
        return "0.0"
    return f"{change:+.1f}" if abs(change) >= 0.1 else f"{change:+.2f}"


def format_share(value: float) -> str:
    """Return a share as "12.1%". Only 0 is "0%" and only 1 is "100%": other values are never rounded to them."""
    if 0 < value < 0.001:
        return "<0.1%"
    if 0.999 < value < 1:
        return ">99.9%"
    return f"{100 * value:.3g}%" if value in (0, 1) else f"{value:.1%}"


def format_largest(cost: ClientSkewCost) -> str:
    """Return the largest change of a score; "reads none" if the client could read none of the pictures it changed."""
    return "reads none" if cost.flipped and not cost.largest else format_number(cost.largest)


def format_number(value: float) -> str:
    """Return a number with two digits: "1.9e-6"."""
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:.2g}") if value else "0"


def _accuracy(cost: ClientSkewCost) -> str:
    return "-" if cost.accuracy is None else format_share(cost.accuracy)


def _agree(skew: SkewReport) -> str:
    others = [route for route in skew.routes if route.tolerance != skew.tolerance]  # in mixed precision
    routes, records = len(skew.routes) - len(others), _count(skew.records, "record")
    agree = "agrees" if routes == 1 else "agree"
    further = "".join(f", {_without_batches(route.route)} within {format_number(route.tolerance)}" for route in others)
    return f"{_count(routes, 'route')} {agree} on {records} within {format_number(skew.tolerance)}{further}"


def _without_batches(route: str) -> str:
    return route.partition(",")[0]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table: text in the first column and in a last column without a heading, numbers between."""
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, title_style="bold")
    for place, name in enumerate(columns):
        is_text = place == 0 or not name and place == len(columns) - 1
        table.add_column(
            name, justify="left" if is_text else "right", no_wrap=place > 0 and not is_text, overflow="fold"
        )
    return table


def _print(console: Console, text: str) -> None:
    """Print a line without breaking it, so that it can be searched for and copied."""
    console.print(text, soft_wrap=True, highlight=False)
