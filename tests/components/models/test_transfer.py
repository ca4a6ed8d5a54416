from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from components.models.build import flat_layers, unfreeze
from components.models.transfer import Transfer
from components.task import fingerprint, overrides
from data.errors import UsageError
from data.spec import Image
from pipeline.tasks import cifar10_inception

SMALL = Transfer("MobileNetV2", "none", alpha=0.35, dense=0, pooling="average")


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(one.shape)) for one in model.trainable_variables)


def test_the_cifar10_task_has_the_notebooks_parameters() -> None:
    task = overrides.apply_settings(cifar10_inception.TASK, {"model.weights": "none"})
    model = task.model(task.feature, 10)
    assert model.count_params() == 16_064_426 and trainable(model) == 7_089_162


@pytest.mark.parametrize(
    ("backbone", "scale"),
    [
        ("MobileNetV2", lambda rgb: rgb / 127.5 - 1),  # "tf" mode
        ("ResNet50", lambda rgb: rgb[..., ::-1] - np.array([103.939, 116.779, 123.68])),  # "caffe": BGR without means
        (  # "torch": by ImageNet's mean and deviation
            "DenseNet121",
            lambda rgb: (rgb / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225]),
        ),
        ("EfficientNetB0", lambda rgb: rgb),  # scales itself
    ],
)
def test_pixels_are_scaled_as_the_backbone_expects_them(backbone: str, scale: object) -> None:
    """Compare the input of the backbone with the published formulas."""
    model = Transfer(backbone, "none", dense=0, pooling="average")(Image(64, 64), 3)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    entering = keras.Model(model.inputs, inner._inbound_nodes[-1].input_tensors)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    outputs = entering([pixels])
    (found,) = outputs if isinstance(outputs, list) else (outputs,)
    np.testing.assert_allclose(found, scale(pixels.astype("float32")), rtol=1e-4, atol=1e-3)  # type: ignore[operator]


def test_several_labels_get_a_sigmoid_each() -> None:
    model = dataclasses.replace(SMALL, activation="sigmoid")(Image(32, 32), 2)
    assert model.output_shape == (None, 2) and model.layers[-1].activation is keras.activations.sigmoid
    number = dataclasses.replace(SMALL, activation="sigmoid")(Image(32, 32), 0)
    assert number.layers[-1].activation is keras.activations.linear


def test_the_backbone_is_frozen_and_can_be_unfrozen() -> None:
    model = SMALL(Image(64, 64), 3)
    assert trainable(model) == 1280 * 3 + 3
    unfreeze(model, "block_16_expand")
    kept = [leaf for leaf in flat_layers(model) if leaf.trainable and leaf.weights]
    assert kept[0].name == "block_16_expand"
    assert not any(isinstance(leaf, keras.layers.BatchNormalization) for leaf in kept)


def test_a_cut_gives_the_named_layers_output() -> None:
    model = dataclasses.replace(SMALL, cut="block_6_expand_relu", pooling="flatten")(Image(64, 64), 3)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    assert inner.layers[-1].name == "block_6_expand_relu" and inner.output_shape == (None, 8, 8, 96)


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    theirs = keras.applications.MobileNetV2(alpha=0.35, include_top=False, weights=None, input_shape=(64, 64, 3))
    file = str(tmp_path / "mine.weights.h5")
    theirs.save_weights(file)
    ours = dataclasses.replace(SMALL, weights=file)(Image(64, 64), 3)
    inner = next(layer for layer in ours.layers if isinstance(layer, keras.Model))
    for one, other in zip(inner.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    before = fingerprint.describe_dependencies(dataclasses.replace(SMALL, weights=file), "model")
    theirs.layers[1].set_weights([one + 1 for one in theirs.layers[1].get_weights()])
    theirs.save_weights(file)
    after = fingerprint.describe_dependencies(dataclasses.replace(SMALL, weights=file), "model")
    assert {name for name in after if after[name] != before[name]} == {"model.weights_content"}


def test_the_pretrained_weights_load(shared_data: Path) -> None:
    file = str(shared_data / "keras-weights" / "mobilenet_v2_0.35_224_no_top.weights.h5")
    for side in (96, 224):
        model = dataclasses.replace(SMALL, weights=file)(Image(side, side), 3)
        assert model.count_params() == 410_208 + 1280 * 3 + 3


@pytest.mark.parametrize(
    ("change", "side", "words"),
    [
        ({"cut": "block_6_expnd"}, 64, "no layer 'block_6_expnd' in MobileNetV2"),
        (
            {"backbone": "InceptionV3", "alpha": 1.0},
            32,
            "InceptionV3 on pictures of shape (32, 32, 3): Input size must",
        ),
        ({"backbone": "ResNet50"}, 64, "model.alpha: ResNet50 has no width multiplier"),
    ],
)
def test_settings_that_do_not_fit_the_backbone_are_rejected(change: dict[str, object], side: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(SMALL, **change)(Image(side, side), 3)  # type: ignore[arg-type]
    assert words in str(caught.value) and "\n" not in str(caught.value)
    if "cut" in change:
        assert "block_6_expand" in caught.value.hint


def test_weights_that_do_not_fit_are_reported_with_name_and_shapes(tmp_path: Path) -> None:
    file = str(tmp_path / "other.weights.h5")
    keras.applications.MobileNetV2(alpha=0.5, include_top=False, weights=None, input_shape=(64, 64, 3)).save_weights(
        file
    )
    with pytest.raises(UsageError, match=r"layers differ, e\.g\. \S+ is \(.*\) in the model and \(.*\) in the file"):
        dataclasses.replace(SMALL, weights=file)(Image(64, 64), 3)
    (tmp_path / "text.weights.h5").write_text("no weights")
    with pytest.raises(UsageError, match="do not fit MobileNetV2"):
        dataclasses.replace(SMALL, weights=str(tmp_path / "text.weights.h5"))(Image(64, 64), 3)


def test_a_missing_file_is_reported_before_the_run() -> None:
    with pytest.raises(UsageError, match="no weights at /nowhere"):
        dataclasses.replace(SMALL, weights="/nowhere").depends()


def test_an_unknown_backbone_is_rejected() -> None:
    with pytest.raises(UsageError, match="no backbone 'InceptionV4'. Did you mean 'InceptionV3'?"):
        Transfer("InceptionV4")
