"""A task: the one object that a user writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from components.train import Train
from data.augment import Augmentation
from data.errors import UsageError
from data.shards import Ingest
from data.sources import ImageFolder, Source
from data.spec import Classes, Feature, Image, Label
from serving.graph_batching import Batching

if TYPE_CHECKING:
    import keras

BuildModel = Callable[[Feature, int], "keras.Model"]


@dataclass(frozen=True)
class Evaluate:
    """When a model is good enough to be pushed. Limits hold for all examples together, never for a single slice: a
    slice of a few pictures would block a better model by chance. Metrics are reported for every slice.

    Attributes:
      min_accuracy: least share of right answers, 0..1, for classes.
      max_error: largest mean squared error, for numbers; None: no limit.
      max_drop: how much worse than the last blessed model it may be (accuracy, or relative squared error).
      slices: features by whose values the metrics are also reported.
      split: "eval", or "test" where the data have such a folder.
    """

    min_accuracy: float = 0.0
    max_error: float | None = None
    max_drop: float = 0.0
    slices: tuple[str, ...] = ("label",)
    split: Literal["eval", "test"] = "eval"

    def __post_init__(self) -> None:
        if not 0 <= self.min_accuracy <= 1:
            raise UsageError(f"evaluate.min_accuracy is a share, 0 to 1, got {self.min_accuracy}")
        if self.max_drop < 0:
            raise UsageError(f"evaluate.max_drop must not be below 0, got {self.max_drop}")
        if self.split not in ("eval", "test"):
            raise UsageError(f"evaluate.split must be eval or test, got '{self.split}'")


@dataclass(frozen=True)
class Gate:
    """How the served model is proved to answer as the trained one, before each push.

    Attributes:
      sample: records that go down every route; those chosen for a reason are always among them, and come first.
      pictures: evaluation pictures on which clients with preprocessing of their own are tried; 0: none.
    """

    sample: int = 48
    pictures: int = 256

    def __post_init__(self) -> None:
        if self.sample < 1 or self.pictures < 0:
            raise UsageError(f"gate.sample must be at least 1 and gate.pictures 0, got {self.sample}, {self.pictures}")


@dataclass(frozen=True)
class Serving:
    """What is built into the served model.

    Attributes:
      batching: joins the calls of several callers in the graph; off by default.
    """

    batching: Batching = field(default_factory=Batching)


@dataclass(frozen=True)
class Task:
    """Everything that a pipeline needs to know.

    Attributes:
      name: of the task, its folder and the served model; letters, digits, `_` and `-`.
      source: where the examples come from.
      feature: what the model sees.
      model: (feature, classes) -> keras.Model, not compiled: a function, or a dataclass that can be called so, whose
        fields are settings then (`components.transfer.Transfer`). The model's input has `feature.shape`, and dtype
        uint8 for pictures: the first layer scales them. Its output is [N, classes] probabilities, [N, 1] a sigmoid of
        two classes, or [N, 1] a number (classes is 0).
      label: what it learns.
      augment: random changes to the training pictures; those of evaluation and serving stay as they are.
      ingest, train, evaluate, serving, gate: the settings of the steps.
      data: the data folder of a run without `--data`, absolute or remote; "": none.
      fetch: writes the data into a folder, for a run without `--data` of a task without `data`. The folder is empty,
        or holds what an interrupted call left. None: `--data` is required.
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
        if not self.name or not self.name.replace("_", "").replace("-", "").isalnum():
            raise UsageError(f"a task's name is letters, digits, _ and -, got '{self.name}'")
        if not callable(self.model):
            raise UsageError(f"the model of task '{self.name}' must be a function (feature, classes) -> keras.Model")
        self.train.check_metrics(self.is_classification)
        if self.augment != Augmentation() and not isinstance(self.feature, Image):
            raise UsageError(f"task '{self.name}': only pictures can be augmented")
        if isinstance(self.source, ImageFolder) and not self.is_classification:
            raise UsageError(f"task '{self.name}': an ImageFolder's labels are its folders, the label must be Classes")

    @property
    def is_classification(self) -> bool:
        """Whether the label is one of several classes."""
        return isinstance(self.label, Classes)
