"""SavedModels with one planted skew each, and what a diagnosis must call it."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image as Pil

from data.images import ops
from data.spec import Image
from serving.diagnosis.diagnose import Scaling, Trained
from serving.diagnosis.scaling import TO_1, TO_PLUS_MINUS_1
from serving.parity.compare import Answers
from serving.signatures import DEFAULT, EXAMPLES
from tests.conftest import encode_picture, smooth_pixels

SPEC = Image(20, 24)
NAMES = (b"cat", b"dog", b"elk")
MEAN, STD = np.array([118.0, 121.0, 97.0]), np.array([61.0, 52.0, 70.0])
NORMALIZATION = Scaling(1 / STD, -MEAN / STD)
Op = Callable[[tf.Tensor], tf.Tensor]


class Expected(NamedTuple):
    """What the diagnosis must say (`skew` begins so), and of which model: as trained, and what is served."""

    stage: str
    skew: str
    served: dict[str, Any]
    spec: Image = SPEC
    scaling: Scaling = TO_1
    classes: int = 3


@dataclass(frozen=True)
class Planted:
    """A skewed SavedModel and the model that was trained."""

    folder: str
    trained: Trained
    names: Sequence[bytes]

    def reference(self, values: Sequence[bytes], batch: int) -> Answers:
        """Training's own answers."""
        assert self.trained.spec is not None
        decode, scores = _decoder(self.trained.spec), []
        for start in range(0, len(values), batch):
            pixels = decode(tf.constant(values[start : start + batch]))
            scores.append(self.trained.score(pixels.numpy().astype(np.float32)))
        return Answers("training", np.concatenate(scores), np.array([self.names] * len(values), object))


@functools.lru_cache(maxsize=8)  # eagerly, each call would trace the branches that it takes
def _decoder(spec: Image) -> Op:
    return tf.function(
        lambda contents: ops.decode_batch(contents, spec), [tf.TensorSpec([None], tf.string)], autograph=False
    )


def _resize(spec: Image = SPEC, **options: Any) -> Op:
    given = {"method": spec.resize, "antialias": spec.antialias, **options}
    return lambda pixels: tf.cast(tf.image.resize(pixels, (spec.height, spec.width), **given), tf.float32)


def _legacy(**options: bool) -> Op:
    return lambda pixels: tf.raw_ops.ResizeBilinear(images=pixels[None], size=(SPEC.height, SPEC.width), **options)[0]


def _letterboxed(pixels: tf.Tensor) -> tf.Tensor:
    return tf.image.resize_with_pad(pixels, SPEC.height, SPEC.width)


