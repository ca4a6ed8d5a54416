"""The skew gate's verdict for the terminal: the routes, the graph, the first stage that differs, what was avoided.

A verdict is the entry `skew` of `run.json`: routes are `serving.parity.compare.Comparison`s, structure
`serving.graph.checks.Finding`s, avoided `serving.parity.client_skew.ClientSkewCost`s, each as a dict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Verdict = dict[str, Any]


def print_skew(skew: Verdict, console: Console) -> None:
    """Prints all of a verdict."""
    print_routes(skew, console)
    print_structure(skew, console)
    print_diagnosis(skew, console)
    print_client_skew(skew, console)


def print_routes(skew: Verdict, console: Console) -> None:
    """Prints a row for each route, what they were asked, and the verdict on them."""
    table = _table(
        f"against {skew['reference']}",
        ("route", "largest\ndifference", "at\nrecord", "other\nclass", ""),
    )
    table.columns[0].no_wrap = True  # what is long is the fault
    for one in skew["routes"]:
        place = "-" if one["largest"] == 0 and not one["fault"] else str(one["record"])
        flipped = str(one["flipped"]) if one["names_agree"] else "-"  # names that differ are not counted by record
        mark = f"[red]{escape(one['fault'])}[/]" if one["fault"] else "[green]same[/]"
        table.add_row(escape(one["route"]), format_number(one["largest"]), place, flipped, mark)
    console.print(table, soft_wrap=False)
    made = f", {skew['made']} of them made to find trouble" if skew.get("made") else ""
    seconds = f"; {skew['seconds']:.1f} s" if "seconds" in skew else ""
    server = escape(skew["server"])
    asked = f"{_count(skew['records'], 'record')}{made}; allowed {format_number(skew['tolerance'])}"
    _print(console, f"[dim]{asked}; the live server was {server}{seconds}[/]")
    faults = sum(bool(one["fault"]) for one in skew["routes"])
    if faults:
        differ = "differs" if faults == 1 else "differ"
        of = f"{faults} of {_count(len(skew['routes']), 'route')}"
        _print(console, f"[bold red]skew[/]       {of} {differ} from {escape(skew['reference'])}")
    else:
        _print(console, f"[bold green]same[/]       {_agree(skew)}")


def print_structure(skew: Verdict, console: Console) -> None:
    """Prints what was found in the served graph; nothing where it was not looked at."""
    if "structure" not in skew:
        return
    for one in skew["structure"]:
        _print(console, f"[bold red]{one['kind']:<10}[/] {escape(one['signature'])}: {escape(one['detail'])}")
    if not skew["structure"]:
        _print(console, "[bold green]graph[/]      nothing found that serving should not have")


def print_diagnosis(skew: Verdict, console: Console) -> None:
    """Prints the first stage that differs and the record that shows it; nothing where there is no diagnosis."""
    found = skew.get("diagnosis")
    if not found:
        return
    _print(console, f"[bold red]first[/]      {escape(found['stage'])}: [bold]{escape(found['skew'])}[/]")
    source = f", {escape(found['source'])}" if found["source"] else ""
    why = f" ({escape(found['why'])})" if found["why"] else ""
    _print(console, f"           {escape(found['route'])}: record {found['record']}{why}{source}")
    if found["detail"]:
        _print(console, f"           {escape(found['detail'])}")


def print_client_skew(skew: Verdict, console: Console) -> None:
    """Prints what each client with preprocessing of its own would have changed, the worst first; nothing of none."""
    costs = worst_first(skew.get("avoided", ()))
    if not costs:
        return
    served = costs[0]["accuracy_served"]
    beside = "" if served is None else f" with an accuracy of {format_share(served)}"
    title = f"what was avoided, of {_count(costs[0]['pictures'], 'answer')} served{beside}"
    has_accuracy = any(one["accuracy"] is not None for one in costs)
    accuracy = ("accuracy", "points") if has_accuracy else ()
    table = _table(title, ("a client with", "changed", "", *accuracy, "largest change\nof a score"))
    for one in costs:
        row = [escape(one["client"]), str(one["flipped"]), format_share(one["flipped"] / one["pictures"])]
        row += [_accuracy(one), format_points(one) or "-"] if has_accuracy else []
        table.add_row(*row, format_largest(one), style="" if one["flipped"] else "dim")
    console.print()
    console.print(table, soft_wrap=False)
    if not costs[0]["flipped"]:
        _print(console, "[dim]none of them would have changed an answer of this model[/]")


def summary_line(skew: Verdict) -> str:
    """A passed verdict in one line, without markup: how many routes agree, and the worst that was avoided."""
    costs = worst_first(skew.get("avoided", ()))
    if not costs:
        return _agree(skew)
    worst, every = costs[0], f"{_count(costs[0]['pictures'], 'answer')}"
    if not worst["flipped"]:
        who = f"none of {len(costs)} naive clients" if len(costs) > 1 else f"a client with {worst['client']}"
        return f"{_agree(skew)}; {who} would {'' if len(costs) > 1 else 'not '}have changed any of {every}"
    change = f" ({format_points(worst)} points)" if format_points(worst) else ""
    changed = f"would have changed {worst['flipped']} of {every}{change}"
    return f"{_agree(skew)}; a client with {worst['client']} {changed}"


def first_fault(skew: Verdict) -> str:
    """What is wrong, in one line, the first and most telling; empty where nothing is."""
    found, routes = skew.get("diagnosis"), [one for one in skew["routes"] if one["fault"]]
    if found and found["stage"] != "unknown":
        seen = ", ".join(part for part in (found["source"], found["why"]) if part) or f"record {found['record']}"
        return f"serving differs from training in the {found['stage']}: {found['skew']} (seen on {seen})"
    if routes:
        return f"{routes[0]['route']}: {routes[0]['fault']}, record {routes[0]['record']}"
    return "".join(f"{one['signature']}: {one['detail']}" for one in skew.get("structure", ())[:1])


def worst_first(costs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the answers changed, then by the accuracy lost, then by the scores moved."""
    return sorted(costs, key=lambda one: (-one["flipped"], one["accuracy"] or 0.0, -one["largest"]))


