"""SkewGate: bless the model, between Evaluator and Pusher, if serving computes what training computed.

The blessing is TFX's InfraBlessing, which TFX's Pusher reads. A skewed model is not pushed. Like the Evaluator, the
component does not fail then, so that its report is kept.
"""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.utils import io_utils, json_utils, path_utils

from components.executor import ComponentExecutor, Execution
from components.progress import report
from components.release import skew_check

BLESSED = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}  # the names of TFX's InfraValidator


class SkewGateExecutor(ComponentExecutor):
    """Run the check, and bless a model that passes."""

    def execute(self, execution: Execution) -> None:
        """Check a model that the Evaluator blessed, and write the report and the blessing."""
        given = {key: execution.input(key) for key in execution.inputs}
        blessing = execution.output("blessing")
        passed = False
        if model_utils.is_model_blessed(given["model_blessing"]):  # otherwise it is not pushed anyway
            artifacts = skew_check.TrainedArtifacts(
                given["examples"].uri,
                given["schema"].uri,
                given["transform_graph"].uri,
                given["model_run"].uri,
                path_utils.serving_model_path(given["model"].uri),
            )
            passed = skew_check.check_skew(execution.task, artifacts, blessing.uri, report).passed
        io_utils.write_string_file(f"{blessing.uri}/{BLESSED[passed]}", "")
        blessing.set_int_custom_property("blessed", int(passed))


class _SkewGateSpec(component_spec.ComponentSpec):
    PARAMETERS = {"custom_config": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class SkewGate(base_component.BaseComponent):
    """The proof of no skew as a component; it runs `components.release.skew_check`."""

    SPEC_CLASS = _SkewGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SkewGateExecutor)

    def __init__(
        self,
        examples: types.Channel,
        schema: types.Channel,
        transform_graph: types.Channel,
        model: types.Channel,
        model_run: types.Channel,
        model_blessing: types.Channel,
        config: dict[str, Any],
    ) -> None:
        """Create the component.

        Args:
          examples: The training data.
          schema: Their schema.
          transform_graph: The preprocessing of the training.
          model: The Trainer's SavedModel.
          model_run: The Trainer's report and weights.
          model_blessing: The Evaluator's blessing.
          config: The result of `TaskReference.config`.
        """
        super().__init__(
            _SkewGateSpec(
                examples=examples,
                schema=schema,
                transform_graph=transform_graph,
                model=model,
                model_run=model_run,
                model_blessing=model_blessing,
                custom_config=json_utils.dumps(config),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
