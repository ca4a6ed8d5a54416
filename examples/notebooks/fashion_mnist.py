# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fashion-MNIST: from a notebook to a server
#
# 70,000 grey pictures of clothes, ten classes, a dense network. A notebook keeps the pictures as arrays, and divides
# them by 255. A server gets the bytes of a PNG. Here the network is the same, but decoding, resizing and scaling are
# in the graph that is served.
#
# The columns show what the notebook writes, and what a task writes.
#
# <table>
# <tr><th>the notebook</th><th>the task</th></tr>
# <tr><td>
#
# ```python
# mnist = keras.datasets.fashion_mnist
# (x, y), (x_test, y_test) = mnist.load_data()
# ```
#
# </td><td>
#
# ```python
# source=Idx(),
# feature=Image(height=28, width=28, channels=1),
# label=Classes(NAMES),
# ```
#
# </td></tr>
# <tr><td>
#
# ```python
# x, x_test = x / 255.0, x_test / 255.0
# ```
#
# </td><td>
#
# ```python
# keras.layers.Rescaling(1 / 255)  # first in the model
# ```
#
# </td></tr>
# <tr><td>
#
# ```python
# class Stop(keras.callbacks.Callback):
#     def on_epoch_end(self, epoch, logs):
#         if logs["accuracy"] > 0.89:
#             self.model.stop_training = True
# ```
#
# </td><td>
#
# ```python
# train=Train(stop_when="accuracy > 0.89")
# ```
#
# </td></tr>
# <tr><td>
#
# ```python
# model.compile("adam",
#               "sparse_categorical_crossentropy",
#               metrics=["accuracy"])
# model.fit(x, y, epochs=5, callbacks=[Stop()])
# ```
#
# </td><td>
#
# ```python
# train=Train(epochs=5, batch_size=32)
# ```
#
# </td></tr>
# <tr><td>
#
# ```python
# model.evaluate(x_test, y_test)  # the Keras object
# ```
#
# </td><td>
#
# ```python
# evaluate=Evaluate(min_accuracy=0.8)  # the exported signature
# ```
#
# </td></tr>
# </table>
#
# ## The data

# %% tags=["parameters"]
DATA = "fashion-mnist"  # folder with the four IDX files; they are downloaded if it does not exist
SETTINGS = {"train.epochs": 3}  # as `skewless run --set` takes them

# %%
import os

import skewless

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
FILES = {
    "train-images-idx3-ubyte.gz": ("md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    "train-labels-idx1-ubyte.gz": ("md5:25c81989df183df01b3e8a0aad5dffbe", 29_515),
    "t10k-images-idx3-ubyte.gz": ("md5:bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    "t10k-labels-idx1-ubyte.gz": ("md5:bb300cfdad3c16e7a12a480ee83cd310", 5_148),
}
if not os.path.isdir(DATA):
    skewless.fetch([skewless.File(f"{URL}/{name}", name, *known) for name, known in FILES.items()], DATA)

# %% [markdown]
# ## The task
#
# The components of the pipeline import the task by its name, also on other machines. So it goes into a module.

# %%
# %%writefile clothes.py
import keras

from skewless import Classes, Evaluate, Idx, Image, Task, Train

NAMES = ("t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def build_model(feature, classes):
    return keras.Sequential(
        [
            keras.Input(feature.shape, dtype="uint8"),  # decoded pixels, 0 to 255
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


TASK = Task(
    name="clothes",
    source=Idx(),
    feature=Image(height=28, width=28, channels=1),
    label=Classes(NAMES),
    model=build_model,
    train=Train(epochs=5, batch_size=32, stop_when="accuracy > 0.89"),
    evaluate=Evaluate(min_accuracy=0.8),
)

# %% [markdown]
# ## The run
#
# Ingestion, statistics, Transform, training, evaluation, the proof and the push. A second call takes what did not
# change from the cache.

# %%
record = skewless.run("clothes", data=DATA, settings=SETTINGS)

# %% [markdown]
# `quality` is the accuracy on the 10,000 test pictures, through the signature that a server loads. `proof` compares
# all ways to the answer: training, both signatures, gRPC and REST, one by one and in batches. It also shows what a
# client that resizes with PIL would have cost.
#
# The record shows the plots. In JupyterLab, VS Code and Colab it also shows the page of the run.

# %%
record

# %% [markdown]
# ## The server
#
# ```bash
# skewless serve clothes                       # or TensorFlow Serving, on the pushed folder
# skewless predict sneaker.png --model clothes # the server decodes the file
# ```
