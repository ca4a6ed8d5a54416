"""Beam's views of its options, kept."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, TypeOptions
from apache_beam.testing.util import assert_that, equal_to

from pipeline.runners.local.option_views import views_once


def test_views_share_their_values() -> None:
    stock = PipelineOptions.view_as
    with views_once():
        options, others = PipelineOptions(["--type_check_strictness=ALL_REQUIRED"]), PipelineOptions([])
        types = options.view_as(TypeOptions)
        assert types.type_check_strictness == "ALL_REQUIRED"
        types.runtime_type_check = True
        assert options.view_as(TypeOptions) is types and options.view_as(TypeOptions).runtime_type_check
        assert options.view_as(DebugOptions).view_as(TypeOptions).runtime_type_check
        assert not others.view_as(TypeOptions).runtime_type_check
    assert PipelineOptions.view_as is stock


def test_a_pipeline_parses_its_options_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when Beam asks in another way: runs still work, but take longer."""
    stock, asked = PipelineOptions.view_as, []

    def view_as(options: PipelineOptions, cls: type) -> PipelineOptions:
        asked.append((id(options), cls))
        return stock(options, cls)

    monkeypatch.setattr(PipelineOptions, "view_as", view_as)
    with views_once(), beam.Pipeline(options=PipelineOptions(["--type_check_additional=all"])) as pipeline:
        numbers = pipeline | beam.Create([1])
        for step in range(5):
            numbers |= f"step {step}" >> beam.Map(lambda one: one + 1)
        assert_that(numbers, equal_to([6]))
    assert asked.count((id(pipeline.options), TypeOptions)) == 1
