"""Walk from tensors of a SavedModel to all nodes that they depend on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from serving.graph.saved_graph import GraphBody, SavedGraph, TensorRef


class UpstreamNode(NamedTuple):
    """A node on which the tensors depend.

    Attributes:
      path: Names of the functions that lead to it, from the graph down.
      body: The function, or the graph, that holds the node.
      node: The NodeDef.
    """

    path: tuple[str, ...]
    body: GraphBody
    node: Any


@dataclass(frozen=True, eq=False)
class _Scope:
    """A function as it is called in one place.

    Attributes:
      body: The function, or the graph.
      path: Names of the functions from the graph down to this one.
      caller: Scope from which the arguments come; None for the graph, and for functions that an op runs itself.
      call: Name of the node that calls the function.
    """

    body: GraphBody
    path: tuple[str, ...]
    caller: _Scope | None = None
    call: str = ""


def upstream_nodes(graph: SavedGraph, tensors: Iterable[TensorRef]) -> Iterator[UpstreamNode]:
    """Yield the nodes on which tensors of the graph depend, by data and control edges, inside functions, too.

    In a function that is called, only the results that are used count, and what runs in every call (its control
    outputs). In a branch, a loop, or any other op that takes a function, all of it counts.
    """
    return _Walk(graph).run(tensors)


class _Walk:
    """One walk: the tensors still to visit, and those visited."""

    def __init__(self, graph: SavedGraph) -> None:
        self._graph = graph
        self._todo: list[tuple[_Scope, str, int]] = []
        self._seen: set[tuple[_Scope, str, int]] = set()
        self._scopes: dict[tuple[_Scope, str], list[_Scope]] = {}  # functions that a node calls or runs

    def run(self, tensors: Iterable[TensorRef]) -> Iterator[UpstreamNode]:
        self._push(_Scope(self._graph.main, ()), tensors)
        while self._todo:
            scope, name, output = self._todo.pop()
            if (scope, name, output) in self._seen:
                continue
            self._seen.add((scope, name, output))
            if name in scope.body.args:
                self._visit_argument(scope, name)
                continue
            node = scope.body.nodes[name]
            callee = self._graph.callee(node)
            if (scope, name) not in self._scopes:
                yield UpstreamNode(scope.path, scope.body, node)
                self._enter(scope, name, callee)
            for function in self._scopes[scope, name]:
                self._visit_results(function, callee, output)

    def _push(self, scope: _Scope, tensors: Iterable[TensorRef]) -> None:
        self._todo += [(scope, *tensor) for tensor in tensors]

    def _visit_argument(self, scope: _Scope, name: str) -> None:
        if scope.caller:
            inputs = scope.caller.body.inputs(scope.call)
            self._push(scope.caller, [inputs[scope.body.args[name]]])

    def _enter(self, scope: _Scope, name: str, callee: str) -> None:
        """Note the functions that a node calls or runs, and visit its inputs; of a call only its control edges."""
        names = [callee] if callee else scope.body.called(name)
        self._scopes[scope, name] = [
            _Scope(self._graph.functions[function], (*scope.path, function), scope if callee else None, name)
            for function in names
            if function in self._graph.functions and function not in scope.path
        ]
        inputs = scope.body.inputs(name)
        self._push(scope, [tensor for tensor in inputs if not callee or tensor[1] < 0])

    def _visit_results(self, function: _Scope, callee: str, output: int) -> None:
        results = function.body.results
        used = results if not callee else [results[output]] if output >= 0 else []
        self._push(function, used)
        self._push(function, [(control, -1) for control in function.body.controls])
