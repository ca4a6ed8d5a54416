"""A run of a task on this machine, from its data to a pushed model."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import logging
import os
import posixpath
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
from rich.console import Console

from components.process_errors import last_raised
from components.progress import report
from components.task.reference import TaskReference
from components.task.task import Task
from components.task.train_config import Train
from components.training.multi_worker import Cluster
from data.errors import SkewlessError, UsageError, first_line
from data.input import service
from pipeline import graph, metadata_store
from pipeline.paths import Paths, check_root
from pipeline.report import plots
from pipeline.report.display import Display
from pipeline.report.notebook import in_notebook, show_record
from pipeline.report.page.render import draw_run
from pipeline.report.record import RunRecord
from pipeline.report.run_files import LOCK, PAGE
from pipeline.report.same_plots import copy_plots, read_before
from pipeline.runners import beam
from pipeline.runners.local import dag_runner, storage
from pipeline.runners.local.data_folder import check_data_folder, resolve_data_folder
from pipeline.runners.local.observer import ComponentError, RecordingObserver

log = logging.getLogger(__name__)
_TRACEBACK = "Traceback (most recent call last):"


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
    """Run a task from its data to a pushed model. Components whose inputs did not change come from the cache.

    Args:
      reference: The task and this run's settings.
      data: The data folder; None for a task that has its own data.
      paths: The task's folders.
      beam_args: Beam's arguments for every component; the local runner's if empty.
      run_id: Name of the run, for the record.
      log_file: Path of the log, for the record.
      console: A console on the terminal.
      metadata: Where ML Metadata is, see `pipeline.metadata_store`; None: the task's own file.

    Returns:
      The record, as it is saved in `run.json`.

    Raises:
      SkewlessError: If the run ends without a pushed model; the record has the reason, too.
    """
    task = reference.load()
    with prepared_run(task, data, paths, metadata) as (store, folder):
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        record = RunRecord(task.name, run_id, folder, dict(reference.settings), log_file, started)
        with _page_in_hint(record), Display(console) as display:
            observer = RecordingObserver(task, paths, store, record, display)
            with _save_at_end(observer, record, paths), recorded_outcome(record):
                pipeline = graph.build_pipeline(
                    reference, folder, paths, list(beam_args or beam.DIRECT), metadata=store
                )
                dag_runner.run_dag(pipeline, observer)
                observer.conclude()
    return record


@contextlib.contextmanager
def prepared_run(
    task: Task, data: str | None, paths: Paths, metadata: str | None
) -> Iterator[tuple[ConnectionConfig, str]]:
    """Check what a run needs, and hold the task's lock.

    Args:
      task: The task.
      data: The data folder; None for a task that has its own data.
      paths: The task's folders.
      metadata: Where ML Metadata is; None: the task's own file.

    Yields:
      The connection to ML Metadata, and the data folder.

    Raises:
      SkewlessError: If something is missing, or another run of the task is active.
    """
    store = metadata_store.connection_config(paths, metadata)
    check_root(paths.root)
    _check_training_peers(task.train)
    with _lock(paths):
        metadata_store.check_metadata_store(store)
        storage.check_remote_root(paths)
        folder = resolve_data_folder(task, data, paths)
        check_data_folder(task, folder, paths)
        yield store, folder


@contextlib.contextmanager
def recorded_outcome(record: RunRecord) -> Iterator[None]:
    """Set the record's status, exit code and error from the way in which the block ends.

    Raises:
      KeyboardInterrupt: If the user interrupted the run; with a message for the terminal.
      SkewlessError: If the block raised one.
      ComponentError: If the block raised another exception; the log has its traceback.
    """
    try:
        yield
        cached = all(one.state == "cached" for one in record.components if one.name != "Baseline")
        record.status, record.exit_code = "unchanged" if cached else "pushed", 0
    except KeyboardInterrupt:
        record.status, record.exit_code = "interrupted", 130
        raise KeyboardInterrupt("interrupted; the same command continues where it stopped") from None
    except SkewlessError as error:
        record.status = "not pushed" if record.evaluation else "failed"
        record.error, record.exit_code = str(error), error.exit_code
        raise
    except Exception as error:
        log.exception("the run failed")
        record.status, record.exit_code = "failed", ComponentError.exit_code
        record.error = f"{type(error).__name__}: {_root_cause(error)}"
        failed = record.components[-1].name if record.components else "the pipeline"
        raise ComponentError(f"{failed} failed: {record.error}") from error


@contextlib.contextmanager
def _save_at_end(observer: RecordingObserver, record: RunRecord, paths: Paths) -> Iterator[None]:
    """Measure the block, draw the plots and the page, and save the record, however the block ends."""
    folder, before = paths.run(record.run_id), read_before(paths.latest)
    clock = time.perf_counter()
    try:
        yield
    finally:
        record.seconds = round(time.perf_counter() - clock, 2)
        report("drawing the plots and the page")
        record.plots = _draw_plots(record, before, folder)
        record.page = _draw_page(record, folder)
        observer.save()


@contextlib.contextmanager
def _page_in_hint(record: RunRecord) -> Iterator[None]:
    """Name the page in the error of a model that is not pushed: it shows why. A notebook shows it at once."""
    try:
        yield
    except SkewlessError as error:
        if record.page and record.status == "not pushed":
            error.hint = f"{error.hint}\npage: {record.page}".strip()
            if in_notebook():
                show_record(record)
        raise


def _check_training_peers(train: Train) -> None:
    """Check, before anything runs, that training can find the other processes that take part.

    Raises:
      UsageError: If TF_CONFIG does not describe the cluster, or nothing answers at the address of the data service.
    """
    if train.strategy == "multi_worker":
        Cluster.from_environment()
    if train.data_service:
        service.check_reachable(train.data_service)


def _draw_plots(record: RunRecord, before: Mapping[str, Any], folder: str) -> list[str]:
    """Draw the plots, and return their paths; a plot that fails is logged and does not fail the run."""
    try:
        return copy_plots(record, before, folder) or plots.draw_plots(record, folder)
    except Exception:
        log.exception("the plots failed")
        return []


def _draw_page(record: RunRecord, folder: str) -> str:
    """Draw the page of the run, and return its path; a page that fails is logged and does not fail the run."""
    path = posixpath.join(folder, PAGE)
    try:
        draw_run(record, path)
    except Exception:
        log.exception("the page failed")
        return ""
    return path


def _root_cause(error: BaseException) -> str:
    """Return the first line of the innermost exception; of a remote worker's traceback, its last line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if _TRACEBACK in lines:
        raised = last_raised("\n".join(lines[lines.index(_TRACEBACK) :]))
        if raised:
            return str(raised)[:300]
    return first_line(error)


@contextlib.contextmanager
def _lock(paths: Paths) -> Iterator[None]:
    """Hold the lock that allows one run of a task at a time on this machine.

    The system releases it when the process dies.

    Raises:
      UsageError: If another run holds it.
    """
    os.makedirs(paths.local_folder, exist_ok=True)
    with open(os.path.join(paths.local_folder, LOCK), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run of '{paths.task}' is active in {paths.local_folder}",
                hint="Wait until it ends, or give this one another folder with --root DIR.",
            ) from None
        yield
