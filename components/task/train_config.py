"""The settings of training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

from data.errors import UsageError, unknown
from data.fields import check_fields
from data.input import service

if TYPE_CHECKING:
    import keras

    MakeCallback = Callable[[], keras.callbacks.Callback]
else:
    MakeCallback = Callable[..., Any]  # the checks of settings resolve type hints, and must not load Keras for it

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
STRATEGIES = ("none", "mirrored", "multi_worker")
_STOP = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*")

Steps = tuple[tuple[int, float], ...]
Schedule = Union[Steps, Callable[[int, float], float]]


class StopCondition(NamedTuple):
    """`metric sign limit`, as "accuracy > 0.89"."""

    metric: str
    sign: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a value of the metric fulfils it."""
        beyond = value > self.limit if ">" in self.sign else value < self.limit
        return beyond or ("=" in self.sign and value == self.limit)


@dataclass(frozen=True)
class FineTune:
    """A second phase, after `Train.epochs`, in which frozen layers learn, too.

    Attributes:
      epochs: of the second phase; 0: there is none.
      learning_rate: far below the first phase's, or it undoes what was learnt before.
      from_layer: name of the first layer to unfreeze, those after it follow; empty: all. BatchNormalization layers
        stay frozen: their statistics are the pretrained weights'.
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
    """How the model is fitted.

    Attributes:
      epochs: passes over the training split.
      batch_size: examples per step, of all devices together; the last batch of an epoch is smaller, no example is left
        out.
      optimizer: a name of `keras.optimizers`.
      learning_rate: the optimizer's.
      schedule: other rates later: pairs (after so many epochs, rate), on the command line "25:0.01,50:0.001"; or a
        function (epoch from 0, rate) -> rate, as Keras' LearningRateScheduler takes it.
      fine_tune: a second phase with unfrozen layers.
      stop_when: ends the training after an epoch in which it holds: "accuracy > 0.89", "val_loss < 0.1".
      monitor: the metric that tells good epochs from bad ones, for `keep` and `patience`.
      keep: "last" exports the weights after the last epoch, "best" those of the epoch with the best `monitor`.
      patience: ends the training after so many epochs without a better `monitor`; None: never.
      callbacks: functions that make further Keras callbacks.
      seed: of the weights, the order of the examples and the augmentation.
      cache_mb: decoded examples are kept in memory up to this many megabytes (10^6 bytes) a split; 0 never.
      shuffle_buffer: examples to draw from where the split does not fit in memory.
      checkpoint_seconds: how often the state of the training is saved, within epochs, too, so that a killed run goes
        on from there; 0 after every step, None never.
      tensorboard: writes TensorBoard's logs; `histogram_epochs` and `profile_steps` do so, too.
      histogram_epochs: histograms of the weights every so many epochs; 0: none.
      profile_steps: first and last step of a window to profile, counted from 1 over all epochs; empty: none.
      strategy: "mirrored" trains on all GPUs of the machine, "multi_worker" on several machines, which TF_CONFIG names.
      data_service: address of a tf.data service, "grpc://HOST:PORT", which reads and decodes the training split; empty:
        the trainer does it itself. Nothing is kept in memory then.
    """

    epochs: int = 10
    batch_size: int = 32
    optimizer: str = "adam"
    learning_rate: float = 1e-3
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
        for name in ("epochs", "batch_size", "shuffle_buffer"):
            if getattr(self, name) < 1:
                raise UsageError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "cache_mb", "histogram_epochs", "checkpoint_seconds"):
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"train.{name} must not be below 0, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise UsageError(f"train.learning_rate must be above 0, got {self.learning_rate}")
        if self.optimizer.lower() not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS)
        if self.patience is not None and self.patience < 1:
            raise UsageError(f"train.patience must be at least 1, or none, got {self.patience}")
        if self.keep not in ("last", "best"):
            raise UsageError(f"train.keep must be last or best, got '{self.keep}'")
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)
        if self.data_service:
            service.host_port(self.data_service)
            if self.strategy == "multi_worker":
                raise UsageError(
                    "train.data_service delivers in an order of its own, of which train.strategy=multi_worker cannot "
                    "give each worker its part",
                    hint="Leave out one of them: with multi_worker, each worker decodes its own part.",
                )
        _check_schedule(self.schedule)
        _check_window(self.profile_steps)
        if self.stop_when:
            self.stop_condition  # noqa: B018 - it checks itself

    def check_metrics(self, is_classification: bool) -> None:
        """Whether `monitor` and `stop_when` name what the history of such a training holds.

        Raises:
          UsageError: one does not.
        """
        names = ["loss", "accuracy" if is_classification else "mae"]
        names += [f"val_{name}" for name in names]
        condition = self.stop_condition
        for setting, name in (("monitor", self.monitor), ("stop_when", condition.metric if condition else "loss")):
            if name not in names:
                raise unknown(f"metric for train.{setting}", name, names)

    @property
    def stop_condition(self) -> StopCondition | None:
        """`stop_when`, parsed.

        Raises:
          UsageError: it is not `metric > number` or its like.
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


def _check_schedule(schedule: Schedule) -> None:
    if callable(schedule):
        return
    epochs = [epoch for epoch, _ in schedule]
    if epochs != sorted(set(epochs)) or any(epoch < 0 or rate <= 0 for epoch, rate in schedule):
        raise UsageError(
            f"train.schedule must be pairs of rising epochs and rates above 0, got {schedule}",
            hint="For example --set train.schedule=25:0.01,50:0.001",
        )


def _check_window(steps: tuple[int, ...]) -> None:
    if steps and not (len(steps) == 2 and 1 <= steps[0] <= steps[1]):
        raise UsageError(
            f"train.profile_steps must be the first and the last step of a window, got {steps}",
            hint="For example --set train.profile_steps=10,20",
        )
