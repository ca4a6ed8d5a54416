"""MergeTrials: one result from those of several Tuners, each of which trained a share of the trials."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils

from components.executor import ComponentExecutor, Execution
from components.tuning.record import TuningRecord
from components.tuning.tuner import check_finished

MOST = 16
"""Tuners whose results can be merged: a component's inputs are fixed in its class."""
_BEST = standard_component_specs.BEST_HYPERPARAMETERS_KEY
_RESULTS = standard_component_specs.TUNER_RESULTS_KEY
_FILES = {_BEST: "best_hyperparameters.txt", _RESULTS: "tuner_results.json"}  # the names of TFX's Tuner


class MergeTrialsExecutor(ComponentExecutor):
    """Write what a single Tuner would have written."""

    def execute(self, execution: Execution) -> None:
        """Write the record of all trials, the results as TFX's Tuner has them, and the best of the hyperparameters.

        Raises:
          QualityError: If no trial finished.
        """
        folders = [execution.input(key).uri for key in sorted(execution.inputs) if key.startswith("results")]
        records = [TuningRecord.read(folder) for folder in folders]
        merged = TuningRecord.merged(records)
        check_finished(merged)
        merged.write(execution.output(_RESULTS).uri)
        merged.describe(execution.output(_RESULTS))
        rows = [row for folder in folders for row in json.loads(_read(folder, _FILES[_RESULTS]))]
        rows.sort(key=lambda row: row["score"], reverse=merged.direction == "max")
        _write(execution.output(_RESULTS).uri, _FILES[_RESULTS], json.dumps(rows))
        winner = next(place for place, one in enumerate(records) if merged.ranked[0] in one.trials)
        best = execution.input(f"best_{winner:02d}").uri
        _write(execution.output(_BEST).uri, _FILES[_BEST], _read(best, _FILES[_BEST]))


def _read(folder: str, name: str) -> str:
    return io_utils.read_string_file(posixpath.join(folder, name))


def _write(folder: str, name: str, content: str) -> None:
    io_utils.write_string_file(posixpath.join(folder, name), content)


class _MergeTrialsSpec(component_spec.ComponentSpec):
    PARAMETERS: dict[str, component_spec.ExecutionParameter] = {}
    INPUTS = {
        f"{name}_{place:02d}": component_spec.ChannelParameter(type=kind, optional=True)
        for place in range(MOST)
        for name, kind in (("best", standard_artifacts.HyperParameters), ("results", standard_artifacts.TunerResults))
    }
    OUTPUTS = {
        _BEST: component_spec.ChannelParameter(type=standard_artifacts.HyperParameters),
        _RESULTS: component_spec.ChannelParameter(type=standard_artifacts.TunerResults),
    }


class MergeTrials(base_component.BaseComponent):
    """The component; its outputs are those of TFX's Tuner."""

    SPEC_CLASS = _MergeTrialsSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(MergeTrialsExecutor)

    def __init__(self, tuners: Sequence[base_component.BaseComponent]) -> None:
        """Create the component.

        Args:
          tuners: 2 to `MOST` Tuners, in the order of their shares.
        """
        inputs = {
            f"{name}_{place:02d}": one.outputs[key]
            for place, one in enumerate(tuners)
            for name, key in (("best", _BEST), ("results", _RESULTS))
        }
        outputs = {
            _BEST: types.Channel(type=standard_artifacts.HyperParameters),
            _RESULTS: types.Channel(type=standard_artifacts.TunerResults),
        }
        super().__init__(_MergeTrialsSpec(**inputs, **outputs))
