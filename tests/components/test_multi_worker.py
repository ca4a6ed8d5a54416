"""Two workers, each with processes of its own, one of which is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components import multi_worker, trainer
from components.reference import TaskReference
from data.errors import UsageError
from tests.tasks import watched

PROJECT = Path(__file__).resolve().parents[2]
EPOCHS = 24
LEAD = "import json, sys, types; from components.trainer import run_fn; run_fn(types.SimpleNamespace(**json.load(open(sys.argv[1]))))"


def arguments(made: SimpleNamespace, root: Path, **settings: str) -> SimpleNamespace:
    """The Trainer's, in TFX's folders below the root."""
    named = {f"train.{name}": value for name, value in settings.items()}
    return SimpleNamespace(
        custom_config=TaskReference("tests.tasks.watched:TASK", named).config("feature", "label", "model", "train"),
        schema_path=f"{made.schema}/schema.pbtxt",
        transform_output=made.transform,
        train_files=[f"{made.examples}/Split-train/*"],
        serving_model_dir=str(root / "Trainer" / "model" / "1"),
        model_run_dir=str(root / "Trainer" / "model_run" / "1"),
    )


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(condition: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def trained(digit_named: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`root` of two workers' training, of whom one was killed and started again; `alone`, the report of one by itself;
    `weights` at the end, by worker."""
    root, weights = tmp_path_factory.mktemp("workers"), tmp_path_factory.mktemp("weights")
    given = arguments(digit_named, root, strategy="multi_worker", epochs=str(EPOCHS), checkpoint_seconds="0")
    (weights / "arguments.json").write_text(json.dumps(vars(given)))
    members = [f"localhost:{port}" for port in free_ports(2)]
    commands = [
        ["-c", LEAD, str(weights / "arguments.json")],
        ["-m", "components.worker", str(root / "Trainer" / "multi_worker.json")],
    ]

    def start(index: int) -> subprocess.Popen:
        config = {"cluster": {"worker": members}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {
            "TF_CONFIG": json.dumps(config),
            watched.FOLDER: str(weights),
            "TMPDIR": str(weights / f"tmp{index}"),
        }
        (weights / f"tmp{index}").mkdir(exist_ok=True)
        out = (weights / f"log{index}").open("a")
        return subprocess.Popen(
            [sys.executable, *commands[index]],
            cwd=PROJECT,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )

    running = [start(0), start(1)]
    try:
        until(
            lambda: (
                (root / "Trainer").rglob("ckpt-*.index")
                and any(int(one.stem.partition("-")[2]) > EPOCHS for one in (root / "Trainer").rglob("ckpt-*.index"))
            )
        )
        os.killpg(running[1].pid, signal.SIGKILL)
        running[1].wait()
        running[1] = start(1)
        status = [one.wait(120) for one in running]
    finally:
        for one in running:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
    logs = [(weights / f"log{index}").read_text() for index in (0, 1)]
    assert status == [0, 0], logs
    return SimpleNamespace(root=root, folder=weights, logs=logs, made=digit_named)


@pytest.mark.slow
def test_all(trained) -> None:
    print(*trained.logs, sep="\n======\n")
    report = json.loads((trained.root / "Trainer" / "model_run" / "1" / trainer.REPORT).read_text())
    print(report)
    print(*trained.root.rglob("*"), sep="\n")
    print(*trained.folder.rglob("*"), sep="\n")
