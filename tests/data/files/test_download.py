"""Downloads from real servers in threads: with and without Range, that hang up, send other content, or do not exist."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from data.errors import DataError, UsageError
from data.files import download
from data.files.download import File, fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
NAME = "pictures.bin"


@dataclass
class Served:
    """A running server's file and behaviour, and the Range headers of the requests that it got."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    hang_up_after: int = 1 << 40  # bytes of an answer
    wait: float = 0.0  # seconds before every 16 kB
    statuses: list[int] = field(default_factory=list)  # of the first answers, if not 200
    send_length: bool = True
    asked: list[str | None] = field(default_factory=list)

    def file(self, **other: object) -> File:
        checksum = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
        return replace(File(self.url, NAME, checksum, len(CONTENT)), **other)  # type: ignore[arg-type]


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            asked = self.headers["Range"]
            served.asked.append(asked)
            if served.statuses:
                self.send_error(served.statuses.pop(0))
                return
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and served.ranges else 0  # type: ignore[index]
            body = served.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
            if served.send_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for at in range(0, min(len(body), served.hang_up_after), 16384):
                time.sleep(served.wait)
                self.wfile.write(body[at : min(at + 16384, served.hang_up_after)])

        def log_message(self, format: str, *args: object) -> None: ...

    return Handler


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSE", 0.01)
    served = Served()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    served.url = f"http://127.0.0.1:{server.server_port}/{NAME}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def quiet(line: str) -> None: ...


def assert_one_line(caught: pytest.ExceptionInfo[DataError], *words: str) -> None:
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_file_gets_its_name_and_is_not_fetched_twice(served: Served, tmp_path: Path) -> None:
    fetch([served.file()], str(tmp_path / "new" / "folder"), quiet)
    fetch([served.file()], str(tmp_path / "new" / "folder"), quiet)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()} == {NAME: CONTENT}
    assert served.asked == [None]


def test_an_md5_checksum_is_accepted(served: Served, tmp_path: Path) -> None:
    fetch([served.file(checksum=f"md5:{hashlib.md5(CONTENT).hexdigest()}")], str(tmp_path), quiet)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("old", [b"short", bytes(len(CONTENT))], ids=["another size", "another content"])
def test_a_file_with_another_content_is_replaced(served: Served, tmp_path: Path, old: bytes) -> None:
    (tmp_path / NAME).write_bytes(old)
    fetch([served.file()], str(tmp_path), quiet)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("send_length", [True, False])
