"""ExampleValidator: TFX's component, which here stops the run if the data are not fit to train on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, json_utils

from components.executor import ComponentExecutor, Execution
from components.prepare.schema import classes_of, read_schema
from components.task.limits import check_labels
from components.task.reference import KEY
from data.errors import DataError, UsageError
from data.ingest import manifest


class ExampleValidatorExecutor(ComponentExecutor, executor.Executor):
    """TFX's validation, and an error if the data are not fit to train on."""

    def execute(self, execution: Execution) -> None:
        """Check the manifest, compare the statistics with the schema, and check the anomalies.

        Raises:
          DataError: If more pictures are in quarantine than allowed, or if the statistics violate the schema.
          UsageError: If the data have no split of the name to evaluate on, or no class that a limit names.
        """
        examples = execution.input("examples").uri
        found = manifest.Manifest.load(examples)
        check_split(execution.config["split"], found.splits)
        names = classes_of(read_schema(execution.input(standard_component_specs.SCHEMA_KEY).uri))
        check_labels(execution.config.get("limited", ()), names)
        check_quarantine(found, execution.task.ingest.max_quarantine, examples)
        self.run_stock(execution)
        _check_anomalies(execution.output(standard_component_specs.ANOMALIES_KEY))


def _check_anomalies(anomalies: types.Artifact) -> None:
    """Check that no split has an anomaly of the severity ERROR."""
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        path = f"{anomalies.uri}/Split-{split}/SchemaDiff.pb"
        found = anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(path))
        for name, info in found.anomaly_info.items():
            if info.severity == anomalies_pb2.AnomalyInfo.ERROR:
                raise DataError(
                    f"the {split} data do not fit the schema: {name}: {info.description}",
                    hint=f"Correct the data of {split}, or its feature in the task.",
                )


def check_split(wanted: str, splits: Collection[str]) -> None:
    """Check that the data have the split to evaluate on.

    Args:
      wanted: `evaluate.split`.
      splits: Names of the splits of the data; "" stands for "train" and "eval", between which ingestion divides.

    Raises:
      UsageError: If they do not have it.
    """
    found = sorted({"train", "eval"} if "" in splits else splits)
    if wanted not in found:
        raise UsageError(
            f"evaluate.split is {wanted}, but the data have only the splits {', '.join(found)}",
            hint="Evaluate on eval, or add a test split to the data.",
        )


def check_quarantine(found: manifest.Manifest, limit: float, folder: str) -> None:
    """Check that the share of examples in quarantine does not exceed the limit.

    Args:
      found: Manifest of the examples.
      limit: `ingest.max_quarantine`, 0 to 1.
      folder: Of the Examples artifact, for the error.

    Raises:
      DataError: If it does; with the numbers, the reasons, the report, and how to raise the limit.
    """
    share = found.quarantine_share()
    if share > limit:
        count = sum(found.quarantined.values())
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(found.quarantined.items()))
        raise DataError(
            f"{count} of {count + found.examples()} examples ({share:.1%}) are in quarantine, more than"
            f" {limit:.1%}: {reasons}; listed in {folder}/{manifest.QUARANTINE}",
            hint=f"Fix or remove them, or allow more with --set ingest.max_quarantine={min(1.0, share + 0.01):.2f}",
        )


class _ExampleValidatorSpec(standard_component_specs.ExampleValidatorSpec):
    PARAMETERS = {
        **standard_component_specs.ExampleValidatorSpec.PARAMETERS,
        "custom_config": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard_component_specs.ExampleValidatorSpec.INPUTS,
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }


class ExampleValidator(base_component.BaseComponent):
    """TFX's component with a further input, the examples with their manifest."""

    SPEC_CLASS = _ExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ExampleValidatorExecutor)

    def __init__(
        self,
        examples: types.Channel,
        statistics: types.Channel,
        schema: types.Channel,
        config: dict[str, Any],
        split: str,
        limited: Sequence[str] = (),
    ) -> None:
        """Create the component.

        Args:
          examples: With the manifest.
          statistics: Compared with the schema.
          schema: Of SchemaGen.
          config: From `TaskReference.config`.
          split: `evaluate.split`, which the Evaluator reads after the training.
          limited: Classes or labels that limits of the evaluation name.
        """
        read = {"evaluate.split": split, "evaluate.limited_labels": ", ".join(limited) or "none"}
        noted = {**config[KEY], "depends": {**config[KEY]["depends"], **read}}  # a run prints what has changed
        super().__init__(
            _ExampleValidatorSpec(
                examples=examples,
                statistics=statistics,
                schema=schema,
                exclude_splits=json_utils.dumps([]),
                custom_config=json_utils.dumps({**config, KEY: noted, "split": split, "limited": list(limited)}),
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
