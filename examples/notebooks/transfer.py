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
# # Transfer learning: a pretrained network on photographs of flowers
#
# Photographs of five flowers, and MobileNetV2 with the weights of ImageNet. Two lines of such a notebook are easily
# wrong: the scaling of the pixels, which each backbone wants differently, and the BatchNormalization layers, which
# must not train. The task has neither line.
#
# <table>
# <tr><th>the notebook</th><th>the task</th></tr>
# <tr><td>
#
# ```python
# train, validation = image_dataset_from_directory(
#     "flowers", image_size=(96, 96), seed=0,
#     validation_split=0.2, subset="both")
# ```
#
# </td><td>
#
# ```python
# source=ImageFolder(),  # a hash of the content splits
# feature=Image(height=96, width=96, antialias=True),
# ```
#
# </td></tr>
# <tr><td>
#
# ```python
# backbone = MobileNetV2(
#     input_shape=(96, 96, 3), alpha=0.35,
#     include_top=False, weights="imagenet")
# backbone.trainable = False
# x = preprocess_input(inputs)  # if not forgotten
# x = backbone(x, training=False)
# x = GlobalAveragePooling2D()(x)
# x = Dense(64, activation="relu")(x)
# x = Dropout(0.2)(x)
# outputs = Dense(5, activation="softmax")(x)
# ```
#
# </td><td>
#
# ```python
# model=Transfer("MobileNetV2", alpha=0.35,
#                pooling="average", dense=64)
# ```
#
# </td></tr>
# <tr><td>
#
# ```python
# model.compile(Adam(1e-3), ...)
# model.fit(train, validation_data=validation, epochs=5)
# backbone.trainable = True
# model.compile(Adam(1e-5), ...)  # compile again, fit again
# model.fit(train, validation_data=validation, epochs=1)
# ```
#
# </td><td>
#
# ```python
# train=Train(epochs=5, learning_rate=1e-3, keep="best",
#             fine_tune=FineTune(epochs=1, learning_rate=1e-5))
# ```
#
# </td></tr>
# <tr><td>
#
# ```python
# train.map(lambda x, y: (RandomFlip()(x), y))
# ```
#
# </td><td>
#
# ```python
# augment="random_flip(mode='horizontal')"
# ```
#
# </td></tr>
# </table>
#
# ## The data

# %% tags=["parameters"]
DATA = "flowers"  # folder with a subfolder for each class; it is downloaded if it does not exist
SETTINGS = {"model.weights": "imagenet"}  # or a file of weights

# %%
import os

import skewless

if not os.path.isdir(DATA):
    # !curl -sL https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz | tar xz
    os.rename("flower_photos", DATA)

# %% [markdown]
# ## The task
#
# The components of the pipeline import the task by its name, also on other machines. So it goes into a module.
# `skewless new flowers --data DIR` writes such a module for your pictures.

# %%
# %%writefile flowers_task.py
from skewless import Evaluate, FineTune, Image, ImageFolder, Task, Train, Transfer

TASK = Task(
    name="flowers",
    source=ImageFolder(),
    feature=Image(height=96, width=96, antialias=True),
    augment="random_flip(mode='horizontal')",
    model=Transfer("MobileNetV2", alpha=0.35, pooling="average", dense=64),
    train=Train(
        epochs=5, batch_size=16, learning_rate=1e-3, keep="best", fine_tune=FineTune(epochs=1, learning_rate=1e-5)
    ),
    evaluate=Evaluate(min_accuracy=0.3),  # raise it to what you need
)

# %% [markdown]
# ## The run

# %%
record = skewless.run("flowers_task", data=DATA, settings=SETTINGS)

# %% [markdown]
# `proof` also counts the answers that would change if clients decoded and resized the photographs themselves.
#
# The record shows the plots. In JupyterLab, VS Code and Colab it also shows the page of the run.

# %%
record

# %% [markdown]
# ## The server
#
# ```bash
# skewless serve flowers                       # or TensorFlow Serving, on the pushed folder
# skewless predict rose.jpg --model flowers    # the server decodes and resizes the file
# ```
