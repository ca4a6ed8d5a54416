"""Wrong commands, arguments and options: one line and one hint, before TensorFlow is loaded."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.paths import Paths


@pytest.mark.parametrize(
    ("words", "error", "hint", "status"),
    [
        (["runn"], "No such command 'runn'", "See: skewless --help", 2),
        (["run"], "run needs a task", "One of flowers, cifar10_inception, digits, ", 2),
        (["run", "--xx"], "No such option '--xx'", "See: skewless run --help", 2),
        (["run", "flower"], "no task 'flower'. Did you mean 'flowers'?", "Legal: cifar10_inception, digits, ", 2),
        (["run", "flowers", "--set", "train.epoch=1"], "no setting 'train.epoch'. Did", "Legal: train.batch_size, ", 2),
        (["run", "flowers", "--set", "trian.epochs=1"], "no setting 'trian.epochs'. Did", "Settings begin with aug", 2),
        (["run", "flowers", "--root", "flowers.py"], "cannot write to --root ", "Give another folder with", 2),
        (["run", "flowers", "--data", ""], "--data is empty", "Name a folder: --data DIR", 2),
        (["run", "flowers", "--data", "gone"], "no data folder at ", "Name the folder with the data", 3),
        (["new", "pets", "--data", "flowers.py"], "no data folder at ", "Name its folder, or the one", 3),
        (["new", "digits", "--data", "."], "'digits' is a built-in task", "Choose another name", 2),
        (["tune", "flowers"], "no setting to tune", "For example: --over ", 2),
        (["compile", "digits"], "no platform to compile for", "Give one: --target vertex or --target kubeflow", 2),
        (["serve", "digits", "--port", "99999"], "Invalid value for '--port'", "See: skewless serve --help", 2),
        (["serve", "digits", "--root", "a b"], "nothing is pushed for", "First: skewless run digits --root '", 6),
        (["skew", "digits"], "no run of 'digits' in ", "First: skewless run digits", 2),
    ],
)
def test_one_line_and_a_hint(
    words: list[str],
    error: str,
    hint: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flowers.py").write_text("TASK = Task()\n")
    monkeypatch.setattr(sys, "argv", ["skewless", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert first.startswith(f"error: {error}") and second.startswith(hint)
    assert out == "" and caught.value.code == status
    assert not Path("skewless-root").exists()


def test_a_port_in_use_is_found_before_the_server_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(Paths(str(tmp_path), "digits").serving).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["skewless", "serve", "digits", "--root", str(tmp_path), "--port", str(port)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: port {port} of 127.0.0.1 is in use" and "--port N" in second and caught.value.code == 6
