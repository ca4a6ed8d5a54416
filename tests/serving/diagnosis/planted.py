"""SavedModels with one planted skew each, and the diagnosis that must come out."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image as Pil

from data.images import ops
from data.spec import Image
from serving.diagnosis.base import ReferenceModel
from serving.diagnosis.scaling import TO_1, TO_PLUS_MINUS_1, Scaling
from serving.parity.compare import Answers
from serving.signatures import DEFAULT, EXAMPLES
from tests.conftest import encode_picture, smooth_pixels

SPEC = Image(20, 24)
NAMES = (b"cat", b"dog", b"elk")
LIMITS = (0.3, 0.625, 0.45)
MEAN, STD = np.array([118.0, 121.0, 97.0]), np.array([61.0, 52.0, 70.0])
NORMALIZATION = Scaling(1 / STD, -MEAN / STD)
Op = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Served:
    """How a served model differs from the trained one; None: it does not.

    Attributes:
      decode: Encoded image to pixels uint8 [h, w, 3].
      resize: Pixels uint8 [h, w, 3] to float32 [height, width, 3].
      round: Resized pixels to whole numbers.
      channels: Pixels of a batch, float32 [N, height, width, 3], to the same.
      scale: Scaling instead of the model's own one.
      augment: Scaled pixels of a batch to the same.
      is_training: Whether batch norm runs in training mode.
      retrained: Standard deviation of what is added to a weight.
      columns: Order of the score columns.
      names: Names of the scores.
      last: Scores to the same.
      limits: Thresholds of several labels; (): there are none.
    """

    decode: Op | None = None
    resize: Op | None = None
    round: Op | None = None
    channels: Op | None = None
    scale: Scaling | None = None
    augment: Op | None = None
    is_training: bool = False
    retrained: float = 0.0
    columns: tuple[int, ...] | None = None
    names: tuple[bytes, ...] | None = None
    last: Op | None = None
    limits: tuple[float, ...] | None = None


@dataclass(frozen=True)
class PlantedSkew:
    """A served model, and the diagnosis that must come out.

    Attributes:
      stage: Stage of the diagnosis.
      skew: Start of the diagnosis's `skew`.
      served: What is served.
      spec: Image spec of the trained model.
      scaling: Scaling of the trained model.
      classes: Number of classes.
      limits: Thresholds, if a picture may have several labels; otherwise empty.
      detail: Part of the diagnosis's detail.
      is_rare: Whether only the slow tests plant it.
    """

    stage: str
    skew: str
    served: Served
    spec: Image = SPEC
    scaling: Scaling = TO_1
    classes: int = 3
    limits: tuple[float, ...] = ()
    detail: str = ""
    is_rare: bool = False


@dataclass(frozen=True)
class PlantedModel:
    """A skewed SavedModel and the model that was trained."""

    folder: str
    trained: ReferenceModel
    names: Sequence[bytes]
    limits: tuple[float, ...]

    def reference(self, values: Sequence[bytes], batch: int) -> Answers:
        """Return training's own answers."""
        assert self.trained.spec is not None
        decode, scores = _decoder(self.trained.spec), []
        for start in range(0, len(values), batch):
            pixels = decode(tf.constant(values[start : start + batch]))
            scores.append(self.trained.score(pixels.numpy().astype(np.float32)))
        limits = np.tile(np.array(self.limits, np.float32), (len(values), 1)) if self.limits else None
        return Answers("training", np.concatenate(scores), np.array([self.names] * len(values), object), limits)


@functools.lru_cache(maxsize=8)  # eager execution would trace the branches at each call
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


def _rotated(contents: tf.Tensor) -> tf.Tensor:
    pixels = ops.decode(contents, 3)
    tag = r"\C*\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\C*"  # EXIF's orientation is 6, big-endian as PIL writes it
    return tf.cond(tf.strings.regex_full_match(contents, tag), lambda: tf.image.rot90(pixels, 3), lambda: pixels)


