"""The second half of `skewless demo`: predict held-out pictures over gRPC and compare with their labels."""

from __future__ import annotations

import contextlib
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator

import tensorflow as tf
from rich.console import Console
from rich.table import Table

from data.errors import ServingError
from data.names import from_bytes, printable
from data.spec import IMAGE, LABEL
from pipeline.report.record import RunRecord
from pipeline.report.waiting import Waiting
from serving.client import Client

PICTURES = 10


def ask_held_out(record: RunRecord, console: Console) -> None:
    """Serve the pushed model and print its answers to held-out pictures, one of each class first."""
    assert record.data is not None, "a run that pushed has data"
    pictures = held_out(record.data.folder, PICTURES)
    with (
        console.status(Waiting("starting the server")),
        running_server(record) as address,
        Client(address, record.task) as client,
    ):
        answers = client.predict_images([contents for _, _, contents in pictures])
    table = Table(title=f"\n{len(pictures)} pictures that training has not seen, predicted over gRPC by {address}")
    for column in ("picture", "truth", "answer", "score"):
        table.add_column(column, justify="right" if column == "score" else "left")
    for (source, truth, _), answer in zip(pictures, answers, strict=True):
        style = "green" if answer.label == truth else "red"
        table.add_row(source, truth, f"[{style}]{answer.label}[/]", f"{answer.score:.3f}")
    console.print(table)
    right = sum(answer.label == truth for (_, truth, _), answer in zip(pictures, answers, strict=True))
    console.print(f"{right} of {len(pictures)} right")


def held_out(folder: str, count: int) -> list[tuple[str, str, bytes]]:
    """Return (source, label, encoded picture) of evaluation records, first one of each class."""
    files = sorted(tf.io.gfile.glob(posixpath.join(folder, "Split-eval", "*")))
    firsts: dict[str, tuple[str, str, bytes]] = {}
    others: list[tuple[str, str, bytes]] = []
    for serialized in tf.data.TFRecordDataset(files).take(100 * count).as_numpy_iterator():
        feature = tf.train.Example.FromString(serialized).features.feature
        source, label, contents = (feature[key].bytes_list.value[0] for key in ("image/source", LABEL, IMAGE))
        found = printable(from_bytes(source)), label.decode(), contents
        if found[1] in firsts:
            others.append(found)
        else:
            firsts[found[1]] = found
    return ([firsts[label] for label in sorted(firsts)] + others)[:count]


@contextlib.contextmanager
def running_server(record: RunRecord) -> Iterator[str]:
    """Serve the pushed models in another process, on a free port.

    Yields:
      The server's address, host:port.

    Raises:
      ServingError: If the server does not start.
    """
    assert record.pushed is not None, "the demo runs to a pushed version"
    base = posixpath.dirname(record.pushed.path)
    command = [sys.executable, "-m", "serving.server", "--port=0", f"--model_name={record.task}"]
    server = subprocess.Popen([*command, f"--model_base_path={base}"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if match := re.search(r"Running gRPC ModelServer at (\S+)", line):
                yield match[1]
                return
        raise ServingError(
            f"the server for {base} ended with status {server.wait()}", hint="See the log for the cause."
        )
    finally:
        server.terminate()
        server.wait(timeout=30)
