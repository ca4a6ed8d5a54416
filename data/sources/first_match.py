"""Read data that come in one of two forms, with the source that fits the folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from data.errors import DataError
from data.records import Outcome
from data.sources.base import Plan, Source
from data.spec import Feature, Label


@dataclass(frozen=True)
class _Numbered(Sequence[tuple[int, Any]]):
    """Items of a plan, each with the number of its source; made when they are asked for."""

    number: int
    items: Sequence[Any]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return ((self.number, item) for item in self.items)

    @overload
    def __getitem__(self, index: int) -> tuple[int, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, Any]]: ...

    def __getitem__(self, index: int | slice) -> tuple[int, Any] | list[tuple[int, Any]]:
        """Return an item, or a list of them."""
        if isinstance(index, slice):
            return [(self.number, item) for item in self.items[index]]
        return self.number, self.items[index]


@dataclass(frozen=True, kw_only=True)
class FirstMatch(Source):
    """The first of two sources that finds something to read in the data folder.

    Attributes:
      first: the source to try first.
      second: the source to try if the first one finds nothing.
    """

    first: Source
    second: Source

    @property
    def extra_features(self) -> tuple[str, ...]:
        """Names of the further features that records of either source may have."""
        return tuple(dict.fromkeys((*self.first.extra_features, *self.second.extra_features)))

    def split_names(self, folder: str) -> frozenset[str]:
        """Return the splits of the source that fits the folder."""
        try:
            return self.first.split_names(folder)
        except DataError:
            return self.second.split_names(folder)

    def check_label(self, label: Label) -> None:
        """Check that both sources can hold labels of this kind.

        Raises:
          UsageError: If one of them cannot.
        """
        self.first.check_label(label)
        self.second.check_label(label)

    def plan(self, folder: str, feature: Feature, label: Label | None = None) -> Plan:
        """Return the plan of the source that fits; each of its items is paired with the number of that source.

        Raises:
          DataError: If neither source fits; the message has the reason of each.
        """
        errors = []
        for number, source in enumerate((self.first, self.second)):
            try:
                plan = source.plan(folder, feature, label)
            except DataError as error:
                setting = f"source.{('first', 'second')[number]}.splits"
                errors.append(DataError(str(error), hint=error.hint.replace("source.splits", setting)))
                continue
            plan.splits = {split: _Numbered(number, items) for split, items in plan.splits.items()}
            return plan
        raise DataError(f"{errors[0]}; and {errors[1]}", hint=errors[0].hint)

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Read the items with the source that planned them."""
        source = (self.first, self.second)[items[0][0]]
        return source.read(folder, [item for _, item in items], feature, label, rng)
