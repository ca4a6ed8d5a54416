"""Interface of what answers a request: a loaded SavedModel, or a wrapper around one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server.saved_model.tensors import Array


class Servable(Protocol):
    """Interface of `SavedModelBundle`; all methods but `close` may be called from any thread.

    Attributes:
      signatures: SignatureDef by name, with the real tensor name of each alias.
    """

    signatures: dict[str, meta_graph_pb2.SignatureDef]

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        """Return one value for each fetch; see `SavedModelBundle.run`.

        Raises:
          Fault: If the run fails.
        """

    def dtype(self, tensor: str) -> tf.DType:
        """Return the dtype of a tensor in the graph, by the tensor's name."""

    def close(self) -> None:
        """Free the model. No run may be under way."""
