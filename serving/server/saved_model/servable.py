"""What answers a request: a loaded SavedModel, or a wrapper around one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server.saved_model.tensors import Array


class Servable(Protocol):
    """The interface of `Servable`; its methods may be called from any thread.

    Attributes:
      signatures: SignatureDef by name, with the aliases' real tensor names.
    """

    signatures: dict[str, meta_graph_pb2.SignatureDef]

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        """One value for each fetch; raises Fault."""

    def dtype(self, tensor: str) -> tf.DType:
        """Of a tensor in the graph, by its name."""
