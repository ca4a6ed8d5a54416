"""Fixtures of all tests: the real data, and small pictures."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

SHARED_DATA = "SKEWLESS_SHARED_DATA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with slow tests first, so that no worker is left with a slow one when the others have finished."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def shared_data_folder() -> Path:
    """Return the folder that the environment names, else `../shared/data` next to the checkout."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get(SHARED_DATA, default))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data; without it, the test is skipped."""
    folder = shared_data_folder()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set {SHARED_DATA} to the folder")
    return folder


def smooth_pixels(seed: int, height: int = 23, width: int = 37) -> NDArray[np.uint8]:
    """Return colour pixels with smooth areas and edges, like a photograph: uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode_picture(pixels: NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    """Encode the pixels with PIL in a format such as "PNG"."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def frame_count(contents: bytes) -> int:
    """Return the number of frames that PIL finds in a file."""
    return getattr(Image.open(io.BytesIO(contents)), "n_frames", 1)


@pytest.fixture(scope="session")
def smooth() -> Callable[..., NDArray[np.uint8]]:
    """See `smooth_pixels`."""
    return smooth_pixels


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """See `encode_picture`."""
    return encode_picture


@pytest.fixture(scope="session")
def picture_folder() -> Callable[..., Path]:
    """Function that writes small pictures, all different, JPEG and PNG in turn.

    `picture_folder(root, {"cats": 3, "train/dogs": 2})` writes three and two pictures below `root` and returns `root`.
    """

    def make(root: Path, counts: Mapping[str, int], seed: int = 0) -> Path:
        for below, count in counts.items():
            folder = root / below
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                kind, suffix = (("JPEG", "jpg"), ("PNG", "png"))[number % 2]
                seed += 1
                (folder / f"{number:04d}.{suffix}").write_bytes(encode_picture(smooth_pixels(seed, 9, 12), kind))
        return root

    return make


@pytest.fixture(scope="session")
def in_both() -> Callable[..., NDArray[Any]]:
    """Function that runs an op eagerly and inside tf.data, checks that the results are equal, and returns them."""

    def run(op: Callable[[tf.Tensor], tf.Tensor], value: Any) -> NDArray[Any]:
        eager: NDArray[Any] = op(tf.constant(value)).numpy()
        (mapped,) = tf.data.Dataset.from_tensors(value).map(op).as_numpy_iterator()
        assert getattr(eager, "dtype", bytes) == getattr(mapped, "dtype", bytes)
        np.testing.assert_array_equal(eager, mapped)
        return eager

    return run


@pytest.fixture(scope="session")
def read_all() -> Callable[..., dict[str, Any]]:
    """Function that plans and reads a source; returns the outcomes by split, and the plan as "plan"."""

    def read(source: Any, folder: Path, feature: Any, label: Any, seed: int = 0) -> dict[str, Any]:
        plan = source.plan(str(folder), feature, label)
        rng = np.random.default_rng(seed)
        outcomes = {
            split: list(source.read(str(folder), items, feature, label, rng)) for split, items in plan.splits.items()
        }
        return {**outcomes, "plan": plan}

    return read


@pytest.fixture
def forked_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the simulator fork its containers from a process that has loaded TFX: an import of it takes ten seconds."""
    from pipeline.runners.simulator import launch
    from tests.preloaded import Process

    def run(command: Sequence[str], *, cwd: str, env: Mapping[str, str], stdout: TextIO, stderr: int) -> Any:
        assert [*command[:2], stderr] == ["python", "-m", subprocess.STDOUT]
        process = Process(*command[2:], cwd=Path(cwd), env=env)
        stdout.writelines(process.communicate())
        return subprocess.CompletedProcess(command, process.wait())

    monkeypatch.setattr(launch, "subprocess", SimpleNamespace(run=run, STDOUT=subprocess.STDOUT))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ca.pem, server.pem and server.key for localhost, client.pem and client.key."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    usage = ("-addext", "keyUsage=critical,keyCertSign")  # RFC 5280; Python 3.13's strict check requires it
    openssl("req", "-x509", *key, *usage, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "2")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)
    return folder
