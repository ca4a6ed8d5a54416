"""What the tensors of a SavedModel on disk are computed from: a walk upstream, and a hash of everything upstream."""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import loader_impl

from data.errors import UsageError, unknown

Tensor = tuple[str, int]  # a node's (or argument's) name and which of its outputs; -1 is a control edge

_CALLS = {"PartitionedCall", "StatefulPartitionedCall", "BatchFunction"}  # arguments in, results out, nothing else
SAME = {"Identity", "IdentityN", "PlaceholderWithDefault", "StopGradient", "PreventGradient"}  # of input n, output n
_PARSERS = {"ParseExample", "ParseExampleV2", "ParseSingleExample"}
_SIZES = {"Shape", "ShapeN", "Size", "Rank"}  # tell how many rows came, and not what is in them
# Attributes that change nothing about the values. Those that begin with "_" are such, too.
_NOISE = {"config", "config_proto", "executor_type", "output_shapes", "parallel_iterations"}
_NOISE |= {"shared_name", "container", "debug_name", "use_node_name_sharing"}
_RAW = "raw"  # the hash of every leaf
_SHOWN = 64  # values of a constant that are told as they are; of a larger one, the hash


class Body:
    """The nodes of a graph or of one function.

    Attributes:
      nodes: by name; args: names in order; results: tensors in order; controls: nodes that run whatever is asked for.
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
        self.args = {name: place for place, name in enumerate(args)}
        self._functions = functions
        self.results = [self.tensor(text) for text in results]
        self.controls = list(controls)
        self._inputs: dict[str, list[Tensor]] = {}
        self._attributes: dict[str, dict[str, str]] = {}
        self._called: dict[str, list[str]] = {}

    def inputs(self, name: str) -> list[Tensor]:
        """Of a node, data first and control edges last."""
        if name not in self._inputs:
            self._inputs[name] = [self.tensor(text) for text in self.nodes[name].input]
        return self._inputs[name]

    def attributes(self, name: str) -> dict[str, str]:
        """Of a node, those that differ from the op's defaults and matter; without functions."""
        if name not in self._attributes:
            self._attributes[name] = _attributes(self.nodes[name])
        return self._attributes[name]

    def called(self, name: str) -> list[str]:
        """Names of the functions that a node's attributes hold, by the attributes' names."""
        if name not in self._called:
            attributes = sorted(self.nodes[name].attr.items())
            self._called[name] = [one for _, value in attributes for one in _functions_of(value)]
        return self._called[name]

    def tensor(self, text: str) -> Tensor:
        """`^a`, `a`, `a:1` (of a graph) or `a:output:1` (of a function)."""
        if text.startswith("^"):
            return text[1:], -1
        name, *rest = text.split(":")
        if len(rest) < 2:
            return name, int(rest[0]) if rest else 0
        return name, self._offset(self.nodes[name], rest[0]) + int(rest[1])

    def _offset(self, node: Any, output: str) -> int:
        if node.op in self._functions:
            return [arg.name for arg in self._functions[node.op].signature.output_arg].index(output)
        place = 0
        for arg in op_def_registry.get(node.op).output_arg:
            if arg.name == output:
                break
            counted = node.attr[arg.number_attr].i if arg.number_attr else 1
            place += len(node.attr[arg.type_list_attr].list.type) if arg.type_list_attr else counted
        return place


def _attributes(node: Any) -> dict[str, str]:
    op_def = op_def_registry.get(node.op)
    defaults = {attr.name: attr.default_value for attr in op_def.attr} if op_def else {}
    return {
        name: _text(value)
        for name, value in sorted(node.attr.items())
        if not (name.startswith("_") or name in _NOISE or _functions_of(value) or defaults.get(name) == value)
    }


def _functions_of(value: Any) -> list[str]:
    kind = value.WhichOneof("value")
    if kind == "list":
        return [one.name for one in value.list.func]
    return [value.func.name] if kind == "func" else []


def _text(value: Any) -> str:
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
    return f"{dtype} {list(array.shape)} {values if array.size <= _SHOWN else _digest(values)}"


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def short(function: str) -> str:
    """A function's name as it was written: without what TensorFlow adds to tell copies apart."""
    return re.sub(r"(_\d+)+$", "", function.removeprefix("__inference_"))


