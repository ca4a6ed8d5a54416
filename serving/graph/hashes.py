"""Hash a tensor of a SavedModel by everything that it is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from serving.graph.saved_graph import PASS_THROUGH_OPS, GraphBody, SavedGraph, TensorRef, digest

_PARSE_OPS = {"ParseExample", "ParseExampleV2", "ParseSingleExample"}
_SHAPE_OPS = {"Shape", "ShapeN", "Size", "Rank"}  # depend on the number of rows, not on their content
PIXELS_TO_FLOAT = {"DstT": "float32", "SrcT": "uint8"}
"""Attributes of the Cast with which the TransformGraph ends."""
_RAW = "raw"  # the hash of every leaf


class HashedValue(NamedTuple):
    """A tensor's hash, and the way on which raw input reaches it.

    Attributes:
      hash: Hash of everything that the tensor is computed from.
      is_raw: Whether raw input reaches it on a path that does not pass through the wanted tensor.
      has_wanted: Whether it is the wanted tensor or depends on it.
    """

    hash: str
    is_raw: bool = False
    has_wanted: bool = False


_NodeValues = HashedValue | list[HashedValue]
"""A node's values: a list by output, or one from which all outputs are derived."""


class GraphHashes:
    """Merkle hashes: two tensors are equal if the same ops compute them from the same constants, assets and raw input.

    A tensor's hash covers its op, the attributes that matter, the hashes of its inputs in order, and the index of the
    output. Function calls and branches are hashed by their contents, so that names, wrappers and Identity ops do not
    count. An asset counts with its file's contents, a table with what fills it, a variable only with its type and shape
    (the only variables of a TransformGraph hold asset paths). The leaves are raw input: placeholders and parsed
    Examples, which all have the same hash. What depends only on the shape of raw input does not count as raw. Control
    edges do not count: they change no value of an op without state.
    """

    def __init__(self, graph: SavedGraph, wanted: str = "") -> None:
        """Prepare to hash tensors.

        Args:
          graph: Graph that holds the tensors.
          wanted: Hash of a tensor to look for.
        """
        self._graph, self._wanted = graph, wanted
        self._calls: dict[tuple[str, tuple[HashedValue, ...]], list[HashedValue]] = {}
        self._before_cast: dict[str, HashedValue] = {}  # the uint8 values by the hash of the float32 cast from them
        self._main: dict[str, _NodeValues] = {}

    def of(self, tensor: TensorRef) -> HashedValue:
        """Return the value of a tensor of the graph."""
        return self._evaluate(self._graph.main, self._main, (), [tensor])[0]

    def before_cast(self, tensor: TensorRef) -> HashedValue:
        """Return the value of the uint8 tensor from which a float32 tensor is cast; of any other, its own value."""
        value = self.of(tensor)
        return self._before_cast.get(value.hash, value)

    def _call(self, function: str, args: Sequence[HashedValue]) -> list[HashedValue]:
        """Return the values of a function's results, followed by those of its control outputs."""
        key = function, tuple(args)
        if key not in self._calls:
            body = self._graph.functions[function]
            ends = [*body.results, *((name, -1) for name in body.controls)]
            self._calls[key] = [HashedValue("recursion")] * len(ends)
            self._calls[key] = self._evaluate(body, {}, args, ends)
        return self._calls[key]

    def _evaluate(
        self, body: GraphBody, done: dict[str, _NodeValues], args: Sequence[HashedValue], tensors: Sequence[TensorRef]
    ) -> list[HashedValue]:
        """Return the values of tensors; `done` holds those of the nodes evaluated so far, and is extended."""
        todo = [name for name, _ in tensors]
        while todo:  # a loop, because a network is deeper than Python's stack
            name = todo[-1]
            if name in body.args or name in done:
                todo.pop()
                continue
            is_joint = body.nodes[name].op == "NoOp"  # stands for the nodes that it waits for
            inputs = [tensor for tensor in body.inputs(name) if is_joint or tensor[1] >= 0]
            missing = [source for source, _ in inputs if source not in body.args and source not in done]
            todo += missing
            if not missing:
                values = [self._lookup(body, done, args, tensor) for tensor in inputs]
                done[name] = self._node(body, body.nodes[name], values)
        return [self._lookup(body, done, args, tensor) for tensor in tensors]

    def _lookup(
        self, body: GraphBody, done: dict[str, _NodeValues], args: Sequence[HashedValue], tensor: TensorRef
    ) -> HashedValue:
        name, output = tensor
        if name in body.args:
            return args[body.args[name]]
        found = done[name]
        if isinstance(found, HashedValue):
            return found if found.hash == _RAW else self._value(f"{found.hash}:{output}", [found])
        if output >= 0:
            return found[output]
        callee = self._graph.callee(body.nodes[name])
        return _joint(found[len(self._graph.functions[callee].results) if callee else 0 :])

    def _value(self, hashed: str, sources: Sequence[HashedValue]) -> HashedValue:
        """Return the value with a hash, and with what its sources pass on."""
        if hashed == self._wanted:
            return HashedValue(hashed, has_wanted=True)
        return HashedValue(
            hashed, any(source.is_raw for source in sources), any(source.has_wanted for source in sources)
        )

    def _node(self, body: GraphBody, node: Any, inputs: list[HashedValue]) -> _NodeValues:
        is_main = body is self._graph.main
        if is_main and node.name in self._graph.assets:
            with tf.io.gfile.GFile(self._graph.assets[node.name], "rb") as file:
                return HashedValue(digest("asset", file.read().hex()))
        if node.op == "Placeholder" or node.op in _PARSE_OPS:
            return self._value(_RAW, [HashedValue(_RAW, is_raw=True)])
        if node.op in PASS_THROUGH_OPS:
            return inputs
        if node.op == "NoOp":
            return [_joint(inputs)]
        # Created when the model is loaded, and filled then: a table, or the variable that holds an asset's path.
        contents = self._contents(node.name) if is_main and not inputs and node.op != "Const" else []
        if callee := self._graph.callee(node):
            results = self._call(callee, inputs)
            return [HashedValue(digest(result.hash, *contents)) for result in results] if contents else results
        op = node.op.removeprefix("Stateless") if node.op.endswith(("If", "Case", "While")) else node.op
        if op in ("If", "Case"):
            return self._branches(op, body.called(node.name), inputs)
        return self._op(op, body, node, inputs, contents)

    def _branches(self, op: str, functions: Sequence[str], inputs: Sequence[HashedValue]) -> list[HashedValue]:
        """Return an If's or a Case's results: each depends on the condition and on that result of every branch."""
        branches = [self._call(name, inputs[1:])[: len(self._graph.functions[name].results)] for name in functions]
        results = [(inputs[0], *values) for values in zip(*branches, strict=True)]
        return [self._value(digest(op, *(value.hash for value in values)), values) for values in results]

    def _op(
        self, op: str, body: GraphBody, node: Any, inputs: Sequence[HashedValue], contents: Sequence[str]
    ) -> _NodeValues:
        parts = [op, *(f"{name}={text}" for name, text in body.attributes(node.name).items())]
        for name in body.called(node.name):
            args = [HashedValue(f"argument {place}") for place in range(len(self._graph.functions[name].args))]
            parts += [value.hash for value in self._call(name, args)]
        if contents:  # the same hash as for a call that creates the resource
            return [HashedValue(digest(f"{digest(*parts)}:0", *contents))]
        sources = [] if op in _SHAPE_OPS else inputs
        value = self._value(digest(*parts, *(value.hash for value in inputs)), sources)
        if op == "Cast" and body.attributes(node.name) == PIXELS_TO_FLOAT:
            self._before_cast[f"{value.hash}:0"] = inputs[0]
        return value

    def _contents(self, resource: str) -> list[str]:
        """Return hashes of what fills a table or a variable of the graph when the model is loaded."""
        main, found = self._graph.main, []
        self._main[resource] = HashedValue("itself")
        for name in self._graph.initializers:
            if (resource, 0) in main.inputs(name) and main.nodes[name].op != "ReadVariableOp":
                found.append(self._evaluate(main, dict(self._main), (), [(name, -1)])[0].hash)
        del self._main[resource]
        return sorted(found)


def _joint(values: Sequence[HashedValue]) -> HashedValue:
    """Return the value of a node that waits for others; with a single one, it is that one's."""
    return values[0] if len(values) == 1 else HashedValue(digest(*(value.hash for value in values)))
