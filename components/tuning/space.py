"""The search space of a tuning: settings of a task with the values to try, `train.learning_rate=1e-4..1e-2:log`."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from components.task import overrides
from components.task.keras_text import split_texts
from components.task.task import Task
from data.errors import UsageError, unknown

if TYPE_CHECKING:
    from keras_tuner import HyperParameters

PARTS = ("model", "train", "augment")
"""Parts of a task that only the Trainer reads: trials share the prepared data, and nothing after the training runs."""
FIXED = ("train.strategy", "train.data_service")  # where a training runs, not how
DIGITS = 4  # significant digits of a value from a range: the setting that is shown is the one that was used
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?(?::({_NUMBER}))?")
_FORMS = (
    "A range is LOW..HIGH, LOW..HIGH:log or LOW..HIGH:STEP; values are separated by commas, or by | if they have any."
)

Value = Union[int, float, str]


@dataclass(frozen=True)
class ChosenValues:
    """A setting with a list of values.

    Attributes:
      key: Dotted name of the setting.
      texts: The values as `--set` takes them.
    """

    key: str
    texts: tuple[str, ...]

    @property
    def count(self) -> int | None:
        """Number of values."""
        return len(self.texts)

    def declare(self, space: HyperParameters) -> None:
        """Add the setting to KerasTuner's search space."""
        space.Choice(self.key, self._values())

    def text(self, value: Value) -> str:
        """Return one of KerasTuner's values as `--set` takes it."""
        return self.texts[self._values().index(value)]

    def value(self, text: str) -> Value:
        """Return the value of a text that `text` returned."""
        return self._values()[self.texts.index(text)]

    def _values(self) -> list[Value]:
        """Return all values as whole numbers, or all as numbers, or as texts: KerasTuner allows one type only."""
        for kind in (int, float):
            try:
                found: list[Value] = [kind(text) for text in self.texts]
            except ValueError:
                continue
            if len(set(found)) == len(found):
                return found
        return list(self.texts)


@dataclass(frozen=True)
class ValueRange:
    """A setting with a range of numbers.

    Attributes:
      key: Dotted name of the setting.
      low, high: Smallest and largest value.
      log: Whether each factor, not each difference, is equally likely.
      step: Difference, or with `log` factor, between two values; None: any value.
      whole: Whether only whole numbers are legal.
    """

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def _sampling(self) -> str:
        return "log" if self.log else "linear"

    @property
    def count(self) -> int | None:
        """Number of values; None if any number between the two is one."""
        if self.step is None:
            return int(self.high - self.low) + 1 if self.whole else None
        if self.log:
            return int(math.log(self.high / self.low, self.step) + 1e-8) + 1
        return int((self.high - self.low) / self.step + 1e-8) + 1

    def declare(self, space: HyperParameters) -> None:
        """Add the setting to KerasTuner's search space."""
        if self.whole:
            space.Int(self.key, self.low, self.high, step=self.step, sampling=self._sampling)
            return
        # KerasTuner counts 0..0.3 in steps of 0.1 as three values: its division rounds down.
        high = self.high + 1e-8 * self.step if self.step and not self.log else self.high
        space.Float(self.key, self.low, high, step=self.step, sampling=self._sampling)

    def text(self, value: Value) -> str:
        """Return one of KerasTuner's values as `--set` takes it: a whole number, or a number of four digits."""
        if self.whole:
            return str(int(value))
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))

    def value(self, text: str) -> Value:
        """Return the value of a text that `text` returned."""
        return int(text) if self.whole else float(text)


Dimension = Union[ChosenValues, ValueRange]


def parse_over(assignments: Sequence[str]) -> dict[str, str]:
    """Parse `["train.epochs=2..8"]` to `{"train.epochs": "2..8"}`.

    Raises:
      UsageError: If an assignment has no `=`, or if a setting is named twice.
    """
    parsed: dict[str, str] = {}
    for assignment in assignments:
        key, separator, values = (part.strip() for part in assignment.partition("="))
        if not (key and separator and values):
            raise UsageError(f"--over {assignment}: expected KEY=VALUES", hint=f"{_FORMS} {_EXAMPLE}")
        if key in parsed:
            raise UsageError(f"--over names {key} twice", hint="Give all its values at once.")
        parsed[key] = values
    return parsed


