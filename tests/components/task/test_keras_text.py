"""Texts for Keras objects, compared with Keras' own classes and registry of names."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import keras
import pytest

from components.task import keras_text
from components.task.keras_text import Catalog
from data.errors import UsageError
from tests import PROJECT

OPTIMIZERS, LOSSES, METRICS = keras_text.optimizers(), keras_text.losses(), keras_text.metrics()
NEEDED = {
    "SensitivityAtSpecificity": "(specificity=0.5)",
    "SpecificityAtSensitivity": "(sensitivity=0.5)",
    "PrecisionAtRecall": "(recall=0.5)",
    "RecallAtPrecision": "(precision=0.5)",
    "IoU": "(num_classes=2, target_class_ids=[0])",
    "OneHotIoU": "(num_classes=2, target_class_ids=[0])",
    "MeanIoU": "(num_classes=2)",
    "OneHotMeanIoU": "(num_classes=2)",
}


def _config(value: Any) -> dict[str, Any]:
    return {name: one for name, one in value.get_config().items() if name != "name"}


@pytest.mark.parametrize(
    ("text", "expected", "catalog"),
    [
        ("adam", keras.optimizers.Adam(), OPTIMIZERS),
        (
            "adamw(weight_decay=0.01, clipnorm=1.0, use_ema=True)",
            keras.optimizers.AdamW(weight_decay=0.01, clipnorm=1.0, use_ema=True),
            OPTIMIZERS,
        ),
        ("keras.optimizers.RMSprop(momentum=.9)", keras.optimizers.RMSprop(momentum=0.9), OPTIMIZERS),
        ("sgd(momentum=0.9, nesterov=true)", keras.optimizers.SGD(momentum=0.9, nesterov=True), OPTIMIZERS),
        ("adam(weight_decay=none)", keras.optimizers.Adam(weight_decay=None), OPTIMIZERS),
        ("huber(delta=-0.5)", keras.losses.Huber(delta=-0.5), LOSSES),
        ("mse", keras.losses.MeanSquaredError(), LOSSES),
        (
            "categorical_focal_crossentropy(alpha=[0.2, 0.8])",
            keras.losses.CategoricalFocalCrossentropy(alpha=[0.2, 0.8]),
            LOSSES,
        ),
        ("AUC(curve='PR', thresholds=(0.2, 0.4))", keras.metrics.AUC(curve="PR", thresholds=(0.2, 0.4)), METRICS),
        ("f1_score(average=macro)", keras.metrics.F1Score(average="macro"), METRICS),
    ],
)
def test_a_text_makes_what_keras_makes_of_the_same_arguments(text: str, expected: Any, catalog: Catalog) -> None:
    found = keras_text.make_object(text, "train.x", catalog)
    assert type(found) is type(expected) and _config(found) == _config(expected)


@pytest.mark.parametrize("catalog", [OPTIMIZERS, LOSSES, METRICS], ids=lambda catalog: str(catalog.kind))
def test_every_class_of_keras_has_a_name_in_all_its_spellings(catalog: Catalog) -> None:
    module = {"optimizer": keras.optimizers, "loss": keras.losses, "metric": keras.metrics}[catalog.kind]
    base = {"optimizer": "Optimizer", "loss": "Loss", "metric": "Metric"}[catalog.kind]
    every = {name for name, one in vars(module).items() if inspect.isclass(one) and issubclass(one, vars(module)[base])}
    abstract = {base, "LossScaleOptimizer", "MultiOptimizer", "CTC", "Mean", "Sum", "MeanMetricWrapper"}
    assert {one.__name__ for one in catalog.classes.values()} == every - abstract
    for shown, cls in catalog.classes.items():
        for name in (
            shown,
            cls.__name__,
            cls.__name__.lower(),
            cls.__name__.upper(),
            keras_text.snake_case(cls.__name__),
        ):
            assert catalog.find_class(name) is cls, name
        keras_text.check_text(shown + NEEDED.get(cls.__name__, ""), "train.x", catalog)


def test_the_names_are_those_of_keras_itself() -> None:
    for name in ("adam", "adamw", "rmsprop", "sgd", "lion", "nadam", "adafactor"):
        assert OPTIMIZERS.find_class(name) is type(keras.optimizers.get(name))
    for name in ("mse", "mae", "mape", "msle", "bce", "kld", "huber", "log_cosh", "categorical_crossentropy"):
        cls, function = LOSSES.find_class(name), keras.losses.get(name)
        assert cls and keras_text.snake_case(cls.__name__) == function.__name__


def test_commas_inside_parentheses_do_not_separate() -> None:
    assert keras_text.split_texts("auc, f1_score(average='a,(b', beta=(1, 2)),mse") == [
        "auc",
        "f1_score(average='a,(b', beta=(1, 2))",
        "mse",
    ]
    assert keras_text.split_texts(" ") == []
    assert keras_text.split_texts("a,,b") == ["a", "", "b"]


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("adamm", "no optimizer 'adamm'. Did you mean 'adam'?", "sgd"),
        ("adam(0.1)", "train.optimizer must be a name, or a name with settings", "NAME(size=2)"),
        ("adam(**{})", "train.optimizer must be a name, or a name with settings", "NAME(size=2)"),
        ("adam(", "train.optimizer must be a name, or a name with settings", "NAME(size=2)"),
        ("", "train.optimizer must be a name, or a name with settings", "NAME(size=2)"),
        ("1", "train.optimizer must be a name, or a name with settings", "NAME(size=2)"),
        ("adam(beta_1=open('x'))", "train.optimizer must be a name, or a name with settings", "NAME(size=2)"),
        ("adam(beta1=0.5)", "no argument of adam for train.optimizer 'beta1'. Did you mean 'beta_1'?", "clipnorm"),
        ("adam(learning_rate=0.1)", "train.optimizer: adam must not have learning_rate", "train.learning_rate"),
        ("sgd(momentum=2)", "train.optimizer: sgd(momentum=2) is not legal: `momentum` must be a float", ""),
        ("sgd(clipnorm=1, clipvalue=1)", "is not legal: Only one of `clipnorm`", ""),
        ("loss_scale_optimizer", "no optimizer 'loss_scale_optimizer'", "adam"),
    ],
)
def test_a_wrong_text_is_refused_in_one_line(text: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        keras_text.check_text(text, "train.optimizer", OPTIMIZERS)
    assert words in str(caught.value) and "\n" not in str(caught.value) and hint in caught.value.hint
    assert "learning_rate" not in caught.value.hint or "learning_rate" in text


def test_arguments_that_a_class_passes_on_are_legal() -> None:
    """Keras' layers take `name` and others as **kwargs."""
    layers = keras_text.catalog_of(keras.layers, keras.layers.Layer, "layer")
    found = keras_text.make_object("random_rotation(factor=0.1, name=turn)", "augment", layers)
    assert isinstance(found, keras.layers.RandomRotation) and found.name == "turn"
    with pytest.raises(UsageError, match="no argument of random_rotation for augment 'fctor'. Did you mean 'factor'?"):
        keras_text.make_object("random_rotation(fctor=0.1)", "augment", layers)


