"""Run what README.md and docs/start.md tell a reader to type, in the order of the pages, in one folder.

`HOW` says how each command is run here. A command that it does not know fails the test.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from PIL import Image as Picture

from serving.engines import free_port
from tests import PROJECT
from tests.docs.pages import SHELLS, Block, Command, blocks, commands
from tests.pipeline.conftest import environment
from tests.pipeline.runners.remote.vertex_service import PROJECT as CLOUD_PROJECT
from tests.pipeline.runners.remote.vertex_service import Vertex
from tests.preloaded import Process

PAGES = [PROJECT / "README.md", PROJECT / "docs" / "start.md"]
COLOURS = {"daisy": (240, 240, 235), "rose": (200, 30, 50), "tulip": (240, 190, 20)}
TIMEOUT = 500.0  # seconds for a command; on a busy machine a run takes minutes
NAMES = {"IMAGE": "host/image:1", "BUCKET": "b", "PROJECT": CLOUD_PROJECT}  # words of the pages that stand for others


def _write_flowers(folder: Path, each: int, seed: int) -> None:
    """Write pictures of three classes that differ in their colour."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = np.clip(np.array(colour) + rng.normal(0, 25, (16, 20, 3)), 0, 255).astype(np.uint8)
            Picture.fromarray(pixels).save(folder / name / f"{number}.jpg")


