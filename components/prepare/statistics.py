"""StatisticsGen: TFX's component, without the bytes of the pictures."""

from __future__ import annotations

import copy
import fnmatch
import logging
import math
from collections.abc import Sequence

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components import StatisticsGen as TfxStatisticsGen
from tfx.components.statistics_gen import executor
from tfx.components.util import examples_utils
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_component_specs

from components.executor import ComponentExecutor, Execution
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardFile
from data.records import FACTS
from data.spec import LABEL, Feature, Image

log = logging.getLogger(__name__)
SAMPLED = 1_000_000  # examples of a split at most; if there are more, about this number is read


class StatisticsGenExecutor(ComponentExecutor, executor.Executor):
    """TFX's executor; of very many examples, it reads a part of the shards.

    The examples are in a random order, so that some shards are a sample. TFDV's own sampling reads everything, and
    draws others in each run.
    """

    def execute(self, execution: Execution) -> None:
        """Write the statistics of each split."""
        examples = execution.input(standard_component_specs.EXAMPLES_KEY)
        manifest = Manifest.load(examples.uri)
        if any(manifest.examples(split) > SAMPLED for split in manifest.splits):
            patterns = {split: _pattern(split, files) for split, files in manifest.splits.items()}
            log.info("statistics of some of the shards: %s", patterns)
            some = copy.deepcopy(examples)
            some.set_string_custom_property(*examples_utils.get_custom_split_patterns_key_and_property(patterns))
            execution = execution.with_inputs(**{standard_component_specs.EXAMPLES_KEY: [some]})
        self.run_stock(execution)


def _pattern(split: str, files: Sequence[ShardFile]) -> str:
    """Return a pattern of the shards to read, below the folder of the examples.

    A share of 3 of 100 shards has the numbers that end in 00, 01 and 02.
    """
    everything, share = f"Split-{split}/*", SAMPLED / sum(file.examples for file in files)
    if share >= 1:
        return everything
    digits = math.ceil(-math.log10(share))
    last = int(share * 10**digits) - 1
    some = f"Split-{split}/*{'0' * (digits - 1)}[0-{last}]-of-*"
    return some if any(fnmatch.fnmatch(file.file, some) for file in files) else everything


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
