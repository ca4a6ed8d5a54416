"""Clients seen in the wild, which preprocess on their own, and what each would have cost with this model.

Each one sends pixels as its own code made them, where the model was trained on those of `data.images.ops`: the fault
that serving encoded files avoids.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image as Pil
from PIL import ImageOps

from data.images import ops
from data.images.headers import read_header
from data.spec import Image


@dataclass(frozen=True)
class ClientRecipe:
    """A client with its own preprocessing.

    Attributes:
      name: in tables.
      about: what it does, in a line.
      prepare: an encoded file, how the model gets it, and what is served (uint8 [height, width, channels]) to what
        this client sends, of the same shape; raises whatever its library does for a file that it cannot read.
    """

    name: str
    about: str
    prepare: Callable[[bytes, Image, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ClientSkewCost:
    """What a client would have cost.

    Attributes:
      client: its name.
      pictures: how many were tried.
      flipped: pictures whose top-1 is another than the served one, or that the client cannot read.
      accuracy: of the client's predictions, 0..1, a picture that it cannot read being wrong; None without labels.
      accuracy_served: of the served ones.
      largest: largest absolute change of a score among the pictures that it can read.
    """

    client: str
    pictures: int
    flipped: int
    accuracy: float | None
    accuracy_served: float | None
    largest: float


def client_skew_costs(
    contents: Sequence[bytes],
    labels: Sequence[int] | None,
    spec: Image,
    pixels: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
) -> list[ClientSkewCost]:
    """Compares what each of `CLIENTS` would have been told with what is served.

    A picture that a client cannot read counts as flipped, and as wrong.

    Args:
      contents: encoded files that the served decoder takes, at least one.
      labels: the indices of their classes, in the same order, if they are known.
      spec: how the model gets pictures.
      pixels: what is served, uint8 [N, height, width, channels].
      score: such pixels to scores [N, C], C at least 2; called for what is served, and for each client with those
        pictures that it sends otherwise.

    Raises:
      ValueError: fewer than two scores a picture: one alone has no top-1.
    """
    served = np.asarray(score(pixels))
    if served.ndim != 2 or served.shape[1] < 2:
        raise ValueError(f"scores must be [N, C], C at least 2, got {list(served.shape)}")
    wanted = None if labels is None else np.asarray(labels)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the decoders let others run meanwhile
        return [_cost(client, pool, contents, wanted, spec, pixels, score, served) for client in CLIENTS]


def _cost(
    client: ClientRecipe,
    pool: ThreadPoolExecutor,
    contents: Sequence[bytes],
    labels: np.ndarray | None,
    spec: Image,
    pixels: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    served: np.ndarray,
) -> ClientSkewCost:
    prepared = list(pool.map(lambda one, ours: _tried(client, one, spec, ours), contents, pixels))
    others = {row: one for row, one in enumerate(prepared) if one is not None and (one != pixels[row]).any()}
    top_served = served.argmax(axis=1)
    top = np.where([one is None for one in prepared], -1, top_served)  # -1: no class
    largest = 0.0
    if others:
        other = list(others)
        scores = np.asarray(score(np.stack(list(others.values()))))
        top[other] = scores.argmax(axis=1)
        largest = float(np.abs(scores.astype(np.float64) - served[other]).max())
    return ClientSkewCost(
        client.name,
        len(contents),
        int((top != top_served).sum()),
        None if labels is None else float((top == labels).mean()),
        None if labels is None else float((top_served == labels).mean()),
        largest,
    )


def _tried(client: ClientRecipe, contents: bytes, spec: Image, ours: np.ndarray) -> np.ndarray | None:
    """What the client sends; None where it cannot read the file."""
    try:
        return client.prepare(contents, spec, ours)
    except Exception:  # each library has its own errors
        return None


def _opened(contents: bytes, spec: Image) -> Pil.Image:
    with Pil.open(io.BytesIO(contents)) as image:
        return image.convert("L" if spec.channels == 1 else "RGB")


def _channelled(pixels: np.ndarray) -> np.ndarray:
    """Grey as OpenCV and PIL have it, [height, width], gets its channel."""
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _by_pil(method: Pil.Resampling, contents: bytes, spec: Image, _: np.ndarray) -> np.ndarray:
    return _channelled(np.asarray(_opened(contents, spec).resize((spec.width, spec.height), method)))


def _opencv_area(contents: bytes, spec: Image, _: np.ndarray) -> np.ndarray:
    import cv2

    flag = cv2.IMREAD_GRAYSCALE if spec.channels == 1 else cv2.IMREAD_COLOR
    pixels = cv2.imdecode(np.frombuffer(contents, np.uint8), flag)
    if pixels is None:
        raise ValueError("OpenCV cannot read it")
    if spec.channels == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return _channelled(cv2.resize(pixels, (spec.width, spec.height), interpolation=cv2.INTER_AREA))


# Traced once for all pictures: eagerly, each of them would trace the branches that it takes.
@functools.lru_cache(maxsize=8)
def _our_resize(spec: Image) -> Callable[[tf.Tensor], tf.Tensor]:
    signature = [tf.TensorSpec([None, None, spec.channels], tf.uint8)]
    return tf.function(lambda pixels: ops.resize(pixels, spec), signature, autograph=False)


def _bgr(_: bytes, __: Image, ours: np.ndarray) -> np.ndarray:
    return ours[..., ::-1]


def _exif_turned(contents: bytes, spec: Image, ours: np.ndarray) -> np.ndarray:
    if read_header(contents).orientation == 1:
        return ours
    with Pil.open(io.BytesIO(contents)) as image:
        turned = ImageOps.exif_transpose(image).convert("L" if spec.channels == 1 else "RGB")
    return _our_resize(spec)(tf.constant(_channelled(np.asarray(turned)))).numpy()


def _default_dct(contents: bytes, spec: Image, ours: np.ndarray) -> np.ndarray:
    if ops.kind_of(contents) != "jpeg":
        return ours
    return _our_resize(spec)(tf.io.decode_jpeg(contents, channels=spec.channels)).numpy()


_EVERYWHERE = (
    ClientRecipe(
        "PIL nearest",
        "Decodes and resizes with PIL to the nearest pixel, as notebooks do",
        functools.partial(_by_pil, Pil.Resampling.NEAREST),
    ),
    ClientRecipe(
        "PIL bilinear",
        "Decodes and resizes with PIL, whose bilinear always antialiases",
        functools.partial(_by_pil, Pil.Resampling.BILINEAR),
    ),
    ClientRecipe("BGR", "Right but for the order of the channels: OpenCV's, forgotten", _bgr),
    ClientRecipe("EXIF turned", "Turns the picture as EXIF says, which training ignores", _exif_turned),
    ClientRecipe("default DCT", "tf.io.decode_jpeg without dct_method, and never at a smaller scale", _default_dct),
)
_OPENCV = ClientRecipe("OpenCV area", "Decodes (and turns) with OpenCV, resizes with INTER_AREA", _opencv_area)
CLIENTS = (*_EVERYWHERE[:2], *([_OPENCV] if importlib.util.find_spec("cv2") else []), *_EVERYWHERE[2:])
