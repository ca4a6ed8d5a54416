"""Where the parts of a review come from."""

from __future__ import annotations

from dataclasses import dataclass

from components.task.task import Task


@dataclass(frozen=True)
class ReviewInputs:
    """A task and the artifacts of its run: folders, local or remote.

    Attributes:
      task: The task that was trained.
      examples: The Examples artifact.
      statistics: The ExampleStatistics artifact.
      schema: The Schema artifact.
      anomalies: The ExampleAnomalies artifact.
      model_run: The Trainer's report and weights.
      evaluation: The ModelEvaluation artifact.
      gate: The SkewGate's InfraBlessing; "" if the gate did not run.
      is_pushed: Whether the model was pushed.
    """

    task: Task
    examples: str
    statistics: str
    schema: str
    anomalies: str
    model_run: str
    evaluation: str
    gate: str = ""
    is_pushed: bool = False
