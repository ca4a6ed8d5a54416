"""A task: the one object that a user writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from components.task.train_config import Train
from data.augmentation.config import Augmentation
from data.errors import UsageError, unknown
from data.fields import check_fields
from data.ingest.shards import Ingest
from data.records import FACTS
from data.sources import ImageFolder, Source
from data.spec import LABEL, Classes, Feature, Image, Label
from serving.export.batching import Batching

if TYPE_CHECKING:
    import keras

    BuildModel = Callable[[Feature, int], keras.Model]
else:
    BuildModel = Callable[..., Any]  # the checks of settings resolve type hints, and must not load Keras for it

MAX_NAME = 63  # of a pipeline: tfx.orchestration.pipeline refuses more
SOURCE = "image/source"


@dataclass(frozen=True)
class Evaluate:
    """When a model is good enough to be pushed. Limits hold for all examples together, never for a single slice: a
    slice of a few pictures would block a better model by chance. Metrics are reported for every slice.

    Attributes:
      min_accuracy: least share of right answers, 0..1, for classes.
      max_error: largest mean squared error, for numbers; None: no limit.
      max_drop: how much worse than the last blessed model it may be (accuracy, or relative squared error).
      slices: features by whose values the metrics are also reported: "label", if it is a class (of a number, each
        value would be a slice of its own, and the default means none), and of pictures the facts that their records
        hold: "image/format", for example (`data.records`).
      split: "eval", or "test" where the data have such a split.
    """

    min_accuracy: float = 0.0
    max_error: float | None = None
    max_drop: float = 0.0
    slices: tuple[str, ...] = ("label",)
    split: Literal["eval", "test"] = "eval"

    def __post_init__(self) -> None:
        check_fields(self, "evaluate")
        if not 0 <= self.min_accuracy <= 1:
            raise UsageError(f"evaluate.min_accuracy is a share, 0 to 1, got {self.min_accuracy}")
        for name in ("max_error", "max_drop"):
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"evaluate.{name} must not be below 0, got {getattr(self, name)}")

    def check_slices(self, feature: Feature, label: Label) -> None:
        """Whether the records of such a task hold the features of `slices`.

        Raises:
          UsageError: one is in no record, or is another in each of them.
        """
        if self.slices == Evaluate.slices:
            return
        facts = FACTS if isinstance(feature, Image) else ()
        legal = [*([LABEL] if isinstance(label, Classes) else []), *(one for one in facts if one != SOURCE)]
        for name in self.slices:
            if name in (LABEL, SOURCE) and name not in legal and (name == LABEL or facts):
                what = "the label is a number" if name == LABEL else "it names the record"
                raise UsageError(
                    f"evaluate.slices: no slices by {name}: {what}, each would be a slice of its own",
                    hint=f"Legal: {', '.join(legal) or 'none for this task'}",
                )
            if name not in legal:
                raise unknown("feature for evaluate.slices", name, legal)
        if len(set(self.slices)) != len(self.slices):
            raise UsageError(
                f"evaluate.slices has a name twice: {', '.join(self.slices)}", hint="Leave one of them out."
            )


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
        check_fields(self, "gate")
        if self.sample < 1 or self.pictures < 0:
            raise UsageError(f"gate.sample must be at least 1 and gate.pictures 0, got {self.sample}, {self.pictures}")


@dataclass(frozen=True)
class Serving:
    """What is built into the served model.

    Attributes:
      batching: joins the calls of several callers in the graph; off by default.
    """

    batching: Batching = field(default_factory=Batching)

    def __post_init__(self) -> None:
        check_fields(self, "serving")


@dataclass(frozen=True)
class Task:
    """Everything that a pipeline needs to know.

    Attributes:
      name: of the task, its folder and the served model; letters, digits, `_` and `-`, no `-` first, 63 at most (as
        TFX has it). Vertex AI and Kubeflow take fewer: see `pipeline.runners.compiler.kubeflow`.
      source: where the examples come from.
      feature: what the model sees.
      model: (feature, classes) -> keras.Model, not compiled: a function, or a dataclass that can be called so, whose
        fields are settings then (`components.models.transfer.Transfer`). The model's input has `feature.shape`, and
        dtype uint8 for pictures: the first layer scales them. Its output is [N, classes] probabilities, [N, 1] a
        sigmoid of two classes, or [N, 1] a number (classes is 0).
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
        check_fields(self, "task")
        if not self.name.replace("_", "").replace("-", "").isalnum() or self.name.startswith("-"):
            raise UsageError(f"a task's name is letters, digits, _ and -, no - first, got '{self.name}'")
        if len(self.name) > MAX_NAME:
            raise UsageError(f"a task's name has {MAX_NAME} letters at most, got {len(self.name)}: '{self.name}'")
        self.train.check_metrics(self.is_classification)
        self.evaluate.check_slices(self.feature, self.label)
        if self.augment != Augmentation() and not isinstance(self.feature, Image):
            raise UsageError(f"task '{self.name}': only pictures can be augmented")
        if isinstance(self.source, ImageFolder) and not self.is_classification:
            raise UsageError(f"task '{self.name}': an ImageFolder's labels are its folders, the label must be Classes")

    @property
    def is_classification(self) -> bool:
        """Whether the label is one of several classes."""
        return isinstance(self.label, Classes)
