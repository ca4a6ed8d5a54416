"""Our message classes against those of tensorflow-serving-api, byte for byte."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.wrappers_pb2 import Int64Value
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
    status_pb2,
)

from serving import protocol
from serving.protocol.descriptors import load_types
from tests import PROJECT

THEIRS: dict[str, Any] = {
    "Int64Value": Int64Value,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "Tensor": tensor_pb2.TensorProto,
    "Shape": tensor_shape_pb2.TensorShapeProto,
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "ClassificationRequest": classification_pb2.ClassificationRequest,
    "ClassificationResponse": classification_pb2.ClassificationResponse,
    "ClassificationResult": classification_pb2.ClassificationResult,
    "Classifications": classification_pb2.Classifications,
    "Class": classification_pb2.Class,
    "RegressionRequest": regression_pb2.RegressionRequest,
    "RegressionResponse": regression_pb2.RegressionResponse,
    "RegressionResult": regression_pb2.RegressionResult,
    "Regression": regression_pb2.Regression,
    "Input": input_pb2.Input,
    "ExampleList": input_pb2.ExampleList,
    "ExampleListWithContext": input_pb2.ExampleListWithContext,
    "Example": example_pb2.Example,
    "Features": feature_pb2.Features,
    "Feature": feature_pb2.Feature,
    "BytesList": feature_pb2.BytesList,
    "FloatList": feature_pb2.FloatList,
    "Int64List": feature_pb2.Int64List,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "Status": status_pb2.StatusProto,
}
ENUMS = {"DataType": types_pb2.DataType.DESCRIPTOR, "State": get_model_status_pb2.ModelVersionStatus.State.DESCRIPTOR}
INTEGERS = {
    Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def is_repeated(field: Any) -> bool:
    """protobuf 7 drops `label`; its successor is missing in protobuf 3 and 4."""
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == Field.LABEL_REPEATED


def scalar(field: Any, rng: random.Random) -> Any:
    if field.name == "error_code":
        return rng.randint(0, 16)
    if field.cpp_type in INTEGERS:
        return rng.choice([rng.randint(*INTEGERS[field.cpp_type]), rng.randint(0, 3)])
    if field.cpp_type == Field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.cpp_type == Field.CPPTYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    if field.cpp_type == Field.CPPTYPE_STRING:
        text = "".join(rng.choices("aé\U0001f600 \0", k=rng.randint(0, 5)))
        return text if field.type == Field.TYPE_STRING else text.encode() + b"\xff"
    return rng.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), 2.0 ** rng.randint(-100, 100)])


def fill(message: Any, rng: random.Random) -> Any:
    """Set a random half of the fields, also in nested messages."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.5:
            continue
        mapped = field.message_type and field.message_type.GetOptions().map_entry
        for _ in range(rng.randint(0, 3) if is_repeated(field) else 1):
            if mapped:
                fill(getattr(message, field.name)[scalar(field.message_type.fields[0], rng)], rng)
            elif is_repeated(field) and field.message_type:
                fill(getattr(message, field.name).add(), rng)
            elif is_repeated(field):
                getattr(message, field.name).append(scalar(field, rng))
            elif field.message_type:
                getattr(message, field.name).SetInParent()
                fill(getattr(message, field.name), rng)
            else:
                setattr(message, field.name, scalar(field, rng))
    return message


def check_same(ours: Any, theirs: Any) -> None:
    """Check that the same fields have the same values, by name, at every level."""
    assert [field.name for field, _ in ours.ListFields()] == [field.name for field, _ in theirs.ListFields()]
    for field, value in ours.ListFields():
        other = getattr(theirs, field.name)
        if not field.message_type:
            assert repr(value) == repr(other)
        elif field.message_type.GetOptions().map_entry:
            assert sorted(value) == sorted(other)
            for key in value:
                check_same(value[key], other[key])
        elif is_repeated(field):
            assert len(value) == len(other)
            for one, another in zip(value, other, strict=True):
                check_same(one, another)
        else:
            check_same(value, other)


def test_every_message_has_its_counterpart() -> None:
    assert set(protocol.MESSAGES) == set(THEIRS) | set(ENUMS)


@pytest.mark.parametrize("name", THEIRS)
def test_random_messages_are_the_same_bytes(name: str) -> None:
    ours, theirs, rng = protocol.MESSAGES[name], THEIRS[name], random.Random(name)
    lengths = set()
    for _ in range(200):
        message = fill(ours(), rng)
        sent = message.SerializeToString(deterministic=True)
        read = theirs.FromString(sent)
        check_same(message, read)
        assert read.SerializeToString(deterministic=True) == sent
        assert ours.FromString(read.SerializeToString()).SerializeToString(deterministic=True) == sent
        lengths.add(len(sent))
    assert len(lengths) > 1


@pytest.mark.parametrize("name", ENUMS)
def test_enums_have_the_same_numbers(name: str) -> None:
    theirs = {value.name: value.number for value in ENUMS[name].values}
    ours = {value.name: value.number for value in protocol.MESSAGES[name].values}
    assert ours and ours.items() <= theirs.items()


def test_unknown_fields_survive() -> None:
    sent = predict_pb2.PredictRequest(client_id=b"me")
    sent.inputs["x"].scomplex_val.extend([1.0, 2.0])
    again = protocol.PredictRequest.FromString(sent.SerializeToString()).SerializeToString()
    assert predict_pb2.PredictRequest.FromString(again) == sent


def test_ours_before_theirs_in_one_process() -> None:
    """This file imports them in the other order."""
    code = "import serving.protocol\nfrom tensorflow_serving.apis import predict_pb2, get_model_status_pb2"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_descriptors_are_what_the_proto_files_compile_to(tmp_path: Path) -> None:
    compiled = tmp_path / "descriptors.binpb"
    script = PROJECT / "scripts" / "compile_protos.py"
    done = subprocess.run([sys.executable, script, compiled], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    checked_in = (PROJECT / "serving" / "protocol" / "descriptors.binpb").read_bytes()
    assert compiled.read_bytes() == checked_in, "run scripts/compile_protos.py"


def test_an_unknown_file_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_types("none.proto")
