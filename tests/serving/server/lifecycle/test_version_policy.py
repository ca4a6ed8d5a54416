"""Which children of a base path are versions, and which of them a policy selects."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2

from serving.server.lifecycle.version_policy import aspired_versions, find_versions
from serving.server.rpc_error import Fault


def push(base: Path, *names: str) -> None:
    for name in names:
        (base / name).mkdir(parents=True)


def policy(text: str) -> object:
    message = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy()
    return text_format.Parse(text, message)


def test_only_whole_decimal_int64_names_are_versions(tmp_path: Path) -> None:
    """As absl::SimpleAtoi in tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc."""
    push(tmp_path, "1", "00000123", "-4", "0", ".tmp-2", "foo", "1a", "2.tmp", "1_0", "٣", "+-5", "9223372036854775808")
    push(tmp_path, " 5", "+6 ")
    (tmp_path / "9").write_text("a file counts too")
    assert find_versions(str(tmp_path)) == {1: "1", 123: "00000123", -4: "-4", 0: "0", 9: "9", 5: " 5", 6: "+6 "}


def test_same_number_twice_is_the_last_in_byte_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    push(tmp_path, "7", "07", "007")
    assert find_versions(str(tmp_path)) == {7: "7"}
    assert "Version 7 will be loaded from 07, 007 will be ignored." in caplog.text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ["10"]),
        ("latest {}", ["10"]),
        ("latest { num_versions: 0 }", ["10"]),
        ("latest { num_versions: 2 }", ["9", "10"]),
        ("latest { num_versions: 7 }", ["02", "9", "10"]),
        ("all {}", ["02", "9", "10"]),
        ("specific { versions: 2 versions: 10 }", ["02", "10"]),
    ],
)
def test_policies(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, wanted: list[str]) -> None:
    push(tmp_path, "9", "10", "02")
    assert aspired_versions("m", str(tmp_path), policy(text)) == {int(name): f"{tmp_path}/{name}" for name in wanted}
    assert caplog.messages == []


def test_missing_specific_version_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    push(tmp_path, "1")
    assert list(aspired_versions("m", str(tmp_path), policy("specific { versions: [1, 3] }"))) == [1]
    assert caplog.messages == [
        "Version 3 of servable m, which was requested to be served as a 'specific' version in the servable's version "
        "policy, was not found in the file system"
    ]


@pytest.mark.parametrize("text", ["", "specific { versions: 9 }"])
def test_no_version_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    push(tmp_path, *(["1"] if text else ["aside"]))
    assert aspired_versions("m", str(tmp_path), policy(text)) == {}
    assert caplog.messages[-1] == (
        f"No versions of servable m found under base path {tmp_path}. Did you forget to name your leaf directory as a "
        "number (eg. '/1/')?"
    )


def test_specific_versions_with_plain_names_need_no_listing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """AspireSpecificVersionsFastPath of the reference: of two names of one number the plain one counts."""
    push(tmp_path, "7", "7 ", "007", "08")
    assert aspired_versions("m", str(tmp_path), policy("specific { versions: 7 }")) == {7: f"{tmp_path}/7"}
    assert caplog.messages == []
    assert aspired_versions("m", str(tmp_path), policy("specific { versions: [7, 8] }")) == {
        7: f"{tmp_path}/7 ",
        8: f"{tmp_path}/08",
    }
    assert "Version 7 will be loaded from 7 , 7 will be ignored." in caplog.text
    caplog.clear()
    assert aspired_versions("m", str(tmp_path), policy("specific {}")) == {}
    assert caplog.messages == ["No specific versions requested for servable m."]


def test_base_path_that_is_missing_or_a_file_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for text in ("", "specific { versions: 1 }"):
        with pytest.raises(Fault):
            aspired_versions("m", str(tmp_path / "file"), policy(text))
    with pytest.raises(Fault) as caught:
        aspired_versions("m", str(tmp_path / "none"), policy("specific {}"))
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert caught.value.message.startswith(
        f"Could not find base path {tmp_path}/none for servable m with error NOT_FOUND: "
    )
