"""PyTorch's DataLoader over a folder of JPEGs, decoded and resized by Pillow. Its workers import this module only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pil
from torch.utils.data import DataLoader, Dataset


class _Folder(Dataset):  # type: ignore[type-arg, misc, unused-ignore]
    """The pictures of one folder per class, uint8 [h, w, 3], and their classes."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._files = sorted(map(str, folder.rglob("*.jpg")))
        names = sorted({os.path.dirname(file) for file in self._files})
        self._labels = [names.index(os.path.dirname(file)) for file in self._files]
        self._size = size[::-1]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        with Pil.open(self._files[index]) as image:
            pixels = np.array(image.convert("RGB").resize(self._size, Pil.Resampling.BILINEAR))
        return torch.from_numpy(pixels), self._labels[index]


def batches(folder: Path, size: tuple[int, int], batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Yield batches of pictures, float32 [N, h, w, 3], and classes, without end.

    A worker for each core decodes and joins batches of uint8, a quarter of what float32 would cost to hand over. The
    workers are new processes, since forks of a process with TensorFlow's threads may hang.
    """
    cores = len(os.sched_getaffinity(0))
    loader = DataLoader(
        _Folder(folder, size),
        batch_size,
        shuffle=True,
        num_workers=cores,
        persistent_workers=True,
        drop_last=True,
        multiprocessing_context="spawn",
    )
    while True:
        for images, labels in loader:
            yield images.float(), labels
