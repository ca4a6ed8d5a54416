"""`skewless predict` as a user's process, against a peer that scores a picture by its mean."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from pipeline.commands.predict import list_pictures
from serving.client.pictures import load_picture
from tests.pipeline.conftest import COMMAND, PROJECT, Skewless, environment


class Peer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Dark, middle or bright; with thresholds, any of them."""

    def __init__(self) -> None:
        self.thresholds: list[float] = []
        self.specs: list[str] = []
        self.sizes: list[int] = []
        self.answer = threading.Event()
        self.answer.set()

    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        files = request.inputs["image_bytes"].string_val
        self.specs.append(str(request.model_spec))
        self.sizes.append(len(files))
        self.answer.wait(timeout=60)
        response = predict_pb2.PredictResponse()
        for file in files:
            try:
                mean = np.asarray(Image.open(io.BytesIO(file)).convert("L")).mean() / 255
            except OSError:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Unknown image file format.")
            response.outputs["classes"].string_val.extend([b"dark", b"middle", b"bright"])
            response.outputs["scores"].float_val.extend([1 - mean, 0.125, mean - 0.125])
            if self.thresholds:
                response.outputs["thresholds"].float_val.extend(self.thresholds)
        for name, dtype in (("classes", 7), ("scores", 1), ("thresholds", 1))[: 3 if self.thresholds else 2]:
            response.outputs[name].dtype = dtype
            for size in (len(files), 3):
                response.outputs[name].tensor_shape.dim.add(size=size)
        return response


