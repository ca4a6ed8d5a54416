"""Several labels for a picture, end to end: from a table through the gate to a server, and run from a compiled file."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from components.task.reference import TaskReference
from pipeline.commands.run import RunOptions
from pipeline.commands.simulate import run_compiled
from pipeline.runners.compiler.kubeflow import PlatformOptions, compile_pipeline
from serving.client import Client
from serving.engines import free_port
from tests.pipeline.conftest import COMMAND, Outcome, Skewless, environment

pytestmark = pytest.mark.slow

TASK = "tests.tasks.shapes"
COLOURS = {"bar": (40, 60, 230), "circle": (30, 200, 40), "square": (220, 30, 30)}
"""Of each shape; the names are in the order of the model's outputs."""
COUNT = 240
ORIENTATION = 0x0112  # EXIF's tag


def _shapes(number: int) -> tuple[Image.Image, list[str]]:
    """Draw each shape with a chance of 40%, at any place, on a grey with noise."""
    draw = np.random.default_rng(number)
    noise = draw.normal(0, 12, (32, 40, 3)) + draw.integers(90, 150, 3)
    picture = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
    canvas, names = ImageDraw.Draw(picture), []
    for name, colour in COLOURS.items():
        left, top = (int(one) for one in draw.integers(0, (26, 20)))
        if draw.random() < 0.4:
            names.append(name)
            shape = canvas.ellipse if name == "circle" else canvas.rectangle
            shape((left, top, left + 12, top + (4 if name == "bar" else 12)), fill=colour)
    return picture, names


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, some of them transparent or turned, and a table with a column of 0 and 1 for each shape.

    A fifth of the pictures is empty, and another fifth is for validation.
    """
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "pictures").mkdir()
    with open(folder / "table.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", *COLOURS, "set", "stored"])
        for number in range(COUNT):
            picture, names = _shapes(number)
            if number % 3 == 0:  # the corner that is transparent is black if its alpha is dropped
                picture.putalpha(255)
                picture.paste((0, 0, 0, 0), (0, 0, 8, 8))
            stored, exif = "upright", Image.Exif()
            if number % 4 == 0:
                picture, stored, exif[ORIENTATION] = picture.transpose(Image.Transpose.ROTATE_90), "turned", 6
            picture.save(folder / "pictures" / f"{number}.png", exif=exif)
            split = "validation" if number % 5 == 0 else "train"
            table.writerow([f"pictures/{number}.png", *(int(name in names) for name in COLOURS), split, stored])
    return folder


@pytest.fixture(scope="module")
def first_run(skewless: Skewless, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The root and the outcome of a run."""
    root = tmp_path_factory.mktemp("root")
    return root, skewless("run", TASK, "--data", str(data), root=root, task="shapes")


