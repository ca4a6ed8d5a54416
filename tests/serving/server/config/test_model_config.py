"""ModelServerConfig: what is rejected, with which text and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.config.model_config import check_platforms, read_models, read_text_proto, single_model_config
from serving.server.rpc_error import Fault

Config = model_server_config_pb2.ModelServerConfig
GOOD = 'config { name: "a" base_path: "/a" model_platform: "tensorflow" }'


def config(text: str) -> Any:
    return text_format.Parse(f"model_config_list {{ {text} }}", Config())


def test_models_keep_the_order_of_the_list() -> None:
    text = """
    config { name: "b" base_path: "gs://bucket/b" model_platform: "tensorflow" version_labels { key: "old" value: 3 } }
    config { name: "a" base_path: "/a" model_type: TENSORFLOW model_version_policy { specific { versions: [3, 5] } } }
    """
    models = read_models(config(text), ())
    check_platforms(config(text))
    assert list(models) == ["b", "a"]
    assert models["b"].base_path == "gs://bucket/b"
    assert models["b"].labels == {"old": 3}
    assert models["b"].policy.WhichOneof("policy_choice") is None
    assert list(models["a"].policy.specific.versions) == [3, 5]


def test_single_model_is_a_list_of_one() -> None:
    assert single_model_config("a", "/a") == config(GOOD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'{GOOD} config {{ name: "a" base_path: "x" }}', "Illegal to list model a multiple times in config list"),
        (
            'config { name: "a" base_path: "some/where" }',
            "Expected model a to have an absolute path or URI; got base_path()=some/where",
        ),
        ('config { name: "a" }', "Expected model a to have an absolute path or URI; got base_path()="),
        (
            'config { name: "a" base_path: "/a" model_platform: "other" }',
            "Illegal to change a model's platform. For model a platform was tensorflow and new platform requested is "
            "other",
        ),
    ],
)
def test_refused_before_the_labels(text: str, message: str) -> None:
    with pytest.raises(Fault) as caught:
        read_models(config(text), {"a"})
    assert str(caught.value) == f"INVALID_ARGUMENT: {message}"


BOTH = "ModelServerConfig::model_type (deprecated) {} ModelServerConfig::model_platform, model name is a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"Illegal setting neither {BOTH.format('nor')}"),
        ('model_platform: "tensorflow" model_type: TENSORFLOW', f"Illegal setting both {BOTH.format('and')}"),
        ("model_type: OTHER", "ModelServerConfig::model_type choice 2 not supported."),
        ('model_platform: "other"', "Model a requests unsupported platform other"),
    ],
)
def test_refused_after_the_labels(text: str, message: str) -> None:
    wrong = config(f'config {{ name: "a" base_path: "/a" {text} }}')
    assert list(read_models(wrong, ())) == ["a"]
    with pytest.raises(Fault) as caught:
        check_platforms(wrong)
    assert str(caught.value) == f"INVALID_ARGUMENT: {message}"


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"model_config_list {\n  colour: 3\n}", '2:3: Message type "tensorflow.serving.ModelConfigList" has no field'),
        (b"model_config_list {", "1:19: Expected"),
        (b"\xff", ""),
    ],
)
def test_file_that_does_not_parse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, where: str
) -> None:
    path = tmp_path / "models.config"
    path.write_bytes(content)
    with pytest.raises(Fault) as caught:
        read_text_proto(str(path), Config())
    assert str(caught.value) == f"INVALID_ARGUMENT: Invalid protobuf file: '{path}'"
    printed = capsys.readouterr().err
    assert printed.startswith(f"Error parsing text-format tensorflow.serving.ModelServerConfig: {where}")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        read_text_proto(str(tmp_path / "none"), Config())
    assert str(caught.value) == f"NOT_FOUND: {tmp_path}/none; No such file or directory"
