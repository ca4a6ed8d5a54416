"""The names of limits on metrics: `METRIC`, `METRIC/CLASS`, and `@FEATURE=VALUE` or `@*` after it for slices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.errors import UsageError, unknown

EACH = "*"
EXAMPLES = "auc, recall/rose, accuracy@image/format=PNG, accuracy@*"
_PATTERN = re.compile(
    r"(?P<metric>[A-Za-z]\w*(?:\(.*?\))?)"
    r"(?:/(?P<label>.+?))?"
    r"(?:@(?:(?P<each>\*)|(?P<feature>[^=@]+)=(?P<value>.+)))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class MetricName:
    """What a limit applies to.

    Attributes:
      text: The name as it is written in the task.
      metric: Name of the metric, perhaps with arguments: "auc", "recall_at_precision(precision=0.9)".
      label: The class or label; "": all of them together.
      feature: Feature whose value defines the slice; "": all examples together; "*": each slice of the evaluation.
      value: Value of the feature.
    """

    text: str
    metric: str
    label: str = ""
    feature: str = ""
    value: str = ""


def parse_name(text: str, setting: str) -> MetricName:
    """Parse the name of a limit.

    Args:
      text: "METRIC", "METRIC/CLASS", "METRIC@FEATURE=VALUE", "METRIC/CLASS@*".
      setting: Name of the setting, for the error.

    Raises:
      UsageError: If the text has another form.
    """
    found = _PATTERN.fullmatch(text)
    if not found:
        raise UsageError(
            f"{setting}: '{text}' does not name a metric",
            hint=f"Legal are METRIC, METRIC/CLASS, and @FEATURE=VALUE or @* after it: {EXAMPLES}",
        )
    metric, label, each, feature, value = (part or "" for part in found.groups())
    return MetricName(text, metric, label, each or feature, value)


def check_labels(limited: Iterable[str], names: Sequence[str]) -> None:
    """Check that the classes or labels that limits name exist.

    Args:
      limited: Names in limits; "" is none.
      names: Of the classes or labels.

    Raises:
      UsageError: If one of them does not.
    """
    for name in limited:
        if name and name not in names:
            raise unknown("class for the limits of evaluate", name, names)
