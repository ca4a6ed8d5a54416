"""Completion in shells: what is offered where, without TensorFlow, and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from data.files.atomic import write_aside
from pipeline.cli import cli
from pipeline.commands.completion import SHELLS
from pipeline.paths import Paths
from scripts import setting_names
from tests.pipeline.conftest import environment

ROOT = "other root"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder: with a task of the user's, and a root with two runs of another."""
    monkeypatch.chdir(tmp_path)
    Path("flowers.py").write_text("TASK = Task()\n")
    birds = Paths(ROOT, "birds")
    for record in (birds.latest, f"{birds.run('20260101-a')}/run.json", f"{birds.run('20260202-b')}/run.json"):
        write_aside(record, "{}")
    return tmp_path


def _offered(*words: str) -> list[str]:
    """Return what is offered for the last of the words."""
    found = ShellComplete(cli, {}, "skewless", "_SKEWLESS_COMPLETE").get_completions([*words[:-1]], words[-1])
    return [one.value for one in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ru"], ["run", "runs"]),
        (["run", "f"], ["flowers", "fashion_mnist"]),
        (["tune", "dig"], ["digits"]),
        (["report", "--root", ROOT, ""], ["birds"]),
        (["serve", "flo"], ["flowers"]),  # nothing has run in the usual root
        (["predict", "x.png", "--model", "flo"], ["flowers"]),
        (["run", "flowers", "--set", "train.epo"], ["train.epochs="]),
        (["run", "flowers", "--set", "train.epochs=1", "--set", "gate.s"], ["gate.sample="]),
        (["tune", "flowers", "--over", "model.dr"], ["model.dropout="]),
        (["compile", "digits", "--parameter", "train.epo"], ["train.epochs"]),
        (["compile", "digits", "--resource", "Trainer.c"], ["Trainer.cpu="]),
        (["report", "birds", "--root", ROOT, "--run", ""], ["20260202-b", "20260101-a", "previous"]),
        (["report", "birds", "--root", ROOT, "--against", "202601"], ["20260101-a"]),
        (["report", "owls", "--root", ROOT, "--run", ""], []),
        (["report", "--run", ""], []),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_what_is_offered(words: list[str], expected: list[str]) -> None:
    assert _offered(*words) == expected


def test_the_list_of_settings_is_that_of_the_types() -> None:
    """After a change: .venv/bin/python -m scripts.setting_names."""
    assert setting_names.FILE.read_text() == setting_names.render()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell(shell: str) -> None:
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("click asks bash for its version")
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0 and "_SKEWLESS_COMPLETE" in done.output


def test_completion_loads_no_tensorflow() -> None:
    code = (
        "import sys; from click.shell_completion import ShellComplete; from pipeline.cli import cli\n"
        "found = ShellComplete(cli, {}, 'skewless', '_').get_completions(['run', 'digits', '--set'], 'train.epochs')\n"
        "print([one.value for one in found], sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == "['train.epochs='] []\n", done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_in_a_real_bash(folder: Path) -> None:
    """Bash sources the script, and calls its function with the words of a command line, as for the tab key."""
    program = folder / "bin" / "skewless"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipeline.cli "$@"\n')
    program.chmod(0o755)
    lines = [
        'eval "$(skewless completion bash)"',
        "complete -p skewless",
        "compopt() { echo compopt $*; }",  # bash allows it only while it completes
        "COMP_WORDS=(skewless run flowers --set train.epo); COMP_CWORD=4",
        "_skewless_completion skewless",
        'echo "${COMPREPLY[@]}"',
    ]
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], env=environment(PATH=path), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _skewless_completion skewless",
        "compopt -o nospace",
        "train.epochs=",
    ], done.stderr
