"""A run of a task on this machine: prepares, runs, records, and says how it ended."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import logging
import os
import posixpath
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
from rich.console import Console
from tfx.utils.io_utils import read_string_file

from components.prepare.example_validator import check_split
from components.release import pusher, skew_check
from components.release.evaluator import NO_BASELINE, Evaluation, check, metric_of
from components.task.reference import TaskReference
from components.task.task import Task
from components.task.train_config import Train
from components.training.multi_worker import Cluster
from components.training.trainer import REPORT
from data.errors import DataError, SkewError, SkewlessError, UsageError, first_line
from data.files.remote import is_remote
from data.ingest.manifest import Manifest
from data.input import service
from pipeline import graph, metadata_store
from pipeline.paths import Paths, absolute_path, check_path, check_root, local_folder
from pipeline.report import plots
from pipeline.report import skew as verdict
from pipeline.report.display import Display
from pipeline.report.metadata import Metadata
from pipeline.report.record import ComponentRun, RunRecord, describe_data
from pipeline.runners import beam
from pipeline.runners.local import dag_runner, storage

log = logging.getLogger(__name__)
_TRACEBACK = "Traceback (most recent call last):"
# The last line of a traceback, or what gRPC tells below it.
_RAISED = re.compile(r'(?:details = "(.+)"|([A-Za-z_][\w.]*(?:Error|Exception): [^<].*))$')


class ComponentError(SkewlessError):
    """A component failed for a reason that is not the user's; the log has the traceback."""


class _RunObserver:
    """Observes the runner, and keeps the record up to date."""

    def __init__(self, task: Task, paths: Paths, store: ConnectionConfig, record: RunRecord, display: Display) -> None:
        self._task, self._paths, self._store, self._record, self._display = task, paths, store, record, display

    def started(self, component: str) -> None:
        self._display.started(component)

    def finished(self, component: str, execution_id: int | None, seconds: float) -> None:
        if execution_id is None:
            raise ComponentError(f"{component} was skipped: TFX found no inputs for it")
        metadata = Metadata(self._store)
        state = metadata.state(execution_id)
        if component == "Baseline":
            state, why = "executed" if state == "cached" else state, "looks up the latest blessed model"
        else:
            why = metadata.why(execution_id)
        entry = ComponentRun(component, state, why, round(seconds, 2), execution_id)
        self._record.components.append(entry)
        try:
            if state == "failed":  # TFX's launcher does not raise when it cannot resolve the inputs
                raise ComponentError(f"{component} failed: TFX could not resolve its inputs")
            self._learn(component, metadata, execution_id)
        finally:
            self._display.done(component, entry.state, entry.why, seconds)
        self.save()

    def failed(self, component: str, seconds: float) -> None:
        self._record.components.append(ComponentRun(component, "failed", "", round(seconds, 2)))
        self._display.done(component, "failed", "", seconds)

    def _learn(self, component: str, metadata: Metadata, execution_id: int) -> None:
        """Takes into the record what the component's outputs say."""
        record, outputs = self._record, metadata.outputs(execution_id)
        if component == "ExampleGen":
            folder = outputs["examples"].uri
            record.data = describe_data(Manifest.load(folder), folder)
        elif component == "Trainer":
            record.training = json.loads(read_string_file(f"{outputs['model_run'].uri}/{REPORT}"))
        elif component == "Evaluator":
            found = Evaluation.load(outputs["evaluation"].uri, metric_of(self._task))
            record.blessed = outputs["blessing"].custom_properties["blessed"].int_value == 1
            record.evaluation = {
                "metric": metric_of(self._task),
                "baseline": found.baseline,
                "no_baseline": outputs["blessing"].custom_properties[NO_BASELINE].string_value,
                "slices": found.metrics,
            }
            check(found, self._task, record.blessed)
        elif component == "SkewGate":
            record.skew = skew_check.read_report(outputs["blessing"].uri).to_json()
            self._blessing = outputs["blessing"].uri
            if not record.skew["passed"]:
                hint = f"The model before keeps serving. All of it: skewless skew {record.task}"
                raise SkewError(f"not pushed: {verdict.first_fault(record.skew)}", hint=hint)
        elif component == "Pusher":
            proof = json.loads(outputs["pushed_model"].custom_properties[pusher.PROOF].string_value)
            version = int(outputs["pushed_model"].custom_properties["pushed_version"].string_value)
            served = pusher.versions(self._paths.serving)[-1:]
            if served != [version]:
                # From the cache, which does not know that another model was pushed since, or the folder emptied.
                path, version = pusher.push(outputs["pushed_model"].uri, self._paths.serving, time.time())
                proof = pusher.prove_pushed(self._blessing, path).to_json()
            if served != [version]:
                record.components[-1].state, record.components[-1].why = "executed", "it was not the one being served"
            record.skew["routes"].append(proof)
            record.pushed = {"version": version, "path": f"{self._paths.serving}/{version}"}

    def save(self) -> None:
        folder = self._paths.run(self._record.run_id)
        self._record.save(f"{folder}/run.json", self._paths.latest)


