"""Routes to a SavedModel: through each signature in this process, and through a server and a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from data.errors import ServingError, UsageError, first_line, op_message
from serving.client import Client
from serving.client.tensor import string_tensor
from serving.parity.compare import Answers, ClassNames, Scores
from serving.signatures import CLASSES, DEFAULT, EXAMPLES, OUTPUTS, SCORES, THRESHOLDS

Rows = Sequence[Any]
Outputs = Mapping[str, Any]

_STORAGE_ERRORS = (
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
"""Errors of a storage system or a machine: they mean nothing about the model."""
_LONGEST = 200  # characters of a reason in an error message


def feature_values(records: Sequence[bytes], name: str, dtype: tf.DType) -> list[Any]:
    """Return a feature's value in each record: bytes if the dtype is tf.string, otherwise a list of floats.

    Args:
      records: Serialized tf.Examples.
      name: Name of the feature.
      dtype: Dtype of the signature's input.

    Raises:
      UsageError: If a record is not a tf.Example, or lacks the feature.
    """
    kind = "bytes" if dtype == tf.string else "floats"
    found: list[Any] = []
    for number, record in enumerate(records):
        try:
            feature = tf.train.Example.FromString(record).features.feature[name]
        except DecodeError:
            raise UsageError(
                f"record {number} is not a tf.Example", hint="Pass TFRecord files of tf.Examples."
            ) from None
        values = feature.bytes_list.value if dtype == tf.string else feature.float_list.value
        if not values:
            raise UsageError(
                f"record {number} has no {kind} feature '{name}'", hint="Name the feature with --feature NAME."
            )
        found.append(values[0] if dtype == tf.string else list(values))
    return found


class RouteError(Exception):
    """A route does not answer a record; the text is the reason that it gives.

    Attributes:
      route: Name of the route.
      row: First record of the request.
    """

    def __init__(self, route: str, row: int, reason: str) -> None:
        super().__init__(reason)
        self.route, self.row = route, row


class LoadedModel:
    """A SavedModel that is loaded in this process."""

    def __init__(self, folder: str) -> None:
        """Load a SavedModel.

        Args:
          folder: Folder of the SavedModel.

        Raises:
          UsageError: If there is no SavedModel, if it is damaged, if it has ops that this TensorFlow does not know, or
            if it lacks one of the two signatures.
        """
        try:
            self._model = tf.saved_model.load(folder)
        except _STORAGE_ERRORS:
            raise
        except Exception as error:  # damaged files also raise IndexError, RuntimeError and bare OpErrors
            problem = f"no SavedModel at {folder}: {_reason(error)[:_LONGEST]}"
            raise UsageError(problem, hint="Give the folder of a version: it holds saved_model.pb.") from None
        missing = [name for name in (DEFAULT, EXAMPLES) if name not in self._model.signatures]
        if missing:
            names = ", ".join(sorted(self._model.signatures)) or "none"
            raise UsageError(
                f"the SavedModel at {folder} has no signature '{missing[0]}'", hint=f"Its signatures: {names}"
            )

    @property
    def input(self) -> tf.TensorSpec:
        """The input of `serving_default`, with its name.

        Raises:
          UsageError: If the signature has several inputs.
        """
        inputs = self._model.signatures[DEFAULT].structured_input_signature[1]
        if len(inputs) != 1:
            raise UsageError(f"{DEFAULT} has {len(inputs)} inputs, expected one: {', '.join(sorted(inputs))}")
        name, spec = next(iter(inputs.items()))
        return tf.TensorSpec(spec.shape, spec.dtype, name)

    @property
    def has_thresholds(self) -> bool:
        """Whether `serving_default` answers with several labels, which have thresholds."""
        return THRESHOLDS in self._model.signatures[DEFAULT].structured_outputs

    def examples(self, records: Sequence[bytes], batch: int) -> Answers:
        """Call `serving_examples` with serialized tf.Examples, `batch` records at a time."""
        signature = self._model.signatures[EXAMPLES]
        name = next(iter(signature.structured_input_signature[1]))
        return collect_answers(
            _route_name(EXAMPLES, batch), lambda rows: signature(**{name: tf.constant(rows)}), records, batch
        )

    def default(self, values: Rows, batch: int) -> Answers:
        """Call `serving_default` with values of the feature, `batch` of them at a time."""
        signature, spec = self._model.signatures[DEFAULT], self.input
        return collect_answers(
            _route_name(DEFAULT, batch),
            lambda rows: signature(**{spec.name: tf.constant(rows, spec.dtype)}),
            values,
            batch,
        )


def ask_client(client: Client, route: str, name: str, values: Rows, batch: int) -> Answers:
    """Call `serving_default` of a server.

    Args:
      client: Client of the server.
      route: Name of the route.
      name: Name of the signature's input.
      values: Encoded images, or rows of floats.
      batch: Number of values in a request.
    """

    def ask(rows: Rows) -> Outputs:
        tensor: Any = string_tensor(rows) if isinstance(rows[0], bytes) else np.asarray(rows, np.float32)
        return {key: value.tolist() for key, value in client.predict({name: tensor}, DEFAULT).items()}

    return collect_answers(_route_name(route, batch), ask, values, batch)


def collect_answers(route: str, ask: Callable[[Rows], Outputs], rows: Rows, batch: int) -> Answers:
    """Call a route in batches and concatenate the answers.

    Args:
      route: Name of the route.
      ask: Calls the model with some rows.
      rows: Rows to send.
      batch: Number of rows in a call.

    Raises:
      RouteError: If a call fails.
      UsageError: If the outputs are neither `classes` and `scores` nor `outputs`.
    """
    classes, scores, thresholds = [], [], []
    for start in range(0, len(rows), batch):
        try:
            outputs = ask(list(rows[start : start + batch]))
        except (tf.errors.OpError, ServingError) as error:
            raise RouteError(route, start, _reason(error)) from error
        if not ({CLASSES, SCORES} <= set(outputs) or OUTPUTS in outputs):
            names = ", ".join(sorted(outputs))
            raise UsageError(f"{route} returns {names}", hint=f"Expected {CLASSES} and {SCORES}, or {OUTPUTS}.")
        number = outputs.get(OUTPUTS)
        values = np.asarray(outputs[SCORES] if number is None else number, np.float32)
        scores.append(values.reshape(len(values), -1))
        if number is None:
            classes.append(_as_bytes(outputs[CLASSES]))
            thresholds += _thresholds(outputs, values.shape)
    return Answers(
        route,
        np.concatenate(scores),
        np.concatenate(classes) if classes else None,
        np.concatenate(thresholds) if thresholds else None,
    )


def _thresholds(outputs: Outputs, shape: tuple[int, ...]) -> list[Scores]:
    """Return the thresholds, or none if there is no such output, or one that does not belong to the scores."""
    found = outputs.get(THRESHOLDS)
    return [np.asarray(found, np.float32)] if found is not None and np.shape(found) == shape else []


def _as_bytes(names: Any) -> ClassNames:
    """Return names as bytes, object [N, C]: REST has text."""
    rows = np.asarray(names, object)
    encode = np.vectorize(lambda name: name.encode() if isinstance(name, str) else name, otypes=[object])
    return np.asarray(encode(rows))


def _reason(error: Exception) -> str:
    """Return an error's text without TensorFlow's names of nodes; a server's answer may quote them, too."""
    return op_message(str(getattr(error, "message", error))) or first_line(error)


def _route_name(name: str, batch: int) -> str:
    return f"{name}, {'one by one' if batch == 1 else f'batches of {batch}'}"