class SavedGraph:
    """A SavedModel's graph and functions, as they lie on disk; nothing is loaded or run.

    Attributes:
      main: the graph; functions: by name; signatures: SignatureDefs by name, those of TensorFlow's own left out.
    """

    def __init__(self, folder: str) -> None:
        """Args:
        folder: of the SavedModel.

        Raises:
          UsageError: there is none.
        """
        try:
            metas = loader_impl.parse_saved_model(folder).meta_graphs
        except OSError as error:
            raise UsageError(f"{folder}: no SavedModel", hint="Name a folder that holds saved_model.pb.") from error
        meta = next((meta for meta in metas if "serve" in meta.meta_info_def.tags), metas[0])
        protos = {function.signature.name: function for function in meta.graph_def.library.function}
        self.main = Body(meta.graph_def.node, protos)
        self.functions = {
            name: Body(
                one.node_def,
                protos,
                [arg.name for arg in one.signature.input_arg],
                [one.ret[arg.name] for arg in one.signature.output_arg],
                list(one.control_ret.values()),
            )
            for name, one in protos.items()
        }
        self.signatures = {name: one for name, one in meta.signature_def.items() if not name.startswith("__")}
        self.assets = {
            asset.tensor_info.name.partition(":")[0]: posixpath.join(folder, "assets", asset.filename)
            for asset in meta.asset_file_def
        }
        ends = [info.name for info in meta.signature_def["__saved_model_init_op"].outputs.values()]
        for key in ("saved_model_main_op", "legacy_init_op"):
            ends += meta.collection_def[key].node_list.value if key in meta.collection_def else []
        self._initial = [end.partition(":")[0] for end in ends]

    def outputs(self, signature: str) -> dict[str, Tensor]:
        """A signature's output tensors by name.

        Raises:
          UsageError: there is no such signature.
        """
        if signature not in self.signatures:
            raise unknown("signature", signature, self.signatures)
        return {key: self.main.tensor(info.name) for key, info in self.signatures[signature].outputs.items()}

    def callee(self, node: Any) -> str:
        """The function that a node stands for: its inputs are the arguments, its outputs the results. Else empty."""
        if node.op in _CALLS:
            return str(node.attr["f"].func.name)
        return str(node.op) if node.op in self.functions else ""

    @functools.cached_property
    def initializers(self) -> list[str]:
        """The nodes of the graph that run when the model is loaded."""
        found: dict[str, None] = {}
        todo = [name for name in self._initial if name in self.main.nodes]
        while todo:
            name = todo.pop()
            if name not in found:
                found[name] = None
                todo += [source for source, _ in self.main.inputs(name)]
        return list(found)


@dataclass(frozen=True, eq=False)
class _Scope:
    """A function as it is called in one place.

    Attributes:
      path: names of the functions from the graph down to this one; caller: where the arguments come from, or None.
    """

    body: Body
    path: tuple[str, ...]
    caller: _Scope | None = None
    call: str = ""


class Reached(NamedTuple):
    """A node upstream: the functions that lead to it, its body and itself."""

    path: tuple[str, ...]
    body: Body
    node: Any


def upstream(graph: SavedGraph, tensors: Iterable[Tensor]) -> Iterator[Reached]:
    """The nodes that tensors of the graph depend on, by data and by control edges, inside of functions, too.

    Of a function that is called, only the results that are asked for count, and what it does in any case (its control
    outputs). Of a branch, a loop or any other op that takes a function, all of it.
    """
    todo = [(_Scope(graph.main, ()), *tensor) for tensor in tensors]
    seen: set[tuple[_Scope, str, int]] = set()
    inner: dict[tuple[_Scope, str], list[_Scope]] = {}
    while todo:
        scope, name, output = todo.pop()
        if (scope, name, output) in seen:
            continue
        seen.add((scope, name, output))
        if name in scope.body.args:
            if scope.caller:
                todo.append((scope.caller, *scope.caller.body.inputs(scope.call)[scope.body.args[name]]))
            continue
        node = scope.body.nodes[name]
        callee = graph.callee(node)
        if (scope, name) not in inner:
            yield Reached(scope.path, scope.body, node)
            names = [callee] if callee else scope.body.called(name)
            inner[scope, name] = [
                _Scope(graph.functions[one], (*scope.path, one), scope if callee else None, name)
                for one in names
                if one in graph.functions and one not in scope.path
            ]
            todo += [(scope, *tensor) for tensor in scope.body.inputs(name) if not callee or tensor[1] < 0]
        for called in inner[scope, name]:
            results = called.body.results
            wanted = results if not callee else [results[output]] if output >= 0 else []
            todo += [(called, *tensor) for tensor in wanted]
            todo += [(called, control, -1) for control in called.body.controls]


class Value(NamedTuple):
    """What is known of a tensor.

    Attributes:
      hash: of all it is computed from.
      is_raw: raw input reaches it on a way that does not pass through the tensor looked for.
      has_wanted: the tensor looked for reaches it, or it is that tensor.
    """

    hash: str
    is_raw: bool = False
    has_wanted: bool = False