def _cropped(pixels: tf.Tensor) -> tf.Tensor:
    size = tf.shape(pixels)
    high = tf.minimum(size[0], size[1] * SPEC.height // SPEC.width)
    wide = tf.minimum(size[1], size[0] * SPEC.width // SPEC.height)
    return _resize()(pixels[(size[0] - high) // 2 :, (size[1] - wide) // 2 :][:high, :wide])


def _turned(contents: tf.Tensor) -> tf.Tensor:
    pixels = ops.decode(contents, 3)
    tag = r"\C*\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\C*"  # EXIF's orientation is 6, big-endian as PIL writes it
    return tf.cond(tf.strings.regex_full_match(contents, tag), lambda: tf.image.rot90(pixels, 3), lambda: pixels)


def _augmented(pixels: tf.Tensor) -> tf.Tensor:
    return pixels * tf.random.uniform([tf.shape(pixels)[0], 1, 1, 1], 0.8, 1.2)


def _augmented_alike(pixels: tf.Tensor) -> tf.Tensor:
    return pixels * tf.random.stateless_uniform([1, 1, 1, 3], (1, 2), 0.8, 1.2)


def _blurred(pixels: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(pixels, 5, 1, "SAME") * 0.9 + tf.roll(pixels, 3, 1) * 0.1


def _shrunk(contents: tf.Tensor) -> tf.Tensor:
    return ops.decode(contents, 3, (SPEC.height, SPEC.width))


def _whole(contents: tf.Tensor) -> tf.Tensor:
    return ops.decode(contents, 3)


ANTIALIASED = dataclasses.replace(SPEC, antialias=True)
NEAREST = dataclasses.replace(SPEC, resize="nearest")
_METHODS = ("nearest", "area", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")

SKEWS: dict[str, Expected] = {
    **{
        f"resize {one}": Expected("resize", f"{one} instead of bilinear", {"resize": _resize(method=one)})
        for one in _METHODS
    },
    "resize bilinear": Expected(
        "resize", "bilinear instead of nearest", {"resize": _resize(method="bilinear")}, NEAREST
    ),
    "antialias on": Expected(
        "resize", "bilinear with antialias instead of bilinear", {"resize": _resize(antialias=True)}
    ),
    "antialias off": Expected(
        "resize", "bilinear instead of bilinear with antialias", {"resize": _resize()}, ANTIALIASED
    ),
    "half-pixel centres": Expected("resize", "bilinear without half-pixel centres", {"resize": _legacy()}),
    "align_corners": Expected("resize", "bilinear with align_corners", {"resize": _legacy(align_corners=True)}),
    "not rounded": Expected("resize", "results not rounded", {"round": lambda pixels: pixels}),
    "truncated": Expected("resize", "results truncated instead of rounded", {"round": tf.floor}),
    "letterbox": Expected("resize", "letterboxed", {"resize": _letterboxed}),
    "crop": Expected("resize", "cropped to the wanted proportions instead of stretched", {"resize": _cropped}),
    "DCT method": Expected(
        "decode", "JPEG's DCT method INTEGER_FAST", {"decode": lambda contents: tf.io.decode_jpeg(contents, 3)}
    ),
    "EXIF": Expected("decode", "turned as EXIF says", {"decode": _turned}),
    "shrink_on_load on": Expected("decode", "decoded at a smaller scale instead of whole", {"decode": _shrunk}),
    "shrink_on_load off": Expected(
        "decode",
        "decoded whole instead of shrink_on_load",
        {"decode": _whole},
        dataclasses.replace(SPEC, shrink_on_load=True),
    ),
    "/255 missing": Expected("scale", "/255 missing", {"scale": Scaling(1.0, 0.0)}),
    "/255 twice": Expected("scale", "/255 twice", {"scale": TO_1.after(TO_1)}),
    "0..1 for -1..1": Expected(
        "scale", "pixels scaled to 0..1 instead of pixels scaled to -1..1", {"scale": TO_1}, scaling=TO_PLUS_MINUS_1
    ),
    "-1..1 for 0..1": Expected(
        "scale", "pixels scaled to -1..1 instead of pixels scaled to 0..1", {"scale": TO_PLUS_MINUS_1}
    ),
    "mean/std swapped": Expected(
        "scale",
        "mean and standard deviation swapped",
        {"scale": Scaling(1 / MEAN, -STD / MEAN)},
        scaling=NORMALIZATION,
    ),
    "/255 before Normalization": Expected(
        "scale", "/255 before the model's own scaling", {"scale": NORMALIZATION.after(TO_1)}, scaling=NORMALIZATION
    ),
    "BGR": Expected("channel order", "BGR instead of RGB", {"channels": lambda pixels: pixels[..., ::-1]}),
    "nearest and BGR": Expected(
        "resize",
        "nearest instead of bilinear and BGR instead of RGB",
        {"resize": _resize(method="nearest"), "channels": lambda pixels: pixels[..., ::-1]},
    ),
    "not rounded and BGR": Expected(  # of which the second is nearly all
        "resize",
        "results not rounded and BGR instead of RGB",
        {"round": tf.identity, "channels": lambda pixels: pixels[..., ::-1]},
    ),
    "vocabulary reordered": Expected("label order", "label vocabulary reordered", {"names": (b"dog", b"cat", b"elk")}),
    "sigmoid swapped": Expected(
        "label order", "the two classes swapped", {"columns": (1, 0)}, classes=2, scaling=NORMALIZATION
    ),
    "columns permuted": Expected("label order", "score columns permuted", {"columns": (2, 0, 1)}),
    "stale vocabulary": Expected("label order", "stale vocabulary", {"names": (b"cat", b"dog", b"emu")}),
    "augmentation": Expected("model", "augmentation left on", {"augment": _augmented}),
    "augmentation, one seed": Expected("model", "augmentation left on", {"augment": _augmented_alike}),
    "batch norm": Expected("model", "batch norm in training mode", {"training": True}),
    "model version": Expected("model", "a different model version", {"retrained": 0.01}),
    "unheard of": Expected("unknown", "no known skew", {"channels": _blurred}),
}


class _Model(tf.Module):
    """A convolution, a BatchNormalization and a dense layer, with weights that are drawn."""

    def __init__(self, spec: Image, scaling: Scaling, classes: int) -> None:
        super().__init__()
        draw = np.random.default_rng(7)

        def weights(name: str, values: np.ndarray) -> tf.Variable:
            return tf.Variable(values.astype(np.float32), name=name)

        inputs = 10 * 12 * 8
        self.kernel = weights("kernel", draw.normal(0, 0.4, (3, 3, 3, 8)))
        self.gamma = weights("gamma", draw.uniform(0.7, 1.3, 8))
        self.beta = weights("beta", draw.normal(0, 0.1, 8))
        self.mean = weights("mean", draw.uniform(0.1, 0.5, 8))
        self.variance = weights("variance", draw.uniform(0.3, 0.6, 8))
        self.dense = weights("dense", draw.normal(0, 2.5 / np.sqrt(inputs), (inputs, 1 if classes == 2 else classes)))
        self.bias = weights("bias", np.zeros(self.dense.shape[-1]))
        self.scaling = scaling

    def scores(self, pixels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What comes after the scaling: float32 [N, height, width, 3] to [N, C]."""
        hidden = tf.nn.relu(tf.nn.conv2d(pixels, self.kernel, 2, "SAME"))
        mean, variance = tf.nn.moments(hidden, [0, 1, 2]) if training else (self.mean, self.variance)
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * mean)
        hidden = tf.nn.batch_normalization(hidden, mean, variance, self.beta, self.gamma, 1e-3)
        logits = tf.reshape(hidden, [tf.shape(hidden)[0], -1]) @ self.dense + self.bias
        if logits.shape[-1] > 1:
            return tf.nn.softmax(logits)
        second = tf.sigmoid(logits)
        return tf.concat([1 - second, second], axis=1)

    def scaled(self, pixels: tf.Tensor, scaling: Scaling) -> tf.Tensor:
        return pixels * np.float32(scaling.scale) + np.float32(scaling.offset)


def plant(skew: str, folder: str) -> Planted:
    """Writes the SavedModel with one of `SKEWS`, or the "clean" one."""
    expected = SKEWS.get(skew, Expected("", "", {}))
    spec, served = expected.spec, expected.served
    model = _Model(spec, expected.scaling, expected.classes)
    names = NAMES[: expected.classes]
    weights = {one.name.partition(":")[0]: one.numpy() for one in model.variables}
    trained_model = _Model(spec, expected.scaling, expected.classes)  # keeps its weights whatever is served
    score = tf.function(
        lambda pixels: trained_model.scores(trained_model.scaled(pixels, expected.scaling)),
        [tf.TensorSpec([None, *spec.shape], tf.float32)],
        autograph=False,
    )
    trained = Trained(spec, lambda pixels: score(tf.constant(pixels)).numpy(), expected.scaling, weights)
    if "retrained" in served:
        model.kernel.assign_add(tf.random.stateless_normal(model.kernel.shape, (1, 2), stddev=served["retrained"]))
    _save(model, spec, served, names, folder)
    return Planted(folder, trained, names)


def _save(model: _Model, spec: Image, served: dict[str, Any], names: Sequence[bytes], folder: str) -> None:
    preprocess = _preprocessing(spec, served)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def answer(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = model.scaled(preprocess(image_bytes), served.get("scale", model.scaling))
        scores = model.scores(served.get("augment", tf.identity)(pixels), served.get("training", False))
        scores = tf.gather(scores, served["columns"], axis=1) if "columns" in served else scores
        row = model.table.lookup(tf.range(len(names), dtype=tf.int64))
        return {"classes": tf.tile(row[None], [tf.shape(scores)[0], 1]), "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")], autograph=False)
    def of_examples(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(tf.io.parse_example(inputs, {"image": tf.io.FixedLenFeature([], tf.string)})["image"])

    with tempfile.TemporaryDirectory() as words:
        path = os.path.join(words, "labels.txt")
        with open(path, "wb") as file:
            file.write(b"\n".join(served.get("names", names)) + b"\n")
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        content = tf.lookup.TextFileInitializer(path, tf.int64, line, tf.string, whole)
        model.table = tf.lookup.StaticHashTable(content, b"?")
        tf.saved_model.save(model, folder, signatures={DEFAULT: answer, EXAMPLES: of_examples})


def _preprocessing(spec: Image, served: dict[str, Any]) -> Op:
    """Encoded pictures to pixels, float32 [N, height, width, 3], 0..255."""
    channels = served.get("channels", tf.identity)
    if not {"decode", "resize", "round"} & set(served):
        return lambda contents: channels(tf.cast(ops.decode_batch(contents, spec), tf.float32))

    def one(content: tf.Tensor) -> tf.Tensor:
        pixels = served.get("decode", _shrunk if spec.shrink_on_load else _whole)(content)
        return served.get("round", tf.round)(served.get("resize", _resize(spec))(pixels))

    def all_of(contents: tf.Tensor) -> tf.Tensor:
        pixels = tf.map_fn(one, contents, fn_output_signature=tf.TensorSpec(spec.shape, tf.float32))
        return channels(tf.clip_by_value(pixels, 0, 255))

    return all_of


def pictures(count: int = 16, height: int = 61, width: int = 83) -> list[bytes]:
    """JPEGs with texture in odd sizes; every fifth is a PNG, every fourth is to be turned, every third has the
    model's own size."""
    found = []
    for seed in range(count):
        high, wide = (SPEC.height, SPEC.width) if seed % 3 == 2 else (height + 7 * (seed % 4), width + 5 * (seed % 7))
        noise = np.random.default_rng(seed).normal(0, 25, (high, wide, 3))
        pixels = np.clip(smooth_pixels(seed, high, wide) + noise, 0, 255).astype(np.uint8)
        exif = Pil.Exif()
        if seed % 4 == 1:
            exif[0x0112] = 6
        found.append(encode_picture(pixels, "PNG") if seed % 5 == 4 else encode_picture(pixels, "JPEG", exif=exif))
    return found