@pytest.fixture(scope="module")
def addresses(first_run: tuple[Path, Outcome]) -> Iterator[list[str]]:
    """Serve what the run has pushed over gRPC and REST."""
    rest = free_port()
    serve = [*COMMAND, "serve", "shapes", "--root", str(first_run[0]), "--engine", "embedded", "--port", "0"]
    serve += ["--rest-port", str(rest)]
    server = subprocess.Popen(serve, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    lines = iter(server.stdout.readline, "")
    grpc = next(found[1] for line in lines if (found := re.search(r"Running gRPC \S+ at (\S+)", line)))
    with Client(f"http://127.0.0.1:{rest}", "shapes") as client:
        client.wait_until_available(60)
    yield [grpc, f"http://127.0.0.1:{rest}"]
    server.terminate()
    server.wait(timeout=30)
    server.stdout.close()


def _labels_file(model: str) -> dict[str, float]:
    found = json.loads((Path(model) / "assets.extra" / "labels.json").read_text())
    return {label["name"]: label["threshold"] for label in found["labels"]}


def _held_out(folder: str) -> list[tuple[bytes, list[str]]]:
    """Return pictures and names of the evaluation split, read without Skewless."""
    found = []
    for file in sorted(Path(folder).glob("Split-eval/*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            names = [name.decode() for name in features["label"].bytes_list.value]
            found.append((features["image"].bytes_list.value[0], names))
    return found


def _vectors(names: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([[name in some for name in COLOURS] for some in names], int)


def test_the_run_passes_the_gate_and_its_record_has_the_thresholds(first_run: tuple[Path, Outcome]) -> None:
    _, outcome = first_run
    assert outcome.status == 0, outcome.err
    record = outcome.record
    assert record["skew"]["passed"] and record["skew"]["is_multi_label"]
    assert {route["route"].partition(",")[0] for route in record["skew"]["routes"]} == {
        *("serving_examples", "serving_default", "gRPC", "REST", "the pushed version")
    }
    assert {cost["client"]: cost["flipped"] for cost in record["skew"]["avoided"]}["BGR"] > 0
    thresholds = record["training"]["thresholds"]
    assert list(thresholds) == list(COLOURS) and thresholds == _labels_file(record["pushed"]["path"])
    assert all(0 < one < 1 for one in thresholds.values())
    for words in (
        "mean average precision ",
        "metrics   AUC 0.",
        "labels    3 with thresholds bar ",
        "points of exact match",
        "have no label",
    ):
        assert words in outcome.out, outcome.out
    assert {Path(plot).name for plot in record["plots"]} == {
        *("history.png", "classes.png", "calibration.png", "model.png", "client_skew.png")
    }


def test_served_labels_are_right_over_grpc_and_rest_and_as_good_as_the_record_says(
    first_run: tuple[Path, Outcome], addresses: list[str]
) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    record = first_run[1].record
    held_out, limits = _held_out(record["data"]["folder"]), _labels_file(record["pushed"]["path"])
    truth = _vectors([names for _, names in held_out])
    answers = []
    for address in addresses:
        with Client(address, "shapes") as client:
            found = client.predict_images([content for content, _ in held_out])
        for one in found:
            assert {name: np.float32(limit) for name, limit in one.thresholds.items()} == {
                name: np.float32(limit) for name, limit in limits.items()
            }
            assert set(one.labels) == {name for name in COLOURS if one.scores[name] >= one.thresholds[name]}
        answers.append(found)
    assert [one.labels for one in answers[0]] == [one.labels for one in answers[1]]
    scores = np.array([[one.scores[name] for name in COLOURS] for one in answers[0]], np.float32)
    chosen = _vectors([one.labels for one in answers[0]])
    assert (chosen == truth).all(axis=1).mean() > 0.75, "most pictures get exactly their labels"
    assert [] in [one.labels for one in answers[0]], "some pictures are empty"
    slices = record["evaluation"]["slices"]
    of_labels = metrics.average_precision_score(truth, scores, average=None)
    assert slices["overall"]["mean_average_precision"] == pytest.approx(of_labels.mean(), abs=1e-6)
    assert (
        slices["stored:turned"]["example_count"] + slices["stored:upright"]["example_count"] == len(truth) == COUNT / 5
    )
    f1 = metrics.f1_score(truth, chosen, average=None)
    for place, name in enumerate(COLOURS):
        assert slices[f"label:{name}"]["average_precision"] == pytest.approx(of_labels[place], abs=1e-6)
        assert slices[f"label:{name}"]["f1"] == pytest.approx(f1[place], abs=1e-6)
        assert slices[f"label:{name}"]["example_count"] == truth[:, place].sum()


def test_predict_prints_the_labels(addresses: list[str], skewless: Skewless, data: Path) -> None:
    pictures = [str(data / "pictures" / f"{number}.png") for number in range(12)]
    printed = [skewless("predict", *pictures, "--server", one, "--model", "shapes").out for one in addresses]
    assert printed[0] == printed[1]
    right = 0
    for number, line in enumerate(printed[0].splitlines()):
        labels, name = line.split("\t")
        assert name == pictures[number] and re.fullmatch(r"none|\w+ [01]\.\d{4}(, \w+ [01]\.\d{4})*", labels)
        right += set(re.findall("[a-z]+", labels)) == set(_shapes(number)[1] or ["none"])
    assert right >= 9


def test_a_second_run_compares_with_the_first_and_the_limit_decides(
    first_run: tuple[Path, Outcome], skewless: Skewless, data: Path
) -> None:
    root, _ = first_run
    arguments = ("run", TASK, "--data", str(data), "--set", "train.epochs=1", "--set", "train.learning_rate=0.00001")
    worse = skewless(*arguments, root=root, task="shapes")
    assert worse.status == 4
    assert "not pushed: mean average precision" in worse.err and "of the last blessed model" in worse.err
    assert skewless("skew", TASK, root=root).status == 0, "what is pushed still passes"


@pytest.mark.usefixtures("forked_containers")
def test_compiled_and_run_from_its_file(data: Path, tmp_path: Path) -> None:
    file, root = tmp_path / "shapes.json", tmp_path / "root"
    options = PlatformOptions("vertex", "host/skewless:1", "gs://bucket/root")
    file.write_text(json.dumps(compile_pipeline(TaskReference(f"{TASK}:TASK", {}), options)))
    run_compiled(RunOptions("", str(data), str(root)), str(file))
    (version,) = (root / "shapes" / "serving" / "shapes").iterdir()
    assert list(_labels_file(str(version))) == list(COLOURS)
    (report,) = root.glob("shapes/artifacts/*/*/Trainer/model_run/training.json")
    assert json.loads(report.read_text())["thresholds"] == _labels_file(str(version))
