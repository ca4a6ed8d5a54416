"""`skewless skew`: the proof on any SavedModel, for the terminal."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import tensorflow as tf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.errors import DataError, SkewError
from serving.live import live
from serving.parity import Comparison
from serving.program import installed
from serving.proof import Sample, compare_routes


@dataclass(frozen=True)
class Question:
    """What a user asked for, as it was typed.

    Attributes:
      model: folder of the SavedModel.
      files: TFRecords of tf.Examples, gzipped if they end in .gz, or folders of such files.
      feature: of the examples, what `serving_default` takes; empty for the usual ones.
      limit: records at most.
    """

    model: str
    files: Sequence[str]
    feature: str
    limit: int


def prove(question: Question) -> None:
    """Prints the comparison of the routes.

    Raises:
      SkewError: two of them differ.
      DataError: there are no records.
    """
    console = Console(highlight=False, soft_wrap=True)
    records = _records(question)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    program = installed()
    with Console(stderr=True).status("") as status:
        sample = Sample(records, question.feature)
        with live(question.model, (program,) if program else ()) as server:
            found = compare_routes(question.model, server, sample, status.update)
    console.print(_table(found))
    console.print(f"[dim]{len(records)} records; the live server was {escape(program or 'the embedded one')}[/]")
    faults = [one for one in found if one.fault]
    if faults:
        first = faults[0]
        raise SkewError(
            f"{first.route}: {first.fault}, record {first.record}",
            hint=f"{len(faults)} of {len(found)} routes differ from {first.reference}. Do not serve this model.",
        )


def _records(question: Question) -> list[bytes]:
    files = [file for given in question.files for file in _files(given)]
    found: list[bytes] = []
    for file in files:
        kind = "GZIP" if file.endswith(".gz") else ""
        try:
            records = tf.data.TFRecordDataset(file, kind).as_numpy_iterator()
            found += islice(records, question.limit - len(found))
        except tf.errors.OpError as error:
            missing = isinstance(error, tf.errors.NotFoundError)
            told = "does not exist" if missing else "cannot be read as TFRecords"
            raise DataError(f"{file} {told}", hint="Give TFRecord files of tf.Examples.") from None
    if not found:
        raise DataError(f"no records in {', '.join(question.files)}", hint="Give TFRecord files of tf.Examples.")
    return found


def _files(given: str) -> list[str]:
    """A folder's files in order, those in folders below it, too."""
    if not os.path.isdir(given):
        return [given]
    found = [os.path.join(path, name) for path, _, names in os.walk(given) for name in names]
    return sorted(file for file in found if "tfrecord" in os.path.basename(file) or file.endswith(".gz"))


def _table(found: Sequence[Comparison]) -> Table:
    table = Table(title=f"against {found[0].reference}, allowed {found[0].tolerance:.2g}", title_justify="left")
    for name in ("route", "largest difference", "at record", "other class", ""):
        table.add_column(
            name, justify="right" if name in ("largest difference", "at record", "other class") else "left"
        )
    for one in found:
        mark = f"[red]{escape(one.fault)}[/]" if one.fault else "[green]same[/]"
        table.add_row(one.route, f"{one.largest:.2g}", str(one.record), str(one.flipped), mark)
    return table
