"""Pictures of your own: one folder for each class, a small network.

skewless run flowers --data DIR
"""

from __future__ import annotations

from skewless import Augmentation, ConvNet, Evaluate, Image, ImageFolder, Task, Train

TASK = Task(
    name="flowers",
    source=ImageFolder(),  # or a table, IDX files, numpy arrays, CSV, TFRecords
    feature=Image(128, 128, antialias=True),  # decoded and resized in the graph, in training and in serving
    augment=Augmentation(rotation_range=20, horizontal_flip=True),
    model=ConvNet(filters=(32, 64, 128), batch_norm=True, pooling="average"),  # or Transfer(...), or your own model
    train=Train(epochs=15, optimizer="adamw(weight_decay=0.01)", keep="best"),
    evaluate=Evaluate(min_accuracy=0.3),  # raise it to what you need
)
