"""The task: the object that a user writes, and the settings of its components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from components.task.train_config import Train
from data.augmentation.config import Augmentation
from data.errors import UsageError, unknown
from data.fields import check_fields
from data.ingest.shards import Ingest
from data.records import FACTS
from data.sources import Source
from data.spec import LABEL, Classes, Feature, Image, Label, Labels, Number
from serving.export.batching import Batching

if TYPE_CHECKING:
    import keras

    BuildModel = Callable[[Feature, int], keras.Model]
else:
    BuildModel = Callable[..., Any]  # `check_fields` resolves type hints, and must not load Keras

MAX_NAME = 63  # the longest name of a pipeline in tfx.orchestration.pipeline
SOURCE = "image/source"
_LIMITS = {
    Classes: ("classes", "min_accuracy"),
    Labels: ("several labels", "min_average_precision"),
    Number: ("a number", "max_error"),
}


@dataclass(frozen=True)
class Evaluate:
    """Thresholds that a model must meet to be pushed.

    They apply to all examples together, never to a single slice: a slice of a few pictures would block a better model
    by chance. Metrics are reported for every slice.

    Attributes:
      min_accuracy: Lowest accuracy, 0 to 1, for classes.
      min_average_precision: Lowest mean average precision, 0 to 1, for several labels: the mean over the labels that
        have an example.
      max_error: Largest mean squared error, for numbers; None: no limit.
      max_drop: How much worse than the last blessed model the new one may be (accuracy, mean average precision, or
        relative squared error).
      slices: Features whose values define the slices: "label" for classes, and for pictures the facts in their
        records, such as "image/format" (`data.records`). With several labels, "label" gives the metrics of each label
        on all examples. A number has no slices by label: each value would be a slice, so the default means none. The
        default adds the columns that the source keeps (`ImageTable.slices`).
      split: "eval", or "test" if the data have this split.
    """

    min_accuracy: float = 0.0
    min_average_precision: float = 0.0
    max_error: float | None = None
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    max_drop: float | Mapping[str, float] = 0.0
    slices: tuple[str, ...] = ("label",)
    split: Literal["eval", "test"] = "eval"

    def __post_init__(self) -> None:
        check_fields(self, "evaluate")
        for name in ("min_accuracy", "min_average_precision"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"evaluate.{name} must be 0 to 1, got {getattr(self, name)}")
        for name in ("max_error", "max_drop"):
            value = getattr(self, name) or 0
            if not isinstance(value, Mapping) and value < 0:
                raise UsageError(f"evaluate.{name} must not be below 0, got {value}")

    def check_limits(self, label: Label) -> None:
        """Check that the limits belong to the kind of label.

        Args:
          label: The task's.

        Raises:
          UsageError: If one of them would never apply.
        """
        kind, limit = _LIMITS[type(label)]
        foreign = ("min_accuracy", "max_error") if isinstance(label, Labels) else ("min_average_precision",)
        for name in foreign:
            if getattr(self, name) != getattr(Evaluate, name):
                raise UsageError(
                    f"evaluate.{name} does not apply to {kind}", hint=f"The limit for {kind} is evaluate.{limit}."
                )

    def check_slices(self, feature: Feature, label: Label, extras: tuple[str, ...] = ()) -> None:
        """Check that the records of a task have the features of `slices`.

        Args:
          feature: The task's.
          label: The task's.
          extras: Further features of the records, from the task's source.

        Raises:
          UsageError: If no record has one of the features, or if each record has another value of it.
        """
        if self.slices == Evaluate.slices:
            return
        facts = FACTS if isinstance(feature, Image) else ()
        legal = [*([] if isinstance(label, Number) else [LABEL]), *(one for one in facts if one != SOURCE), *extras]
        unique = {LABEL: "the label is a number", **({SOURCE: "it names the record"} if facts else {})}
        for name in self.slices:
            if name in legal:
                continue
            if name in unique:
                raise UsageError(
                    f"evaluate.slices: no slices by {name}: {unique[name]}, so each slice would be one record",
                    hint=f"Legal: {', '.join(legal) or 'none for this task'}",
                )
            raise unknown("feature for evaluate.slices", name, legal)
        if len(set(self.slices)) != len(self.slices):
            raise UsageError(f"evaluate.slices has a name twice: {', '.join(self.slices)}", hint="Remove one of them.")


@dataclass(frozen=True)
class Gate:
    """The skew gate, which checks before each push that the served model gives the answers of the trained one.

    Attributes:
      sample: Number of records that are sent by every route. Records chosen for a reason come first, and are included
        even if they are more.
      pictures: Number of evaluation pictures for measuring what clients with their own preprocessing would cost; 0:
        not measured.
    """

    sample: int = 48
    pictures: int = 256

    def __post_init__(self) -> None:
        check_fields(self, "gate")
        if self.sample < 1 or self.pictures < 0:
            raise UsageError(f"gate.sample must be at least 1 and gate.pictures 0, got {self.sample}, {self.pictures}")


@dataclass(frozen=True)
class Serving:
    """Settings of the exported model.

    Attributes:
      batching: Joins the calls of several clients to one batch in the graph; off by default.
    """

    batching: Batching = field(default_factory=Batching)

    def __post_init__(self) -> None:
        check_fields(self, "serving")


@dataclass(frozen=True)
class Task:
    """A task: the data, the model, and the settings of every component of the pipeline.

    Attributes:
      name: Name of the task, of its folder and of the served model: 1 to 63 letters, digits, `_` and `-`, no `-` first
        (TFX's limit). Vertex AI and Kubeflow accept fewer names: see `pipeline.runners.compiler.kubeflow`.
      source: Reads the examples from the data folder.
      feature: The model's input.
      model: (feature, classes) -> keras.Model, not compiled: a function, or a callable dataclass, whose fields then
        are settings (`components.models.transfer.Transfer`). The model's input has `feature.shape`, and dtype uint8
        for pictures: its first layer scales them. Its output is [N, classes] probabilities, [N, 1] one sigmoid for
        two classes, [N, classes] sigmoids for several labels, or [N, 1] a number (classes is 0).
      label: What the model predicts.
      augment: Random changes to the training pictures, not to those of evaluation and serving.
      ingest, train, evaluate, serving, gate: Settings of the components.
      data: Data folder of a run without `--data`, absolute or remote; "": none.
      fetch: Writes the data into a folder, for a run without `--data` if `data` is empty. The folder is empty, or has
        what an interrupted call left. None: `--data` is required.
    """

    name: str
    source: Source
    feature: Feature
    model: BuildModel
    label: Label = field(default_factory=Classes)
    augment: Augmentation = field(default_factory=Augmentation)
    ingest: Ingest = field(default_factory=Ingest)
    train: Train = field(default_factory=Train)
    evaluate: Evaluate = field(default_factory=Evaluate)
    serving: Serving = field(default_factory=Serving)
    gate: Gate = field(default_factory=Gate)
    data: str = ""
    fetch: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        check_fields(self, "task")
        if not self.name.replace("_", "").replace("-", "").isalnum() or self.name.startswith("-"):
            raise UsageError(
                f"a task's name must be letters, digits, _ and -, without a - at the start, got '{self.name}'"
            )
        if len(self.name) > MAX_NAME:
            raise UsageError(
                f"a task's name must have at most {MAX_NAME} characters, got {len(self.name)}: '{self.name}'"
            )
        self.train.check_metrics(self.metrics)
        self.evaluate.check_limits(self.label)
        self.evaluate.check_slices(self.feature, self.label, self.source.extra_features)
        if self.augment != Augmentation() and not isinstance(self.feature, Image):
            raise UsageError(f"task '{self.name}': only pictures can be augmented")
        try:
            self.source.check_label(self.label)
        except UsageError as error:
            raise UsageError(f"task '{self.name}': {error}", hint=error.hint) from None

    @property
    def slices(self) -> tuple[str, ...]:
        """Features whose values define the slices of the evaluation."""
        named = self.evaluate.slices
        return (*named, *self.source.extra_features) if named == Evaluate.slices else named

    @property
    def is_classification(self) -> bool:
        """Whether the label is one of several classes."""
        return isinstance(self.label, Classes)

    @property
    def is_multi_label(self) -> bool:
        """Whether the label is any number of several names."""
        return isinstance(self.label, Labels)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics of training, besides the loss (`components.models.build.compile_model`)."""
        if self.is_multi_label:
            return ("binary_accuracy", "auc", "pr_auc")
        return ("accuracy",) if self.is_classification else ("mae",)
