"""The task: the object that a user writes, and the settings of its components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.task.augment_field import Augment, checked_augment
from components.task.evaluate_config import Evaluate
from components.task.metric_names import name_metrics
from components.task.train_config import Train
from data.augmentation.config import Augmentation
from data.errors import UsageError
from data.fields import check_fields
from data.ingest.shards import Ingest
from data.sources import Source
from data.spec import Classes, Feature, Image, Label, Labels
from serving.export.batching import Batching

if TYPE_CHECKING:
    import keras

    BuildModel = Callable[[Feature, int], keras.Model]
else:
    BuildModel = Callable[..., Any]  # `check_fields` resolves type hints, and must not load Keras

MAX_NAME = 63  # the longest name of a pipeline in tfx.orchestration.pipeline


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
        (TFX's limit). Vertex AI and Kubeflow accept fewer names: `skewless compile` reports one that they refuse.
      source: Reads the examples from the data folder.
      feature: The model's input.
      model: (feature, classes) -> keras.Model, not compiled: a function, or a callable dataclass, whose fields then
        are settings (`Transfer`). The model's input has `feature.shape`, and dtype uint8 for pictures: its first layer
        scales them. Its output is [N, classes] probabilities, [N, 1] one sigmoid for two classes, [N, classes] sigmoids
        for several labels, or [N, 1] a number (classes is 0). In the place of probabilities it may be logits, from a
        linear last layer; the exported model adds the softmax or sigmoid.
      label: What the model predicts.
      augment: Random changes to the training pictures, not to those of evaluation and serving: an `Augmentation`, or
        Keras layers, one after the other: a layer, a sequence of layers, a function that returns them, or a text,
        "rand_augment(num_ops=2), random_flip". The changes depend on `train.seed` and the number of the step only.
      ingest: How the data become shards.
      train: The Trainer's settings.
      evaluate: The limits that a model must meet to be pushed.
      serving: Settings of the exported model.
      gate: The skew gate's settings.
      data: Data folder of a run without `--data`, absolute or remote; "": none.
      fetch: Writes the data into a folder, for a run without `--data` if `data` is empty. The folder is empty, or has
        what an interrupted call left. None: `--data` is required.
    """

    name: str
    source: Source
    feature: Feature
    model: BuildModel
    label: Label = field(default_factory=Classes)
    augment: Augment = field(default_factory=Augmentation)
    ingest: Ingest = field(default_factory=Ingest)
    train: Train = field(default_factory=Train)
    evaluate: Evaluate = field(default_factory=Evaluate)
    serving: Serving = field(default_factory=Serving)
    gate: Gate = field(default_factory=Gate)
    data: str = ""
    fetch: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        check_fields(self, "task")
        object.__setattr__(self, "augment", checked_augment(self.augment))
        if not self.name.replace("_", "").replace("-", "").isalnum() or self.name.startswith("-"):
            raise UsageError(
                f"a task's name must be letters, digits, _ and -, without a - at the start, got '{self.name}'"
            )
        if len(self.name) > MAX_NAME:
            raise UsageError(
                f"a task's name must have at most {MAX_NAME} characters, got {len(self.name)}: '{self.name}'"
            )
        self.train.check_label(self.label)
        self.train.check_metrics(self.metrics)
        self.evaluate.check_limits(self.label)
        self.evaluate.check_slices(self.feature, self.label, self.source.extra_features)
        if self.augment != Augmentation() and not isinstance(self.feature, Image):
            raise UsageError(f"task '{self.name}': only pictures can be augmented", hint="Leave augment out.")
        try:
            self.source.check_label(self.label)
        except UsageError as error:
            raise UsageError(f"task '{self.name}': {error}", hint=error.hint) from None

    @property
    def slices(self) -> tuple[str, ...]:
        """Features whose values define the slices of the evaluation."""
        named = self.evaluate.slices
        named = (*named, *self.source.extra_features) if named == Evaluate.slices else named
        return tuple(dict.fromkeys((*named, *self.evaluate.limited_features)))

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
        several, one = ("binary_accuracy", "auc", "pr_auc"), ("accuracy" if self.is_classification else "mae",)
        return name_metrics(several if self.is_multi_label else one, self.train.metrics)
