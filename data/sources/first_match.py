"""Two forms of the same data: whichever lies in the folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.errors import DataError
from data.records import Outcome
from data.sources.base import Plan, Source
from data.spec import Feature, Label


@dataclass(frozen=True, kw_only=True)
class Either(Source):
    """The first of two sources that finds something to read in the data folder.

    Attributes:
      first, second: in this order.
    """

    first: Source
    second: Source

    def split_names(self, folder: str) -> frozenset[str]:
        """Those of the source that fits."""
        try:
            return self.first.split_names(folder)
        except DataError:
            return self.second.split_names(folder)

    def plan(self, folder: str, feature: Feature) -> Plan:
        """The plan of the source that fits, its items with that source's number.

        Raises:
          DataError: neither fits; tells what each misses.
        """
        errors = []
        for number, source in enumerate((self.first, self.second)):
            try:
                plan = source.plan(folder, feature)
            except DataError as error:
                setting = f"source.{('first', 'second')[number]}.splits"
                errors.append(DataError(str(error), hint=error.hint.replace("source.splits", setting)))
                continue
            plan.splits = {split: [(number, item) for item in items] for split, items in plan.splits.items()}
            return plan
        raise DataError(f"{errors[0]}; and {errors[1]}", hint=errors[0].hint)

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """As the source that made the plan does."""
        source = (self.first, self.second)[items[0][0]]
        return source.read(folder, [item for _, item in items], feature, label, rng)
