"""The TransformGraph without TFT's last cast: TFT has no uint8 outputs, and uint8 -> float32 -> uint8 costs time.

The ops are those of the TransformGraph on disk. Only the end differs, and no value.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

Tensors = Mapping[str, tf.Tensor]


def load_pruned(transform_output: str) -> Callable[[Tensors], dict[str, tf.Tensor]] | None:
    """Return the TransformGraph as a function that returns uint8 where TFT's outputs are float32 made of uint8.

    The function returns each output for which it gets the inputs. A second call in the same process returns the same
    one, as long as the file is the same: loading takes a second, and the gate of a local run needs it, too.

    Args:
      transform_output: Folder of the TransformGraph artifact.

    Returns:
      The function; None if the graph has tables or variables, or is no function. TFT's layer can run these, too.
    """
    folder = posixpath.join(transform_output, tft.TFTransformOutput.TRANSFORM_FN_DIR)
    found = tf.io.gfile.stat(posixpath.join(folder, tf.saved_model.SAVED_MODEL_FILENAME_PB))
    return _load(folder, found.length, found.mtime_nsec)


@functools.lru_cache(maxsize=1)
def _load(folder: str, length: int, modified: int) -> Callable[[Tensors], dict[str, tf.Tensor]] | None:
    """Load a TransformGraph whose file has a length in bytes and a time of its last change."""
    loaded = tf.saved_model.load(folder)
    function: Any = getattr(loaded, "transform_fn", None)
    if not isinstance(getattr(function, "graph", None), tf.Graph) or function.captured_inputs:
        return None
    return _PrunedGraph(function)


class _PrunedGraph:
    """The graph of a function without state. Not a `tf.Module`: a SavedModel has nothing to track here."""

    def __init__(self, function: Any) -> None:
        self._graph = function.graph.as_graph_def()
        ((self._signature,), _) = function.structured_input_signature
        self._inputs = _pack(self._signature, function.inputs)
        outputs = _pack(function.structured_outputs, function.outputs)
        self._outputs = {name: _before_cast(tensor) for name, tensor in outputs.items()}
        self._upstream = {name: _upstream(tensor) for name, tensor in self._outputs.items()}
        self._functions: dict[frozenset[str], Any] = {}

    def __call__(self, raw: Tensors) -> dict[str, tf.Tensor]:
        """Transform a batch."""
        names = frozenset(raw)
        if names not in self._functions:
            signature = {name: self._signature[name] for name in sorted(names)}  # the same trace for all batch sizes
            traced = tf.function(self._import, input_signature=[signature], autograph=False)
            self._functions[names] = traced.get_concrete_function()
        return dict(self._functions[names](dict(raw)))

    def _import(self, raw: Tensors) -> dict[str, tf.Tensor]:
        missing = {one.op.name for name, given in self._inputs.items() if name not in raw for one in _flat(given)}
        outputs = {name: one for name, one in self._outputs.items() if not self._upstream[name] & missing}
        nodes = set().union(*(self._upstream[name] for name in outputs))
        graph = tf.compat.v1.GraphDef(versions=self._graph.versions, library=self._graph.library)
        graph.node.extend(node for node in self._graph.node if node.name in nodes)
        feeds = {
            placeholder.name: tensor
            for name in raw
            for placeholder, tensor in zip(_flat(self._inputs[name]), _flat(raw[name]), strict=True)
            if placeholder.op.name in nodes
        }
        found = tf.graph_util.import_graph_def(graph, feeds, [one.name for one in outputs.values()], name="")
        for tensor, output in zip(found, outputs.values(), strict=True):
            tensor.set_shape(output.shape)
        return dict(zip(outputs, found, strict=True))


def _flat(value: Any) -> list[tf.Tensor]:
    return list(tf.nest.flatten(value, expand_composites=True))


def _pack(structure: Any, tensors: list[tf.Tensor]) -> Any:
    return tf.nest.pack_sequence_as(structure, tensors, expand_composites=True)


def _before_cast(tensor: tf.Tensor) -> tf.Tensor:
    """Return the uint8 tensor from which a float32 tensor is cast; any other tensor as it is."""
    op = tensor.op
    while op.type == "Identity":
        op = op.inputs[0].op
    is_cast = op.type == "Cast" and op.inputs[0].dtype == tf.uint8 and tensor.dtype == tf.float32
    return op.inputs[0] if is_cast else tensor


def _upstream(tensor: tf.Tensor) -> set[str]:
    """Return the names of all ops on which a tensor depends."""
    found: set[str] = set()
    todo = [tensor.op]
    while todo:
        op = todo.pop()
        if op.name not in found:
            found.add(op.name)
            todo += [*(one.op for one in op.inputs), *op.control_inputs]
    return found
