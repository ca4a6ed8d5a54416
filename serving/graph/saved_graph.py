"""Read the graph and the functions of a SavedModel on disk; nothing is loaded or run."""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import loader_impl

from data.errors import UsageError, unknown

TensorRef = tuple[str, int]
"""Name of a node (or argument), and which of its outputs; -1 is a control edge."""

PASS_THROUGH_OPS = {"Identity", "IdentityN", "PlaceholderWithDefault", "StopGradient", "PreventGradient"}
"""Ops whose output n is their input n."""
_CALL_OPS = {"PartitionedCall", "StatefulPartitionedCall", "BatchFunction"}  # arguments in, results out, nothing else
# Attributes that do not change values, in addition to those that begin with "_".
_IGNORED_ATTRIBUTES = {"config", "config_proto", "executor_type", "output_shapes", "parallel_iterations"}
_IGNORED_ATTRIBUTES |= {"shared_name", "container", "debug_name", "use_node_name_sharing"}
_MAX_SHOWN = 64  # values of a constant that are shown; a larger constant is shown as its digest


class GraphBody:
    """The nodes of a graph or of one function.

    Attributes:
      nodes: NodeDefs by name.
      args: Position of each argument by name.
      results: Result tensors in order.
      controls: Nodes that run in every call, whatever results are used.
    """

    def __init__(
        self,
        nodes: Iterable[Any],
        functions: dict[str, Any],
        args: Sequence[str] = (),
        results: Sequence[str] = (),
        controls: Sequence[str] = (),
    ) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.args = {name: position for position, name in enumerate(args)}
        self._functions = functions
        self.results = [self.tensor(text) for text in results]
        self.controls = list(controls)
        self._inputs: dict[str, list[TensorRef]] = {}
        self._attributes: dict[str, dict[str, str]] = {}
        self._called: dict[str, list[str]] = {}

    def inputs(self, name: str) -> list[TensorRef]:
        """Return a node's inputs, data first and control edges last."""
        if name not in self._inputs:
            self._inputs[name] = [self.tensor(text) for text in self.nodes[name].input]
        return self._inputs[name]

    def attributes(self, name: str) -> dict[str, str]:
        """Return a node's attributes that matter and differ from the op's defaults, without functions."""
        if name not in self._attributes:
            self._attributes[name] = _attributes(self.nodes[name])
        return self._attributes[name]

    def called(self, name: str) -> list[str]:
        """Return the names of the functions in a node's attributes, ordered by the attributes' names."""
        if name not in self._called:
            attributes = sorted(self.nodes[name].attr.items())
            self._called[name] = [function for _, value in attributes for function in _functions_in(value)]
        return self._called[name]

    def tensor(self, text: str) -> TensorRef:
        """Parse `^a`, `a`, `a:1` (in a graph) or `a:output:1` (in a function)."""
        if text.startswith("^"):
            return text[1:], -1
        name, *rest = text.split(":")
        if len(rest) < 2:
            return name, int(rest[0]) if rest else 0
        return name, self._offset(self.nodes[name], rest[0]) + int(rest[1])

    def _offset(self, node: Any, output: str) -> int:
        """Return the index of the first tensor of a node's named output."""
        if node.op in self._functions:
            return [arg.name for arg in self._functions[node.op].signature.output_arg].index(output)
        offset = 0
        for arg in op_def_registry.get(node.op).output_arg:
            if arg.name == output:
                break
            count = node.attr[arg.number_attr].i if arg.number_attr else 1
            offset += len(node.attr[arg.type_list_attr].list.type) if arg.type_list_attr else count
        return offset


