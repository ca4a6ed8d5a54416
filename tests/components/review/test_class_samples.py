"""Pictures of each class: whose they are, how many, and how little of the shards is read for them."""

from __future__ import annotations

import base64
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from components.review import class_samples
from components.review.class_samples import SHOWN, choose_names, draw_records, sample_classes
from components.review.inputs import ReviewInputs
from components.review.record import Picture
from components.task.task import Task
from data.sources import Arrays
from data.spec import Image, Labels, Number, Vector
from tests.data.ingest.ingest_folder import ingest_folder
from tests.tasks import tiny


def inputs_of(examples: object, task: Task = tiny.TASK) -> ReviewInputs:
    return ReviewInputs(task, str(examples), "", "", "", "", "")


def task_of(source: object, feature: object, label: object) -> Task:
    return Task("numbers", source, feature, tiny.build_model, label)  # type: ignore[arg-type]


def pixels_of(picture: Picture) -> np.ndarray:
    content = base64.b64decode(picture.thumbnail.partition(",")[2])
    return np.asarray(Pil.open(io.BytesIO(content)).convert("RGB"))


def test_each_class_has_its_own_training_pictures(picture_folder, tmp_path):
    counts = {"train/1": 5, "train/2": 3, "train/10": 4, "val/1": 2, "val/2": 1, "val/10": 1}
    folder = picture_folder(tmp_path / "in", counts)
    manifest = ingest_folder(folder, tmp_path / "out")
    classes, others = sample_classes(inputs_of(tmp_path / "out"), manifest)
    assert [one.name for one in classes] == ["1", "10", "2"] and others == []
    for one in classes:
        assert one.examples == {"train": counts[f"train/{one.name}"], "eval": counts[f"val/{one.name}"]}
        assert len(one.pictures) == one.examples["train"]  # there are fewer than the sample would have
        assert len({picture.source for picture in one.pictures}) == len(one.pictures)
        for picture in one.pictures:
            file = folder / picture.source
            assert picture.source.startswith(f"train/{one.name}/") and picture.label == one.name
            assert (picture.width, picture.height) == (12, 9)
            with Pil.open(file) as whole:
                difference = np.abs(pixels_of(picture).astype(int) - np.asarray(whole.convert("RGB")))
            assert difference.max() <= 4  # of decoders


def test_the_sample_is_the_same_again_and_shares_the_pictures_among_the_classes(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(class_samples, "PICTURES", 9)
    folder = picture_folder(tmp_path / "in", {"train/a": 30, "train/b": 4, "train/c": 2, "val/a": 1, "val/b": 1})
    manifest = ingest_folder(folder, tmp_path / "out")
    first, second = (sample_classes(inputs_of(tmp_path / "out"), manifest)[0] for _ in range(2))
    assert first == second
    assert [(one.name, len(one.pictures)) for one in first] == [("a", 3), ("b", 3), ("c", 2)]


def test_of_many_classes_the_largest_and_the_smallest_are_shown():
    counts = {f"class {number}": number for number in range(1000)}
    names = choose_names(counts)
    assert names == [f"class {number}" for number in [*range(999, 949, -1), *range(49, -1, -1)]]
    assert len(names) == SHOWN and choose_names({"x": 1, "y": 2}) == ["y", "x"]


@pytest.fixture
def shards(smooth, tmp_path):
    """Manifest of 3,000 pictures of 40 classes, 8 shards, of class 7 only four."""
    rng = np.random.default_rng(0)
    labels = rng.permutation([number for number in range(40) for _ in range(4 if number == 7 else 75)])
    x = rng.integers(0, 256, (len(labels), 4, 4), np.uint8)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=labels, x_test=x[:40] ^ 255, y_test=np.arange(40))
    return ingest_folder(tmp_path, tmp_path / "out", Arrays(), Image(4, 4, 1))


