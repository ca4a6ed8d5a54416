"""A task on pictures that are stored turned by EXIF; small enough for a test."""

from __future__ import annotations

from skewless import Evaluate, Gate, Image, ImageFolder, Task, Train
from tests.tasks.tiny import build_model

TASK = Task(
    name="turned",
    source=ImageFolder(),
    feature=Image(8, 8, orientation="exif"),
    model=build_model,
    train=Train(epochs=3, batch_size=16, learning_rate=0.02),
    evaluate=Evaluate(min_accuracy=0.9),
    gate=Gate(sample=8, pictures=48),
)
