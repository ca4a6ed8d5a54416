"""Beam's look at a DoFn, once."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import userstate
from apache_beam.transforms.userstate import CombiningValueStateSpec

from pipeline.runners.local import dofn_specs

SEEN = CombiningValueStateSpec("seen", combine_fn=sum)
STATE = beam.DoFn.StateParam(SEEN)


class Count(beam.DoFn):
    """Numbers the elements of a key."""

    def process(self, element, seen=STATE):
        seen.add(1)
        yield element[0], seen.read()


@dataclasses.dataclass
class NoHash(beam.DoFn):
    """A DoFn without a hash, as every dataclass with `__eq__`."""

    by: int = 1

    def process(self, element):
        yield element + self.by


def test_beam_has_the_function() -> None:
    """Fails when Beam has moved it: runs still work, but take seconds longer."""
    stock = userstate.get_dofn_specs
    with dofn_specs.specs_once():
        assert userstate.get_dofn_specs is not stock
        with beam.Pipeline() as pipeline:
            assert_that(pipeline | beam.Create([1]) | beam.Map(lambda one: one + 1), equal_to([2]))
    assert userstate.get_dofn_specs is stock


def test_each_object_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stock, asked = userstate.get_dofn_specs, []

    def look(dofn: beam.DoFn) -> object:
        asked.append(dofn)
        return stock(dofn)

    monkeypatch.setattr(userstate, "get_dofn_specs", look)
    with dofn_specs.specs_once():
        first, second, none = Count(), Count(), NoHash()
        for dofn in (first, second, first, none, none):
            assert userstate.get_dofn_specs(dofn) == stock(dofn)
        userstate.get_dofn_specs(first)[0].clear()
        assert userstate.get_dofn_specs(first)[0] == {SEEN}
        assert userstate.is_stateful_dofn(first) and not userstate.is_stateful_dofn(none)
    assert asked[:2] == [first, second] and asked.count(first) == 1 and len(asked) == 5


def test_a_pipeline_with_state() -> None:
    with dofn_specs.specs_once(), beam.Pipeline() as pipeline:
        numbers = pipeline | beam.Create([("a", 1), ("a", 1), ("b", 1)]) | beam.ParDo(Count())
        assert_that(numbers, equal_to([("a", 1), ("a", 2), ("b", 1)]))


def test_a_beam_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dofn_specs, "ASKED", "no_such_function")
    with dofn_specs.specs_once(), beam.Pipeline() as pipeline:
        assert_that(pipeline | beam.Create([1]) | beam.ParDo(NoHash()), equal_to([2]))
