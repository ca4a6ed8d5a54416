"""MultiInference, GetModelMetadata and the faults of Classify and Regress, on a TF1-style SavedModel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

Code = grpc.StatusCode
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], half_plus_two: Path) -> Any:
    return serve(half_plus_two, "half_plus_two")


@pytest.fixture(scope="module")
def stub(server: Any) -> Any:
    return server.stubs()[0]


@pytest.fixture(scope="module")
def checking(serve: Callable[..., Any], half_plus_two: Path) -> Any:
    """The same model, served with `--enable_signature_method_name_check`."""
    return serve(half_plus_two, "half_plus_two", "--enable_signature_method_name_check=true").stubs()[0]


def example(x: float) -> tf.train.Example:
    value = tf.train.Feature(float_list=tf.train.FloatList(value=[x]))
    return tf.train.Example(features=tf.train.Features(feature={"x": value}))


def multi(*tasks: tuple[str, str], xs: tuple[float, ...] = (10.0, 20.0), **spec: Any) -> Any:
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "half_plus_two", signature
    request.input.example_list.examples.extend(example(x) for x in xs)
    return request


def of_examples(request: Any, signature: str, xs: tuple[float, ...] = (10.0,)) -> Any:
    request.model_spec.name, request.model_spec.signature_name = "half_plus_two", signature
    request.input.example_list.examples.extend(example(x) for x in xs)
    return request


def refused(call: Callable[..., Any], request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value.code(), caught.value.details()


# --- MultiInference ---


def test_tasks_are_answered_in_their_order(stub: Any) -> None:
    tasks = (("regress_x_to_y3", REGRESS), ("classify_both", CLASSIFY), ("regress_x_to_y", REGRESS))
    results = stub.MultiInference(multi(*tasks), timeout=30).results
    assert [one.value for one in results[0].regression_result.regressions] == [8.0, 13.0]
    rows = results[1].classification_result.classifications
    assert [[(one.label, one.score) for one in row.classes] for row in rows] == [
        [("low", 7.0), ("high", 8.0)],
        [("low", 12.0), ("high", 13.0)],
    ]
    assert [one.value for one in results[2].regression_result.regressions] == [7.0, 12.0]
    specs = [(one.model_spec.name, one.model_spec.version.value, one.model_spec.signature_name) for one in results]
    assert specs == [("half_plus_two", 123, signature) for signature, _ in tasks]


def test_only_the_first_task_chooses_the_version(stub: Any) -> None:
    request = multi(("regress_x_to_y", REGRESS), ("classify_x_to_y", CLASSIFY))
    request.tasks[1].model_spec.version.value = 9
    assert len(stub.MultiInference(request, timeout=30).results) == 2
    request.tasks[0].model_spec.version.value = 9
    text = "Servable not found for request: Specific(half_plus_two, 9)"
    assert refused(stub.MultiInference, request) == (Code.NOT_FOUND, text)


def test_faults_of_multi_inference(stub: Any) -> None:
    def fault(request: Any) -> tuple[grpc.StatusCode, str]:
        return refused(stub.MultiInference, request)

    invalid, regress = Code.INVALID_ARGUMENT, ("regress_x_to_y", REGRESS)
    assert fault(multi()) == (invalid, "ModelSpec has no name specified.")
    request = multi(regress, regress)
    request.tasks[0].model_spec.name = ""
    assert fault(request) == (invalid, "ModelSpec has no name specified.")
    request = multi(regress, regress)
    request.tasks[1].model_spec.name = ""
    assert fault(request) == (invalid, "Found ModelSpec with an empty model name.")
    request.tasks[1].model_spec.name = "other"
    text = "All ModelSpecs in a MultiInferenceRequest must access the same model name."
    assert fault(request) == (invalid, text)
    assert fault(multi(regress, regress)) == (invalid, "Duplicate evaluation of signature: regress_x_to_y")
    text = "Requested signature not found in model graph: nosuch"
    assert fault(multi(regress, ("nosuch", REGRESS))) == (invalid, text)
    request = multi(regress, ("", "tensorflow/serving/predict"))
    text = "Unsupported signature method_name: tensorflow/serving/predict"
    assert fault(request) == (Code.UNIMPLEMENTED, text)
    assert fault(multi(regress, xs=())) == (invalid, "Input is empty.")
    assert fault(multi(("two_inputs", CLASSIFY), xs=())) == (invalid, "Expected one input Tensor.")
    text = "Expected Tensor shape: [batch_size num_classes] but got [2]"
    assert fault(multi(regress, ("scores_flat", CLASSIFY))) == (invalid, text)


# --- Classify and Regress ---


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("nosuch", "No signature was found with the name: nosuch"),
        ("two_inputs", "Expected one input Tensor."),
        ("three_outputs", "Expected one or two output Tensors, found 3"),
        ("input_x", "No classification inputs found in SignatureDef: inputs {"),
        ("output_y", 'Expected classification signature outputs to contain at least one of "classes" or "scores". '),
        ("scores_flat", "Expected Tensor shape: [batch_size num_classes] but got [1]"),
        ("scores_double", "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        ("scores_twice", "Expected scores output batch size of 1. Got: 2"),
        ("classes_int", "Expected classes Tensor of DT_STRING. Got: DT_INT32"),
        ("widths", "Tensors class and score should match in dim_size(1). Got 2 vs. 1"),
    ],
)
def test_faults_of_classify(stub: Any, signature: str, text: str) -> None:
    request = of_examples(classification_pb2.ClassificationRequest(), signature)
    code, found = refused(stub.Classify, request)
    assert code is Code.INVALID_ARGUMENT
    assert found == text or (text[-1] in "{ " and found.startswith(text))


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("classify_both", "Expected one output Tensor."),
        ("input_x", "No regression inputs found in SignatureDef: inputs {"),
        ("output_y", "No regression outputs found in SignatureDef: inputs {"),
        (
            "regress_wide",
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]",
        ),
        ("regress_twice", "Input batch size did not match output batch size: 1 vs. 2"),
        ("regress_double", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    ],
)
def test_faults_of_regress(stub: Any, signature: str, text: str) -> None:
    code, found = refused(stub.Regress, of_examples(regression_pb2.RegressionRequest(), signature))
    assert code is Code.INVALID_ARGUMENT
    assert found == text or (text[-1] == "{" and found.startswith(text))


def test_labels_are_empty_and_scores_zero_without_their_output(stub: Any) -> None:
    answer = stub.Classify(of_examples(classification_pb2.ClassificationRequest(), "classify_x_to_y"), timeout=30)
    assert [(one.label, one.score) for one in answer.result.classifications[0].classes] == [("", 7.0)]
    answer = stub.Regress(of_examples(regression_pb2.RegressionRequest(), "regress_flat", (1.0, 2.0)), timeout=30)
    assert [one.value for one in answer.result.regressions] == [2.5, 3.0]


def test_a_request_needs_no_deadline(stub: Any) -> None:
    answer = stub.Regress(of_examples(regression_pb2.RegressionRequest(), "regress_x_to_y"))
    assert answer.result.regressions[0].value == 7.0
    assert stub.Regress(of_examples(regression_pb2.RegressionRequest(), "regress_x_to_y"), timeout=1e8) == answer


# --- the check of method names ---


def test_method_names_matter_only_with_the_flag(stub: Any, checking: Any) -> None:
    request = of_examples(classification_pb2.ClassificationRequest(), "no_method")
    assert stub.Classify(request, timeout=30).result.classifications[0].classes[0].score == 7.0
    text = "Expected classification signature method_name to be tensorflow/serving/classify. Was: "
    assert refused(checking.Classify, request) == (Code.INVALID_ARGUMENT, text)
    request = of_examples(regression_pb2.RegressionRequest(), "classify_x_to_y")
    text = f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}"
    assert refused(checking.Regress, request) == (Code.INVALID_ARGUMENT, text)
    request = multi(("classify_x_to_y", REGRESS))
    assert refused(checking.MultiInference, request) == (Code.INVALID_ARGUMENT, text)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "half_plus_two", "no_method"
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([example(10.0).SerializeToString()]))
    assert stub.Predict(request, timeout=30).outputs["scores"].float_val[0] == 7.0
    text = (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: "
    )
    assert refused(checking.Predict, request) == (Code.INTERNAL, text)
    request.model_spec.signature_name = "classify_x_to_y"
    assert checking.Predict(request, timeout=30).outputs["scores"].float_val[0] == 7.0


# --- GetModelMetadata ---


def metadata(name: str | None = "half_plus_two", *fields: str) -> get_model_metadata_pb2.GetModelMetadataRequest:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    if name is not None:
        request.model_spec.name = name
    return request


def test_metadata_are_the_signatures_as_they_stand(stub: Any, half_plus_two: Path) -> None:
    answer = stub.GetModelMetadata(metadata("half_plus_two", "signature_def"), timeout=30)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("half_plus_two", 123)
    assert answer.model_spec.signature_name == ""
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    written = (half_plus_two / "123" / "saved_model.pb").read_bytes()
    expected = saved_model_pb2.SavedModel.FromString(written).meta_graphs[0].signature_def
    assert dict(found.signature_def) == dict(expected)


def test_the_field_is_looked_at_before_the_model(stub: Any) -> None:
    def fault(*args: Any) -> tuple[grpc.StatusCode, str]:
        return refused(stub.GetModelMetadata, metadata(*args))

    invalid = Code.INVALID_ARGUMENT
    assert fault(None, "nosuch") == (invalid, "Missing ModelSpec")
    assert fault("nosuch") == (invalid, "GetModelMetadataRequest must specify at least one metadata_field")
    assert fault("nosuch", "signature_def", "size") == (invalid, "Metadata field size is not supported")
    assert fault("", "signature_def") == (invalid, "ModelSpec has no name specified.")
    text = "Servable not found for request: Latest(nosuch)"
    assert fault("nosuch", "signature_def") == (Code.NOT_FOUND, text)
