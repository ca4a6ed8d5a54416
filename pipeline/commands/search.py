"""The options of a search for settings, of `skewless tune` and `skewless compile`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import UsageError

if TYPE_CHECKING:
    from components.tuning.plan import TuningPlan


@dataclass(frozen=True)
class SearchOptions:
    """The options; see `components.tuning.plan.TuningPlan`."""

    over: Sequence[str] = ()
    trials: int | None = None
    algorithm: str = "random"
    objective: str = ""

    def plan(self, settings: Mapping[str, str]) -> TuningPlan:
        """Return the plan.

        Args:
          settings: Of all trials.

        Raises:
          UsageError: If an option has another form, or a setting is set and tuned.
        """
        from components.tuning.plan import TuningPlan
        from components.tuning.space import parse_over

        over = parse_over(self.over)
        for key in over.keys() & settings.keys():
            raise UsageError(f"{key} is set and tuned", hint=f"Leave out --set {key} or --over {key}.")
        return TuningPlan(over, self.trials, self.algorithm, self.objective)
