"""Rewriting once: what a user sets stays, and one pass fuses ops inside of functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from serving.server.saved_model.rewriting import rewrite_once
from serving.server.saved_model.saved_model_bundle import SavedModelBundle

WEIGHTS = [[1.0, 2.0], [3.0, 4.0]]


class Dense(tf.Module):
    """relu(x W + 1), in a function that another function calls."""

    @tf.function
    def inner(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(tf.nn.bias_add(x @ tf.constant(WEIGHTS), [1.0, 1.0]))

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": self.inner(x)}


def test_the_other_options_of_a_session_stay() -> None:
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=3)
    changed = rewrite_once(config)
    assert changed.graph_options.rewrite_options.meta_optimizer_iterations == rewriter_config_pb2.RewriterConfig.ONE
    assert changed.intra_op_parallelism_threads == 3 and not config.HasField("graph_options")
    assert rewrite_once(None).HasField("graph_options")
    config.graph_options.rewrite_options.disable_meta_optimizer = False
    assert rewrite_once(config) is config, "a user's graph options decide"


def test_one_pass_fuses(tmp_path: Path) -> None:
    """If a new TensorFlow needs two passes for it, models become slower."""
    model = Dense()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures={"serving_default": model.serve})
    bundle = SavedModelBundle(str(tmp_path / "m"))
    signature, facts = bundle.signatures["serving_default"], tf.compat.v1.RunMetadata()
    (output,), (sent,) = signature.outputs.values(), signature.inputs.values()
    traced = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    found = bundle._session.run(output.name, {sent.name: [[1.0, 1.0]]}, traced, facts)
    np.testing.assert_array_equal(found, [[5.0, 7.0]])
    done = [node.timeline_label for device in facts.step_stats.dev_stats for node in device.node_stats]
    assert any("FusedMatMul" in one for one in done), done  # in place of three ops; on some processors with a prefix
    assert not any("PartitionedCall(" in one for one in done), done
    bundle.close()
