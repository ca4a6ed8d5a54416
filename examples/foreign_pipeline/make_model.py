"""Write a small SavedModel and examples, as another pipeline would: `make_model.py MODEL EXAMPLES [--skewed]`."""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow as tf

CLASSES = tf.constant(["dark", "bright"])


def scores_of(contents: tf.Tensor, scale: float) -> dict[str, tf.Tensor]:
    """Return classes and scores of encoded pictures, string [N]: the mean brightness after scaling."""

    def decode(one: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(one, 3, expand_animations=False)
        return tf.image.resize(pixels, (8, 8)) * scale

    pixels = tf.map_fn(decode, contents, fn_output_signature=tf.TensorSpec([8, 8, 3], tf.float32))
    bright = tf.reduce_mean(pixels, axis=[1, 2, 3])
    scores = tf.nn.softmax(tf.stack([1 - bright, bright], axis=1))
    return {"classes": tf.tile(CLASSES[tf.newaxis], [tf.shape(scores)[0], 1]), "scores": scores}


class Brightness(tf.Module):
    """A model with the two signatures of a classifier.

    Attributes:
      skewed: Whether `serving_default` forgets to scale the pixels to 0..1.
    """

    def __init__(self, skewed: bool) -> None:
        super().__init__()
        self.skewed = skewed

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answer encoded pictures."""
        return scores_of(image_bytes, 1.0 if self.skewed else 1 / 255)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def serving_examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answer serialized tf.Examples with the feature `image`."""
        features = tf.io.parse_example(inputs, {"image": tf.io.FixedLenFeature([], tf.string)})
        return scores_of(features["image"], 1 / 255)


def main() -> None:
    """Write the model and ten random pictures."""
    parser = argparse.ArgumentParser(description="Write a small SavedModel and examples.")
    parser.add_argument("model", help="folder of the SavedModel")
    parser.add_argument("examples", help="TFRecord file of tf.Examples")
    parser.add_argument("--skewed", action="store_true", help="serving_default forgets to scale the pixels")
    options = parser.parse_args()
    module = Brightness(options.skewed)
    signatures = {"serving_default": module.serving_default, "serving_examples": module.serving_examples}
    tf.saved_model.save(module, options.model, signatures)
    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(options.examples) as writer:
        for level in range(10):
            pixels = random.integers(0, 20 * level + 30, (12, 12, 3), np.uint8)
            contents = tf.train.BytesList(value=[tf.io.encode_png(pixels).numpy()])
            feature = {"image": tf.train.Feature(bytes_list=contents)}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


if __name__ == "__main__":
    main()
