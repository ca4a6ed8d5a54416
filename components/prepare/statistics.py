"""StatisticsGen: TFX's component, without the bytes of the pictures."""

from __future__ import annotations

from collections.abc import Sequence

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


def statistics_gen(examples: types.Channel, feature: Feature, extras: Sequence[str] = ()) -> StatisticsGen:
    """Return the component: statistics of labels and of facts about the pictures, or of all numbers.

    A histogram of encoded pictures is meaningless, and hashing their bytes is most of the work.

    Args:
      examples: From ExampleGen.
      feature: The task's.
      extras: Further features of the records, from the task's source.
    """
    allowed = [*FACTS, LABEL, *extras] if isinstance(feature, Image) else None
    options = tfdv.StatsOptions(feature_allowlist=allowed, num_top_values=100)
    return StatisticsGen(examples=examples, stats_options=options)
