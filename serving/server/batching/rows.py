"""Rows of several requests as one batch, and the batch's outputs as each request's again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf

from serving.server.batching.options import BatchingOptions
from serving.server.rpc_error import Fault, invalid
from serving.server.saved_model.tensors import Array

Feeds = Mapping[str, Array]
_TYPES = {"float32": "float", "float64": "double", "float16": "half"}  # as TensorFlow's texts call them
_RANKS = range(1, 7)


def count_rows(feeds: Feeds) -> int:
    """The 0th dimension that all of a request's tensors have.

    Raises:
      Fault: INVALID_ARGUMENT, one has none, or they differ.
    """
    sizes = set()
    for value in feeds.values():
        if value.ndim == 0:
            raise invalid("Batching Run() input tensors must have at least one dimension")
        sizes.add(value.shape[0])
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop() if sizes else 0


def merge_inputs(requests: Sequence[Feeds], parameters: BatchingOptions) -> dict[str, Array]:
    """The requests' tensors below one another, padded as the parameters say.

    Args:
      requests: arrays [rows, ...] by tensor name; the names are the same for all.
      parameters: allowed sizes and whether inner dimensions may be padded.

    Returns:
      Arrays [padded rows, ...]. Rows that fill an allowed size repeat the first row of the last request.

    Raises:
      Fault: the inner dimensions (FAILED_PRECONDITION) or dtypes (INTERNAL) differ.
    """
    count = sum(count_rows(feeds) for feeds in requests)
    missing = parameters.padded(count) - count
    merged = {}
    for name in sorted(requests[0]):
        parts = [feeds[name] for feeds in requests]
        if len(parts) > 1:
            parts = _padded(parts) if parameters.pad_variable_length_inputs else _same(name, parts)
        if missing:
            # An empty last request has no row to repeat: TensorFlow Serving stops at that, we look at the one before.
            last = next((part for part in reversed(parts) if len(part)), None)
            parts = parts if last is None else [*parts, np.repeat(last[:1], missing, axis=0)]
        merged[name] = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return merged


def split_outputs(outputs: Sequence[Any], sizes: Sequence[int], padded: int) -> list[list[Any]]:
    """Each request's share of a batch's outputs; rows that only filled the batch are dropped.

    Args:
      outputs: of the run, [padded, ...] each.
      sizes: rows of each request.
      padded: rows that were run.

    Returns:
      For each request its outputs [rows, ...].

    Raises:
      Fault: FAILED_PRECONDITION, an output has another 0th dimension, or none.
    """
    for value in outputs:
        if np.ndim(value) == 0:
            raise Fault(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(value) != padded:
            raise Fault(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    shares, start = [], 0
    for size in sizes:
        shares.append([value[start : start + size] for value in outputs])
        start += size
    return shares


def _same(name: str, parts: list[Array]) -> list[Array]:
    first = parts[0]
    for part in parts:
        if part.shape[1:] != first.shape[1:]:
            raise Fault(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. Set "
                "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            )
    return _one_type(parts)


def _one_type(parts: list[Array]) -> list[Array]:
    first = parts[0]
    for part in parts:
        if part.dtype != first.dtype:
            names = [_TYPES.get(name, name) for name in (tf.as_dtype(first.dtype).name, tf.as_dtype(part.dtype).name)]
            raise Fault(
                grpc.StatusCode.INTERNAL,
                "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data "
                f"types. Got {names[0]} and {names[1]}.",
            )
    return parts


def _padded(parts: list[Array]) -> list[Array]:
    """Every inner dimension filled to the largest, with the tensor's own first value."""
    if any(part.ndim not in _RANKS for part in parts):
        raise invalid("Only tensors with rank from 1 to 6 can be padded.")
    if len({part.ndim for part in parts}) > 1:
        raise invalid("Only tensors of the same rank can be padded.")
    largest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    filled = []
    for part in parts:
        shape = (len(part), *largest)
        if part.shape != shape:
            if part.size == 0 and len(part):
                raise invalid("Got empty tensor in batch of non-empty tensors.")
            whole = np.full(shape, part.flat[0] if part.size else 0, part.dtype)
            whole[tuple(slice(size) for size in part.shape)] = part
            part = whole
        filled.append(part)
    return _one_type(filled)
