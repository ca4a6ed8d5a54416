"""Classify and Regress: tf.Examples in, classes or numbers out; checked in TF Serving's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving.server.rpc_error import invalid
from serving.server.saved_model.servable import Servable

INPUT, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
Signature: TypeAlias = meta_graph_pb2.SignatureDef
Outputs: TypeAlias = Mapping[str, Any]  # what a run gave, by tensor name


def classify(
    model: Servable, key: str, sent: input_pb2.Input, timeout: float | None, check_method: bool = False
) -> classification_pb2.ClassificationResult:
    """Classes and scores of each Example, by the signature `key`.

    Raises:
      Fault: INVALID_ARGUMENT for a signature or a result of another form, or for no Example.
    """
    signature = _signature(model, key)
    feed, fetches = classify_tensors(signature, check_method)
    examples = serialized_examples(sent)
    values = model.run({feed: examples}, fetches, timeout)
    return classification_result(model, signature, dict(zip(fetches, values, strict=True)), len(examples))


def regress(
    model: Servable, key: str, sent: input_pb2.Input, timeout: float | None, check_method: bool = False
) -> regression_pb2.RegressionResult:
    """A number for each Example, by the signature `key`.

    Raises:
      Fault: INVALID_ARGUMENT for a signature or a result of another form, or for no Example.
    """
    signature = _signature(model, key)
    feed, fetches = regress_tensors(signature, check_method)
    examples = serialized_examples(sent)
    values = model.run({feed: examples}, fetches, timeout)
    return regression_result(model, signature, dict(zip(fetches, values, strict=True)), len(examples))


def classify_tensors(signature: Signature, check_method: bool) -> tuple[str, list[str]]:
    """Names of the tensor that takes the Examples and of those that give classes and scores.

    Raises:
      Fault: INVALID_ARGUMENT for a signature that cannot classify.
    """
    _check_form(signature, "classification", CLASSIFY, check_method)
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    feed = _feed(signature, "classification")
    fetches = [signature.outputs[alias].name for alias in (CLASSES, SCORES) if alias in signature.outputs]
    if not fetches:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {text_format.MessageToString(signature)}"
        )
    return feed, fetches


def regress_tensors(signature: Signature, check_method: bool) -> tuple[str, list[str]]:
    """Names of the tensor that takes the Examples and of the one that gives the numbers.

    Raises:
      Fault: INVALID_ARGUMENT for a signature that cannot regress.
    """
    _check_form(signature, "regression", REGRESS, check_method)
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    feed = _feed(signature, "regression")
    if OUTPUTS not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {text_format.MessageToString(signature)}")
    return feed, [signature.outputs[OUTPUTS].name]


def classification_result(
    model: Servable, signature: Signature, found: Outputs, count: int
) -> classification_pb2.ClassificationResult:
    """What a run of `classify_tensors` means: `count` rows of labels and scores."""
    columns: dict[str, list[list[Any]]] = {}
    for alias, dtype in ((CLASSES, types_pb2.DT_STRING), (SCORES, types_pb2.DT_FLOAT)):
        if alias in signature.outputs:
            tensor = signature.outputs[alias].name
            columns[alias] = _column(model, tensor, found[tensor], alias, dtype, count)
    widths = [len(rows[0]) for rows in columns.values()]
    if len(set(widths)) > 1:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}")
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
    model: Servable, signature: Signature, found: Outputs, count: int
) -> regression_pb2.RegressionResult:
    """What a run of `regress_tensors` means: `count` numbers."""
    tensor = signature.outputs[OUTPUTS].name
    values = np.asarray(found[tensor])
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got " + _shape(values)
        )
    if len(values) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if _dtype(model, tensor) != types_pb2.DT_FLOAT:
        name = types_pb2.DataType.Name(_dtype(model, tensor))
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {name}")
    result = regression_pb2.RegressionResult()
    for value in values.reshape(-1).tolist():
        result.regressions.add(value=value)
    return result


def serialized_examples(sent: input_pb2.Input) -> np.ndarray:
    """The Examples as bytes, object [N]; a context goes before each, so that the Example's own features win.

    Raises:
      Fault: INVALID_ARGUMENT, there is none.
    """
    examples = sent.example_list.examples
    context = b""
    if sent.WhichOneof("kind") == "example_list_with_context":
        examples = sent.example_list_with_context.examples
        context = sent.example_list_with_context.context.SerializeToString()
    if not examples:
        raise invalid("Input is empty.")
    return np.array([context + one.SerializeToString() for one in examples], object)


def _signature(model: Servable, key: str) -> Signature:
    if key not in model.signatures:
        raise invalid(f"No signature was found with the name: {key}")
    return model.signatures[key]


def _check_form(signature: Signature, kind: str, method: str, check_method: bool) -> None:
    if check_method and signature.method_name != method:
        raise invalid(f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")


def _feed(signature: Signature, kind: str) -> str:
    """Name of the tensor that takes the Examples."""
    if INPUT not in signature.inputs:
        raise invalid(f"No {kind} inputs found in SignatureDef: {text_format.MessageToString(signature)}")
    return signature.inputs[INPUT].name


def _column(model: Servable, tensor: str, value: Any, alias: str, dtype: int, count: int) -> list[list[Any]]:
    """An output of Classify as rows; raises a Fault where it is not `[count, classes]` of its dtype."""
    values = np.asarray(value)
    if values.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(values)}")
    name = types_pb2.DataType.Name
    if _dtype(model, tensor) != dtype:
        raise invalid(f"Expected {alias} Tensor of {name(dtype)}. Got: {name(_dtype(model, tensor))}")
    if len(values) != count:
        raise invalid(f"Expected {alias} output batch size of {count}. Got: {len(values)}")
    return values.tolist()


def _dtype(model: Servable, tensor: str) -> int:
    return model.dtype(tensor).as_datatype_enum


def _shape(values: np.ndarray) -> str:
    return f"[{','.join(map(str, values.shape))}]"