def format_points(cost: dict[str, Any]) -> str:
    """The accuracy beside the served one in points, "-4.3", "0.0", "+0.4"; empty where it is not known."""
    if cost["accuracy"] is None or cost["accuracy_served"] is None:
        return ""
    change = 100 * (cost["accuracy"] - cost["accuracy_served"])
    if abs(change) < 0.005:
        return "0.0"
    return f"{change:+.1f}" if abs(change) >= 0.1 else f"{change:+.2f}"


def format_share(value: float) -> str:
    """A share as "12.1%"; what is neither none nor all is told as neither."""
    if 0 < value < 0.001:
        return "<0.1%"
    if 0.999 < value < 1:
        return ">99.9%"
    return f"{100 * value:.3g}%" if value in (0, 1) else f"{value:.1%}"


def format_largest(cost: dict[str, Any]) -> str:
    """The largest change of a score; a class that changes without one is a picture that the client cannot read."""
    return "reads none" if cost["flipped"] and not cost["largest"] else format_number(cost["largest"])


def format_number(value: float | None) -> str:
    """Two digits, "1.9e-6"; "-" for None, which stands for infinity."""
    if value is None:
        return "-"
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:.2g}") if value else "0"


def _accuracy(cost: dict[str, Any]) -> str:
    return "-" if cost["accuracy"] is None else format_share(cost["accuracy"])


def _agree(skew: Verdict) -> str:
    routes, records = len(skew["routes"]), _count(skew["records"], "record")
    agree = "agrees" if routes == 1 else "agree"
    return f"{_count(routes, 'route')} {agree} on {records} within {format_number(skew['tolerance'])}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _table(title: str, columns: Sequence[str]) -> Table:
    """The first and the last column are words of their own length, those between are numbers."""
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, title_style="bold")
    for place, name in enumerate(columns):
        is_text = place == 0 or not name and place == len(columns) - 1
        table.add_column(
            name, justify="left" if is_text else "right", no_wrap=place > 0 and not is_text, overflow="fold"
        )
    return table


def _print(console: Console, text: str) -> None:
    """A line is never broken: it may be searched for, or copied."""
    console.print(text, soft_wrap=True, highlight=False)
