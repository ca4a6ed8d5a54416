"""Classify and Regress: tf.Examples in, classes or numbers out. The checks run in TensorFlow Serving's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving.server.rpc_error import invalid_argument
from serving.server.saved_model.servable import Servable
from serving.server.saved_model.tensors import Array
from serving.signatures import CLASSES, OUTPUTS, SCORES

INPUTS = "inputs"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
Signature: TypeAlias = meta_graph_pb2.SignatureDef
Outputs: TypeAlias = Mapping[str, Any]  # results of a run, by tensor name


def classify(
    model: Servable, key: str, request_input: input_pb2.Input, timeout: float | None, check_method: bool = False
) -> classification_pb2.ClassificationResult:
    """Return the classes and scores of each tf.Example, from the signature `key`.

    Raises:
      Fault: INVALID_ARGUMENT if there is no tf.Example, or if the signature or its outputs cannot classify.
    """
    signature = _find_signature(model, key)
    feed, fetches = classify_tensors(signature, check_method)
    examples = serialized_examples(request_input)
    values = model.run({feed: examples}, fetches, timeout)
    return classification_result(model, signature, dict(zip(fetches, values, strict=True)), len(examples))


def regress(
    model: Servable, key: str, request_input: input_pb2.Input, timeout: float | None, check_method: bool = False
) -> regression_pb2.RegressionResult:
    """Return a number for each tf.Example, from the signature `key`.

    Raises:
      Fault: INVALID_ARGUMENT if there is no tf.Example, or if the signature or its output cannot regress.
    """
    signature = _find_signature(model, key)
    feed, fetches = regress_tensors(signature, check_method)
    examples = serialized_examples(request_input)
    values = model.run({feed: examples}, fetches, timeout)
    return regression_result(model, signature, dict(zip(fetches, values, strict=True)), len(examples))


def classify_tensors(signature: Signature, check_method: bool) -> tuple[str, list[str]]:
    """Return the names of the tensor that takes the tf.Examples and of those with the classes and scores.

    Raises:
      Fault: INVALID_ARGUMENT for a signature that cannot classify.
    """
    _check_signature(signature, "classification", CLASSIFY, check_method)
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    feed = _feed(signature, "classification")
    fetches = [signature.outputs[alias].name for alias in (CLASSES, SCORES) if alias in signature.outputs]
    if not fetches:
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {text_format.MessageToString(signature)}"
        )
    return feed, fetches


def regress_tensors(signature: Signature, check_method: bool) -> tuple[str, list[str]]:
    """Return the names of the tensor that takes the tf.Examples and of the one with the numbers.

    Raises:
      Fault: INVALID_ARGUMENT for a signature that cannot regress.
    """
    _check_signature(signature, "regression", REGRESS, check_method)
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    feed = _feed(signature, "regression")
    if OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {text_format.MessageToString(signature)}")
    return feed, [signature.outputs[OUTPUTS].name]


def classification_result(
    model: Servable, signature: Signature, outputs: Outputs, count: int
) -> classification_pb2.ClassificationResult:
    """Build the result of Classify from a run.

    Args:
      model: model that ran.
      signature: its signature.
      outputs: values of the tensors of `classify_tensors`, by name.
      count: number of tf.Examples.

    Raises:
      Fault: INVALID_ARGUMENT for an output of another shape or dtype.
    """
    columns: dict[str, list[list[Any]]] = {}
    for alias, dtype in ((CLASSES, types_pb2.DT_STRING), (SCORES, types_pb2.DT_FLOAT)):
        if alias in signature.outputs:
            tensor = signature.outputs[alias].name
            columns[alias] = _output_rows(model, tensor, outputs[tensor], alias, dtype, count)
    widths = [len(rows[0]) for rows in columns.values()]
    if len(set(widths)) > 1:
        raise invalid_argument(f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}")
    result = classification_pb2.ClassificationResult()
    for row in range(count):
        classes = result.classifications.add().classes
        for column in range(widths[0]):
            one = classes.add()
            if CLASSES in columns:
                one.label = columns[CLASSES][row][column]
            if SCORES in columns:
                one.score = columns[SCORES][row][column]
    return result


def regression_result(
    model: Servable, signature: Signature, outputs: Outputs, count: int
) -> regression_pb2.RegressionResult:
    """Build the result of Regress from a run.

    Args:
      model: model that ran.
      signature: its signature.
      outputs: values of the tensor of `regress_tensors`, by name.
      count: number of tf.Examples.

    Raises:
      Fault: INVALID_ARGUMENT for an output of another shape or dtype.
    """
    tensor = signature.outputs[OUTPUTS].name
    values = np.asarray(outputs[tensor])
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got " + _shape_text(values)
        )
    if len(values) != count:
        raise invalid_argument(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if _dtype(model, tensor) != types_pb2.DT_FLOAT:
        name = types_pb2.DataType.Name(_dtype(model, tensor))
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {name}")
    result = regression_pb2.RegressionResult()
    for value in values.reshape(-1).tolist():
        result.regressions.add(value=value)
    return result


def serialized_examples(request_input: input_pb2.Input) -> Array:
    """Return the serialized tf.Examples, an object array [N] of bytes.

    A context is put before each tf.Example, so that the tf.Example's own features win when both are parsed as one.

    Raises:
      Fault: INVALID_ARGUMENT if there is no tf.Example.
    """
    examples = request_input.example_list.examples
    context = b""
    if request_input.WhichOneof("kind") == "example_list_with_context":
        examples = request_input.example_list_with_context.examples
        context = request_input.example_list_with_context.context.SerializeToString()
    if not examples:
        raise invalid_argument("Input is empty.")
    return np.array([context + one.SerializeToString() for one in examples], object)


def _find_signature(model: Servable, key: str) -> Signature:
    if key not in model.signatures:
        raise invalid_argument(f"No signature was found with the name: {key}")
    return model.signatures[key]


def _check_signature(signature: Signature, kind: str, method: str, check_method: bool) -> None:
    if check_method and signature.method_name != method:
        raise invalid_argument(f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")


def _feed(signature: Signature, kind: str) -> str:
    """Return the name of the tensor that takes the tf.Examples."""
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No {kind} inputs found in SignatureDef: {text_format.MessageToString(signature)}")
    return str(signature.inputs[INPUTS].name)


def _output_rows(model: Servable, tensor: str, value: Any, alias: str, dtype: int, count: int) -> list[list[Any]]:
    """Return an output of Classify as rows; raise a Fault unless it has shape [count, classes] and its dtype."""
    values = np.asarray(value)
    if values.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(values)}")
    name = types_pb2.DataType.Name
    if _dtype(model, tensor) != dtype:
        raise invalid_argument(f"Expected {alias} Tensor of {name(dtype)}. Got: {name(_dtype(model, tensor))}")
    if len(values) != count:
        raise invalid_argument(f"Expected {alias} output batch size of {count}. Got: {len(values)}")
    return list(values.tolist())


def _dtype(model: Servable, tensor: str) -> int:
    return int(model.dtype(tensor).as_datatype_enum)


def _shape_text(values: Array) -> str:
    return f"[{','.join(map(str, values.shape))}]"
