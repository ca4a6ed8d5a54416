"""Two workers, each with processes of its own, one of which is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.progress import LOGGER
from components.task.reference import TaskReference
from components.training import multi_worker, trainer
from data.errors import SkewlessError, UsageError
from tests import PROJECT
from tests.tasks import watched

EPOCHS, KILLED_AT = 6, 14  # of 5 steps each; and the evaluation counts as one
TRAIN = {"epochs": str(EPOCHS), "cache_mb": "0"}


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


def addresses(count: int) -> list[str]:
    """Of free ports."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    found = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found


def member(of: list[str], index: int) -> str:
    """TF_CONFIG."""
    return json.dumps({"cluster": {"worker": of}, "task": {"type": "worker", "index": index}})


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def is_open(address: str) -> bool:
    """Return whether something listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


class Workers:
    """Number 1 of a cluster, started and killed as a machine would be; number 0 trains in a thread of this process."""

    def __init__(self, made: SimpleNamespace, root: Path) -> None:
        self.root, self.trainer = root, root / "Trainer"
        self.members = addresses(2)
        self.arguments = arguments(made, root, strategy="multi_worker", checkpoint_seconds="0", **TRAIN)
        self.chief = threading.Thread(target=trainer.run_fn, args=(self.arguments,), daemon=True)
        self.log = (root / "log").open("w")

    def start(self) -> subprocess.Popen:
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        environment = {"TF_CONFIG": member(self.members, 1), watched.FOLDER: str(self.root), "TMPDIR": str(home)}
        command = [sys.executable, "-m", "components.training.worker", str(self.trainer / "multi_worker.json")]
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env=os.environ | environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def step(self) -> int:
        """Number of the last checkpoint."""
        return max((int(one.stem[5:]) for one in self.trainer.glob("checkpoints/*/ckpt-*.index")), default=0)


@pytest.fixture(scope="module")
def trained(digit_named: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`report` of two workers' training, of whom one was killed and started again, `alone` that of one by itself;
    `log` of the worker; `root` of the files."""
    workers = Workers(digit_named, tmp_path_factory.mktemp("workers"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CONFIG", member(workers.members, 0))
        patch.setenv(watched.FOLDER, str(workers.root))
        half = Path(workers.arguments.serving_model_dir, "half")  # as if it had been lost while it exported
        half.parent.mkdir(parents=True)
        half.touch()
        workers.chief.start()
        worker = workers.start()
        try:
            until(lambda: workers.step() >= KILLED_AT)
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            worker = workers.start()
            assert worker.wait(180) == 0
            workers.chief.join(60)
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
        assert not workers.chief.is_alive()
        patch.setenv(watched.FOLDER, str(tmp_path_factory.mktemp("alone")))
        single = arguments(digit_named, tmp_path_factory.mktemp("single"), **TRAIN)
        trainer.run_fn(single)
    reports = [json.loads(Path(one.model_run_dir, trainer.REPORT).read_text()) for one in (workers.arguments, single)]
    return SimpleNamespace(
        root=workers.root,
        report=reports[0],
        alone=reports[1],
        log=(workers.root / "log").read_text(),
        single=single,
        data=digit_named.data,
    )


@pytest.mark.slow
def test_the_restart_of_a_worker_is_survived(trained: SimpleNamespace) -> None:
    """And the evaluation at the end of each epoch is a step, too: 6 to an epoch."""
    epoch = int(trained.report["resumed_at"].split()[1].rstrip(","))
    assert KILLED_AT // 6 + 1 <= epoch < EPOCHS and trained.report["epochs"] == EPOCHS
    assert f"continuing at epoch {epoch}" in trained.log


@pytest.mark.slow
def test_all_workers_end_with_the_same_weights(trained: SimpleNamespace) -> None:
    one, other = (np.load(trained.root / f"{index}.npz") for index in (0, 1))
    assert one.files == other.files
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.slow
def test_the_loss_is_that_of_one_worker_with_the_same_batches(trained: SimpleNamespace) -> None:
    """33 examples in batches of 8, the last one of 1, which leaves a worker without any; streamed. Only the order
    of the sums differs, 6e-8 each, which 30 steps of Adam carry on (measured: 4e-7); one example more or less would be
    seen in the first digits."""
    assert not trained.report["in_memory"] and trained.report["history"].keys() == trained.alone["history"].keys()
    for name, values in trained.alone["history"].items():
        print(name, np.abs(np.array(trained.report["history"][name]) / np.array(values) - 1).max())
        assert trained.report["history"][name] == pytest.approx(values, rel=1e-3), name


@pytest.mark.slow
def test_the_chief_alone_exports(trained: SimpleNamespace) -> None:
    """What it exports answers as the model of one worker; neither checkpoints nor the workers' file stay."""
    files = {str(one.relative_to(trained.root)) for one in trained.root.glob("Trainer/**/*") if one.is_file()}
    model = {f"Trainer/model/1/{name}" for name in ("saved_model.pb", "fingerprint.pb")}
    run = {f"Trainer/model_run/1/{name}" for name in ("model.weights.h5", trainer.REPORT)}
    assert {name for name in files if "/variables/" not in name and "/assets" not in name} == model | run
    assert list(trained.root.glob("home/*/ckpt-*.index"))  # where the worker that was killed took part in saving
    pictures = tf.constant([path.read_bytes() for path in sorted(trained.data.glob("*/*"))])
    both = [
        tf.saved_model.load(folder).signatures["serving_default"](image_bytes=pictures)["scores"].numpy()
        for folder in (str(trained.root / "Trainer/model/1"), trained.single.serving_model_dir)
    ]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-4, atol=1e-6)


# What goes wrong


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", '{"cluster": {"worker": ["a:1"]}}', member(["a:1", "b:1"], 2), '{"cluster": [], "task": {}}'],
)
def test_without_a_place_in_a_cluster_it_does_not_begin(
    text: str, digit_named: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="multi_worker needs TF_CONFIG") as caught:
        trainer.run_fn(arguments(digit_named, tmp_path, strategy="multi_worker"))
    assert "\n" not in str(caught.value) + caught.value.hint and not list(tmp_path.iterdir())