def test_no_more_is_read_than_needed(shards, tmp_path, monkeypatch):
    read: Counter[str] = Counter()

    def counted(path: str):
        for one in original(path):
            read[Path(path).name] += 1
            yield one

    original = class_samples._read
    monkeypatch.setattr(class_samples, "_read", counted)
    files = shards.splits["train"]
    common = draw_records(str(tmp_path / "out"), files, {str(number): 1 for number in range(40) if number != 7})
    assert {name: len(found) for name, found in common.items()} == {str(n): 1 for n in range(40) if n != 7}
    assert read.total() < 500  # of 2,929: mostly of one shard

    read.clear()
    (rare,) = draw_records(str(tmp_path / "out"), files, {"7": 4}).values()
    assert len({one.SerializeToString() for one in rare}) == 4
    holders = {Path(one.file).name: one.examples for one in files if "7" in one.labels}
    assert set(read) == set(holders)  # no other shard is opened
    assert draw_records(str(tmp_path / "out"), files, {"no such class": 1}) == {}


def test_the_bytes_that_are_read_are_limited(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(class_samples, "MOST_BYTES", 3000)
    drawn = draw_records(str(tmp_path / "out"), shards.splits["train"], {str(number): 75 for number in range(40)})
    sizes = sum(one.ByteSize() for found in drawn.values() for one in found)
    assert 3000 < sizes < 3500


def test_a_picture_with_several_labels_is_shown_once(smooth, tmp_path):
    """Of 60 pictures a third has the labels x and y, a third y, and a third none: x is never alone."""
    x = np.stack([smooth(number, 4, 4) for number in range(60)])
    y = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]] * 20)
    y[0, 2] = 1
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:3] ^ 255, y_test=y[:3])
    task = task_of(Arrays(), Image(4, 4), Labels(("x", "y", "z")))
    manifest = ingest_folder(tmp_path, tmp_path / "out", task.source, task.feature, task.label)
    classes, unlabelled = sample_classes(inputs_of(tmp_path / "out", task), manifest)
    assert {one.name: one.examples["train"] for one in classes} == {"x": 20, "y": 40, "z": 1}
    assert {one.name: len(one.pictures) > 5 for one in classes} == {"x": True, "y": True, "z": False}
    shown = [(one.name, picture) for one in classes for picture in one.pictures]
    assert all(name in picture.label.split(", ") for name, picture in shown)
    assert len({picture.source for _, picture in shown}) == len(shown) >= 30
    assert len(unlabelled) == 16 and {one.label for one in unlabelled} == {"no label"}
    rows = {int(one.source.partition("[")[2].rstrip("]")) for one in unlabelled}
    assert {row % 3 for row in rows} == {2}


def test_pictures_with_a_number_are_in_its_order(smooth, tmp_path):
    x = np.stack([smooth(number, 4, 4) for number in range(40)])
    y = np.random.default_rng(0).permutation(40) / 4
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:2] ^ 255, y_test=y[:2])
    task = task_of(Arrays(), Image(4, 4), Number())
    manifest = ingest_folder(tmp_path, tmp_path / "out", task.source, task.feature, task.label)
    classes, pictures = sample_classes(inputs_of(tmp_path / "out", task), manifest)
    assert classes == [] and len(pictures) == 32
    numbers = [float(one.label) for one in pictures]
    assert numbers == sorted(numbers)
    for one in pictures:
        row = int(one.source.partition("[")[2].rstrip("]"))
        assert float(one.label) == y[row]
        np.testing.assert_array_equal(pixels_of(one), x[row])


def test_rows_of_numbers_have_counts_and_no_pictures(tmp_path):
    x = np.arange(40.0).reshape(20, 2)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=np.arange(20) % 2, x_test=x[:3] + 0.5, y_test=[0, 1, 1])
    task = task_of(Arrays(), Vector(2), tiny.TASK.label)
    manifest = ingest_folder(tmp_path, tmp_path / "out", task.source, task.feature, task.label)
    classes, pictures = sample_classes(inputs_of(tmp_path / "out", task), manifest)
    assert {one.name: one.examples for one in classes} == {
        "0": {"train": 10, "eval": 1},
        "1": {"train": 10, "eval": 2},
    }
    assert pictures == [] and not any(one.pictures for one in classes)