@dataclass
class Reader:
    """A reader's machine: a home with pictures, a folder to work in, and a service that stands for Vertex AI.

    Attributes:
      home: Stands for `~`.
      folder: Folder in which the commands run.
      service: Stand-in for Vertex AI.
      server: The running `skewless serve`.
      ports: Ports on this machine that stand for those of the pages.
      done: Commands that have run: the second page repeats some of the first.
    """

    home: Path
    folder: Path
    service: Vertex
    server: Process | None = None
    ports: dict[str, str] = field(default_factory=dict)
    done: set[tuple[str, ...]] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        """The service's credentials; no browser, no proxy, and no weights from the network."""
        return environment(
            HOME=str(self.home),
            BROWSER="true",
            KERAS_HOME=str(self.home / "keras"),
            GOOGLE_APPLICATION_CREDENTIALS=self.service.key_file(self.home),
            STORAGE_EMULATOR_HOST=self.service.url,
            NO_GCE_CHECK="true",
            NO_PROXY="127.0.0.1,localhost",
        )

    def translate(self, word: str) -> str:
        """Put in what a word of a page stands for here."""
        for name, value in {**NAMES, **self.ports, "DIR": str(self.home / "pictures" / "flowers")}.items():
            word = re.sub(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", value, word)
        return re.sub(r"^~(?=/|$)", str(self.home), word)

    def call(self, module: str, *arguments: str, where: str) -> str:
        """Run a module to its end, and return what it prints.

        Raises:
          AssertionError: If it fails.
        """
        process = Process(module, *arguments, cwd=self.folder, env=self.environment)
        out, err = process.communicate(TIMEOUT)
        assert process.wait() == 0, f"{where}: {' '.join(arguments)}: exit status {process.returncode}\n{out}\n{err}"
        return out

    def stop_server(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait(timeout=60)
            self.server = None


How = Callable[[Reader, Command], None]


def _run(reader: Reader, command: Command) -> None:
    reader.call("pipeline.cli", *command.words[1:], where=command.where)


def _only_read(reader: Reader, command: Command) -> None:
    """Let the command line read the options: other tests run them, for minutes."""
    from pipeline.cli import cli

    name, *arguments = command.words[1:]
    cli.commands[name].make_context(name, arguments)


def _write_task(reader: Reader, command: Command) -> None:
    (reader.folder / f"{command.words[2]}.py").unlink(missing_ok=True)  # the page before wrote it
    _run(reader, command)


def _serve(reader: Reader, command: Command) -> None:
    """Start the server on free ports, and wait until it answers."""
    reader.stop_server()
    arguments = ["--port", reader.ports["8500"], *command.words[3:]]
    server = Process("pipeline.cli", "serve", command.words[2], *arguments, cwd=reader.folder, env=reader.environment)
    reader.server = server
    for stream in (server.stdout, server.stderr):
        threading.Thread(target=_read_all, args=(stream,), daemon=True).start()
    for port in {*reader.ports.values()} & {*arguments}:
        _wait_for(int(port), server)


def _read_all(stream: TextIO) -> None:
    with stream:
        stream.read()


def _wait_for(port: int, server: Process) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert server.poll() is None, "the server has ended"
        with socket.socket() as one:
            one.settimeout(1)
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"no server on port {port}")


def _ask(reader: Reader, command: Command) -> None:
    server = () if "--server" in command.words else ("--server", f"localhost:{reader.ports['8500']}")
    out = reader.call("pipeline.cli", *command.words[1:], *server, where=command.where)
    assert any(name in out for name in COLOURS), f"{command.where}: no label in {out!r}"


def _submit(reader: Reader, command: Command) -> None:
    poll = ("--poll", "0.1") if "--wait" in command.words else ()
    arguments = (*command.words[1:], "--api-endpoint", reader.service.url, *poll)
    out = reader.call("pipeline.cli", *arguments, where=command.where)
    assert "console" in out and reader.service.asked, out


def _make(reader: Reader, command: Command) -> None:
    """Ask make what it would do: CI runs `make test`, and the demo is run by a test."""
    done = subprocess.run(["make", "-n", *command.words[1:]], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip(), f"{command.where}: {done.stderr}"


def _pip_install(reader: Reader, command: Command) -> None:
    """Look whether the project has the extras, and a wheel of this name."""
    about = metadata.metadata("skewless")
    for word in command.words[2:]:
        if word.startswith("-"):
            continue
        text = Path(word).name
        if ".whl" in text:
            file, _, extras = text.partition("[")
            name, version = parse_wheel_filename(file)[:2] if "*" not in file else ("skewless", about["Version"])
            assert (name, str(version)) == ("skewless", about["Version"]), f"{command.where}: {word}"
            text = f"skewless[{extras}" if extras else "skewless"
        wanted = Requirement(text if text[0] != "." else f"skewless{text[1:]}")
        assert wanted.name == "skewless", f"{command.where}: {word}"
        assert wanted.extras <= set(about.get_all("Provides-Extra") or ()), f"{command.where}: {word}"


def _activate(reader: Reader, command: Command) -> None:
    assert command.words[1:] == (".venv/bin/activate",), command.where
    assert "VENV ?= .venv\n" in (PROJECT / "Makefile").read_text()


def _shell(reader: Reader, command: Command) -> None:
    done = subprocess.run(
        command.words, cwd=reader.folder, env=reader.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command.where}: {done.stdout}{done.stderr}"


def _tested_by(file: str, words: str) -> How:
    """Find the test that runs it."""

    def find(reader: Reader, command: Command) -> None:
        assert words in (PROJECT / "tests" / file).read_text(), f"{command.where}: no longer run by tests/{file}"

    return find


HOW: dict[str, How] = {
    ".": _activate,
    "make": _make,
    "pip install": _pip_install,
    "docker build": _tested_by("pipeline/conftest.py", "dockerfile.build(PROJECT"),
    "curl": _shell,
    "skewless": _run,
    "skewless demo": _tested_by("pipeline/end_to_end/test_digits.py", 'skewless("demo", "digits"'),
    "skewless new": _write_task,
    "skewless serve": _serve,
    "skewless predict": _ask,
    "skewless run --compiled": _only_read,
    "skewless tune": _only_read,
    "skewless submit": _submit,
}


def _how(command: Command) -> How:
    """Return the entry of `HOW` whose words the command begins with; the longest one."""
    line = " ".join(command.words)
    fits = [words for words in HOW if f"{line} ".startswith(f"{words} ")]
    assert fits, f"{command.where}: '{line}' is not run by this test: say in HOW how it is"
    return HOW[max(fits, key=len)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home = tmp_path_factory.mktemp("home")
    _write_flowers(home / "pictures" / "flowers", each=24, seed=1)
    _write_flowers(home / "new", each=1, seed=2)
    folder = home / "work"
    folder.mkdir()
    for file in (folder / "rose.jpg", home / "rose.jpg"):
        shutil.copy(home / "new" / "rose" / "0.jpg", file)
    with Vertex() as service:
        service.buckets["b"] = ["digits/0/0001.png"]
        found = Reader(home, folder, service, ports={"8500": str(free_port()), "8501": str(free_port())})
        yield found
        found.stop_server()


def _run_block(reader: Reader, block: Block) -> None:
    """Write a task to the file that its first line names, unless `skewless new` has written it; run anything else."""
    text = reader.translate(block.text)
    name = re.match(r"# (\w+\.py)\n", text)
    if name:
        if not (reader.folder / name[1]).exists():
            (reader.folder / name[1]).write_text(text)
        return
    module = f"block_{block.line}"
    (reader.folder / f"{module}.py").write_text(text)
    reader.call(module, where=block.where)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_reader_can_type_what_the_page_shows(page: Path, reader: Reader) -> None:
    for block in blocks(page):
        if block.language == "python":
            _run_block(reader, block)
        for command in commands(block) if block.language in SHELLS else ():
            how = _how(command)
            if command.words not in reader.done:
                reader.done.add(command.words)
                how(reader, replace(command, words=tuple(reader.translate(word) for word in command.words)))
