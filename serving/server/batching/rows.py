"""Merge the inputs of several requests into one batch, and split the batch's outputs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf

from serving.server.batching.options import BatchingOptions
from serving.server.rpc_error import Fault, invalid_argument
from serving.server.saved_model.tensors import Array

Feeds = Mapping[str, Array]
_TYPES = {"float32": "float", "float64": "double", "float16": "half"}  # names in TensorFlow's error texts
_PADDED_RANKS = range(1, 7)


def count_rows(feeds: Feeds) -> int:
    """Return the size of the 0th dimension, which all tensors of a request share.

    Raises:
      Fault: INVALID_ARGUMENT if a tensor has no 0th dimension, or the sizes differ.
    """
    sizes = set()
    for value in feeds.values():
        if value.ndim == 0:
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        sizes.add(value.shape[0])
    if len(sizes) > 1:
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop() if sizes else 0


def merge_inputs(requests: Sequence[Feeds], options: BatchingOptions) -> dict[str, Array]:
    """Concatenate the tensors of several requests, padded as the options require.

    Args:
      requests: arrays [rows, ...] by tensor name; every request has the same names.
      options: allowed batch sizes, and whether to pad inner dimensions.

    Returns:
      Arrays [padded rows, ...]. Rows that fill the batch up to an allowed size repeat the first row of the last
      request.

    Raises:
      Fault: FAILED_PRECONDITION if the inner dimensions differ; INTERNAL if the dtypes differ; INVALID_ARGUMENT if the
        inner dimensions cannot be padded.
    """
    count = sum(count_rows(feeds) for feeds in requests)
    missing = options.padded_size(count) - count
    merged = {}
    for name in sorted(requests[0]):
        parts = [feeds[name] for feeds in requests]
        if len(parts) > 1:
            parts = _pad(parts) if options.pad_variable_length_inputs else _check_same_shape(name, parts)
        if missing:
            # An empty last request has no row to repeat. TensorFlow Serving fails then; take the request before it.
            last = next((part for part in reversed(parts) if len(part)), None)
            parts = parts if last is None else [*parts, np.repeat(last[:1], missing, axis=0)]
        merged[name] = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return merged


def split_outputs(outputs: Sequence[Any], sizes: Sequence[int], padded: int) -> list[list[Any]]:
    """Split a batch's outputs into those of each request; drop the rows that only filled the batch.

    Args:
      outputs: outputs of the run, [padded, ...] each.
      sizes: number of rows of each request.
      padded: number of rows in the batch.

    Returns:
      The outputs [rows, ...] of each request.

    Raises:
      Fault: FAILED_PRECONDITION if an output has no 0th dimension, or one of another size.
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
    split, start = [], 0
    for size in sizes:
        split.append([value[start : start + size] for value in outputs])
        start += size
    return split


def _check_same_shape(name: str, parts: list[Array]) -> list[Array]:
    first = parts[0]
    for part in parts:
        if part.shape[1:] != first.shape[1:]:
            raise Fault(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. Set "
                "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            )
    return _check_same_dtype(parts)


def _check_same_dtype(parts: list[Array]) -> list[Array]:
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


def _pad(parts: list[Array]) -> list[Array]:
    """Pad each inner dimension to its largest size, with the first value of each tensor."""
    if any(part.ndim not in _PADDED_RANKS for part in parts):
        raise invalid_argument("Only tensors with rank from 1 to 6 can be padded.")
    if len({part.ndim for part in parts}) > 1:
        raise invalid_argument("Only tensors of the same rank can be padded.")
    largest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    padded = []
    for part in parts:
        shape = (len(part), *largest)
        if part.shape != shape:
            if part.size == 0 and len(part):
                raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
            whole = np.full(shape, part.flat[0] if part.size else 0, part.dtype)
            whole[tuple(slice(size) for size in part.shape)] = part
            part = whole
        padded.append(part)
    return _check_same_dtype(padded)
