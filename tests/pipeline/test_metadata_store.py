"""ML Metadata in MySQL: a server from Debian's packages, two runs that share it, and the ways in which it fails."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ml_metadata import metadata_store

from data.errors import UsageError
from pipeline import metadata_store as connection
from pipeline.commands.skew import prove_task
from pipeline.paths import Paths
from serving.engines import free_port
from tests.pipeline.simulator_in_process import TINY, attempt

PASSWORD = 'p@ss/w:"ord'
_SETUP = """
CREATE DATABASE mlmd CHARACTER SET utf8mb4;
CREATE DATABASE other;
CREATE USER 'tfx'@'%' IDENTIFIED BY '{password}';
GRANT ALL ON mlmd.* TO 'tfx'@'%';
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server without any of the machine's configuration; yield its HOST:PORT."""
    program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    install = shutil.which("mariadb-install-db")
    if program is None or install is None:
        pytest.skip("no mariadbd on this machine: apt-get install mariadb-server")
    folder, port = tmp_path_factory.mktemp("mariadb"), free_port()
    data = folder / "data"
    data.mkdir()
    (folder / "setup.sql").write_text(_SETUP.format(password=PASSWORD).lstrip())
    user = ["--user=root"] if os.getuid() == 0 else []
    common = ["--no-defaults", f"--datadir={data}", *user]
    with (folder / "log").open("w") as log:
        subprocess.run([install, *common, "--skip-test-db"], stdout=log, stderr=log, check=True)
        options = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={data}/s", f"--pid-file={data}/pid"]
        options += ["--skip-name-resolve", f"--init-file={folder}/setup.sql"]
        process = subprocess.Popen([program, *common, *options], stdout=log, stderr=log)
        try:
            end = time.monotonic() + 60
            while "ready for connections" not in (folder / "log").read_text():
                assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(connection.PASSWORD, PASSWORD)
    monkeypatch.delenv(connection.PASSWORD_FILE, raising=False)


@pytest.mark.slow
def test_two_runs_share_the_database(
    server: str,
    tmp_path: Path,
    picture_folder: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "absl")  # the level that TFX's logger has in a process of its own
    data = picture_folder(tmp_path / "data", {"cats": 12, "dogs": 12})
    root, url = tmp_path / "root", f"mysql://tfx@{server}/mlmd"
    first = attempt(data, root, metadata=url)
    assert first.error is None and first.record["status"] == "pushed"
    second = attempt(data, root, metadata=url)
    assert second.error is None and second.record["status"] == "unchanged"
    assert {state for name, state in second.states.items() if name != "Baseline"} == {"cached"}
    with capfd.disabled():
        prove_task(TINY, Paths(str(root), "tiny"), {}, url)
    assert not (root / "tiny" / "metadata.db").exists()
    kept = [file for file in root.rglob("*") if file.is_file()]
    assert len(kept) > 30 and not [file for file in kept if b"ss/w:" in file.read_bytes()]
    assert 'password: "***"' in first.log  # TFX logs its configuration


def _rejected(url: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        connection.check_metadata_store(connection.connection_config(Paths("root", "tiny"), url))
    assert "\n" not in str(caught.value) and "ss/w" not in str(caught.value) + caught.value.hint
    return caught.value


def test_a_server_that_rejects_the_connection(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.check_metadata_store(
        connection.connection_config(Paths("root", "tiny"), f"mysql://tfx@localhost:{server[10:]}/mlmd")
    )
    assert str(_rejected(f"mysql://none@{server}/mlmd")) == f"MySQL at {server} rejects the user none"
    words = f"MySQL at {server}, database other: Access denied for user 'tfx'@'%' to database 'other'"
    assert str(_rejected(f"mysql://tfx@{server}/other")) == words
    error = _rejected(f"mysql://tfx@{server}/misspelt")
    assert "database misspelt: Access denied" in str(error) and "CREATE DATABASE misspelt" in error.hint
    monkeypatch.setenv(connection.PASSWORD, "wrong")
    error = _rejected(f"mysql://tfx@{server}/mlmd")
    assert str(error) == f"MySQL at {server} rejects the user tfx" and "mysql_native_password" in error.hint
    with contextlib.closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{nobody.getsockname()[1]}"
        assert str(_rejected(f"mysql://tfx@{at}/mlmd")) == f"no MySQL server at {at}: Connection refused"


@pytest.mark.parametrize(
    "url",
    ["postgres://u@h/d", "mysql://h/d", "mysql://u@h", "mysql://u@h:port/d", "mysql://u@h/a-b", "mysql://u@h/d?ssl=1"],
)
def test_other_urls_are_rejected(url: str) -> None:
    error = _rejected(url)
    assert str(error) == f"--metadata {url} is not the address of a database" and "mysql://USER@HOST" in error.hint


def test_a_file_of_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, file in ((None, "root/tiny/metadata.db"), ("below/m.db", "below/m.db")):
        found = connection.connection_config(Paths("root", "tiny"), given)
        connection.check_metadata_store(found)
        metadata_store.MetadataStore(found)
        assert (tmp_path / file).exists()


def test_where_the_password_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(url: str = "mysql://u@h/d") -> str:
        return connection.connection_config(Paths("root", "tiny"), url).mysql.password

    assert found() == PASSWORD and found("mysql://u:a%40b@h/d") == "a@b"
    assert str(_rejected("mysql://u:ss/w@h/d")) == "--metadata mysql://u:***@h/d is not the address of a database"
    monkeypatch.delenv(connection.PASSWORD)
    assert found() == ""
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv(connection.PASSWORD_FILE, str(tmp_path / "secret"))
    assert found() == "from a file"
    monkeypatch.setenv(connection.PASSWORD_FILE, str(tmp_path / "none"))
    assert str(_rejected("mysql://u@h/d")).startswith(f"cannot read {tmp_path}/none")
