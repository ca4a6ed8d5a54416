"""Telephones' pictures, stored turned: a model that must know which way is up is trained, gated, served and asked."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil
from PIL import ImageOps

from data.images import ops
from data.spec import Image, Orientation
from serving.client import Client
from serving.engines import free_port
from tests.conftest import encode_picture
from tests.data.images.test_exif import camera, chunk, segment
from tests.pipeline.conftest import COMMAND, Outcome, Skewless, environment
from tests.tasks.turned import TASK

pytestmark = pytest.mark.slow

NAME = "tests.tasks.turned"
CLASSES = ("sky_above", "sky_below")
COUNTS = {"train": 96, "validation": 48}
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""How a picture is stored under each orientation."""


def photograph(rng: np.random.Generator, name: str) -> np.ndarray:
    """An upright picture: a bright sky above the ground or below it; uint8 [height, width, 3]."""
    height, width = rng.integers(28, 44, 2)
    pixels = rng.normal(110, 30, (height, width, 3))
    horizon = int(height * rng.uniform(0.35, 0.65))
    sky = slice(0, horizon) if name == "sky_above" else slice(horizon, None)
    pixels[sky] += (50, 60, 90)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def stored(upright: np.ndarray, orientation: int, order: str, kind: str) -> bytes:
    """The file of a picture, turned as a camera stores it, with its orientation in EXIF."""
    pixels = np.ascontiguousarray(TURNS[orientation](upright))
    file, exif = encode_picture(pixels, kind, **({"quality": 95} if kind == "JPEG" else {})), camera(order, orientation)
    if kind == "PNG":
        return file[:33] + chunk(b"eXIf", exif) + file[33:]
    return file[:2] + segment(0xE1, b"Exif\0\0" + exif) + file[2:]


def write_folder(folder: Path) -> None:
    """Write pictures of both classes in all orientations and both byte orders; every eighth file is a PNG."""
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                kind = "PNG" if number % 9 == 8 else "JPEG"
                file = stored(photograph(rng, name), number % 8 + 1, "<>"[number // 8 % 2], kind)
                (folder / split / name / f"{number:03}.{kind.lower()}").write_bytes(file)


@dataclass(frozen=True)
class Turned:
    """A run, its data folder and its root."""

    data: Path
    root: Path
    outcome: Outcome

    def files(self, split: str) -> list[tuple[Path, int]]:
        """Return the pictures of a split with the indices of their classes."""
        return [
            (path, index) for index, name in enumerate(CLASSES) for path in sorted((self.data / split / name).iterdir())
        ]


@pytest.fixture(scope="module")
def turned(skewless: Skewless, tmp_path_factory: pytest.TempPathFactory) -> Turned:
    base = tmp_path_factory.mktemp("turned")
    write_folder(base / "data")
    outcome = skewless("run", NAME, "--data", str(base / "data"), root=base / "root", task="turned")
    return Turned(base / "data", base / "root", outcome)


@pytest.fixture(scope="module")
def client(turned: Turned) -> Iterator[Client]:
    serve = [
        *COMMAND,
        "serve",
        "turned",
        "--root",
        str(turned.root),
        "--port",
        str(free_port()),
        "--engine",
        "embedded",
    ]
    server = subprocess.Popen(serve, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        address = next(match[1] for line in server.stdout if (match := re.search(r"Running gRPC.* at (\S+)", line)))
        with Client(address, "turned") as client:
            yield client
    finally:
        server.terminate()
        server.wait(timeout=30)


def linear_accuracy(turned: Turned, orientation: Orientation) -> float:
    """Return the accuracy of a linear model, fitted by least squares to pixels as the graph decodes them."""
    assert isinstance(TASK.feature, Image)
    feature = replace(TASK.feature, orientation=orientation)

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        paths, labels = zip(*turned.files(split), strict=True)
        pixels = ops.decode_batch(tf.constant([path.read_bytes() for path in paths]), feature).numpy()
        return np.c_[pixels.reshape(len(paths), -1) / 255 - 0.5, np.ones(len(paths))], np.array(labels)

    (seen, labels), (unseen, wanted) = load("train"), load("validation")
    weights = np.linalg.solve(seen.T @ seen + np.eye(seen.shape[1]), seen.T @ (2 * labels - 1))
    return float(((unseen @ weights > 0) == wanted).mean())


def test_only_upright_pictures_can_be_learned(turned: Turned) -> None:
    assert linear_accuracy(turned, "exif") > 0.95
    assert 0.3 < linear_accuracy(turned, "ignore") < 0.7


def test_trained_and_pushed(turned: Turned) -> None:
    record = turned.outcome.record
    assert turned.outcome.status == 0, turned.outcome.err
    assert record["status"] == "pushed"
    assert record["evaluation"]["slices"]["overall"]["sparse_categorical_accuracy"] > 0.95
    assert record["data"]["remarks"] == {}  # nothing is ignored, so nothing is reported
    assert "EXIF rotation" not in turned.outcome.out


def test_the_gate_shows_what_ignoring_would_cost(turned: Turned) -> None:
    costs = {one["client"]: one for one in turned.outcome.record["skew"]["avoided"]}
    assert "EXIF turned" not in costs
    assert costs["EXIF ignored"]["accuracy_served"] > 0.9
    assert costs["EXIF ignored"]["accuracy"] < 0.8


def test_files_bytes_and_pil_images_get_the_same_answer_over_grpc(turned: Turned, client: Client) -> None:
    files = turned.files("validation")
    answers = client.predict_images([path for path, _ in files])
    right = np.mean([CLASSES.index(answer.label) == index for answer, (_, index) in zip(answers, files, strict=True)])
    assert right > 0.95
    pngs = [path for path, _ in files if path.suffix == ".png"]  # of a JPEG, Pillow decodes other pixels
    assert len(pngs) > 8
    by_file, by_image = client.predict_images(pngs), client.predict_images([Pil.open(path) for path in pngs])
    upright = client.predict_images([ImageOps.exif_transpose(Pil.open(path)) for path in pngs])
    stripped = client.predict_images([np.asarray(Pil.open(path)) for path in pngs])
    assert [one.scores for one in by_image] == [one.scores for one in by_file] == [one.scores for one in upright]
    assert [one.scores for one in stripped] != [one.scores for one in by_file]
    jpegs = [Pil.open(path) for path, _ in files if path.suffix == ".jpeg"]
    close = [one.label for one in client.predict_images(jpegs)]
    assert close == [answer.label for answer, (path, _) in zip(answers, files, strict=True) if path.suffix == ".jpeg"]
