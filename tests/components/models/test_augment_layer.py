"""The augmentation layer: a resumed training continues its draws, and it is inactive outside training."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.augment_layer import Augment
from data.augmentation.config import Augmentation

AUGMENTATION = Augmentation(rotation_range=40.0, zoom_range=(0.7, 1.3), width_shift_range=0.2, horizontal_flip=True)
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 12, 16, 3), np.uint8)


def make(seed: int = 7) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 16, 3), dtype="uint8"),
            Augment(AUGMENTATION, seed),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


def step(model: keras.Model) -> np.ndarray:
    return np.asarray(model.layers[0](tf.constant(PICTURES), training=True))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_training_calls_are_counted_and_draw_by_seed_and_step(dtype: str) -> None:
    layer = Augment(AUGMENTATION, seed=7)
    pictures = tf.constant(PICTURES.astype(dtype))
    for number in range(3):
        np.testing.assert_array_equal(layer(pictures, training=True), AUGMENTATION(pictures, (7, number)))
        np.testing.assert_array_equal(layer(pictures, training=False), pictures)
        np.testing.assert_array_equal(layer(pictures), pictures)


def test_a_restored_training_goes_on_with_the_draws_it_would_have_had(tmp_path: Path) -> None:
    model = make()
    first = [step(model) for _ in range(3)]
    assert not np.array_equal(first[0], first[1])
    saved = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    model.save(tmp_path / "model.keras")
    fourth = step(model)
    restored = make()
    tf.train.Checkpoint(model=restored).restore(saved).assert_consumed()
    np.testing.assert_array_equal(step(restored), fourth)
    np.testing.assert_array_equal(step(keras.models.load_model(tmp_path / "model.keras")), fourth)


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_draws_new_changes_each_step_as_eager_calls_do(jit_compile: bool) -> None:
    """The loss is the mean of the augmented pixels, so it shows which pictures the model saw."""
    pictures = keras.Input((12, 16, 3), dtype="uint8")
    shrunk = keras.layers.Rescaling(1 / 255)(Augment(AUGMENTATION, 7)(pictures))
    model = keras.Model(pictures, keras.layers.Reshape((1,))(keras.layers.GlobalAveragePooling2D()(shrunk[..., :1])))
    model.compile("sgd", loss=lambda _, seen: seen, jit_compile=jit_compile)
    batches = tf.data.Dataset.from_tensors((PICTURES, np.zeros((6, 1), np.float32)))
    losses = model.fit(batches, epochs=3, shuffle=False, verbose=0).history["loss"]
    want = [np.mean(AUGMENTATION(tf.constant(PICTURES), (7, number))[..., 0]) / 255 for number in range(3)]
    np.testing.assert_allclose(losses, want, rtol=1e-5)


def test_the_layer_has_no_weights_and_survives_its_configuration() -> None:
    model = make()
    assert model.count_params() == 12 * 16 * 3 + 1
    copy = keras.Sequential.from_config(model.get_config())
    assert copy.layers[0].augmentation == AUGMENTATION
    np.testing.assert_array_equal(step(copy), step(model))


def test_nothing_of_it_is_in_an_exported_signature(tmp_path: Path) -> None:
    model = make()
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda images: model(images, training=False),
        [tf.TensorSpec([None, 12, 16, 3], tf.uint8, name="images")],
    )
    archive.write_out(str(tmp_path / "exported"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    signature = loaded.signatures["serving_default"]
    kinds = {op.type for op in signature.graph.get_operations()}
    for function in signature.graph.as_graph_def().library.function:
        kinds |= {node.op for node in function.node_def}
    assert not [kind for kind in kinds if "Random" in kind or "Gather" in kind or "Assign" in kind]
    answer = next(iter(signature(images=tf.constant(PICTURES)).values()))
    np.testing.assert_allclose(answer, model.predict(PICTURES, verbose=0), rtol=1e-4, atol=1e-5)
