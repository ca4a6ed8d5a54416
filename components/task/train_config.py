"""Settings of training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

from components.task.keras_config import has_config
from components.task.keras_fields import check_keras, has_schedule, two_rates
from data.errors import UsageError, unknown
from data.fields import check_fields
from data.service_address import host_port
from data.spec import Classes, Label, Number

if TYPE_CHECKING:
    import keras

    MakeCallback = Callable[[], keras.callbacks.Callback]
    Optimizer = Union[str, keras.optimizers.Optimizer, Callable[[], keras.optimizers.Optimizer]]
    Loss = Union[str, keras.losses.Loss, Callable[[Any, Any], Any]]
    Metric = Union[str, keras.metrics.Metric, Callable[[Any, Any], Any]]
else:  # `check_fields` resolves type hints, and must not load Keras
    MakeCallback = Callable[..., Any]
    Optimizer = Loss = Metric = Union[str, object]

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")  # need no look into Keras, which takes seconds to import
STRATEGIES = ("none", "mirrored", "multi_worker")
_STOP = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*")

Steps = tuple[tuple[int, float], ...]
Schedule = Union[Steps, Callable[[int, float], float]]


class StopCondition(NamedTuple):
    """A condition `metric sign limit`, such as "accuracy > 0.89"."""

    metric: str
    sign: str
    limit: float

    def holds(self, value: float) -> bool:
        """Return whether a value of the metric meets the condition."""
        beyond = value > self.limit if ">" in self.sign else value < self.limit
        return beyond or ("=" in self.sign and value == self.limit)


@dataclass(frozen=True)
class FineTune:
    """A second phase of training, after `Train.epochs`, which also trains the frozen layers.

    Attributes:
      epochs: Number of epochs of the second phase; 0: no second phase.
      learning_rate: Should be far below that of the first phase, which it would otherwise undo.
      from_layer: Name of the first layer to unfreeze; all layers after it are unfrozen, too; empty: all layers.
        BatchNormalization layers stay frozen: their statistics belong to the pretrained weights.
    """

    epochs: int = 0
    learning_rate: float = 1e-5
    from_layer: str = ""

    def __post_init__(self) -> None:
        check_fields(self, "train.fine_tune")
        if self.epochs < 0:
            raise UsageError(f"train.fine_tune.epochs must be at least 0, got {self.epochs}")
        if self.learning_rate <= 0:
            raise UsageError(f"train.fine_tune.learning_rate must be above 0, got {self.learning_rate}")


@dataclass(frozen=True)
class Train:
    """Settings of training.

    Attributes:
      epochs: Number of passes over the training split.
      batch_size: Examples per step, of all devices together. The last batch of an epoch may be smaller: no example is
        left out.
      optimizer: A name in `keras.optimizers`, with settings if needed: "adamw(weight_decay=0.01, clipnorm=1.0)"; or a
        Keras optimizer, or a function that returns one. Each phase trains with a new copy of it.
      learning_rate: Learning rate at the beginning; None: 0.001 for a name, otherwise the object's own, which may be a
        `LearningRateSchedule`.
      loss: A name in `keras.losses`, with settings if needed, a Keras loss, or a function (labels, outputs) -> losses;
        empty: cross-entropy for classes and labels, the mean squared error for a number. Labels of classes are class
        numbers, or one-hot rows if `label_smoothing`, an augmentation that mixes pictures, or one of Keras' losses and
        metrics needs them; `keras.ops.one_hot` makes rows in a function.
      metrics: Metrics of training besides those of the label: names in `keras.metrics`, with settings if needed, Keras
        metrics, or functions. They get the labels of the loss; a name's metric measures probabilities, also if the
        model gives logits.
      class_weight: Weight of each class in the loss of training, by name; a class without one weighs 1. "balanced"
        gives all classes the same total weight; empty: each example weighs 1.
      label_smoothing: Share of the label, 0 to 1, that the loss spreads over all classes.
      mixed_precision: Type in which training computes, "float16" or "bfloat16"; empty: float32. The weights and the
        exported model are float32.
      steps_per_epoch: Steps after which an epoch ends; the next one reads on. None: one pass over the training split.
      schedule: Later learning rates: pairs (number of finished epochs, rate), on the command line "25:0.01,50:0.001";
        or a function (epoch from 0, rate) -> rate, as for Keras' LearningRateScheduler.
      fine_tune: A second phase with unfrozen layers.
      stop_when: Condition that ends training after an epoch that meets it: "accuracy > 0.89", "val_loss < 0.1".
      monitor: Metric that `keep` and `patience` compare.
      keep: "last" exports the weights after the last epoch, "best" those of the epoch with the best `monitor`. If the
        optimizer averages the weights (`use_ema`), "last" sets them to their averages at the end, as Keras' `fit` does;
        "best" evaluates the averages after each epoch, and keeps the best of them, as Keras' `SwapEMAWeights` does.
      patience: Number of epochs without a better `monitor` after which training ends; None: no limit.
      callbacks: Functions that return further Keras callbacks.
      seed: Seed of the weights, the order of the examples and the augmentation.
      cache_mb: Size up to which a split is kept in memory, decoded, in megabytes (10^6 bytes); 0: never.
      shuffle_buffer: Number of examples to draw from if the split does not fit in memory.
      checkpoint_seconds: Time between two checkpoints, from which a killed run resumes, within an epoch, too; 0: one
        after every step, None: none.
      tensorboard: Whether to write TensorBoard's logs; `histogram_epochs` and `profile_steps` imply it.
      histogram_epochs: Number of epochs between two histograms of the weights; 0: no histograms.
      profile_steps: First and last step to profile, counted from 1 over all epochs; empty: none.
      strategy: "none" trains on one device, "mirrored" on all GPUs of the machine, "multi_worker" on several machines,
        which TF_CONFIG lists.
      data_service: Address of a tf.data service, "grpc://HOST:PORT", that reads and decodes the training split; empty:
        the Trainer does it. With a service, the training split is not kept in memory.
    """

    epochs: int = 10
    batch_size: int = 32
    optimizer: Optimizer = "adam"
    learning_rate: float | None = None
    loss: Loss = ""
    metrics: tuple[Metric, ...] = ()
    class_weight: Literal["", "balanced"] | Mapping[str, float] = ""
    label_smoothing: float = 0.0
    mixed_precision: Literal["", "float16", "bfloat16"] = ""
    steps_per_epoch: int | None = None
    schedule: Schedule = ()
    fine_tune: FineTune = field(default_factory=FineTune)
    stop_when: str = ""
    monitor: str = "val_loss"
    keep: Literal["last", "best"] = "last"
    patience: int | None = None
    callbacks: tuple[MakeCallback, ...] = ()
    seed: int = 0
    cache_mb: int = 2000
    shuffle_buffer: int = 4096
    checkpoint_seconds: float | None = 60.0
    tensorboard: bool = False
    histogram_epochs: int = 0
    profile_steps: tuple[int, ...] = ()
    strategy: str = "none"
    data_service: str = ""

    def __post_init__(self) -> None:
        check_fields(self, "train")
        self._check_numbers()
        self._check_objective()
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)
        self._check_data_service()
        _check_schedule(self.schedule)
        _check_window(self.profile_steps)
        if self.stop_when:
            self.stop_condition  # noqa: B018 - parsing checks it

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch_size", "shuffle_buffer"):
            if getattr(self, name) < 1:
                raise UsageError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "cache_mb", "histogram_epochs", "checkpoint_seconds"):
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"train.{name} must not be below 0, got {getattr(self, name)}")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise UsageError(f"train.learning_rate must be above 0, got {self.learning_rate}")
        for name in ("patience", "steps_per_epoch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"train.{name} must be at least 1, or none, got {value}")
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"train.label_smoothing must be 0 to below 1, got {self.label_smoothing}")
        if any(weight < 0 for weight in _values(self.class_weight)):
            raise UsageError(f"train.class_weight must not be below 0, got {self.class_weight}")

    def _check_objective(self) -> None:
        """Check the optimizer, the loss, the metrics, and the settings that depend on them."""
        if self.optimizer not in OPTIMIZERS:
            check_keras(self.optimizer, "train.optimizer", "optimizers", "Optimizer")
        if has_config(self.optimizer) and has_schedule(self.optimizer) and (self.learning_rate or self.schedule):
            raise two_rates(self.learning_rate)
        if self.loss != "":
            check_keras(self.loss, "train.loss", "losses", "Loss")
        for one in self.metrics:
            check_keras(one, "train.metrics", "metrics", "Metric")
        if self.label_smoothing and self.loss != "":
            raise UsageError(
                "train.label_smoothing cannot be used with train.loss: it belongs to the default loss",
                hint='Give it to the loss: --set "train.loss=categorical_crossentropy(label_smoothing=0.1)"',
            )

    def _check_data_service(self) -> None:
        if not self.data_service:
            return
        host_port(self.data_service)
        if self.strategy == "multi_worker":
            raise UsageError(
                "train.data_service cannot be used with train.strategy=multi_worker: it does not keep the order of"
                " the examples, from which each worker takes its share",
                hint="Remove one of them: with multi_worker, each worker decodes its own share.",
            )

    def check_label(self, label: Label) -> None:
        """Check that the settings of the loss apply to a kind of label.

        Args:
          label: The task's.

        Raises:
          UsageError: If one of them would never apply.
        """
        if isinstance(label, Number) and self.label_smoothing:
            raise UsageError(
                "train.label_smoothing does not apply to a number: it spreads a label over classes", hint="Remove it."
            )
        if self.class_weight and not isinstance(label, Classes):
            kind = "a number" if isinstance(label, Number) else "several labels: an example may have some of them"
            raise UsageError(
                f"train.class_weight does not apply to {kind}",
                hint="Remove it, or weigh the examples in a loss of your own (train.loss).",
            )

    def check_metrics(self, metrics: Sequence[str]) -> None:
        """Check that the history of training has the metrics of `monitor` and `stop_when`.

        Args:
          metrics: Names of the metrics besides the loss; `Task.metrics`.

        Raises:
          UsageError: If it does not have one of them.
        """
        names = ["loss", *metrics]
        names += [f"val_{name}" for name in names]
        condition = self.stop_condition
        for setting, name in (("monitor", self.monitor), ("stop_when", condition.metric if condition else "loss")):
            if name not in names:
                raise unknown(f"metric for train.{setting}", name, names)

    @property
    def stop_condition(self) -> StopCondition | None:
        """`stop_when`, parsed; None if it is empty.

        Raises:
          UsageError: If it is not a metric, one of > >= < <=, and a finite number.
        """
        if not self.stop_when:
            return None
        match = _STOP.fullmatch(self.stop_when)
        try:
            metric, sign, limit = match.groups() if match else ("", "", "")
            condition = StopCondition(metric, sign, float(limit))
            if not math.isfinite(condition.limit):
                raise ValueError(limit)
            return condition
        except ValueError:
            raise UsageError(
                f"train.stop_when must be a metric, a sign and a number, got '{self.stop_when}'",
                hint='For example --set "train.stop_when=accuracy > 0.89"',
            ) from None


def _values(weights: str | Mapping[str, float]) -> list[float]:
    return [] if isinstance(weights, str) else [*weights.values()]


def _check_schedule(schedule: Schedule) -> None:
    if callable(schedule):
        return
    epochs = [epoch for epoch, _ in schedule]
    if epochs != sorted(set(epochs)) or any(epoch < 0 or rate <= 0 for epoch, rate in schedule):
        raise UsageError(
            f"train.schedule must be pairs of increasing epochs and rates above 0, got {schedule}",
            hint="For example --set train.schedule=25:0.01,50:0.001",
        )


def _check_window(steps: tuple[int, ...]) -> None:
    if steps and not (len(steps) == 2 and 1 <= steps[0] <= steps[1]):
        raise UsageError(
            f"train.profile_steps must be the first and the last step to profile, got {steps}",
            hint="For example --set train.profile_steps=10,20",
        )
