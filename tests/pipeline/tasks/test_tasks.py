"""The built-in tasks, as far as they can be run without their own data."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.files.archives import fetch_archives
from data.files.download import File
from pipeline.registry import builtin_tasks
from pipeline.tasks import cifar10_inception, fashion_mnist, horse_or_human, rock_paper_scissors
from tests.pipeline.conftest import Skewless


def test_all_of_the_notebooks_tasks_are_there() -> None:
    names = {"linear_regression", "fashion_mnist", "horse_or_human", "cifar10_inception", "rock_paper_scissors"}
    assert names <= set(builtin_tasks()) and all(builtin_tasks()[name] for name in names)


def test_the_augmentation_is_the_notebooks() -> None:
    for module in (horse_or_human, rock_paper_scissors):
        found = module.TASK.augment
        assert (found.rotation_range, found.width_shift_range, found.height_shift_range) == (40, 0.2, 0.2)
        assert (found.shear_range, found.zoom_range, found.horizontal_flip) == (0.2, 0.2, True)
        assert found.fill_mode == "nearest" and not found.vertical_flip


def test_the_real_files_have_the_checksums_of_the_task(shared_data: Path) -> None:
    for file in fashion_mnist.FILES:
        content = (shared_data / "fashion-mnist" / file.name).read_bytes()
        assert f"md5:{hashlib.md5(content).hexdigest()}" == file.checksum and len(content) == file.bytes


def test_cifar10s_binary_rows_become_arrays(tmp_path: Path) -> None:
    """An archive written by hand after the description on CIFAR-10's page: label, then the planes, row-major."""
    rng = np.random.default_rng(0)
    batches = {f"data_batch_{n}.bin": 3 for n in range(1, 6)} | {"test_batch.bin": 2}
    pixels, labels = {}, {}
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        for name, count in batches.items():
            pixels[name] = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
            labels[name] = rng.integers(0, 10, count, np.uint8)
            rows = b"".join(
                bytes([label]) + b"".join(picture[:, :, channel].tobytes() for channel in range(3))
                for label, picture in zip(labels[name], pixels[name], strict=True)
            )
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(rows)
            archive.addfile(info, io.BytesIO(rows))
    cifar10_inception.write_arrays(tmp_path / "c.tar.gz", tmp_path)
    train = [name for name in batches if name.startswith("data")]
    np.testing.assert_array_equal(np.load(tmp_path / "x_train.npy"), np.concatenate([pixels[name] for name in train]))
    np.testing.assert_array_equal(np.load(tmp_path / "y_train.npy"), np.concatenate([labels[name] for name in train]))
    np.testing.assert_array_equal(np.load(tmp_path / "x_test.npy"), pixels["test_batch.bin"])
    np.testing.assert_array_equal(np.load(tmp_path / "y_test.npy"), labels["test_batch.bin"])


@pytest.mark.parametrize("above", ["", "rps/"])
def test_archives_become_folders_of_classes(above: str, tmp_path: Path) -> None:
    """Those that lie there whole are not downloaded again, so that this needs no network."""
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{above}rock/1.png", b"1")
        archive.writestr(f"{above}paper/2.png", b"2")
    content = file.read_bytes()
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
    fetch_archives({"train": File("http://nowhere/a.zip", "a.zip", checksum, len(content))}, str(tmp_path), print)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["train/paper/2.png", "train/rock/1.png"]
    fetch_archives({"train": File("http://nowhere/a.zip", "a.zip", checksum, len(content))}, str(tmp_path), print)


@pytest.mark.slow
def test_rock_paper_scissors_from_any_folder_of_classes(
    skewless: Skewless, tmp_path: Path, picture_folder: Callable[..., Path]
) -> None:
    """Three classes, augmented; the pushed model answers a picture of another size, and holds no augmentation."""
    data = picture_folder(tmp_path / "data", {"paper": 20, "rock": 20, "scissors": 20})
    settings = {"feature.height": "64", "feature.width": "64", "model.filters": "8,8", "train.epochs": "2"}
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arguments = ["rock_paper_scissors", "--data", str(data), *sets, "--set", "evaluate.min_accuracy=0"]
    outcome = skewless("run", *arguments, root=tmp_path, task="rock_paper_scissors")
    assert outcome.status == 0, outcome.err
    history = outcome.record["training"]["history"]["val_accuracy"]
    assert outcome.record["training"]["best_epoch"] == int(np.argmax(history)) + 1
    model = tf.saved_model.load(outcome.record["pushed"]["path"])
    signature = model.signatures["serving_default"]
    picture = (data / "rock" / "0000.jpg").read_bytes()
    first, second = (signature(image_bytes=tf.constant([picture]))["scores"].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    functions = signature.graph.as_graph_def(add_shapes=False)
    operations = {node.op for node in functions.node} | {
        node.op for function in functions.library.function for node in function.node_def
    }
    assert "ParseExampleV2" not in operations and not {op for op in operations if "Random" in op}
