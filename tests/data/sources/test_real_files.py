"""The real data: Fashion-MNIST, horses or humans, and the odd pictures, through sources and shards."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.images import ops
from data.ingest.manifest import QUARANTINE, Manifest, check_manifest
from data.sources import Idx, ImageFolder
from data.spec import Classes, Image
from tests.data.ingest.ingest_folder import ingest_folder


def examples(manifest: Manifest, target: Path, split: str):
    files = [str(target / shard.file) for shard in manifest.splits[split]]
    for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
        yield tf.train.Example.FromString(record).features.feature


def test_fashion_mnist(shared_data, tmp_path):
    folder = shared_data / "fashion-mnist"
    manifest = ingest_folder(folder, tmp_path, Idx(), Image(28, 28, 1))
    assert (manifest.examples("train"), manifest.examples("eval")) == (60_000, 10_000)
    assert manifest.labels("train") == {str(label): 6_000 for label in range(10)}
    assert manifest.labels("eval") == {str(label): 1_000 for label in range(10)}
    assert check_manifest(manifest, Classes()) == tuple("0123456789")
    assert manifest.quarantined == {} and manifest.remarks == {}
    for shard in (shard for shards in manifest.splits.values() for shard in shards):
        assert shard.sha256 == hashlib.sha256((tmp_path / shard.file).read_bytes()).hexdigest()

    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + 784)[16:], np.uint8).reshape(28, 28, 1)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        label = file.read(9)[8]
    source = b"train-images-idx3-ubyte.gz[0]"
    (row,) = (one for one in examples(manifest, tmp_path, "train") if one["image/source"].bytes_list.value[0] == source)
    decoded = ops.decode(tf.constant(row["image"].bytes_list.value[0]), 1).numpy()
    np.testing.assert_array_equal(decoded, pixels)
    assert row["label"].bytes_list.value[0] == str(label).encode() == b"9"  # an ankle boot


def test_horse_or_human(shared_data, tmp_path):
    folder = shared_data / "horse-or-human"
    manifest = ingest_folder(folder, tmp_path, ImageFolder(), Image(150, 150))
    assert (manifest.examples("train"), manifest.examples("eval")) == (505, 256)
    assert manifest.labels("train") == {"horses": 250, "humans": 255}
    assert manifest.labels("eval") == {"horses": 128, "humans": 128}
    assert check_manifest(manifest, Classes()) == ("horses", "humans")
    assert manifest.quarantined == {} and manifest.duplicate_count == 0
    found = set()
    for split in ("train", "eval"):
        for one in examples(manifest, tmp_path, split):
            source = one["image/source"].bytes_list.value[0].decode()
            assert one["image"].bytes_list.value[0] == (folder / source).read_bytes()
            assert source.split("/")[1] == one["label"].bytes_list.value[0].decode()
            assert [one[f"image/{fact}"].int64_list.value[0] for fact in ("height", "width", "channels")] == [
                300,
                300,
                4,
            ]
            found.add(source)
    assert found == {str(path.relative_to(folder)) for path in folder.glob("*/*/*.png")} and len(found) == 761


def test_the_odd_pictures(shared_data, picture_folder, tmp_path):
    folder = picture_folder(tmp_path / "in", {"odd": 4, "plain": 4})
    for path in (shared_data / "odd-images").iterdir():
        shutil.copy(path, folder / "odd")
    manifest = ingest_folder(folder, tmp_path / "out", ImageFolder(), Image(32, 32))
    (line,) = (tmp_path / "out" / QUARANTINE).read_text().splitlines()
    rejected = json.loads(line)
    assert (rejected["source"], rejected["reason"]) == ("odd/truncated_jpeg.jpg", "not decodable")
    assert rejected["message"] == "a JPEG that is cut off"
    assert manifest.quarantined == {"not decodable": 1} and manifest.examples() == 8 + 5
    assert manifest.remarks == {"EXIF rotation": 1, "CMYK": 1}  # Landscape_6.jpg, pil_sample_cmyk.jpg
    assert manifest.not_pictures == {"without a suffix": 1}
