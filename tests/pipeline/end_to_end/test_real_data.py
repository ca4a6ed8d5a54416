"""Whole runs of tasks made for the test on real pictures; skipped if the data are not there."""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.pipeline.conftest import Outcome, Skewless
from tests.pipeline.report.page.browser import Browser
from tests.pipeline.report.page.real_page import assert_page_is_complete

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def horses(shared_data: Path, skewless: Skewless, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run with odd files among the training pictures."""
    data = tmp_path_factory.mktemp("horses") / "data"
    shutil.copytree(shared_data / "horse-or-human", data)
    for path in [data, *data.rglob("*")]:
        path.chmod(0o755)
    for odd in (shared_data / "odd-images").iterdir():
        if odd.name != "LICENSE":
            shutil.copy(odd, data / "training" / "humans" / odd.name)
    (data / "training" / "humans" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return skewless("run", "tests.tasks.horses", "--data", str(data), root=data.parent / "root", task="horses")


def test_horses_and_humans_with_odd_files_among_them(horses: Outcome) -> None:
    """Explicit splits, a sigmoid for two classes; a truncated JPEG is quarantined, other unusual files are read."""
    assert horses.status == 0, horses.err
    found = horses.record["data"]
    assert found["examples"] == {"train": 505 + 5, "eval": 256}
    assert found["quarantined"] == {"not decodable": 1}
    assert found["not_pictures"] == {".DS_Store": 1}
    assert found["remarks"] == {"alpha": 761, "EXIF rotation": 1, "CMYK": 1}  # the horses and humans are RGBA
    assert horses.record["evaluation"]["slices"]["overall"]["example_count"] == 256
    for words in ("1 examples in quarantine (1 not decodable)", "1 files are not a picture (1 .DS_Store)", "EXIF"):
        assert words in horses.out
    report = Path(found["folder"], "quarantine.jsonl").read_text()
    assert "training/humans/truncated_jpeg.jpg" in report and "decodable" in report


def test_the_page_of_horses_and_humans_has_every_section(horses: Outcome, browser: Browser, axe: str) -> None:
    texts = {
        "overview": ["Pushed", "1 examples in quarantine", "256 eval"],
        "data": ["horses", "humans", "not decodable", "truncated_jpeg.jpg"],
        "training": ["Accuracy", "Loss", "exported", "layers"],
        "evaluation": ["What is confused", "Worst mistakes", "Quality by class", "Calibration"],
        "proof": ["serving_default", "gRPC", "REST"],
        "serving": ["skewless serve", "curl"],
    }
    pictures = {"data": 20, "evaluation": 10, "proof": 1}
    assert_page_is_complete(browser, axe, Path(horses.record["page"]), texts, pictures)


def test_fashion_mnist_does_as_well_as_the_notebook(shared_data: Path, skewless: Skewless, tmp_path: Path) -> None:
    """The built-in task, in larger batches to save time; the figures are those of the exported signature."""
    data = shared_data / "fashion-mnist"
    settings = ["--set", "train.batch_size=128", "--set", "train.profile_steps=10,12"]
    outcome = skewless("run", "fashion_mnist", "--data", str(data), *settings, root=tmp_path, task="fashion_mnist")
    assert outcome.status == 0, outcome.err
    assert outcome.record["data"]["examples"] == {"train": 60000, "eval": 10000}
    overall = outcome.record["evaluation"]["slices"]["overall"]
    assert overall["example_count"] == 10000 and overall["sparse_categorical_accuracy"] >= 0.87
    assert outcome.record["training"]["history"]["accuracy"][-1] >= 0.8955 - 0.005
    assert "label:sandal" in outcome.record["evaluation"]["slices"]
    plots = [Path(plot).name for plot in outcome.record["plots"]]
    assert plots == ["history.png", "classes.png", "confusion.png", "calibration.png", "model.png", "client_skew.png"]
    assert all(Path(plot).stat().st_size > 10_000 for plot in outcome.record["plots"])
    assert list((tmp_path / "fashion_mnist" / "artifacts").rglob("*.xplane.pb"))


def test_pretrained_weights_beat_random_ones(shared_data: Path, skewless: Skewless, tmp_path: Path) -> None:
    """MobileNetV2 0.35 at 96 pixels on 600 of CIFAR-10's pictures: the offline proof of transfer."""
    data = tmp_path / "data"
    with tarfile.open(shared_data / "cifar10-jpg.tar") as archive:
        members = [one for one in archive if re.fullmatch(r"cifar10-jpg/t\w+/\w+/00[0-2]\d\.jpg", one.name)]
        archive.extractall(data, members, filter="data")
    assert len(members) == 600
    weights = str(shared_data / "keras-weights" / "mobilenet_v2_0.35_224_no_top.weights.h5")
    accuracy = {}
    for kind in (weights, "none"):
        settings = {
            "model.backbone": "MobileNetV2",
            "model.alpha": "0.35",
            "model.cut": "",
            "model.pooling": "average",
            "model.weights": kind,
            "model.dense": "128",
            "feature.height": "96",
            "feature.width": "96",
            "train.learning_rate": "0.001",
            "train.epochs": "4",
            "evaluate.min_accuracy": "0",
        }
        sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        arguments = ["cifar10_inception", "--data", str(data / "cifar10-jpg"), *sets]
        outcome = skewless("run", *arguments, root=tmp_path / "root", task="cifar10_inception")
        assert outcome.status in (0, 4), outcome.err  # the second is worse than the first, and is not pushed
        overall = outcome.record["evaluation"]["slices"]["overall"]
        accuracy[kind == "none"] = overall["sparse_categorical_accuracy"]
        assert outcome.states()["ExampleGen"] == ("cached" if kind == "none" else "executed")
    assert accuracy[False] > accuracy[True] + 0.15