_EXAMPLE = "For example --over train.learning_rate=1e-4..1e-2:log"


def search_space(task: Task, over: Mapping[str, str]) -> list[Dimension]:
    """Return the settings to tune, in the order in which they were given; each value was checked by the task.

    Args:
      task: The task with the run's own settings.
      over: Text of the values or the range by setting.

    Raises:
      UsageError: If a setting does not exist or cannot be tuned, a range is empty, or the task rejects a value.
    """
    if not over:
        raise UsageError("no setting to tune", hint=_EXAMPLE)
    return [_dimension(task, key, text) for key, text in over.items()]


def space_size(space: Sequence[Dimension]) -> int | None:
    """Return the number of combinations; None if there is no end of them."""
    counts = [one.count for one in space]
    return None if None in counts else math.prod(one or 1 for one in counts)


def _dimension(task: Task, key: str, text: str) -> Dimension:
    legal = [name for name in overrides.setting_names(task) if name.partition(".")[0] in PARTS and name not in FIXED]
    if key not in legal:
        if key in overrides.setting_names(task):
            raise UsageError(
                f"{key} cannot be tuned: all trials use the same prepared data, and only train",
                hint=f"Tune settings that start with {', '.join(PARTS)}, or call `skewless tune` once for each value:"
                f" --set {key}=VALUE",
            )
        raise unknown("setting to tune", key, legal)
    match = _RANGE.fullmatch(text)
    return _range(task, key, text, match) if match else _choice(task, key, text)


def _range(task: Task, key: str, text: str, match: re.Match[str]) -> ValueRange:
    low, high, log, step = match.groups()
    first, last = _value(task, key, low), _value(task, key, high)
    if isinstance(first, bool) or not isinstance(first, (int, float)):
        raise UsageError(f"{key} is not a number, so {text} is no range of it", hint=_FORMS)
    found = ValueRange(key, first, last, bool(log), None if step is None else float(step), whole=isinstance(first, int))
    _check_range(found, text)
    if found.whole and found.step is not None:
        found = dataclasses.replace(found, step=int(found.step))
    return found


def _check_range(found: ValueRange, text: str) -> None:
    if not found.low < found.high:
        raise UsageError(f"{found.key}={text}: the range ends before it begins", hint=_FORMS)
    if found.log and found.low <= 0:
        raise UsageError(f"{found.key}={text}: a range with :log must begin above 0", hint=_FORMS)
    least = 1 if found.log else 0
    if found.step is None:
        return
    if found.step <= least:
        raise UsageError(f"{found.key}={text}: the step must be above {least}", hint=_FORMS)
    if found.whole and found.step != int(found.step):
        raise UsageError(f"{found.key}={text}: the step of whole numbers must be one, too", hint=_FORMS)


def _choice(task: Task, key: str, text: str) -> ChosenValues:
    if "|" not in text and not isinstance(_current(task, key), (int, float, str, type(None))):
        raise UsageError(
            f"{key}={text}: a value of {key} has commas itself", hint=f"Separate the values with |: {key}=16,32|32,64"
        )
    texts = tuple(part.strip() for part in (text.split("|") if "|" in text else split_texts(text)))
    if len(texts) < 2:
        raise UsageError(
            f"{key}={text}: one value is nothing to tune", hint=f"Give it with --set {key}={text}. {_FORMS}"
        )
    for one in texts:
        _value(task, key, one)
    if len(set(texts)) < len(texts):
        raise UsageError(f"{key}={text}: a value is there twice", hint="Remove one of them.")
    return ChosenValues(key, texts)


def _value(task: Task, key: str, text: str) -> Any:
    """Return the value of a setting for a text.

    Raises:
      UsageError: If the task rejects it.
    """
    try:
        return _current(overrides.apply_settings(task, {key: text}), key)
    except UsageError as error:
        raise UsageError(f"--over: {error}", hint=error.hint or _FORMS) from None


def _current(task: Any, key: str) -> Any:
    for part in key.split("."):
        task = getattr(task, part)
    return task