def run_pipeline(
    reference: TaskReference,
    *,
    data: str | None,
    paths: Paths,
    beam_args: Sequence[str],
    run_id: str,
    log_file: str,
    console: Console,
    metadata: str | None = None,
) -> RunRecord:
    """Runs a task from its data to a pushed model; what did not change comes from the cache.

    Args:
      reference: the task and this run's settings.
      data: the data folder; None for a task that brings its own.
      paths: where everything goes.
      beam_args: of every component; none: those of the local runner.
      run_id, log_file: of this run, for the record.
      console: leads to the terminal.
      metadata: of ML Metadata, where it is not the task's own file; see `pipeline.metadata_store`.

    Raises:
      SkewlessError: whatever stopped it; the record tells, too.
    """
    task, store = reference.load(), metadata_store.connection_config(paths, metadata)
    check_root(paths.root)
    _check_training_peers(task.train)
    with _lock(paths):
        metadata_store.check_metadata_store(store)
        storage.check_remote_root(paths)
        folder = resolve_data_folder(task, data, paths)
        check_data_folder(task, folder, paths)
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        record = RunRecord(task.name, run_id, folder, dict(reference.settings), log_file, started)
        clock = time.perf_counter()
        with Display(console) as display:
            watch = _RunObserver(task, paths, store, record, display)
            try:
                pipeline = graph.build_pipeline(
                    reference, folder, paths, list(beam_args or beam.DIRECT), metadata=store
                )
                dag_runner.run_dag(pipeline, watch)
                cached = all(one.state == "cached" for one in record.components if one.name != "Baseline")
                record.status, record.exit_code = "unchanged" if cached else "pushed", 0
            except KeyboardInterrupt:
                record.status, record.exit_code = "interrupted", 130
                words = "interrupted; the same call goes on after the last finished component"
                raise KeyboardInterrupt(words) from None
            except SkewlessError as error:
                record.status = "not pushed" if record.evaluation else "failed"
                record.error, record.exit_code = str(error), error.exit_code
                raise
            except Exception as error:
                log.exception("the run failed")
                record.status, record.exit_code = "failed", ComponentError.exit_code
                record.error = f"{type(error).__name__}: {_cause(error)}"
                at = record.components[-1].name if record.components else "the pipeline"
                raise ComponentError(f"{at} failed: {record.error}") from error
            finally:
                record.seconds = round(time.perf_counter() - clock, 2)
                record.plots = _plots(record, paths.run(run_id))
                watch.save()
    return record


def _check_training_peers(train: Train) -> None:
    """Sees before anything runs that training knows who else takes part.

    Raises:
      UsageError: it does not, or nobody answers.
    """
    if train.strategy == "multi_worker":
        Cluster.from_environment()
    if train.data_service:
        service.check_reachable(train.data_service)


def _plots(record: RunRecord, folder: str) -> list[str]:
    """Draws what the record has the figures for; a plot that fails costs nobody a model."""
    try:
        return plots.draw_plots(record, folder)
    except Exception:
        log.exception("the plots failed")
        return []


def _cause(error: BaseException) -> str:
    """The first line of the innermost reason; of one with a traceback from a worker elsewhere, what ends that."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if _TRACEBACK in lines:
        raised = [match[1] or match[2] for match in map(_RAISED.match, lines[lines.index(_TRACEBACK) :]) if match]
        if raised:
            return raised[-1][:300]
    return first_line(error)


@contextlib.contextmanager
def _lock(paths: Paths) -> Iterator[None]:
    """One run of a task at a time on this machine; the system gives the lock back when a process dies.

    Raises:
      UsageError: another run holds it.
    """
    os.makedirs(paths.local_folder, exist_ok=True)
    with open(os.path.join(paths.local_folder, ".lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run of '{paths.task}' is going on in {paths.local_folder}",
                hint="Wait for it, or give this one another folder with --root DIR.",
            ) from None
        yield


def check_data_folder(task: Task, folder: str, paths: Paths) -> None:
    """Looks at the names in the data folder for what would stop a run only after its training.

    Raises:
      UsageError: what a run writes would lie among the data; the data lack the split to evaluate on.
    """
    path, pattern, _ = task.source.folder.partition("{")
    read = posixpath.join(folder, path.rpartition("/")[0] if pattern else path).rstrip("/")
    for written in (paths.folder, posixpath.join(local_folder(paths.root), "logs")):
        if _is_within(written, read):
            raise UsageError(
                f"--root {paths.root} lies in the data folder {read}: what a run writes would be among its data",
                hint="Give another folder with --root DIR, and remove the one among the data.",
            )
    for ours in (paths.artifacts, paths.serving, paths.run("")):
        if _is_within(read, ours):
            raise UsageError(
                f"the data folder {read} is one that runs of '{task.name}' write to",
                hint="Give the data with --data DIR, or another folder for what runs write with --root DIR.",
            )
    if not pattern and storage.is_folder(read):  # of a span, ExampleGen's driver knows the folder
        check_split(task.evaluate.split, task.source.split_names(read))


def _is_within(path: str, folder: str) -> bool:
    if is_remote(path) or is_remote(folder):
        return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
    return Path(path).resolve().is_relative_to(Path(folder).resolve())


def resolve_data_folder(task: Task, data: str | None, paths: Paths) -> str:
    """The data folder given, or the one that the task names, or the task's own, made on first use.

    Raises:
      UsageError: none given, and the task brings none.
      DataError: it does not exist.
    """
    data = task.data or None if data is None else data
    if data is not None:
        check_path("--data", data)
        folder = data.rstrip("/") if is_remote(data) else os.path.realpath(absolute_path(data))
        if not storage.is_folder(folder):
            raise DataError(f"no data folder at {folder}", hint="Give the folder that holds the data with --data DIR.")
        return folder
    if task.fetch is None:
        raise UsageError(f"task '{task.name}' has no data of its own", hint="Give its folder with --data DIR.")
    return storage.fetch_own_data(paths, task.fetch)
