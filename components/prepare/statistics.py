"""StatisticsGen, as TFX has it, kept away from the pictures' bytes."""

from __future__ import annotations

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components import StatisticsGen as TfxStatisticsGen
from tfx.components.statistics_gen import executor
from tfx.dsl.components.base import executor_spec

from components.executor import ComponentExecutor
from data.records import FACTS
from data.spec import LABEL, Feature, Image


class StatisticsGenExecutor(ComponentExecutor, executor.Executor):
    """TFX's executor."""


class StatisticsGen(TfxStatisticsGen):
    """TFX's component with that executor."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(StatisticsGenExecutor)


def statistics_gen(examples: types.Channel, feature: Feature) -> StatisticsGen:
    """Statistics of the facts about pictures and of the labels, or of all numbers.

    The bytes of a picture say nothing to a histogram, and hashing them is most of the work.
    """
    allowed = [*FACTS, LABEL] if isinstance(feature, Image) else None
    options = tfdv.StatsOptions(feature_allowlist=allowed, num_top_values=100)
    return StatisticsGen(examples=examples, stats_options=options)
