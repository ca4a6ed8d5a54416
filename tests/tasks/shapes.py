"""Coloured shapes, any number of them in a picture, or none: a table has a column for each. Small enough for a test."""

from __future__ import annotations

from skewless import ConvNet, Gate, Image, ImageTable, Labels, Task, Train

TASK = Task(
    name="shapes",
    source=ImageTable(label=("square", "circle", "bar")),
    feature=Image(24, 24, fit="pad", background="white"),
    model=ConvNet(filters=(8, 16), dense=32, activation="sigmoid"),
    label=Labels(),
    train=Train(epochs=12, batch_size=16, learning_rate=3e-3),
    gate=Gate(sample=8, pictures=32),
)
