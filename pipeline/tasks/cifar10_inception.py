"""CIFAR-10 with a pretrained InceptionV3: transfer learning, with the resizing inside the model.

    skewless run cifar10_inception               # downloads CIFAR-10, 170 MB, and the weights, 88 MB
    skewless run cifar10_inception --data DIR    # DIR has train/<class> and test/<class>, or x_train.npy etc.
    skewless run cifar10_inception --set model.weights=none          # or =FILE
    skewless run cifar10_inception --set train.fine_tune.epochs=3    # then unfreeze the backbone, at a lower rate

The notebook: InceptionV3 without its top on 75x75 pictures, frozen, cut at `mixed7`, Flatten, Dense(1024),
Dropout(0.2), Dense(10), RMSprop(1e-4), 10 epochs; validation accuracy 0.8031, with 16,064,426 parameters, 7,089,162
of them trainable: the same numbers as here. It scaled pixels to 0..1 although Inception needs -1..1, and passed a
softmax to a loss that expects logits. Here the backbone's scaling is in the graph, and the loss is right. The served
model takes pictures of any size.

Not measured: InceptionV3's pretrained weights, which were not available. With random weights an epoch on 10,000
pictures ran at 251 pictures/s on two cores, and the frozen backbone learned nothing (0.10). Transfer learning was
measured with MobileNetV2 0.35 and its pretrained weights, on the same 10,000 JPEGs at 96 pixels, 5 epochs: 0.6699 on
the 10,000 test pictures, and 0.1000 with `model.weights=none`. Two more epochs with the backbone unfrozen, at 1e-4,
gave 0.6747 and 0.6658. The settings were model.backbone=MobileNetV2, model.alpha=0.35, model.cut=,
model.pooling=average, feature.height=96, feature.width=96, train.epochs=5, train.learning_rate=0.001 and
train.batch_size=64.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from skewless import (
    Arrays,
    Classes,
    Evaluate,
    File,
    FirstMatch,
    Image,
    ImageFolder,
    Task,
    Train,
    Transfer,
    fetch,
    report,
)

ARCHIVE = File(  # as tensorflow_datasets lists it
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "cifar-10-binary.tar.gz",
    "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    170_052_171,
)
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ROW = 1 + 3 * 32 * 32  # bytes: the label, then red, green and blue, row by row


def download(folder: str) -> None:
    """Download the binary version and write it as `x_train.npy`, `y_train.npy`, `x_test.npy` and `y_test.npy`."""
    fetch([ARCHIVE], folder, report, instead="pictures, as train/<class>/* and test/<class>/*,")
    archive = Path(folder, ARCHIVE.name)
    write_arrays(archive, Path(folder))
    archive.unlink()


def write_arrays(archive: Path, folder: Path) -> None:
    """Write the archive's rows as arrays: pictures uint8 [N, 32, 32, 3] and labels uint8 [N]."""
    with tarfile.open(archive) as members:
        for split, names in {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "test": ["test_batch.bin"]}.items():
            files = [members.extractfile(f"cifar-10-batches-bin/{name}") for name in names]
            rows = np.concatenate([np.frombuffer(file.read(), np.uint8).reshape(-1, ROW) for file in files if file])
            np.save(folder / f"x_{split}.npy", rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            np.save(folder / f"y_{split}.npy", rows[:, 0])


TASK = Task(
    name="cifar10_inception",
    source=FirstMatch(first=ImageFolder(), second=Arrays()),
    feature=Image(height=75, width=75, channels=3),
    label=Classes(NAMES),
    model=Transfer(backbone="InceptionV3", weights="imagenet", cut="mixed7", dense=1024, dropout=0.2),
    train=Train(epochs=10, optimizer="rmsprop", learning_rate=1e-4),
    evaluate=Evaluate(min_accuracy=0.7),
    fetch=download,
)
