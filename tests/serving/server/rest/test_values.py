"""Values over REST: the JSON of each dtype in requests and answers, and the text of each fault."""

from __future__ import annotations

import base64
import math
import re
from typing import Any

import numpy as np
import pytest

MODEL = "/v1/models/half_plus_two"
CLASSIFY, REGRESS = f"{MODEL}:classify", f"{MODEL}:regress"


# --- Predict ---


def test_rows_and_columns_look_like_tensorflow_servings(rest: Any) -> None:
    reply = rest.post({"instances": [1.0, 2.0, 5]})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.body == b'{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'
    assert rest.post({"instances": [[1], [2]]}).body == b'{\n    "predictions": [[2.5], [3.0]\n    ]\n}'
    assert rest.post({"inputs": [1, 2]}).body == b'{\n    "outputs": [\n        2.5,\n        3.0\n    ]\n}'
    assert rest.post({"inputs": 6}).body == b'{\n    "outputs": 5.0\n}'
    assert rest.post({"inputs": []}).body == b'{\n    "outputs": []\n}'
    assert rest.post({"inputs": {"x": [[1]], "unknown": 3}}).json == {"outputs": [[2.5]]}
    assert rest.post({"instances": [{"x": 1}, {"x": 2}]}).json == {"predictions": [2.5, 3.0]}


def test_several_names_are_objects(rest: Any) -> None:
    content = base64.b64encode(b"\xff\x00").decode()
    body = {"instances": [{"a": "é", "b": 1}, {"b": 2.5, "a": {"b64": content}}]}
    assert rest.predict("both", **body).body.decode() == (
        '{\n    "predictions": [\n        {\n            "a_bytes": {\n                "b64": "w6k="\n            },\n'
        '            "total": 2.5\n        },\n        {\n            "a_bytes": {\n                "b64": "/wA="\n'
        '            },\n            "total": 3.25\n        }\n    ]\n}'
    )
    columns = rest.predict("both", inputs={"a": ["x"], "b": [1]})
    assert columns.json == {"outputs": {"a_bytes": [{"b64": "eA=="}], "total": [2.5]}}


def test_strings_are_plain_unless_the_alias_ends_with_bytes(rest: Any) -> None:
    awkward = 'é "quoted" \\ / \t \x1f \x7f 😀'
    assert rest.predict("string", instances=[awkward]).json == {"predictions": [awkward]}
    reply = rest.post(b'{"signature_name": "string", "instances": ["a\\u001f\\u00e9"]}')
    assert reply.body == '{\n    "predictions": ["a\\u001Fé"\n    ]\n}'.encode()
    raw = rest.post(b'{"signature_name": "string", "instances": ["\xff"]}')  # not UTF-8: passes through
    assert raw.body == b'{\n    "predictions": ["\xff"\n    ]\n}'
    content = bytes(range(256))
    sent = [{"b64": base64.b64encode(content).decode()}, {"b64": ""}, {"b64": "YQ"}, "b"]
    got = [base64.b64decode(one["b64"]) for one in rest.predict("bytes", instances=sent).json["predictions"]]
    assert got == [content, b"", b"a", b"b"]


def test_numbers_are_written_as_tensorflow_serving_writes_them(rest: Any) -> None:
    wanted = [3.0, 5e9, 2.0, 2.05, 617285.5, 1.0 / 3.0, 1e-7, -1.5, 16777216.0]
    reply = rest.post({"inputs": [(value - 2.0) * 2.0 for value in wanted]})
    for text, value in zip(reply.json["outputs"], wanted, strict=True):
        assert np.float32(text) == pytest.approx(value, abs=2e-7)
    texts = re.findall(r"[-+.e0-9]+(?=,?\n)", reply.body.decode())
    assert texts[:5] == ["3.0", "5e+09", "2.0", "2.05", "617285.5"]
    assert texts[-2:] == ["-1.5", "16777216.0"]
    # Six digits if they restore the float32, else nine, even if eight are enough: the value is 2.12345671653...
    assert b" 2.12345672\n" in rest.post({"inputs": (2.1234567 - 2.0) * 2.0}).body
    assert rest.predict("double", instances=[0.1, 1 / 3, 2]).body.decode().split("[")[1].split("\n")[0] == (
        "0.1, 0.33333333333333331, 2.0"
    )
    odd = rest.post('{"signature_name": "double", "instances": [NaN, Infinity, -Infinity, Inf]}')
    assert odd.body == b'{\n    "predictions": [NaN, Infinity, -Infinity, Infinity\n    ]\n}'
    assert math.isnan(rest.post('{"instances": [NaN]}').json["predictions"][0])