def test_half_a_file_is_resumed_if_the_server_can(
    served: Served, tmp_path: Path, ranges: bool, send_length: bool
) -> None:
    served.ranges, served.send_length = ranges, send_length
    (tmp_path / f"{NAME}.partial").write_bytes(CONTENT[:123_456])
    fetch([served.file()], str(tmp_path), quiet)
    assert served.asked == ["bytes=123456-"]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_complete_partial_file_is_only_renamed(served: Served, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.partial").write_bytes(CONTENT)
    fetch([served.file()], str(tmp_path), quiet)
    assert served.asked == [] and (tmp_path / NAME).read_bytes() == CONTENT


def test_a_partial_file_that_is_too_long_is_started_again(served: Served, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.partial").write_bytes(CONTENT + b"more")
    fetch([served.file()], str(tmp_path), quiet)
    assert served.asked == [None] and (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("send_length", [True, False])
def test_a_connection_that_breaks_again_and_again_is_resumed(served: Served, tmp_path: Path, send_length: bool) -> None:
    """More breaks than `TRIES`: each try brings new bytes."""
    served.hang_up_after, served.send_length = 40_000, send_length
    fetch([served.file()], str(tmp_path), quiet)
    assert served.asked == [None, *(f"bytes={at}-" for at in range(40_000, 300_000, 40_000))]
    assert len(served.asked) > download.TRIES and (tmp_path / NAME).read_bytes() == CONTENT


def test_a_connection_that_always_breaks_at_the_same_byte_is_an_error(served: Served, tmp_path: Path) -> None:
    served.ranges, served.hang_up_after = False, 40_000
    with pytest.raises(DataError) as caught:
        fetch([served.file()], str(tmp_path), quiet)
    assert_one_line(caught, served.url, "broke off at 40,000 of 300,000 bytes, 4 times")
    assert "Run it again to resume" in caught.value.hint and "--data DIR" in caught.value.hint
    assert len(served.asked) == download.TRIES
    served.ranges, served.hang_up_after = True, 1 << 40
    fetch([served.file()], str(tmp_path), quiet)
    assert served.asked[-1] == "bytes=40000-" and (tmp_path / NAME).read_bytes() == CONTENT


def test_a_server_that_stalls_is_asked_again(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    served.wait = 0.4
    with pytest.raises(DataError) as caught:
        fetch([served.file()], str(tmp_path), quiet)
    assert_one_line(caught, served.url, "broke off at 0 of 300,000 bytes", "timed out")


def test_a_busy_server_is_asked_again(served: Served, tmp_path: Path) -> None:
    served.statuses = [503, 429]
    fetch([served.file()], str(tmp_path), quiet)
    assert len(served.asked) == 3 and (tmp_path / NAME).read_bytes() == CONTENT


def test_other_content_is_an_error_and_deleted(served: Served, tmp_path: Path) -> None:
    served.content = bytes(len(CONTENT))
    with pytest.raises(DataError) as caught:
        fetch([served.file()], str(tmp_path), quiet)
    found, expected = hashlib.sha256(served.content).hexdigest(), hashlib.sha256(CONTENT).hexdigest()
    assert_one_line(caught, NAME, f"sha256:{found}, expected sha256:{expected}", "deleted")
    assert "Try again" in caught.value.hint and list(tmp_path.iterdir()) == []


def test_a_login_page_in_place_of_the_file_is_an_error_before_it_is_read(served: Served, tmp_path: Path) -> None:
    served.content = b"<html>please log in"
    with pytest.raises(DataError) as caught:
        fetch([served.file()], str(tmp_path), quiet)
    assert_one_line(caught, served.url, "has 19 bytes, expected 300,000")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_an_error_at_once(served: Served, tmp_path: Path) -> None:
    served.statuses = [404] * 9
    with pytest.raises(DataError) as caught:
        fetch([served.file(), served.file(name="labels.bin")], str(tmp_path), quiet)
    assert_one_line(caught, f"{served.url}: HTTP 404 Not Found")
    assert caught.value.hint == (f"no network? Put {NAME}, labels.bin into a folder and give it with --data DIR")
    assert len(served.asked) == 1


def test_no_server_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/{NAME}"
        with pytest.raises(DataError) as caught:
            fetch([Served(url).file()], str(tmp_path), quiet)
    assert_one_line(caught, f"cannot reach {url}", "refused")
    assert f"Put {NAME} into a folder and give it with --data DIR" in caught.value.hint


def test_a_host_without_an_address_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DataError, match="cannot reach http://no-such-host.invalid/"):
        fetch([Served("http://no-such-host.invalid/x").file()], str(tmp_path), quiet)


def test_a_folder_that_cannot_be_written_is_an_error(served: Served, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write .*file/pictures.bin.partial: "):
        fetch([served.file()], str(tmp_path / "file"), quiet)


def test_progress_is_reported_at_most_twice_a_second(served: Served, tmp_path: Path) -> None:
    served.wait = 0.07
    lines: list[str] = []
    start = time.monotonic()
    fetch([served.file()], str(tmp_path), lines.append)
    assert 2 <= len(lines) <= 1 + (time.monotonic() - start) / 0.5
    for line in lines:
        assert re.fullmatch(rf"{NAME} 0\.[0-3] of 0\.3 MB", line)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: replace(file, url="ftp://here/file"), "file.url must begin with http"),
        (lambda file: replace(file, name="../up"), "file.name must be a plain file name, got '../up'"),
        (lambda file: replace(file, name=".."), "file.name"),
        (lambda file: replace(file, checksum="md5:123"), "file.checksum must be md5: or sha256:"),
        (lambda file: replace(file, bytes=0), "file.bytes must be at least 1, got 0"),
    ],
)
def test_illegal_fields_of_a_file(change: Callable[[File], File], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        change(Served("http://here/file").file())
