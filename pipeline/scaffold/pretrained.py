"""Find pretrained weights for a new task: in a file, in Keras' cache, or on the network."""

from __future__ import annotations

import http.client
import os
import re
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras

from components.models.build import flat_layers
from components.models.transfer import Transfer, has_alpha, list_backbones
from data.errors import UsageError, unknown
from data.files.remote import is_remote
from data.spec import Image

BACKBONE = "MobileNetV2"  # of those in `keras.applications` one of the fastest on a CPU; 9 MB of weights
SIDE = 224  # pixels of a side with which nearly all of Keras' weights were trained
ADDRESS = (
    "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
)
PATIENCE = 3.0  # seconds to wait for the network

_PREFERRED = (BACKBONE, "EfficientNetV2B0", "EfficientNetB0", "MobileNet", "NASNetMobile", "DenseNet121", "ResNet50V2")
_WIDTHS = (1.0, 0.75, 0.5, 0.35, 0.25, 1.3, 1.4)  # for which Keras has weights of a MobileNet
_OWN_SIZES = (96, 128, 160, 192, 224)  # for which Keras has MobileNets of their own


@dataclass(frozen=True)
class Pretrained:
    """A backbone with its weights.

    Attributes:
      backbone, alpha: Fields of `Transfer`.
      file: The weights on this machine; "": the first run downloads them.
      in_cache: Whether the file is in Keras' cache.
    """

    backbone: str
    alpha: float = 1.0
    file: str = ""
    in_cache: bool = False

    def weights(self, height: int, width: int) -> str:
        """Return `Transfer.weights` for pictures of a size: "imagenet" if Keras itself finds the file."""
        if not self.file:
            return "imagenet"
        stored = re.search(r"_(\d{3})_", Path(self.file).name)  # a MobileNet has a file for each size
        asked = height if height == width and height in _OWN_SIZES else SIDE
        return "imagenet" if self.in_cache and (not stored or int(stored[1]) == asked) else self.file

    def find_late_layer(self) -> str:
        """Return the name of the first layer with weights in the last third of the backbone.

        The layers before it recognise edges and textures, which are the same in all photographs; to fine-tune them
        takes more than twice the time.
        """
        layers = [
            layer
            for layer in flat_layers(_build(self.backbone, self.alpha, "none"))
            if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
        ]
        found: str = layers[round(len(layers) * 2 / 3)].name
        return found


def find_pretrained(weights: str, backbone: str) -> Pretrained | None:
    """Return a backbone with weights.

    Args:
      weights: "auto": from Keras' cache, otherwise from the network if it answers; "imagenet": the first run takes them
        from there; "none"; or a file of weights without the top.
      backbone: Name of a class in `keras.applications`; "": of the file's name, otherwise `BACKBONE`.

    Returns:
      None for "none", and for "auto" if there are no weights.

    Raises:
      UsageError: If the backbone is unknown, or the file has no weights of it.
    """
    if backbone and backbone not in list_backbones():
        raise unknown("backbone", backbone, list_backbones())
    if weights == "none":
        if backbone:
            raise UsageError("--backbone needs weights, and --weights is none", hint="Remove one of the two.")
        return None
    if weights == "imagenet":
        return Pretrained(backbone or BACKBONE)
    if weights != "auto":
        return _in_file(weights, backbone)
    return _in_cache(backbone) or (Pretrained(backbone or BACKBONE) if answers(ADDRESS, PATIENCE) else None)


def keras_cache() -> Path:
    """Return the folder into which Keras downloads weights."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def recognise(name: str) -> tuple[str, float | None] | None:
    """Return the backbone in the name of a file, and its `alpha` if the name has one; None for an unknown name."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    # "MobileNet" is not the backbone of mobilenet_v3_small.
    known = [one for one in list_backbones() if re.search(rf"{one.lower()}(?!v\d)", letters)]
    if not known:
        return None
    backbone = max(known, key=len)
    if not has_alpha(backbone):
        return backbone, None
    decimal, digits = re.search(r"[_-](\d\.\d+)[_-]", name), re.search(r"[_-](\d)_(\d)[_-]", name)
    if decimal:
        return backbone, float(decimal[1])
    if digits:  # mobilenet_1_0_224 has the alpha 1.0, mobilenet_7_5_224 has 0.75
        return backbone, float(f"{digits[1]}.{digits[2]}") if digits[1] == "1" else int(digits[1] + digits[2]) / 100
    return backbone, None


def answers(address: str, seconds: float) -> bool:
    """Return whether a web address answers within a time.

    The thread bounds the time for finding the host, too, which may be minutes without a network.
    """
    found = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds):
                found.append(True)
        except (OSError, ValueError, http.client.HTTPException):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(found)


def _in_file(path: str, backbone: str) -> Pretrained:
    """Return the backbone whose weights are in a file.

    Raises:
      UsageError: If there is no file, or the backbone is not clear, or the weights are of another one.
    """
    file = Path(path).expanduser().absolute()
    if is_remote(path) or not file.is_file():
        raise UsageError(f"no file of weights at {path}", hint="--weights is auto, imagenet, none or a file.")
    named = recognise(file.name)
    if not (named or backbone):
        raise UsageError(
            f"the name of {file} does not show the backbone of the weights",
            hint="Add its name, for example --backbone MobileNetV2",
        )
    name, alpha = named if named and named[0] == (backbone or named[0]) else (backbone, None)
    reason: UsageError | None = None
    for width in [alpha] if alpha else _WIDTHS if has_alpha(name) else [1.0]:
        try:
            _build(name, width, str(file))
            return Pretrained(name, width, str(file))
        except UsageError as error:
            reason = reason or error
    assert reason is not None
    raise reason


def _in_cache(backbone: str) -> Pretrained | None:
    """Return the preferred weights in Keras' cache that can be loaded."""
    for name, alpha, file in sorted(_cached(backbone), key=lambda one: (_rank(one[0]), abs(one[1] - 1), str(one[2]))):
        try:
            _build(name, alpha, str(file))
            return Pretrained(name, alpha, str(file), in_cache=True)
        except UsageError:  # a download that was interrupted
            continue
    return None


def _cached(backbone: str) -> Iterator[tuple[str, float, Path]]:
    """Yield backbone, alpha and file of the weights without top in the cache, of one backbone or, with "", of all."""
    for file in keras_cache().glob("*.h5"):
        named = recognise(file.name) if re.search(r"no[-_]?top", file.name) else None
        if named and named[0] == (backbone or named[0]):
            yield named[0], named[1] or 1.0, file


def _rank(backbone: str) -> int:
    return _PREFERRED.index(backbone) if backbone in _PREFERRED else len(_PREFERRED)


def _build(backbone: str, alpha: float, weights: str) -> keras.Model:
    """Build a model with the backbone and load the weights.

    Raises:
      UsageError: If the weights do not fit.
    """
    return Transfer(backbone, weights=weights, alpha=alpha, pooling="average", dense=0)(Image(SIDE, SIDE), 2)
