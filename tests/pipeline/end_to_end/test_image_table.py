"""Pictures that a table lists, from the table to the served model: run, asked over gRPC, run again."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.client import Client
from serving.engines import free_port
from tests.pipeline.conftest import COMMAND, Outcome, Skewless, environment

pytestmark = pytest.mark.slow

TASK = "tests.tasks.listed"
SPECIES = ("daisy", "roses", "tulips")
WORDS = ("TRAINING", "TRAINING", "TRAINING", "VALIDATION", "TEST")


@dataclass(frozen=True)
class Listed:
    """A run on the table, its data folder, and the table's usable rows: (file, species, split, site)."""

    data: Path
    root: Path
    outcome: Outcome
    rows: list[tuple[str, str, str, str]]


@pytest.fixture(scope="module")
def listed(shared_data: Path, skewless: Skewless, tmp_path_factory: pytest.TempPathFactory) -> Listed:
    """Twenty flowers of each species in one folder, and a table with odd rows, as a spreadsheet writes it."""
    if not (shared_data / "flowers").is_dir():
        pytest.skip("no flowers in the shared data")
    base = tmp_path_factory.mktemp("listed")
    data, rows = base / "data", []
    (data / "photos").mkdir(parents=True)
    for species in SPECIES:
        for index, path in enumerate(sorted((shared_data / "flowers" / species).glob("*.jpg"))[:20]):
            shutil.copy(path, data / "photos" / path.name)
            rows.append((path.name, species, WORDS[index % 5], ("garden, north", "wild")[index % 2]))
    with open(data / "flowers.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["image_id", "species", "subset", "site"])
        writer.writerows((f"photos/{Path(name).stem}", *rest) for name, *rest in rows)
        writer.writerow(["photos/none", "roses", "TRAINING", "wild"])
        writer.writerow(["photos/none_either", "roses", "fold 1", "wild"])
        writer.writerow([f"photos/{Path(rows[0][0]).stem}", rows[0][1], "TRAINING", "wild"])
    shutil.copy(data / "photos" / rows[0][0], data / "photos" / "unlisted.jpg")
    outcome = skewless("run", TASK, "--data", str(data), root=base / "root", task="listed")
    return Listed(data, base / "root", outcome, rows)


def test_the_table_decides_splits_labels_and_slices(listed: Listed) -> None:
    assert listed.outcome.status == 0, listed.outcome.err
    data = listed.outcome.record["data"]
    assert data["examples"] == {"train": 36, "eval": 12, "test": 12}
    assert data["quarantined"] == {"missing file": 1, "unknown split": 1, "listed twice": 1}
    assert data["unused"] == {"in no row of the table": 1}
    report = [json.loads(line) for line in Path(data["folder"], "quarantine.jsonl").read_text().splitlines()]
    assert [one["source"].split()[0] for one in report] == [f"flowers.csv:{line}" for line in (62, 63, 64)]
    slices = listed.outcome.record["evaluation"]["slices"]
    evaluated = [row for row in listed.rows if row[2] == "VALIDATION"]
    for site in ("garden, north", "wild"):
        assert slices[f"site:{site}"]["example_count"] == sum(row[3] == site for row in evaluated)
    for species in SPECIES:
        assert slices[f"label:{species}"]["example_count"] == 4
    for words in (
        "36 train from flowers.csv (subset TRAINING)",
        "3 examples in quarantine",
        "1 in no row of the table",
    ):
        assert words in listed.outcome.out
    assert listed.outcome.record["status"] == "pushed"


def test_the_served_model_answers_over_grpc(listed: Listed) -> None:
    """The client's answers on the evaluated files give the accuracy that the Evaluator found."""
    port = free_port()
    serve = [*COMMAND, "serve", "listed", "--root", str(listed.root), "--port", str(port), "--engine", "embedded"]
    server = subprocess.Popen(serve, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        address = next(match[1] for line in server.stdout if (match := re.search(r"Running gRPC.* at (\S+)", line)))
        evaluated = [row for row in listed.rows if row[2] == "VALIDATION"]
        with Client(address, "listed") as client:
            answers = client.predict_images([(listed.data / "photos" / row[0]).read_bytes() for row in evaluated])
        right = sum(answer.label == row[1] for answer, row in zip(answers, evaluated, strict=True))
    finally:
        server.terminate()
        server.wait(timeout=30)
        server.stdout.close()  # type: ignore[union-attr]
    overall = listed.outcome.record["evaluation"]["slices"]["overall"]
    assert right / len(evaluated) == pytest.approx(overall["sparse_categorical_accuracy"], abs=1e-6)


def test_what_is_read_again_after_a_change(listed: Listed, skewless: Skewless) -> None:
    """Nothing without a change; all after a change of a picture in another folder than the table."""
    again = skewless("run", TASK, "--data", str(listed.data), root=listed.root, task="listed")
    assert again.status == 0 and again.states()["ExampleGen"] == "cached"
    name, _, split, _ = listed.rows[-1]
    assert split == "TEST"  # the model stays the same
    (listed.data / "photos" / name).write_bytes((listed.data / "photos" / listed.rows[0][0]).read_bytes())
    changed = skewless("run", TASK, "--data", str(listed.data), root=listed.root, task="listed")
    assert changed.states()["ExampleGen"] == "executed"
    assert changed.record["data"]["contradiction_count"] == 2