def test_every_number_is_accepted_as_a_float_and_rounded(rest: Any) -> None:
    """Like val.GetFloat() and val.GetDouble() in AddValueToTensor of tensorflow_serving/util/json_tensor.cc."""
    reply = rest.post('{"signature_name": "double", "instances": [9007199254740993, 18446744073709551615, 1e300]}')
    assert reply.json == {"predictions": [9007199254740992.0, 18446744073709551616.0, 1e300]}
    # The text after the document is not read.
    reply = rest.post('{"inputs": [16777217, 1e39, -1e39, 123456789012345678901234567890]}x')
    assert reply.json == {"outputs": [8388610.0, math.inf, -math.inf, 6.17283946e28]}


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"])
def test_integers_keep_their_dtype(rest: Any, kind: str) -> None:
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    assert rest.predict(kind, instances=[[least], [most]]).json == {"predictions": [[least], [most]]}
    text = f"JSON Value: 1.5 Type: Number is not of expected type: {kind}"
    wrapped = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
    reply = rest.predict(kind, instances=[1, 1.5])
    assert (reply.status, reply.error) == (400, wrapped + text)
    assert rest.predict(kind, inputs=1.5).error == text


def test_booleans(rest: Any) -> None:
    assert rest.predict("bool", instances=[True, False]).body == b'{\n    "predictions": [true, false\n    ]\n}'
    assert rest.predict("bool", inputs=1).error == "JSON Value: 1 Type: Number is not of expected type: bool"
    assert rest.post({"inputs": True}).error == "JSON Value: true Type: True is not of expected type: float"


def test_a_picture_as_nested_lists_and_as_base64(rest: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3))
    reply = rest.predict("uint8", instances=pixels.tolist())
    np.testing.assert_array_equal(reply.json["predictions"], pixels)
    content = pixels.astype(np.uint8).tobytes()
    sent = [{"b64": base64.b64encode(content).decode()}] * 3
    found = rest.predict("bytes", inputs=sent).json["outputs"]
    assert [base64.b64decode(one["b64"]) for one in found] == [content] * 3


