"""Coloured shapes, any number of them in a picture, in a table with a column for each; small enough for a test.

It uses what a task may need for its data at once, so that one compiled run shows all of it.
"""

from __future__ import annotations

from skewless import ConvNet, Gate, Image, ImageTable, Labels, Task, Train

TASK = Task(
    name="shapes",
    source=ImageTable(label=("square", "circle", "bar"), split="set", slices=("stored",)),
    feature=Image(24, 24, fit="pad", background="white", orientation="exif"),
    model=ConvNet(filters=(8, 16), dense=32, activation="sigmoid"),
    label=Labels(),
    train=Train(epochs=12, batch_size=16, learning_rate=3e-3),
    gate=Gate(sample=8, pictures=32),
)
