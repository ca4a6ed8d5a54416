"""Rock, paper, scissors: the folder task with three classes, augmented.

    skewless run rock_paper_scissors               # downloads the two archives, 230 MB
    skewless run rock_paper_scissors --data DIR    # DIR has {train,validation}/{paper,rock,scissors}

The notebook: 150x150 pictures, four blocks, Dropout(0.5), Dense(512), RMSprop, 25 epochs in batches of 126. DIR can
be any folder of pictures with a subfolder for each class; `skewless new` writes a task that fits it better.
"""

from __future__ import annotations

from skewless import (
    ConvNet,
    Evaluate,
    File,
    Image,
    ImageFolder,
    Task,
    Train,
    fetch_archives,
    from_image_data_generator,
    report,
)

URL = "https://storage.googleapis.com/download.tensorflow.org/data"
ARCHIVES = {  # as tensorflow_datasets lists them
    "train": File(
        f"{URL}/rps.zip",
        "rps.zip",
        "sha256:c2403444395842ad04c53612bad54b574443eae17a0723117a2ff87b9d72194f",
        200_682_221,
    ),
    "validation": File(
        f"{URL}/rps-test-set.zip",
        "rps-test-set.zip",
        "sha256:c27ab9fa43ce40b2e453de711365b477f4424586edf0388116674fd320f07503",
        29_516_758,
    ),
}


def download(folder: str) -> None:
    """Download both archives and unpack them into `train` and `validation`."""
    fetch_archives(ARCHIVES, folder, report)


TASK = Task(
    name="rock_paper_scissors",
    source=ImageFolder(),
    feature=Image(height=150, width=150, channels=3),
    augment=from_image_data_generator(
        rotation_range=40,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
    ),
    model=ConvNet(filters=(64, 64, 128, 128), dense=512, dropout=0.5),
    train=Train(epochs=25, batch_size=126, optimizer="rmsprop", keep="best", monitor="val_accuracy"),
    evaluate=Evaluate(min_accuracy=0.7),
    fetch=download,
)