class SavedGraph:
    """The graph and the functions of a SavedModel.

    Attributes:
      main: The graph.
      functions: Functions by name.
      signatures: SignatureDefs by name, without TensorFlow's internal ones.
      assets: Paths of asset files, by the name of the node that holds the path.
    """

    def __init__(self, folder: str) -> None:
        """Read a SavedModel.

        Args:
          folder: Folder of the SavedModel.

        Raises:
          UsageError: If the folder holds no SavedModel.
        """
        try:
            metas = loader_impl.parse_saved_model(folder).meta_graphs
        except OSError as error:
            raise UsageError(
                f"{folder} holds no SavedModel", hint="Name a folder that holds saved_model.pb."
            ) from error
        meta = next((meta for meta in metas if "serve" in meta.meta_info_def.tags), metas[0])
        protos = {function.signature.name: function for function in meta.graph_def.library.function}
        self.main = GraphBody(meta.graph_def.node, protos)
        self.functions = {name: _function_body(function, protos) for name, function in protos.items()}
        self.signatures = {name: one for name, one in meta.signature_def.items() if not name.startswith("__")}
        self.assets = {
            asset.tensor_info.name.partition(":")[0]: posixpath.join(folder, "assets", asset.filename)
            for asset in meta.asset_file_def
        }
        ends = [info.name for info in meta.signature_def["__saved_model_init_op"].outputs.values()]
        for key in ("saved_model_main_op", "legacy_init_op"):
            ends += meta.collection_def[key].node_list.value if key in meta.collection_def else []
        self._init_nodes = [end.partition(":")[0] for end in ends]

    def outputs(self, signature: str) -> dict[str, TensorRef]:
        """Return a signature's output tensors by name.

        Raises:
          UsageError: If there is no such signature.
        """
        if signature not in self.signatures:
            raise unknown("signature", signature, self.signatures)
        return {key: self.main.tensor(info.name) for key, info in self.signatures[signature].outputs.items()}

    def callee(self, node: Any) -> str:
        """Return the function that a node calls, with its inputs as arguments and its outputs as results; else ""."""
        if node.op in _CALL_OPS:
            return str(node.attr["f"].func.name)
        return str(node.op) if node.op in self.functions else ""

    @functools.cached_property
    def initializers(self) -> list[str]:
        """The nodes of the graph that run when the model is loaded."""
        found: dict[str, None] = {}
        todo = [name for name in self._init_nodes if name in self.main.nodes]
        while todo:
            name = todo.pop()
            if name not in found:
                found[name] = None
                todo += [source for source, _ in self.main.inputs(name)]
        return list(found)


def short_name(function: str) -> str:
    """Return a function's name as it is in the source: without what TensorFlow adds to make names unique."""
    return re.sub(r"(_\d+)+$", "", function.removeprefix("__inference_"))


def digest(*parts: str) -> str:
    """Return a digest of texts, 32 hexadecimal digits."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _function_body(function: Any, protos: dict[str, Any]) -> GraphBody:
    signature = function.signature
    return GraphBody(
        function.node_def,
        protos,
        [arg.name for arg in signature.input_arg],
        [function.ret[arg.name] for arg in signature.output_arg],
        list(function.control_ret.values()),
    )


def _attributes(node: Any) -> dict[str, str]:
    op_def = op_def_registry.get(node.op)
    defaults = {attr.name: attr.default_value for attr in op_def.attr} if op_def else {}
    return {
        name: _attribute_text(value)
        for name, value in sorted(node.attr.items())
        if not (
            name.startswith("_") or name in _IGNORED_ATTRIBUTES or _functions_in(value) or defaults.get(name) == value
        )
    }


def _functions_in(value: Any) -> list[str]:
    kind = value.WhichOneof("value")
    if kind == "list":
        return [function.name for function in value.list.func]
    return [value.func.name] if kind == "func" else []


def _attribute_text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "type":
        return str(tf.dtypes.as_dtype(value.type).name)
    if kind == "s":
        return str(value.s.decode(errors="backslashreplace"))
    if kind != "tensor":
        return " ".join(str(value).split())
    array = tf.make_ndarray(value.tensor)
    values = str(array.tolist())
    dtype = tf.dtypes.as_dtype(value.tensor.dtype).name
    return f"{dtype} {list(array.shape)} {values if array.size <= _MAX_SHOWN else digest(values)}"
