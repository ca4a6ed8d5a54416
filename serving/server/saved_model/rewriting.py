"""How often TensorFlow rewrites a graph before it first runs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2


def rewrite_once(config: Any) -> Any:
    """Return the config of a session that rewrites each graph once, not twice.

    The first pass inlines, folds and fuses. The second one finds little that is left, but takes a third of the time of
    a model's first answers: seconds where the graph decodes pictures.

    Args:
      config: tf.compat.v1.ConfigProto, or None; one with graph options of its own is returned as it is.
    """
    if config is not None and config.HasField("graph_options"):
        return config
    changed = tf.compat.v1.ConfigProto()
    if config is not None:
        changed.CopyFrom(config)
    changed.graph_options.rewrite_options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    return changed
