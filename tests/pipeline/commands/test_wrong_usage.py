"""Wrong commands, arguments and options: one line, one hint, status 2, before TensorFlow is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline import cli


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["runn"], "No such command 'runn'", "See: skewless --help"),
        (["run"], "run needs a task", "One of flowers, cifar10_inception, digits, "),
        (["run", "--xx"], "No such option '--xx'", "See: skewless run --help"),
        (["run", "flower"], "no task 'flower'. Did you mean 'flowers'?", "Legal: cifar10_inception, digits, "),
        (
            ["run", "flowers", "--set", "train.epoch=1"],
            "no setting 'train.epoch'. Did you mean 'train.epochs'?",
            "Legal: train.batch_size, train.cache_mb, ",
        ),
        (["run", "flowers", "--root", "flowers.py"], "cannot write to --root ", "Give another folder with --root DIR."),
        (["tune", "flowers"], "no setting to tune", "For example: --over "),
        (["compile", "digits"], "no platform to compile for", "Give one: --target vertex or --target kubeflow"),
        (["serve", "digits", "--port", "99999"], "Invalid value for '--port'", "See: skewless serve --help"),
        (["skew", "digits"], "no run of 'digits' in ", "First: skewless run digits"),
        (["serve", "digits", "--root", "a b"], "nothing is pushed for 'digits'", "First: skewless run digits --root '"),
    ],
)
def test_one_line_and_a_hint(
    words: list[str],
    error: str,
    hint: str,
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
    assert out == "" and caught.value.code == (6 if words[0] == "serve" and "--root" in words else 2)
    assert not Path("skewless-root").exists()
