"""Which runs there are, and which one a user means."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from data.errors import UsageError
from data.files.atomic import write_aside
from pipeline.paths import Paths
from pipeline.report.run_files import find_run, is_active, list_runs
from tests import PROJECT

IDS = ("20260101-080000-11", "20260102-080000-22", "20260102-090000-33")


def write_run(paths: Paths, run_id: str, started: str, **more: Any) -> dict[str, Any]:
    """Write the record of a run, as a run does."""
    record = {"schema": 1, "task": paths.task, "run_id": run_id, "started": started, **more}
    write_aside(f"{paths.run(run_id)}/run.json", json.dumps(record))
    return record


@pytest.fixture(params=["local", "ram://"])
def paths(request: pytest.FixtureRequest, tmp_path: Path) -> Paths:
    """A task with three runs and a tuning, on a disk and in a bucket; the third is the latest."""
    root = str(tmp_path) if request.param == "local" else f"ram://bucket{tmp_path}"
    found = Paths(root, "tiny")
    write_run(found, IDS[1], "2026-01-02T10:00:00+02:00")  # 08:00 in UTC
    write_run(found, IDS[0], "2026-01-01T08:00:00+00:00")
    last = write_run(found, IDS[2], "2026-01-02T09:00:00+00:00")
    write_aside(f"{found.run('20260103-080000-44')}/tuning.json", "{}")
    write_aside(found.latest, json.dumps(last))
    return found


def test_the_runs_are_listed_the_newest_first(paths: Paths) -> None:
    runs = list_runs(paths)
    assert [one.run_id for one in runs] == list(reversed(IDS))
    assert [one.problem for one in runs] == ["", "", ""]
    assert [one.found["run_id"] for one in runs] == list(reversed(IDS))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "no record of a run"),
        ("[]", "no record of a run"),
        (b"\xff\xfe\x00", "no record of a run"),
        ('{"schema": 2}', "a newer Skewless wrote it"),
    ],
)
def test_a_record_that_cannot_be_read_is_listed_at_its_time(paths: Paths, text: str | bytes, problem: str) -> None:
    write_aside(f"{paths.run('20260102-083000-55')}/run.json", text)
    runs = list_runs(paths)
    assert [one.run_id for one in runs] == [IDS[2], "20260102-083000-55", IDS[1], IDS[0]]
    assert problem in runs[1].problem and runs[1].found == {}


def test_a_run_is_found_by_its_name(paths: Paths) -> None:
    files = [f"{paths.run(one)}/run.json" for one in IDS]
    assert find_run(paths) == paths.latest
    assert find_run(paths, IDS[1]) == find_run(paths, "20260102-08") == files[1]
    assert find_run(paths, "20260101") == files[0]
    assert find_run(paths, "previous") == files[1]
    assert find_run(paths, "previous", after=files[1]) == files[0]
    assert find_run(paths, files[2]) == find_run(paths, paths.run(IDS[2])) == files[2]
    tf.io.gfile.remove(paths.latest)
    assert find_run(paths) == files[2]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("20260102", "2 runs begin with '20260102'", "20260102-080000-22, 20260102-090000-33"),
        ("20260109", "no run '20260109' of 'tiny'", IDS[0]),
        ("20260101-080000-12", "no run '20260101-080000-12' of 'tiny'. Did you mean '20260101-080000-11'?", IDS[2]),
        ("20260103", "no run '20260103' of 'tiny'", IDS[2]),  # a tuning
        ("/nowhere/run.json", "no file /nowhere/run.json", "the id of a run"),
        ("\x1b[31m", "no run '\\x1b[31m' of 'tiny'", IDS[2]),
    ],
)
def test_a_name_of_no_run_is_one_line(paths: Paths, name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_run(paths, name)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_before_the_first_run_there_is_none(paths: Paths) -> None:
    with pytest.raises(UsageError, match=f"no run of 'tiny' before {IDS[0]}"):
        find_run(paths, "previous", after=f"{paths.run(IDS[0])}/run.json")
    nothing = Paths(paths.root, "small")
    for find in (list_runs, find_run):
        with pytest.raises(UsageError, match="no run of 'small' in ") as caught:
            find(nothing)
        assert caught.value.hint == f"First: skewless run small --root {paths.root}"


def test_paths_and_home_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(str(tmp_path), "tiny")
    write_run(paths, IDS[0], "2026-01-01T08:00:00+00:00")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "tiny")
    file = f"{paths.run(IDS[0])}/run.json"
    assert find_run(paths, f"runs/{IDS[0]}/run.json") == find_run(paths, f"~/tiny/runs/{IDS[0]}") == file


def test_a_run_is_active_while_it_holds_the_lock(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path), "tiny")
    assert not is_active(paths)
    (tmp_path / "tiny").mkdir()
    with open(tmp_path / "tiny" / ".lock", "w") as lock:
        assert not is_active(paths)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_active(paths)
    assert not is_active(paths)


def test_a_list_loads_no_tensorflow(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path), "tiny")
    write_run(paths, IDS[0], "2026-01-01T08:00:00+00:00", status="failed", settings={}, seconds=1.0)
    command = f"cli(['runs', 'tiny', '--root', {str(tmp_path)!r}], standalone_mode=False)"
    code = f"from pipeline.cli import cli; {command}; import sys; assert not {{'tensorflow', 'tfx'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and IDS[0] in done.stdout
