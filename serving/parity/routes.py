"""The routes of a SavedModel: the same serialized examples through each signature, and through a server's client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from data.errors import ServingError, UsageError, first_line
from serving.client import Client
from serving.client.tensor import string_tensor
from serving.parity.compare import Answers
from serving.signatures import CLASSES, DEFAULT, EXAMPLES, OUTPUTS, SCORES

Rows = Sequence[Any]
Outputs = Mapping[str, Any]

_OF_THE_STORE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnauthenticatedError,
    tf.errors.UnavailableError,
    MemoryError,
    PermissionError,
)
"""Errors of a store or a machine: they say nothing about the model."""


def feature_values(records: Sequence[bytes], name: str, dtype: tf.DType) -> list[Any]:
    """What the records (serialized tf.Examples) hold of a feature: bytes for tf.string, else rows of floats.

    Raises:
      UsageError: a record is no tf.Example, or holds none.
    """
    found: list[Any] = []
    for number, record in enumerate(records):
        try:
            entry = tf.train.Example.FromString(record).features.feature[name]
        except DecodeError:
            raise UsageError(f"record {number} is no tf.Example", hint="Give TFRecord files of them.") from None
        values = entry.bytes_list.value if dtype == tf.string else entry.float_list.value
        if not values:
            kind = "bytes" if dtype == tf.string else "floats"
            raise UsageError(f"record {number} has no {kind} '{name}'", hint="Name the feature with --feature NAME.")
        found.append(values[0] if dtype == tf.string else list(values))
    return found


class RouteError(Exception):
    """A route gives no answer to a record; the text says what it gives instead.

    Attributes:
      route: its name.
      row: the first record of the request.
    """

    def __init__(self, route: str, row: int, told: str) -> None:
        super().__init__(told)
        self.route, self.row = route, row


class LoadedModel:
    """A SavedModel, loaded in this process."""

    def __init__(self, folder: str) -> None:
        """Args:
          folder: of the SavedModel.

        Raises:
          UsageError: it is none, is damaged, has ops that this TensorFlow does not know, or lacks one of the two
            signatures.
        """
        try:
            self._model = tf.saved_model.load(folder)
        except _OF_THE_STORE:
            raise
        except Exception as error:  # of damaged files also IndexError, RuntimeError and bare OpErrors
            raise UsageError(f"no SavedModel at {folder}: {first_line(error)[:200]}") from None
        missing = [name for name in (DEFAULT, EXAMPLES) if name not in self._model.signatures]
        if missing:
            told = ", ".join(sorted(self._model.signatures)) or "none"
            raise UsageError(f"the SavedModel at {folder} has no signature '{missing[0]}'", hint=f"It has: {told}")

    @property
    def input(self) -> tf.TensorSpec:
        """Of `serving_default`; its name is the input's.

        Raises:
          UsageError: it has several inputs.
        """
        inputs = self._model.signatures[DEFAULT].structured_input_signature[1]
        if len(inputs) != 1:
            raise UsageError(f"{DEFAULT} has {len(inputs)} inputs, expected one: {', '.join(sorted(inputs))}")
        name, spec = next(iter(inputs.items()))
        return tf.TensorSpec(spec.shape, spec.dtype, name)

    def examples(self, records: Sequence[bytes], batch: int) -> Answers:
        """`serving_examples` on serialized tf.Examples, so many at a time."""
        ask = self._model.signatures[EXAMPLES]
        name = next(iter(ask.structured_input_signature[1]))
        return collect_answers(_route(EXAMPLES, batch), lambda some: ask(**{name: tf.constant(some)}), records, batch)

    def default(self, values: Rows, batch: int) -> Answers:
        """`serving_default` on the bare values, so many at a time."""
        ask, spec = self._model.signatures[DEFAULT], self.input
        return collect_answers(
            _route(DEFAULT, batch), lambda some: ask(**{spec.name: tf.constant(some, spec.dtype)}), values, batch
        )


def ask_client(client: Client, route: str, name: str, values: Rows, batch: int) -> Answers:
    """`serving_default` of a server, so many values in a request.

    Args:
      client: of the server.
      route: what to call it.
      name: of the signature's input.
      values: encoded pictures, or rows of floats.
      batch: their number in a request.
    """

    def ask(some: Rows) -> Outputs:
        given: Any = string_tensor(some) if isinstance(some[0], bytes) else np.asarray(some, np.float32)
        return {key: value.tolist() for key, value in client.predict({name: given}, DEFAULT).items()}

    return collect_answers(_route(route, batch), ask, values, batch)


def collect_answers(route: str, ask: Callable[[Rows], Outputs], rows: Rows, batch: int) -> Answers:
    """Asks in batches, and puts the answers together.

    Raises:
      Refused: a request fails.
      UsageError: they are neither `classes` and `scores` nor `outputs`.
    """
    classes, scores = [], []
    for start in range(0, len(rows), batch):
        try:
            found = ask(list(rows[start : start + batch]))
        except (tf.errors.OpError, ServingError) as error:
            raise RouteError(route, start, first_line(error)) from error
        if not ({CLASSES, SCORES} <= set(found) or OUTPUTS in found):
            told = ", ".join(sorted(found))
            raise UsageError(f"{route} answers {told}", hint="Expected classes and scores, or outputs.")
        number = found.get(OUTPUTS)
        values = np.asarray(found[SCORES] if number is None else number, np.float32)
        scores.append(values.reshape(len(values), -1))
        if number is None:
            classes.append(_names(found[CLASSES]))
    return Answers(route, np.concatenate(scores), np.concatenate(classes) if classes else None)


def _names(found: Any) -> Any:
    """Bytes, object [N, C]; REST tells names that are text as text."""
    rows = np.asarray(found, object)
    return np.vectorize(lambda name: name.encode() if isinstance(name, str) else name, otypes=[object])(rows)


def _route(name: str, batch: int) -> str:
    return f"{name}, {'one by one' if batch == 1 else f'batches of {batch}'}"
