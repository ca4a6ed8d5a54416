"""What commands suggest to do next: lines that can be copied into a shell."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from data.errors import DataError, QualityError, SkewError, SkewlessError
from pipeline.commands.run import RunOptions, next_in_hint, repeat_command
from pipeline.next_steps import PICTURE, NextStep, after_push, find_picture, next_lines, option_words, print_next
from pipeline.paths import DEFAULT_ROOT, absolute_path

ROOT = absolute_path(DEFAULT_ROOT)


def _commands(lines: list[str]) -> list[str]:
    return [line.removeprefix("next      ").partition("  # ")[0] for line in lines if line.startswith("next      ")]


def test_after_a_push_the_commands_are_report_serve_and_predict() -> None:
    assert [step.command for step in after_push("flowers", DEFAULT_ROOT, "/data/a b.jpg")] == [
        "skewless report flowers",
        "skewless serve flowers",
        "skewless predict '/data/a b.jpg' --model flowers",
    ]


def test_a_model_of_numbers_is_not_asked_about_a_picture() -> None:
    steps = after_push("line", "/other root", "")
    assert [step.command for step in steps] == [
        "skewless report line --root '/other root'",
        "skewless serve line --root '/other root'",
    ]


def test_options_are_repeated_unless_they_are_the_defaults() -> None:
    assert option_words(None, None, DEFAULT_ROOT) == option_words(None, None, ROOT) == []
    assert option_words("~/p", "db", "gs://b/r/") == ["--data", "~/p", "--metadata", "db", "--root", "gs://b/r"]


def test_a_repeated_command_has_all_options() -> None:
    options = RunOptions("f:TASK", "/my data", "/r", ["train.epochs=1"], "flink", ["--flink_master=h:1"], "m.db")
    assert shlex.split(repeat_command("run", options)) == [
        *("skewless", "run", "f:TASK", "--data", "/my data", "--metadata", "m.db", "--root", "/r"),
        *("--set", "train.epochs=1", "--beam-runner", "flink", "--beam-arg=--flink_master=h:1"),
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            QualityError("no", "Improve it."),
            [
                "skewless report flowers",
                "skewless tune flowers --over train.learning_rate=1e-4..1e-2:log --data d --set train.epochs=1",
            ],
        ),
        (SkewError("no", "Improve it."), ["skewless skew flowers", "skewless report flowers"]),
        (DataError("no", "Improve it."), []),
    ],
)
def test_an_error_says_what_to_do_next(error: SkewlessError, expected: list[str]) -> None:
    options = RunOptions("flowers", "d", DEFAULT_ROOT, ["train.epochs=1"])
    with pytest.raises(type(error)) as caught, next_in_hint(options, "flowers"):
        raise error
    first, *others = caught.value.hint.splitlines()
    assert first == "Improve it." and _commands(others) == expected


def test_an_interrupted_run_names_its_command() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, next_in_hint(RunOptions("flowers", "d", DEFAULT_ROOT), "flowers"):
        raise KeyboardInterrupt("interrupted; the same command continues")
    first, *others = str(caught.value).splitlines()
    assert first == "interrupted; the same command continues"
    assert _commands(others) == ["skewless run flowers --data d"]


def test_a_picture_is_found_in_the_data(tmp_path: Path) -> None:
    assert find_picture(str(tmp_path)) == find_picture(str(tmp_path / "gone")) == find_picture("gs://b/d") == PICTURE
    for name in ("train/roses/readme.txt", "train/roses/.x.png", "train/roses/1.JPG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_picture(str(tmp_path)) == str(tmp_path / "train/roses/1.JPG")


def test_lines_are_printed_as_they_are() -> None:
    """No markup is read in a path, and no line is broken: it is there to be copied."""
    step = NextStep(f"skewless predict '/[bold]/{'x' * 200}.png'", "ask")
    console = Console(file=io.StringIO(), width=80, soft_wrap=True)
    print_next(console, [step])
    assert console.file.getvalue().splitlines() == next_lines([step])  # type: ignore[attr-defined]