FAULTS = [
    ("", "JSON Parse error: The document is empty"),
    (" \n", "JSON Parse error: The document is empty. at offset: 2"),
    ("[1]", "JSON Value: [1] Is not object"),
    ("1.5", "JSON Value: 1.5 Is not object"),
    ("{}", "Missing 'inputs' or 'instances' key"),
    (
        '{"signature_name": 5, "inputs": 1}',
        'JSON Value: {\n    "signature_name": 5,\n    "inputs": 1\n} not formatted correctly. '
        "'signature_name' key must be a string value.",
    ),
    ('{"signature_name": "no", "inputs": 1}', 'Serving signature name: "no" not found in signature def'),
    (
        '{"inputs": 1, "instances": [1]}',
        'JSON Value: {\n    "inputs": 1,\n    "instances": [1]\n} Not formatted correctly expecting '
        "only one of 'inputs' or 'instances' keys to exist ",
    ),
    (
        '{"instances": {}}',
        "JSON Value: {\n    \"instances\": {}\n} Expecting 'instances' to be an list/array",
    ),
    ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    ('{"inputs": "a"}', 'JSON Value: "a" Type: String is not of expected type: float'),
    ('{"inputs": null}', "JSON Value: null Type: Null is not of expected type: float"),
    ('{"inputs": {"z": 1}}', "Missing named input: x in 'inputs' object."),
    (
        '{"inputs": {"x": {"z": 1}}}',
        'JSON Value: {\n    "z": 1\n} Type: Object is not of expected type: float',
    ),
    ('{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
    ('{"inputs": [[1], 2]}', "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ('{"inputs": [[1], [2, 3]]}', "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
    (
        '{"instances": [[1], [2, 3]]}',
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting tensor size: 1 but got: 2",
    ),
    (
        '{"instances": [[1, 2], [[3], [4]]]}',
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2] but got: [2,1]",
    ),
    ('{"instances": [{"x": 1}, [1]]}', "Expecting object but got list at item 1 of input list"),
    ('{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input list"),
    (
        '{"instances": [{"x": 1, "z": 1}]}',
        "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: z",
    ),
    (
        '{"signature_name": "both", "instances": [{"a": "", "b": 1}, {"a": ""}]}',
        'Failed to process element: 1 of \'instances\' list. JSON object: {\n    "a": ""\n} keys must be equal to: a,b',
    ),
    (
        '{"signature_name": "both", "instances": [1]}',
        "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
        "tensorinfo_map",
    ),
    (
        '{"signature_name": "both", "inputs": [1]}',
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
        "tensorinfo_map",
    ),
    (
        '{"signature_name": "string", "inputs": {"v": {"b64": 1}}}',
        'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
    ),
    ('{"signature_name": "string", "inputs": {"b64": "a*=="}}', "Unable to base64 decode"),
    ('{"signature_name": "string", "inputs": {"b64": "a==="}}', "Unable to base64 decode"),
    ('{"signature_name": "string", "inputs": {"b64": "YW*J*j**"}}', "Unable to base64 decode"),
    (
        '{"signature_name": "string", "instances": ["a", {"b64": "a"}]}',
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Unable to base64 decode",
    ),
    ('{"signature_name": "string", "inputs": 1}', "JSON Value: 1 Type: Number is not of expected type: string"),
    ('{"instances": [1}', "JSON Parse error: Missing a comma or ']' after an array element. at offset: 16"),
    ("x" * 9, "JSON Parse error: Invalid value. at offset: 0"),
]


@pytest.mark.parametrize(("body", "text"), FAULTS)
def test_faults_of_predict(rest: Any, body: str, text: str) -> None:
    reply = rest.post(body)
    assert (reply.status, reply.error) == (400, text)


def test_a_dtype_without_json(rest: Any) -> None:
    reply = rest.predict("half", inputs=1)
    assert (reply.status, reply.error) == (501, "Conversion of JSON Value: 1 to type: half")


def test_deep_nesting_is_answered(rest: Any) -> None:
    for depth in (300, 1000, 100_000):
        assert rest.post(f'{{"inputs": {"[" * depth}{"]" * depth}}}').status == 400
    assert rest.post({"instances": [1]}).json == {"predictions": [2.5]}


# --- Classify and Regress ---


def test_classify_and_regress(rest: Any) -> None:
    examples = [{"x": 10.0}, {"x": [20.5]}]
    reply = rest.post({"signature_name": "classify_both", "examples": examples}, CLASSIFY)
    assert reply.body == (
        b'{\n    "results": [[["low", 7.0], ["high", 8.0]], [["low", 12.25], ["high", 13.25]]\n    ]\n}'
    )
    reply = rest.post({"signature_name": "classify_x_to_y", "examples": examples}, CLASSIFY)
    assert reply.json == {"results": [[["", 7.0]], [["", 12.25]]]}
    reply = rest.post({"signature_name": "regress_x_to_y", "examples": examples}, REGRESS)
    assert reply.body == b'{\n    "results": [7.0, 12.25]\n}'


def test_a_context_applies_to_all_examples(rest: Any) -> None:
    body = {"signature_name": "regress_x_to_y", "context": {"x": 1.5}, "examples": [{}, {"x": 2.5}]}
    assert rest.post(body, REGRESS).json == {"results": [2.75, 3.25]}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"context": [1]}', "Example must be JSON object but got JSON Array"),
        ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        (
            '{"examples": {}}',
            "JSON Value: {\n    \"examples\": {}\n} Expecting 'examples' value to be an list/array",
        ),
        ('{"examples": []}', "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"examples": [{"n": [10, null]}]}', "Feature: n has element with unexpected JSON type: Null"),
        ('{"examples": [{"n": [[1]]}]}', "Feature: n has element with unexpected JSON type: Array"),
        ('{"examples": [{"n": {"z": 1}}]}', "Feature: n has element with unexpected JSON type: Object"),
        ('{"examples": [{"n": [10, 10.0]}]}', "Unexpected element type in feature: n expecting type: int64"),
        ('{"examples": [{"n": ["a", 1]}]}', "Unexpected element type in feature: n expecting type: bytes"),
        ('{"examples": [{"n": [1.0, true]}]}', "Unexpected element type in feature: n expecting type: float"),
        (
            '{"examples": [{"n": [1, 18446744073709551603]}]}',
            "Feature: n has uint64_t element. Only int64_t is supported.",
        ),
        ('{"examples": [{"x": 1.0}]}', "No {kind} inputs found in SignatureDef: "),
        ('{"signature_name": "no", "examples": [{}]}', "No signature was found with the name: no"),
    ],
)
def test_faults_of_classify_and_regress(rest: Any, body: str, text: str) -> None:
    for path, kind in ((CLASSIFY, "classification"), (REGRESS, "regression")):
        reply = rest.post(body, path)
        wanted = text.replace("{kind}", kind)
        assert reply.status == 400
        assert reply.error == wanted or ("SignatureDef" in wanted and reply.error.startswith(wanted))


def test_the_kinds_of_features(rest: Any) -> None:
    """Seen in the texts of the graph, which requires a float."""

    def error_of(value: Any) -> str:
        body = {"signature_name": "regress_x_to_y", "examples": [{"x": value}]}
        return rest.post(body, REGRESS).error

    assert "Data type: int64 but expected type: float" in error_of(1)
    assert "Data type: int64 but expected type: float" in error_of([True])
    assert "Data type: string but expected type: float" in error_of("1.0")
    assert "Data type: string but expected type: float" in error_of({"b64": "YQ=="})