@pytest.mark.parametrize("catalog", [OPTIMIZERS, LOSSES, METRICS], ids=lambda catalog: str(catalog.kind))
def test_further_arguments_are_given_where_the_class_has_them(catalog: Catalog) -> None:
    name = {"optimizer": "sgd", "loss": "categorical_crossentropy", "metric": "auc"}[catalog.kind]
    more = {"learning_rate": 0.125, "from_logits": True, "nobody_has_this": 1}
    config = keras_text.make_object(name, "train.x", catalog, **more).get_config()
    assert config.get("learning_rate", 0.125) == 0.125 and config.get("from_logits", True) is True
    if catalog is LOSSES:
        text = "categorical_crossentropy(from_logits=False)"
        assert not keras_text.make_object(text, "train.x", catalog, **more).get_config()["from_logits"]


@pytest.mark.slow
def test_a_task_with_texts_does_not_start_tensorflow() -> None:
    """A process that only reads a task must not reserve a GPU's memory: its devices are not set up."""
    code = (
        "from components.task.train_config import Train\n"
        "Train(optimizer='adamw(weight_decay=0.1)', loss='huber', metrics=('auc', 'r2_score'))\n"
        "import tensorflow as tf\n"
        "tf.config.threading.set_intra_op_parallelism_threads(1)\n"  # RuntimeError once TensorFlow has started
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
