"""A loaded SavedModel: what a run reports."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf

from serving.server.rpc_error import Fault
from serving.server.saved_model.saved_model_bundle import SavedModelBundle


class Cancelled(tf.Module):
    """A model whose first runs end as CANCELLED, and whose later runs report a bad argument."""

    def __init__(self, cancelled: int) -> None:
        super().__init__()
        self.runs, self.cancelled = tf.Variable(0), cancelled

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return x, if nothing fails."""

        def cancel() -> tf.Tensor:
            queue = tf.raw_ops.FIFOQueueV2(component_types=[tf.int32])
            with tf.control_dependencies([tf.raw_ops.QueueCloseV2(handle=queue)]):
                add = tf.raw_ops.QueueEnqueueV2(handle=queue, components=[tf.constant(1)])
            with tf.control_dependencies([add]):
                return tf.constant(0)  # never: to add to a closed queue is an error of the code CANCELLED

        def refuse() -> tf.Tensor:
            with tf.control_dependencies([tf.debugging.Assert(tf.constant(False), ["a bad argument"])]):
                return tf.constant(0)

        result = tf.cond(self.runs.assign_add(1) <= self.cancelled, cancel, refuse)
        return {"y": x + tf.cast(result, tf.float32)}


@pytest.mark.parametrize(
    ("cancelled", "code"), [(0, "INVALID_ARGUMENT"), (1, "INVALID_ARGUMENT"), (2, "INVALID_ARGUMENT"), (9, "CANCELLED")]
)
def test_a_cancelled_run_is_repeated_for_its_cause(cancelled: int, code: str, tmp_path: Path) -> None:
    model = Cancelled(cancelled)
    tf.saved_model.save(model, str(tmp_path / "m"), signatures={"serving_default": model.serve})
    bundle = SavedModelBundle(str(tmp_path / "m"))
    signature = bundle.signatures["serving_default"]
    feeds = {signature.inputs["x"].name: np.zeros(2, np.float32)}
    with pytest.raises(Fault) as caught:
        bundle.run(feeds, [signature.outputs["y"].name])
    assert caught.value.code is grpc.StatusCode[code]
    assert ("a bad argument" in caught.value.message) == (code == "INVALID_ARGUMENT")
    bundle.close()