class Hashes:
    """Merkle hashes: equal where the same ops compute the tensor from the same constants, assets and raw input.

    A tensor's hash is that of its op, the attributes that matter, its inputs' hashes in order, and which output it is.
    Functions are looked through where they are called and where they are branches, so that names, wrappers and
    Identity ops count for nothing; an asset counts with its file's contents, a table with what fills it, a variable
    with type and shape alone (TransformGraphs have none but those that hold an asset's path). The leaves are raw
    input: placeholders and parsed Examples, all alike; what is told from its shape alone is not raw. Control edges
    count for nothing: they change no values of ops without state.
    """

    def __init__(self, graph: SavedGraph, wanted: str = "") -> None:
        """Args:
        graph: whose tensors are hashed.
        wanted: hash of a tensor to look for.
        """
        self._graph, self._wanted = graph, wanted
        self._known: dict[tuple[str, tuple[Value, ...]], list[Value]] = {}
        self._main: dict[str, Any] = {}

    def of(self, tensor: Tensor) -> Value:
        """Of a tensor of the graph."""
        return self._evaluate(self._graph.main, self._main, (), [tensor])[0]

    def _call(self, function: str, args: Sequence[Value]) -> list[Value]:
        """Of the results, and after them of the control outputs."""
        key = function, tuple(args)
        if key not in self._known:
            body = self._graph.functions[function]
            ends = [*body.results, *((one, -1) for one in body.controls)]
            self._known[key] = [Value("recursion")] * len(ends)
            self._known[key] = self._evaluate(body, {}, args, ends)
        return self._known[key]

    def _evaluate(
        self, body: Body, done: dict[str, Any], args: Sequence[Value], wanted: Sequence[Tensor]
    ) -> list[Value]:
        """The values of `wanted`. `done` holds those of nodes: a list by output, or what all outputs begin with."""

        def value(tensor: Tensor) -> Value:
            name, output = tensor
            if name in body.args:
                return args[body.args[name]]
            found = done[name]
            if isinstance(found, Value) and found.hash == _RAW:
                return found
            if isinstance(found, Value):
                return self._made(f"{found.hash}:{output}", [found])
            if output >= 0:
                return found[output]
            callee = self._graph.callee(body.nodes[name])
            return _joint(found[len(self._graph.functions[callee].results) if callee else 0 :])

        todo = [name for name, _ in wanted]
        while todo:  # not by recursion: a network is deeper than Python's stack
            name = todo[-1]
            if name in body.args or name in done:
                todo.pop()
                continue
            # A NoOp is nothing but what it waits for.
            is_joint = body.nodes[name].op == "NoOp"
            inputs = [one for one in body.inputs(name) if is_joint or one[1] >= 0]
            missing = [one for one, _ in inputs if one not in body.args and one not in done]
            todo += missing
            if not missing:
                done[name] = self._node(body, body.nodes[name], [value(one) for one in inputs])
        return [value(one) for one in wanted]

    def _made(self, digest: str, sources: Sequence[Value]) -> Value:
        if digest == self._wanted:
            return Value(digest, has_wanted=True)
        return Value(digest, any(one.is_raw for one in sources), any(one.has_wanted for one in sources))

    def _node(self, body: Body, node: Any, inputs: list[Value]) -> Value | list[Value]:
        is_main = body is self._graph.main
        if is_main and node.name in self._graph.assets:
            with tf.io.gfile.GFile(self._graph.assets[node.name], "rb") as file:
                return Value(_digest("asset", file.read().hex()))
        if node.op == "Placeholder" or node.op in _PARSERS:
            return self._made(_RAW, [Value(_RAW, is_raw=True)])
        if node.op in SAME:
            return inputs
        if node.op == "NoOp":
            return [_joint(inputs)]
        # What is made when the model is loaded, and filled then: a table, or the variable with an asset's path.
        contents = self._contents(node.name) if is_main and not inputs and node.op != "Const" else []
        if callee := self._graph.callee(node):
            results = self._call(callee, inputs)
            return [Value(_digest(one.hash, *contents)) for one in results] if contents else results
        op = node.op.removeprefix("Stateless") if node.op.endswith(("If", "Case", "While")) else node.op
        functions = body.called(node.name)
        if op in ("If", "Case"):
            branches = [self._call(one, inputs[1:])[: len(self._graph.functions[one].results)] for one in functions]
            ways = [(inputs[0], *ends) for ends in zip(*branches, strict=True)]
            return [self._made(_digest(op, *(one.hash for one in way)), way) for way in ways]
        parts = [op, *(f"{name}={text}" for name, text in body.attributes(node.name).items())]
        for one in functions:
            args = [Value(f"argument {place}") for place in range(len(self._graph.functions[one].args))]
            parts += [value.hash for value in self._call(one, args)]
        # As a call that makes it would have it.
        if contents:
            return [Value(_digest(f"{_digest(*parts)}:0", *contents))]
        return self._made(_digest(*parts, *(one.hash for one in inputs)), [] if op in _SIZES else inputs)

    def _contents(self, resource: str) -> list[str]:
        """Hashes of what fills a table or a variable of the graph when the model is loaded."""
        main, found = self._graph.main, []
        self._main[resource] = Value("itself")
        for name in self._graph.initializers:
            if (resource, 0) in main.inputs(name) and main.nodes[name].op != "ReadVariableOp":
                found.append(self._evaluate(main, dict(self._main), (), [(name, -1)])[0].hash)
        del self._main[resource]
        return sorted(found)


def _joint(values: Sequence[Value]) -> Value:
    """What waits for all of them; for one, that is the one."""
    return values[0] if len(values) == 1 else Value(_digest(*(one.hash for one in values)))