def test_the_chief_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": {"worker": ["b:1", "c:1"], "chief": ["a:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert multi_worker.Cluster.from_environment() == multi_worker.Cluster(2, ("a:1", "b:1", "c:1"))


def test_a_fault_of_the_process_comes_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kind of error, with its hint."""
    monkeypatch.setenv("TF_CONFIG", "{}")
    (tmp_path / "job").write_text("{}")
    with pytest.raises(UsageError, match="multi_worker needs TF_CONFIG") as caught:
        multi_worker.run_worker(str(tmp_path / "job"))
    assert "For example" in caught.value.hint


def test_a_worker_that_is_lost_again_and_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job").write_text("{}")
    said: list[str] = []
    monkeypatch.setattr(LOGGER, "info", said.append)
    monkeypatch.setattr(multi_worker, "_process", lambda file: -signal.SIGKILL)
    with pytest.raises(SkewlessError, match="a worker was lost 10 times, the last time with status -9"):
        multi_worker.run_worker(str(tmp_path / "job"))
    assert len(said) == multi_worker.RESTARTS


def test_a_worker_without_a_cluster_is_told_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "components.training.worker", str(tmp_path / "job")]
    environment = os.environ | {"TF_CONFIG": ""}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    error, hint = done.stderr.splitlines()[-2:]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert error.startswith("error: train.strategy=multi_worker needs TF_CONFIG") and hint.startswith("For example")


@pytest.mark.slow
def test_no_process_stays_behind_that_waits_for_the_others(tmp_path: Path) -> None:
    """Killed while TensorFlow waits for a worker that never comes."""
    (tmp_path / "job").write_text("{}")
    command = [sys.executable, "-m", "components.training.worker", str(tmp_path / "job")]
    members = addresses(2)
    environment = os.environ | {"TF_CONFIG": member(members, 0)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=pipe, stderr=pipe, text=True) as worker:
        assert worker.stdout and worker.stderr
        assert any(line.startswith("waiting for localhost:") for line in iter(worker.stdout.readline, ""))
        until(lambda: is_open(members[0]))  # TensorFlow listens there before it waits
        (child,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        worker.kill()
        until(lambda: not Path(f"/proc/{child}").exists(), 20)