@pytest.fixture
def peer() -> Iterator[tuple[Peer, str]]:
    server, peer = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)]), Peer()
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(peer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield peer, f"127.0.0.1:{port}"
    server.stop(0)


def test_tls(peer: tuple[Peer, str], album: Path, certificates: Path, skewless: Skewless) -> None:
    """The server shows a certificate of a CA that no system knows, and wants to see one."""
    files = {name: str(certificates / name) for name in ("ca.pem", "client.pem", "client.key")}
    pair = [((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())]
    secure = grpc.ssl_server_credentials(pair, (certificates / "ca.pem").read_bytes(), True)
    server = grpc.server(ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(peer[0], server)
    address = f"localhost:{server.add_secure_port('localhost:0', secure)}"
    server.start()
    ask = ("predict", str(album / "dark.gif"), "--server", address, "--model", "m", "--timeout", "10")
    shown = ("--certificate", files["client.pem"], "--key", files["client.key"])
    assert skewless(*ask, "--ca", files["ca.pem"], *shown).out.startswith("dark")
    assert skewless(*ask).status == 6
    none = skewless(*ask, "--ca", str(album / "none.pem"), *shown)
    assert none.status == 2 and "cannot use the TLS files " in none.err and "No such file" in none.err
    half = skewless(*ask, "--ca", files["ca.pem"], *shown[:2])
    assert half.status == 2 and "a client certificate needs its key" in half.err
    server.stop(0)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """bright/1.png, bright/deep/2.JPG, dark.gif, no picture among them, a hidden file and a hidden folder."""
    for name, value in (("bright/1.png", 255), ("bright/deep/2.JPG", 255), ("dark.gif", 0), (".hidden/3.png", 9)):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    (tmp_path / "album" / "notes.txt").write_text("not a picture")
    (tmp_path / "album" / "._4.png").write_text("not a picture either")
    return tmp_path / "album"


def test_folders_files_and_order(peer: tuple[Peer, str], album: Path, skewless: Skewless) -> None:
    dark = str(album / "dark.gif")
    told = skewless("predict", dark, str(album), "--server", peer[1], "--model", "m")
    assert (told.status, told.err) == (0, "")
    assert [line.split("\t") for line in told.out.splitlines()] == [
        ["dark", "1.0000", dark],
        ["dark", "1.0000", dark],
        ["bright", "0.8750", str(album / "bright" / "1.png")],
        ["bright", "0.8750", str(album / "bright" / "deep" / "2.JPG")],
    ]
    assert peer[0].sizes == [4]


def test_top_json_and_version(peer: tuple[Peer, str], album: Path, skewless: Skewless) -> None:
    dark = str(album / "dark.gif")
    told = skewless("predict", dark, "--server", f"grpc://{peer[1]}", "--top", "2", "--version", "7")
    assert told.out.splitlines() == [f"dark\t1.0000\t{dark}", f"middle\t0.1250\t{dark}"]
    assert "value: 7" in peer[0].specs[0] and 'name: "digits"' in peer[0].specs[0]
    told = skewless("predict", dark, "--server", peer[1], "--json", "--label", "canary")
    assert json.loads(told.out) == {
        "file": dark,
        "label": "dark",
        "score": 1.0,
        "scores": {"dark": 1.0, "middle": 0.125, "bright": -0.125},
    }
    assert 'version_label: "canary"' in peer[0].specs[1]
    told = skewless("predict", dark, "--server", peer[1], "--json", "--top", "1")
    assert json.loads(told.out)["scores"] == {"dark": 1.0}


def test_several_labels(peer: tuple[Peer, str], album: Path, skewless: Skewless) -> None:
    peer[0].thresholds = [0.25, 0.125, 0.9375]
    dark, bright = str(album / "dark.gif"), str(album / "bright" / "1.png")
    told = skewless("predict", dark, bright, "--server", peer[1])
    assert told.out.splitlines() == [f"dark 1.0000, middle 0.1250\t{dark}", f"middle 0.1250\t{bright}"]
    told = skewless("predict", dark, "--server", peer[1], "--top", "1")
    assert told.out == f"dark\t1.0000\t{dark}\n"
    told = skewless("predict", dark, "--server", peer[1], "--json")
    assert json.loads(told.out) == {
        "file": dark,
        "label": "dark",
        "score": 1.0,
        "scores": {"dark": 1.0, "middle": 0.125, "bright": -0.125},
        "labels": ["dark", "middle"],
        "thresholds": {"dark": 0.25, "middle": 0.125, "bright": 0.9375},
    }
    told = skewless("predict", dark, "--server", peer[1], "--json", "--top", "1")
    assert json.loads(told.out)["thresholds"] == {"dark": 0.25}
    peer[0].thresholds = [2.0, 2.0, 2.0]
    told = skewless("predict", dark, "--server", peer[1])
    assert told.out == f"none\t{dark}\n"
    told = skewless("predict", dark, "--server", peer[1], "--json")
    assert json.loads(told.out)["labels"] == []


def test_stdin(peer: tuple[Peer, str], album: Path) -> None:
    command = [*COMMAND, "predict", "-", "--server", peer[1]]
    with open(album / "bright" / "1.png", "rb") as file:
        done = subprocess.run(command, stdin=file, cwd=PROJECT, env=environment(), capture_output=True, timeout=60)
    assert (done.returncode, done.stdout.decode()) == (0, "bright\t0.8750\t-\n")


def test_bad_files_are_named_and_the_others_answered(peer: tuple[Peer, str], album: Path, skewless: Skewless) -> None:
    (album / "a.png").write_text("broken")
    missing = str(album / "none.png")
    told = skewless("predict", missing, str(album), "--server", peer[1])
    assert told.status == 6
    assert [line.split("\t")[0] for line in told.out.splitlines()] == ["dark", "bright", "bright"]
    lines = told.err.splitlines()
    assert lines[0] == f"error: cannot read {missing}: No such file or directory"
    assert lines[1].endswith(f"refused the request: Unknown image file format. ({album / 'a.png'})")
    assert lines[-1] == "error: 2 of 5 pictures have no answer"
    told = skewless("predict", str(album / "a.png"), "--server", peer[1], "--json")
    assert told.status == 6 and list(json.loads(told.out)) == ["file", "error"]
    told = skewless("predict", missing, str(album / "dark.gif"), "--server", peer[1])
    assert told.status == 2 and told.out.startswith("dark")


def test_odd_files_are_told_and_nothing_waits(peer: tuple[Peer, str], album: Path, skewless: Skewless) -> None:
    """A pipe without a writer, a name that is no UTF-8, an empty file, a link to nowhere, and a device."""
    os.mkfifo(album / "pipe.png")
    (album / "empty.png").write_bytes(b"")
    (album / "lost.png").symlink_to("nowhere")
    latin = os.fsdecode(os.fsencode(album) + b"/caf\xe9.png")
    os.link(album / "bright" / "1.png", latin)
    start = time.monotonic()
    told = skewless("predict", str(album), "/dev/zero", "http://example.org/a.png", "--server", peer[1])
    assert time.monotonic() - start < 30 and told.status == 6
    names = [line.split("\t")[2].removeprefix(f"{album}/") for line in told.out.splitlines()]
    assert sorted(names) == ["bright/1.png", "bright/deep/2.JPG", r"caf\xe9.png", "dark.gif"]
    faults = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert faults == [
        f"error: a picture of 0 bytes ({album}/empty.png)",
        f"error: cannot read {album}/lost.png: No such file or directory",
        f"error: cannot read {album}/pipe.png: not a file, but a pipe or a device",
        "error: cannot read /dev/zero: not a file, but a pipe or a device",
        "error: cannot read http://example.org/a.png: not a file, but a URL",
        "error: 5 of 9 pictures have no answer",
    ]


def test_links_to_folders_are_followed_once(peer: tuple[Peer, str], album: Path, skewless: Skewless) -> None:
    (album / "bright" / "self").symlink_to(".")
    (album / "bright" / "up").symlink_to("..")
    elsewhere = album.parent / "elsewhere"
    elsewhere.mkdir()
    os.link(album / "dark.gif", elsewhere / "3.gif")
    (elsewhere / "back").symlink_to(album)
    (album / "to").symlink_to(elsewhere)
    told = skewless("predict", str(album), "--server", peer[1])
    assert (told.status, told.err) == (0, "")
    names = [line.split("\t")[2].removeprefix(f"{album}/") for line in told.out.splitlines()]
    assert names == ["dark.gif", "bright/1.png", "bright/deep/2.JPG", "to/3.gif"]


def test_a_folder_without_permission_stands_in_the_list() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o755)
        for name in ("closed", "open"):
            os.mkdir(f"{folder}/{name}")
            Path(folder, name, "1.png").write_bytes(b"x")
        os.chmod(f"{folder}/closed", 0)
        before = os.geteuid()
        os.seteuid(before or 65534)  # root reads everything
        try:
            assert list_pictures([folder]) == [f"{folder}/open/1.png", f"{folder}/closed"]
            assert str(load_picture(f"{folder}/closed", 0).error) == f"cannot read {folder}/closed: Permission denied"
        finally:
            os.seteuid(before)


def test_stdin_that_holds_nothing(peer: tuple[Peer, str]) -> None:
    for redirected, words in (("< /dev/null", "a picture of 0 bytes"), ("<&-", "standard input is closed")):
        command = f"{shlex.join(COMMAND)} predict - --server {peer[1]} {redirected}"
        done = subprocess.run(command, shell=True, cwd=PROJECT, env=environment(), capture_output=True, text=True)
        assert done.returncode in (2, 6) and words in done.stderr and "Traceback" not in done.stderr


def test_one_line_for_each_fault_of_the_call(tmp_path: Path, skewless: Skewless) -> None:
    empty = skewless("predict", str(tmp_path))
    assert empty.status == 2 and empty.err.startswith(f"error: no picture in {tmp_path}\n")
    nowhere = skewless("predict", "--server", "ftp://a:1", "x.png")
    assert nowhere.status == 2 and "'ftp://a:1' is not a server's address" in nowhere.err
    both = skewless("predict", "--version", "1", "--label", "a", "x.png")
    assert both.status == 2 and "a version and a label" in both.err


def test_interrupted_it_ends_at_once(peer: tuple[Peer, str], album: Path) -> None:
    peer[0].answer.clear()
    command = [*COMMAND, "predict", str(album), "--server", peer[1]]
    process = subprocess.Popen(command, cwd=PROJECT, env=environment(), stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 30
    while not peer[0].sizes:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=10)[1]
    peer[0].answer.set()
    assert (process.returncode, error) == (130, "error: interrupted after 0 of 3 pictures\n")


def test_no_tensorflow_and_under_a_second(album: Path, peer: tuple[Peer, str]) -> None:
    code = (
        f"import sys; sys.argv = ['skewless', 'predict', {str(album / 'dark.gif')!r}, '--server', {peer[1]!r}]\n"
        "from pipeline.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted({'tensorflow', 'numpy', 'tfx', 'keras', 'PIL'} & set(sys.modules)))"
    )
    before = os.times()  # of the processor: the clock on the wall also counts what else the machine does
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    after = os.times()
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1


def test_bar_only_on_a_terminal_and_answers_stay_on_stdout(peer: tuple[Peer, str], tmp_path: Path) -> None:
    files = [str(tmp_path / f"{number:03d}.png") for number in range(30)]
    for file in files:
        Image.fromarray(np.full((4, 4), 255, np.uint8)).save(file)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "predict", str(tmp_path), "--server", peer[1]]
    env = environment(TERM="xterm", COLUMNS="100")
    shown = b""

    def read() -> None:
        nonlocal shown
        while True:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:
                return

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, stderr=theirs, timeout=60)
    os.close(theirs)
    reader.join(timeout=10)
    os.close(ours)
    assert done.returncode == 0
    assert [line.split("\t")[2] for line in done.stdout.decode().splitlines()] == files
    assert b"pictures" in shown and b"30/30" in shown and b"bright" not in shown


PEAK = "next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))"  # KiB


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of memory is read from /proc")
def test_many_pictures_in_bounded_requests_and_memory(
    peer: tuple[Peer, str], tmp_path: Path, encode: Callable[..., bytes]
) -> None:
    """500 pictures of a megabyte each: all of them at once would take far more than the limit."""
    content = encode(np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8), "BMP")
    (tmp_path / "0.bmp").write_bytes(content)
    for number in range(1, 500):
        os.link(tmp_path / "0.bmp", tmp_path / f"{number}.bmp")
    code = (
        f"import sys; sys.argv = ['skewless', 'predict', {str(tmp_path)!r}, '--server', {peer[1]!r}]\n"
        f"from pipeline.cli import main\ntry:\n    main()\nfinally:\n    print({PEAK})"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=300)
    *answers, peak = done.stdout.splitlines()
    assert len(answers) == 500, done.stderr
    assert max(peer[0].sizes) * len(content) <= 8 * 2**20
    assert int(peak) * 1024 < 0.6 * 500 * len(content)