def _augmented(pixels: tf.Tensor) -> tf.Tensor:
    return pixels * tf.random.uniform([tf.shape(pixels)[0], 1, 1, 1], 0.8, 1.2)


def _augmented_with_one_seed(pixels: tf.Tensor) -> tf.Tensor:
    return pixels * tf.random.stateless_uniform([1, 1, 1, 3], (1, 2), 0.8, 1.2)


def _blurred(pixels: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(pixels, 5, 1, "SAME") * 0.9 + tf.roll(pixels, 3, 1) * 0.1


def _shrunk(contents: tf.Tensor) -> tf.Tensor:
    return ops.decode(contents, 3, (SPEC.height, SPEC.width))


def _whole(contents: tf.Tensor) -> tf.Tensor:
    return ops.decode(contents, 3)


def _bgr(pixels: tf.Tensor) -> tf.Tensor:
    return pixels[..., ::-1]


def _default_dct(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(contents, 3)


def _outputs(scores: tf.Tensor) -> tf.Tensor:
    """Return what sigmoids were applied to."""
    return tf.math.log(scores) - tf.math.log1p(-scores)


def _labelled(stage: str, skew: str, detail: str = "", is_rare: bool = False, **served: Any) -> PlantedSkew:
    """Return a skew of a model with several labels."""
    return PlantedSkew(
        stage, skew, Served(**served), scaling=NORMALIZATION, limits=LIMITS, detail=detail, is_rare=is_rare
    )


def _scored(skew: str, last: Op, classes: int = 3, is_rare: bool = False) -> PlantedSkew:
    """Return a wrong last step of a model for classes; for two classes it has one sigmoid."""
    return PlantedSkew("model", skew, Served(last=last), scaling=NORMALIZATION, classes=classes, is_rare=is_rare)


def _both(columns: tf.Tensor) -> tf.Tensor:
    """Return scores of two classes from those of the second one, as the export does with one output."""
    return tf.stack([1 - columns[:, 1], columns[:, 1]], axis=1)


def _on_white(contents: tf.Tensor) -> tf.Tensor:
    """Blend on white in floating point, as a client would."""
    pixels = ops.decode(contents, 0)
    rgba = tf.cast(
        tf.concat([pixels, tf.fill(tf.shape(pixels)[:2], tf.constant(255, tf.uint8))[..., None]], 2), tf.float32
    )
    alpha = rgba[..., 3:4] / 255
    return tf.cast(tf.round(rgba[..., :3] * alpha + 255 * (1 - alpha)), tf.uint8)


ANTIALIASED = dataclasses.replace(SPEC, antialias=True)
CROPPED = dataclasses.replace(SPEC, fit="crop")
PADDED = dataclasses.replace(SPEC, fit="pad")
ON_WHITE = dataclasses.replace(SPEC, background="white")
TURNED = dataclasses.replace(SPEC, orientation="exif")
NEAREST = dataclasses.replace(SPEC, resize="nearest")
SHRINKING = dataclasses.replace(SPEC, shrink_on_load=True)
_RARE_METHODS = ("gaussian", "mitchellcubic", "lanczos5", "lanczos3")


def _resized_by(method: str) -> PlantedSkew:
    served = Served(resize=_resize(method=method))
    return PlantedSkew("resize", f"{method} instead of bilinear", served, is_rare=method in _RARE_METHODS)


# To plant a skew, add an entry: the stage and the start of the phrase that the diagnosis must give, and what is served.
SKEWS: dict[str, PlantedSkew] = {
    # Decoding
    "DCT method": PlantedSkew("decode", "JPEG's DCT method INTEGER_FAST", Served(decode=_default_dct)),
    "EXIF": PlantedSkew("decode", "rotated by EXIF", Served(decode=_rotated)),
    "EXIF ignored": PlantedSkew("decode", "EXIF orientation ignored", Served(decode=_whole), TURNED),
    "shrink_on_load on": PlantedSkew("decode", "decoded at a smaller scale instead of whole", Served(decode=_shrunk)),
    "shrink_on_load off": PlantedSkew(
        "decode", "decoded whole instead of shrink_on_load", Served(decode=_whole), SHRINKING, is_rare=True
    ),
    "alpha on white": PlantedSkew("decode", "alpha blended on white instead of dropped", Served(decode=_on_white)),
    "alpha dropped": PlantedSkew(
        "decode", "alpha dropped instead of blended on white", Served(decode=_whole), ON_WHITE
    ),
    # Resizing
    "resize nearest": _resized_by("nearest"),
    "resize area": _resized_by("area"),
    "resize bicubic": _resized_by("bicubic"),
    "resize lanczos3": _resized_by("lanczos3"),
    "resize lanczos5": _resized_by("lanczos5"),
    "resize gaussian": _resized_by("gaussian"),
    "resize mitchellcubic": _resized_by("mitchellcubic"),
    "resize bilinear": PlantedSkew(
        "resize", "bilinear instead of nearest", Served(resize=_resize(method="bilinear")), NEAREST, is_rare=True
    ),
    "antialias on": PlantedSkew(
        "resize", "bilinear with antialias instead of bilinear", Served(resize=_resize(antialias=True))
    ),
    "antialias off": PlantedSkew(
        "resize", "bilinear instead of bilinear with antialias", Served(resize=_resize()), ANTIALIASED
    ),
    "half-pixel centres": PlantedSkew("resize", "bilinear without half-pixel centres", Served(resize=_legacy())),
    "align_corners": PlantedSkew(
        "resize", "bilinear with align_corners", Served(resize=_legacy(align_corners=True)), is_rare=True
    ),
    "letterbox": PlantedSkew("resize", "letterboxed", Served(resize=_letterboxed)),
    "crop": PlantedSkew(
        "resize", "cropped to the model's aspect ratio instead of stretched", Served(resize=_cropped), is_rare=True
    ),
    "stretched for crop": PlantedSkew(
        "resize", "stretched instead of cropped to the model's aspect ratio", Served(resize=_resize()), CROPPED
    ),
    "letterbox for crop": PlantedSkew(
        "resize",
        "letterboxed (padded to the model's aspect ratio) instead of cropped",
        Served(resize=_letterboxed),
        CROPPED,
        is_rare=True,
    ),
    "stretched for pad": PlantedSkew(
        "resize", "stretched instead of letterboxed", Served(resize=_resize()), PADDED, is_rare=True
    ),
    "crop for pad": PlantedSkew(
        "resize",
        "cropped to the model's aspect ratio instead of letterboxed",
        Served(resize=_cropped),
        PADDED,
        is_rare=True,
    ),
    "padded later": PlantedSkew("resize", "padded after resizing", Served(resize=_letterboxed), PADDED, is_rare=True),
    "not rounded": PlantedSkew("resize", "results not rounded", Served(round=tf.identity)),
    "truncated": PlantedSkew("resize", "results truncated instead of rounded", Served(round=tf.floor), is_rare=True),
    # Channels
    "BGR": PlantedSkew("channel order", "BGR instead of RGB", Served(channels=_bgr)),
    # Scaling
    "/255 missing": PlantedSkew("scale", "/255 missing", Served(scale=Scaling(1.0, 0.0))),
    "/255 twice": PlantedSkew("scale", "/255 twice", Served(scale=TO_1.after(TO_1))),
    "0..1 for -1..1": PlantedSkew(
        "scale",
        "pixels scaled to 0..1 instead of pixels scaled to -1..1",
        Served(scale=TO_1),
        scaling=TO_PLUS_MINUS_1,
    ),
    "-1..1 for 0..1": PlantedSkew(
        "scale",
        "pixels scaled to -1..1 instead of pixels scaled to 0..1",
        Served(scale=TO_PLUS_MINUS_1),
        is_rare=True,
    ),
    "mean/std swapped": PlantedSkew(
        "scale",
        "mean and standard deviation swapped",
        Served(scale=Scaling(1 / MEAN, -STD / MEAN)),
        scaling=NORMALIZATION,
    ),
    "/255 before Normalization": PlantedSkew(
        "scale",
        "/255 before the model's own scaling",
        Served(scale=NORMALIZATION.after(TO_1)),
        scaling=NORMALIZATION,
        is_rare=True,
    ),
    # Two at once
    "nearest and BGR": PlantedSkew(
        "resize",
        "nearest instead of bilinear and BGR instead of RGB",
        Served(resize=_resize(method="nearest"), channels=_bgr),
    ),
    "not rounded and BGR": PlantedSkew(  # BGR causes nearly all of the difference
        "resize",
        "results not rounded and BGR instead of RGB",
        Served(round=tf.identity, channels=_bgr),
        is_rare=True,
    ),
    # Labels
    "vocabulary reordered": PlantedSkew(
        "label order",
        "label vocabulary reordered",
        Served(names=(b"dog", b"cat", b"elk")),
        detail="dog, cat, elk instead of cat, dog, elk; from assets/labels.txt",
    ),
    "stale vocabulary": PlantedSkew(
        "label order",
        "stale vocabulary",
        Served(names=(b"cat", b"dog", b"emu")),
        detail="has emu and lacks elk; from assets/labels.txt",
    ),
    "sigmoid swapped": PlantedSkew(
        "label order",
        "the two classes swapped",
        Served(columns=(1, 0)),
        classes=2,
        scaling=NORMALIZATION,
        detail="cat's under dog, dog's under cat",
    ),
    "columns permuted": PlantedSkew(
        "label order", "score columns permuted", Served(columns=(1, 0, 2)), detail="cat's under ", is_rare=True
    ),
    "columns shifted": PlantedSkew(
        "label order", "score columns shifted by one", Served(columns=(2, 0, 1)), is_rare=True
    ),
    "vocabulary shifted": PlantedSkew(
        "label order", "label vocabulary shifted by one", Served(names=(b"elk", b"cat", b"dog")), is_rare=True
    ),
    # Several labels
    "labels reordered": _labelled(
        "label order", "label vocabulary reordered", names=(b"dog", b"cat", b"elk"), is_rare=True
    ),
    "labels permuted": _labelled("label order", "score columns permuted", "dog's under elk", columns=(0, 2, 1)),
    "labels shifted": _labelled("label order", "score columns shifted by one", columns=(1, 2, 0), is_rare=True),
    "complement": _labelled("label order", "1 - p instead of p", last=lambda scores: 1 - scores),
    "softmax": _labelled("model", "softmax instead of sigmoids", last=lambda scores: tf.nn.softmax(_outputs(scores))),
    "sigmoids missing": _labelled("model", "sigmoids missing", last=_outputs, is_rare=True),
    "sigmoids twice": _labelled("model", "sigmoids twice", last=tf.sigmoid, is_rare=True),
    "thresholds in another order": _labelled(
        "thresholds", "thresholds in another order", "cat 0.625, not 0.3", limits=(0.625, 0.3, 0.45)
    ),
    "thresholds shifted": _labelled("thresholds", "thresholds shifted by one", limits=(0.625, 0.45, 0.3), is_rare=True),
    "thresholds missing": _labelled("thresholds", "thresholds missing", limits=(), is_rare=True),
    "thresholds of another version": _labelled(
        "thresholds", "thresholds of another version", "cat 0.31, not 0.3, elk 0.4, not 0.45", limits=(0.31, 0.625, 0.4)
    ),
    "labels, BGR": _labelled("channel order", "BGR instead of RGB", channels=_bgr, is_rare=True),
    "labels, model version": _labelled("model", "a different model version", retrained=0.01, limits=(0.5, 0.5, 0.5)),
    # The last step, for classes; the second model has one sigmoid for two classes
    "softmax missing": _scored("softmax missing: the scores are logits", lambda scores: tf.math.log(scores) + 2.5),
    "softmax twice": _scored("softmax twice", tf.nn.softmax),
    "sigmoids for softmax": _scored("sigmoids instead of softmax", lambda scores: tf.sigmoid(tf.math.log(scores) + 1)),
    "softmax missing, two": _scored("softmax missing", lambda scores: tf.math.log(scores) - 0.5, 2, is_rare=True),
    "sigmoid missing": _scored("sigmoid missing", lambda scores: _both(_outputs(scores)), 2),
    "sigmoid twice": _scored("sigmoid twice", lambda scores: _both(tf.sigmoid(scores)), 2, is_rare=True),
    "softmax of one": _scored(
        "softmax of a single output", lambda scores: _both(tf.ones_like(scores)), 2, is_rare=True
    ),
    # The model
    "augmentation": PlantedSkew(
        "model", "augmentation left on", Served(augment=_augmented), detail="RandomUniform in "
    ),
    "augmentation, one seed": PlantedSkew(
        "model",
        "augmentation left on",
        Served(augment=_augmented_with_one_seed),
        detail="the same draw each time: StatelessRandomUniform",
        is_rare=True,
    ),
    "batch norm": PlantedSkew(
        "model", "batch norm in training mode", Served(is_training=True), detail="AssignVariableOp in "
    ),
    "model version": PlantedSkew(
        "model",
        "a different model version",
        Served(retrained=0.01),
        detail="1 of 7 weights are not the trained ones: kernel",
    ),
    # Not known
    "unheard of": PlantedSkew("unknown", "no known skew", Served(channels=_blurred), detail="the nearest of "),
}
CLEAN = PlantedSkew("", "", Served())


class _Model(tf.Module):
    """A convolution, a BatchNormalization and a dense layer, with random weights."""

    def __init__(self, skew: PlantedSkew) -> None:
        super().__init__()
        classes, self.is_multi_label = skew.classes, bool(skew.limits)
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
        self.scaling = skew.scaling

    def scores(self, pixels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Compute scores [N, C] of scaled pixels, float32 [N, height, width, 3]."""
        hidden = tf.nn.relu(tf.nn.conv2d(pixels, self.kernel, 2, "SAME"))
        mean, variance = tf.nn.moments(hidden, [0, 1, 2]) if training else (self.mean, self.variance)
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * mean)
        hidden = tf.nn.batch_normalization(hidden, mean, variance, self.beta, self.gamma, 1e-3)
        logits = tf.reshape(hidden, [tf.shape(hidden)[0], -1]) @ self.dense + self.bias
        if self.is_multi_label:
            return tf.sigmoid(logits)
        if logits.shape[-1] > 1:
            return tf.nn.softmax(logits)
        second = tf.sigmoid(logits)
        return tf.concat([1 - second, second], axis=1)

    def scaled(self, pixels: tf.Tensor, scaling: Scaling) -> tf.Tensor:
        return pixels * np.float32(scaling.scale) + np.float32(scaling.offset)


def plant(skew: PlantedSkew, folder: str) -> PlantedModel:
    """Save a model with one of `SKEWS`, or `CLEAN`."""
    spec = skew.spec
    model = _Model(skew)
    names = NAMES[: skew.classes]
    weights = {variable.name.partition(":")[0]: variable.numpy() for variable in model.variables}
    trained_model = _Model(skew)  # the served model may change its weights
    score = tf.function(
        lambda pixels: trained_model.scores(trained_model.scaled(pixels, skew.scaling)),
        [tf.TensorSpec([None, *spec.shape], tf.float32)],
        autograph=False,
    )
    trained = ReferenceModel(spec, lambda pixels: score(tf.constant(pixels)).numpy(), skew.scaling, weights)
    if skew.served.retrained:
        noise = tf.random.stateless_normal(model.kernel.shape, (1, 2), stddev=skew.served.retrained)
        model.kernel.assign_add(noise)
    _save(model, skew, names, folder)
    return PlantedModel(folder, trained, names, skew.limits)


def _save(model: _Model, skew: PlantedSkew, names: Sequence[bytes], folder: str) -> None:
    served, limits = skew.served, skew.limits if skew.served.limits is None else skew.served.limits
    preprocess = _preprocessing(skew.spec, served)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def answer(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = model.scaled(preprocess(image_bytes), served.scale or model.scaling)
        scores = model.scores((served.augment or tf.identity)(pixels), served.is_training)
        scores = tf.gather(scores, served.columns, axis=1) if served.columns else scores
        scores, rows = (served.last or tf.identity)(scores), [tf.shape(scores)[0], 1]
        row = model.table.lookup(tf.range(len(names), dtype=tf.int64))
        further = {"thresholds": tf.tile(tf.constant([limits]), rows)} if limits else {}
        return {"classes": tf.tile(row[None], rows), "scores": scores, **further}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")], autograph=False)
    def of_examples(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = answer(tf.io.parse_example(inputs, {"image": tf.io.FixedLenFeature([], tf.string)})["image"])
        return {name: answers[name] for name in ("classes", "scores")}

    with tempfile.TemporaryDirectory() as words:
        path = os.path.join(words, "labels.txt")
        with open(path, "wb") as file:
            file.write(b"\n".join(served.names or names) + b"\n")
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        content = tf.lookup.TextFileInitializer(path, tf.int64, line, tf.string, whole)
        model.table = tf.lookup.StaticHashTable(content, b"?")
        tf.saved_model.save(model, folder, signatures={DEFAULT: answer, EXAMPLES: of_examples})


def _preprocessing(spec: Image, served: Served) -> Op:
    """Return the function from encoded images to pixels, float32 [N, height, width, 3], 0..255."""
    channels = served.channels or tf.identity
    if not (served.decode or served.resize or served.round):
        return lambda contents: channels(tf.cast(ops.decode_batch(contents, spec), tf.float32))

    def one(content: tf.Tensor) -> tf.Tensor:
        decode = served.decode or (_shrunk if spec.shrink_on_load else _whole)
        resize = served.resize or _resize(spec)
        return (served.round or tf.round)(resize(decode(content)))

    def all_of(contents: tf.Tensor) -> tf.Tensor:
        pixels = tf.map_fn(one, contents, fn_output_signature=tf.TensorSpec(spec.shape, tf.float32))
        return channels(tf.clip_by_value(pixels, 0, 255))

    return all_of


def pictures(count: int = 16, height: int = 61, width: int = 83) -> list[bytes]:
    """Return JPEGs with texture in odd sizes.

    Every fifth is a PNG with alpha, every fourth has an EXIF rotation, and every third has the model's own size.
    """
    found = []
    for seed in range(count):
        high, wide = (SPEC.height, SPEC.width) if seed % 3 == 2 else (height + 7 * (seed % 4), width + 5 * (seed % 7))
        noise = np.random.default_rng(seed).normal(0, 25, (high, wide, 3))
        pixels = np.clip(smooth_pixels(seed, high, wide) + noise, 0, 255).astype(np.uint8)
        exif = Pil.Exif()
        if seed % 4 == 1:
            exif[0x0112] = 6
        alpha = np.tile(np.linspace(0, 255, wide).astype(np.uint8), (high, 1))
        rgba = np.dstack([pixels, alpha])
        found.append(encode_picture(rgba, "PNG") if seed % 5 == 4 else encode_picture(pixels, "JPEG", exif=exif))
    return found
