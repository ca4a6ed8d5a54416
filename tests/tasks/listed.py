"""A task on pictures that a table lists, with a column of the split and one for slices; small enough for a test."""

from __future__ import annotations

from skewless import Evaluate, Gate, Image, ImageTable, Task, Train
from tests.tasks.tiny import build_model

TASK = Task(
    name="listed",
    source=ImageTable(path="image_id", label="species", split="subset", slices=("site",)),
    feature=Image(16, 16),
    model=build_model,
    train=Train(epochs=2, batch_size=16),
    evaluate=Evaluate(min_accuracy=0.2),
    gate=Gate(sample=8, pictures=0),
)
