"""A second opinion on the verdict that a benchmark prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def follows(verdict: Mapping[str, Any]) -> bool:
    """Return whether all measured ratios keep the printed goals; written independently of the benchmarks."""
    ratios = verdict["ratios"]
    sets = [one for one in ratios.values() if isinstance(one, dict)] or [ratios]
    kept = []
    for one in sets:
        for name, goal in verdict["goals"].items():
            relation, limit = goal.split()
            assert relation in ("<=", ">=")
            if name in one:
                kept.append(one[name] <= float(limit) if relation == "<=" else one[name] >= float(limit))
    assert kept, "no goal was measured"
    return all(kept)
