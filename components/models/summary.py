"""A summary of a model: one entry for each layer, small enough for `run.json`, and enough to draw the model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras


def describe_layers(model: keras.Model) -> list[dict[str, Any]]:
    """Describe the layers of a model in the order of the computation, as values for JSON.

    A nested Sequential is replaced by its layers; any other nested model (a backbone) is one entry. Plain operations
    between the layers (`x / 127.5`) have entries, too. The parameters of all entries add up to `model.count_params()`.

    Args:
      model: Of any kind; if it is not a graph of layers (a subclass with a `call`), the shapes are unknown.

    Returns:
      For each layer: `name`, `kind` (its class), `detail` ("16 filters 3x3, relu"; for a nested model its number of
      layers; may be empty), `output` (shape without the batch; None for an open size, and None instead of the list for
      an unknown shape), `params` and `trainable_params` (numbers of values), `trainable` (False: frozen), `inputs`
      (names of the earlier entries whose outputs it takes).
    """
    return _entries(model, None)


def _entries(model: keras.Model, outer: list[str] | None) -> list[dict[str, Any]]:
    """Return the entries of a model.

    Args:
      model: The whole model, or a nested one.
      outer: Of a nested model the names of the entries whose outputs it takes; None for the whole.
    """
    found: list[dict[str, Any]] = []
    gives: dict[str, list[str]] = {}  # names of the entries with its output, by operation
    for operation, parents, shape in _steps(model):
        feeds = [name for parent in parents for name in gives.get(parent, [])]
        if isinstance(operation, keras.layers.InputLayer) and outer is not None:
            gives[operation.name] = outer
        elif isinstance(operation, keras.Sequential):
            inner = _entries(operation, feeds)
            gives[operation.name] = [inner[-1]["name"]] if inner else feeds
            found += inner
        else:
            gives[operation.name] = [operation.name]
            found.append({**_entry(operation), "output": shape, "inputs": feeds})
    return found


def _steps(model: keras.Model) -> Iterator[tuple[Any, list[str], list[int | None] | None]]:
    """Yield each operation of a model, the names of those before it, and its output shape without the batch."""
    graph = getattr(model, "_functional", None) or model  # the graph of a Sequential, once it is built
    if not hasattr(graph, "_nodes_by_depth"):
        before: list[str] = []
        for layer in model.layers:
            yield layer, before, None
            before = [layer.name]
        return
    nodes_of: dict[str, list[Any]] = {}  # several if a layer is called more than once
    for node in itertools.chain.from_iterable(graph._nodes_by_depth.values()):
        nodes_of.setdefault(node.operation.name, []).append(node)
    for operation in graph.operations:
        nodes = nodes_of[operation.name]
        parents = dict.fromkeys(parent.operation.name for node in nodes for parent in node.parent_nodes)
        yield operation, list(parents), list(nodes[-1].outputs[0].shape[1:])


def _entry(operation: Any) -> dict[str, Any]:
    """Return what is known from an operation, a layer or a nested model alone."""
    weights, trained = (_size(getattr(operation, name, [])) for name in ("weights", "trainable_weights"))
    is_model = isinstance(operation, keras.Model)
    # The flag of a model stays True if each of its layers is frozen. The flag of a layer is right, also of a layer
    # without weights.
    trainable = trained > 0 if is_model and weights else bool(getattr(operation, "trainable", True))
    return {
        "name": operation.name,
        "kind": "Input" if isinstance(operation, keras.layers.InputLayer) else type(operation).__name__,
        "detail": _of_model(operation, trainable) if is_model else ", ".join(_of_layer(operation)),
        "params": weights,
        "trainable_params": trained,
        "trainable": trainable,
    }


def _size(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _of_model(model: keras.Model, trainable: bool) -> str:
    frozen = sum(not layer.trainable for layer in model.layers)
    return f"{len(model.layers)} layers" + (f", {frozen} frozen" if trainable and frozen else "")


def _of_layer(layer: Any) -> Iterator[str]:
    """Yield the settings that distinguish a layer from others of its class."""
    if isinstance(layer, keras.layers.InputLayer):
        yield str(layer.dtype)
    if isinstance(layer, keras.layers.Rescaling):
        yield from _of_rescaling(layer)
    if isinstance(layer, keras.layers.Resizing):
        yield f"{_by((layer.height, layer.width))} {layer.interpolation}"
    filters, kernel = getattr(layer, "filters", None), getattr(layer, "kernel_size", None)
    if kernel:
        yield f"{filters} filters {_by(kernel)}" if filters else _by(kernel)
    if isinstance(getattr(layer, "units", None), int):
        yield f"{layer.units} units"
    pool = getattr(layer, "pool_size", None)
    if pool:
        yield _by(pool)
    strides = getattr(layer, "strides", None)
    if strides and tuple(strides) != tuple(pool or [1] * len(strides)):
        yield f"stride {_by(strides) if len(set(strides)) > 1 else strides[0]}"
    if isinstance(getattr(layer, "rate", None), float):
        yield f"rate {layer.rate:g}"
    activation = getattr(layer, "activation", None)
    if activation is not None and activation is not keras.activations.linear:
        yield getattr(activation, "__name__", type(activation).__name__)


def _of_rescaling(layer: keras.layers.Rescaling) -> Iterator[str]:
    """Yield scale and offset if they are single numbers; nothing for scales by channel."""
    if isinstance(layer.scale, int | float):
        yield f"times 1/{1 / layer.scale:g}" if 0 < layer.scale < 1 else f"times {layer.scale:g}"
    if isinstance(layer.offset, int | float) and layer.offset:
        yield f"{'plus' if layer.offset > 0 else 'minus'} {abs(layer.offset):g}"


def _by(sizes: Any) -> str:
    return "x".join(map(str, sizes))
