"""Client skew: clients that preprocess images themselves, and what each would cost with a model.

Such a client decodes and resizes in its own code and sends pixels, but the model was trained on the pixels of
`data.images.ops`. A model that takes encoded files rules this out. Each recipe imitates code that is common in clients;
to add one, write a function `prepare` and list it in `CLIENTS`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image as Pil
from PIL import ImageOps

from data.images import exif, ops
from data.images.formats import decoder_name, read_header
from data.spec import Image

Array = npt.NDArray[Any]
Score = Callable[[Array], Array]


@dataclass(frozen=True)
class ClientRecipe:
    """A client with its own preprocessing.

    Attributes:
      name: Name in reports.
      about: What the client does, in one line.
      prepare: Turns an encoded file, the model's image spec and the served pixels (uint8 [height, width, channels])
        into the pixels that this client sends, of the same shape. Raises any error of its library if the library cannot
        read the file.
      applies: Whether the recipe differs from what a model with this image spec does.
    """

    name: str
    about: str
    prepare: Callable[[bytes, Image, Array], Array]
    applies: Callable[[Image], bool] = lambda _: True


@dataclass(frozen=True)
class ClientSkewCost:
    """The cost of a client's own preprocessing.

    Attributes:
      client: Name of the client's recipe.
      pictures: Number of images.
      flipped: Number of images whose best class (with several labels: one of whose labels) differs from the served
        one, or that the client cannot read.
      accuracy: Share of the images that the client predicts right, 0..1: the accuracy, or with several labels the exact
        match, for which every label must be right. An image that it cannot read is wrong. None without labels.
      accuracy_served: The same for the served predictions.
      largest: Largest absolute change of a score among the images that the client can read.
    """

    client: str
    pictures: int
    flipped: int
    accuracy: float | None
    accuracy_served: float | None
    largest: float


@dataclass(frozen=True)
class Flip:
    """A picture whose answer a client changes.

    Attributes:
      row: Index of the picture.
      sent: Pixels that the client sends, uint8 [height, width, channels]; None if it cannot read the file.
      served: Pixels that the model wants, of the same shape.
      scores: Scores of `sent`, float [C]; None if there is none.
      scores_served: Scores of `served`, float [C].
    """

    row: int
    sent: Array | None
    served: Array
    scores: Array | None
    scores_served: Array


@dataclass(frozen=True)
class MeasuredClient:
    """What was measured of a client.

    Attributes:
      client: The client.
      cost: The cost of its preprocessing.
      flip: The picture that shows it best; None if no answer changes. Best is a picture that the client can read and
        that is served right, and of these the one with the largest change of a score.
    """

    client: ClientRecipe
    cost: ClientSkewCost
    flip: Flip | None


@dataclass(frozen=True)
class _Served:
    """What is served for the images.

    Attributes:
      pixels: uint8 [N, height, width, channels].
      scores: float [N, C].
      truth: The right answers, int [N, K] as `answers` returns them; None if they are not known.
      thresholds: Threshold of each score, [C], if an image may have several labels; otherwise None.
    """

    pixels: Array
    scores: Array
    truth: Array | None
    thresholds: Array | None

    def answers(self, scores: Array) -> Array:
        """Return the answers to scores [N, C], int [N, K]: the best class (K = 1), or 1 for each label (K = C)."""
        answers: Array = scores.argmax(axis=1)[:, np.newaxis]
        if self.thresholds is not None:
            answers = (scores >= self.thresholds).astype(np.int64)
        return answers

    def accuracy(self, answers: Array) -> float | None:
        return None if self.truth is None else float((answers == self.truth).all(axis=1).mean())

    def is_right(self) -> Array:
        """Return whether each served answer is right, bool [N]; all False without labels."""
        if self.truth is None:
            return np.zeros(len(self.scores), bool)
        right: Array = (self.answers(self.scores) == self.truth).all(axis=1)
        return right


def measure_clients(
    contents: Sequence[bytes],
    labels: Sequence[int] | Sequence[Sequence[int]] | None,
    spec: Image,
    pixels: Array,
    score: Score,
    thresholds: Sequence[float] = (),
) -> list[MeasuredClient]:
    """Compare the predictions that each of `CLIENTS` that applies would get with the served ones.

    An image that a client cannot read counts as flipped and as wrong.

    Args:
      contents: Encoded files that the served decoder can read, at least one.
      labels: Indices of their classes, or with several labels a row of C zeros and ones each, in the same order, if
        they are known.
      spec: Image spec of the model.
      pixels: Served pixels, uint8 [N, height, width, channels].
      score: Computes scores [N, C] of such pixels. It is called for the served pixels, and for each client with the
        images that it sends otherwise.
      thresholds: Threshold of each of the C scores, if an image may have several labels; otherwise empty.

    Raises:
      ValueError: If there are fewer than two scores per image and no thresholds: a single score has no best class.
    """
    scores = np.asarray(score(pixels))
    least = 1 if len(thresholds) else 2
    if scores.ndim != 2 or scores.shape[1] < least:
        raise ValueError(f"scores must be [N, C], C at least {least}, got {list(scores.shape)}")
    truth = None if labels is None else np.asarray(labels).reshape(len(contents), -1)
    served = _Served(pixels, scores, truth, np.asarray(thresholds, np.float32) if len(thresholds) else None)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders release the GIL
        return [
            _measure(client, _prepare_all(pool, client, contents, spec, pixels), served, score)
            for client in CLIENTS
            if client.applies(spec)
        ]


def _prepare_all(
    pool: ThreadPoolExecutor, client: ClientRecipe, contents: Sequence[bytes], spec: Image, pixels: Array
) -> list[Array | None]:
    return list(pool.map(lambda file, served: _prepare(client, file, spec, served), contents, pixels))


def _prepare(client: ClientRecipe, contents: bytes, spec: Image, served: Array) -> Array | None:
    """Return the pixels that the client sends, or None if it cannot read the file."""
    try:
        return client.prepare(contents, spec, served)
    except Exception:  # each library has its own errors
        return None


def _measure(client: ClientRecipe, prepared: Sequence[Array | None], served: _Served, score: Score) -> MeasuredClient:
    changed = {
        row: pixels
        for row, pixels in enumerate(prepared)
        if pixels is not None and (pixels != served.pixels[row]).any()
    }
    answers_served = served.answers(served.scores)
    answers = answers_served.copy()
    answers[[pixels is None for pixels in prepared]] = -1  # no answer
    scores = served.scores.copy()
    if changed:
        rows = list(changed)
        scores[rows] = np.asarray(score(np.stack(list(changed.values()))))
        answers[rows] = served.answers(scores[rows])
    changes = np.abs(scores.astype(np.float64) - served.scores).max(axis=1)
    flipped = np.flatnonzero((answers != answers_served).any(axis=1))
    accuracy, accuracy_served = served.accuracy(answers), served.accuracy(answers_served)
    largest = float(changes.max())
    cost = ClientSkewCost(client.name, len(prepared), len(flipped), accuracy, accuracy_served, largest)
    if not len(flipped):
        return MeasuredClient(client, cost, None)
    is_right = served.is_right()
    best = max(flipped, key=lambda row: (prepared[row] is not None, is_right[row], changes[row]))
    sent = prepared[best]
    theirs = None if sent is None else scores[best]
    return MeasuredClient(client, cost, Flip(int(best), sent, served.pixels[best], theirs, served.scores[best]))


def _open(contents: bytes, spec: Image) -> Pil.Image:
    with Pil.open(io.BytesIO(contents)) as image:
        return image.convert("L" if spec.channels == 1 else "RGB")


def _with_channel(pixels: Array) -> Array:
    """Add the channel axis to grayscale pixels, which OpenCV and PIL return as [height, width]."""
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _pil(method: Pil.Resampling, contents: bytes, spec: Image, _: Array) -> Array:
    return _with_channel(np.asarray(_open(contents, spec).resize((spec.width, spec.height), method)))


def _opencv_area(contents: bytes, spec: Image, _: Array) -> Array:
    import cv2

    flag = cv2.IMREAD_GRAYSCALE if spec.channels == 1 else cv2.IMREAD_COLOR
    pixels = cv2.imdecode(np.frombuffer(contents, np.uint8), flag)
    if pixels is None:
        raise ValueError("OpenCV cannot read it")
    if spec.channels == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return _with_channel(cv2.resize(pixels, (spec.width, spec.height), interpolation=cv2.INTER_AREA))


# Traced once for all images: eager execution would trace the branches of each of them.
@functools.lru_cache(maxsize=8)
def _served_resize(spec: Image) -> Callable[[tf.Tensor], tf.Tensor]:
    signature = [tf.TensorSpec([None, None, spec.channels], tf.uint8)]
    resize: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        lambda pixels: ops.resize(pixels, spec), signature, autograph=False
    )
    return resize


def _bgr(_: bytes, __: Image, served: Array) -> Array:
    return served[..., ::-1]


def _exif_turned(contents: bytes, spec: Image, served: Array) -> Array:
    if read_header(contents).orientation == 1:
        return served
    with Pil.open(io.BytesIO(contents)) as image:
        turned = ImageOps.exif_transpose(image).convert("L" if spec.channels == 1 else "RGB")
    return np.asarray(_served_resize(spec)(tf.constant(_with_channel(np.asarray(turned)))))


@functools.lru_cache(maxsize=8)
def _decode_as_served(spec: Image) -> Callable[[tf.Tensor], tf.Tensor]:
    decode: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        lambda contents: ops.decode_and_resize(contents, spec), [tf.TensorSpec([], tf.string)], autograph=False
    )
    return decode


def _stretched(contents: bytes, spec: Image, _: Array) -> Array:
    return np.asarray(_decode_as_served(dataclasses.replace(spec, fit="stretch"))(tf.constant(contents)))


def _alpha_dropped(contents: bytes, spec: Image, served: Array) -> Array:
    if read_header(contents).format == "jpeg":
        return served
    return np.asarray(_decode_as_served(dataclasses.replace(spec, background=""))(tf.constant(contents)))


def _exif_ignored(contents: bytes, spec: Image, served: Array) -> Array:
    if read_header(contents).orientation == 1:
        return served
    return np.asarray(_decode_as_served(dataclasses.replace(spec, orientation="ignore"))(tf.constant(contents)))


def _default_dct(contents: bytes, spec: Image, served: Array) -> Array:
    if decoder_name(contents) != "jpeg":
        return served
    pixels = tf.io.decode_jpeg(contents, channels=spec.channels)
    if spec.orientation == "exif":
        (pixels,) = exif.turn_upright([pixels], [tf.constant(read_header(contents).orientation)])
    return np.asarray(_served_resize(spec)(pixels))


_OPENCV = ClientRecipe(
    "OpenCV area", "Decodes (and rotates by EXIF) with OpenCV, resizes with INTER_AREA", _opencv_area
)
CLIENTS = (
    ClientRecipe(
        "PIL nearest",
        "Decodes and resizes with PIL to the nearest pixel, as in notebooks",
        functools.partial(_pil, Pil.Resampling.NEAREST),
    ),
    ClientRecipe(
        "PIL bilinear",
        "Decodes and resizes with PIL, whose bilinear filter always antialiases",
        functools.partial(_pil, Pil.Resampling.BILINEAR),
    ),
    *([_OPENCV] if importlib.util.find_spec("cv2") else []),
    ClientRecipe("BGR", "Sends the right pixels in OpenCV's channel order", _bgr),
    ClientRecipe(
        "EXIF turned",
        "Rotates the image by its EXIF orientation, which training ignores",
        _exif_turned,
        lambda spec: spec.orientation == "ignore",
    ),
    ClientRecipe(
        "EXIF ignored",
        "Uses the pixels as they are stored, without the turn by EXIF, as PIL and TensorFlow do",
        _exif_ignored,
        lambda spec: spec.orientation == "exif",
    ),
    ClientRecipe(
        "stretched",
        "Resizes to the model's size without cropping or padding, as most code does",
        _stretched,
        lambda spec: spec.fit != "stretch",
    ),
    ClientRecipe(
        "alpha dropped",
        "Uses the colours of transparent pixels, as TensorFlow's decoders and PIL's convert('RGB') do",
        _alpha_dropped,
        lambda spec: bool(spec.background),
    ),
    ClientRecipe("default DCT", "Calls tf.io.decode_jpeg without dct_method, always at full scale", _default_dct),
)
