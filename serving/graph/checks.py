"""Check from a SavedModel's graph alone, without running it, that it serves what was trained."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tensorflow.python.framework import op_def_registry

from data.errors import unknown
from serving.graph.hashes import PIXELS_TO_FLOAT, GraphHashes
from serving.graph.saved_graph import PASS_THROUGH_OPS, SavedGraph, TensorRef, short_name
from serving.graph.upstream import UpstreamNode, upstream_nodes

# GetKeyCounter and GetAlg only prepare a draw.
_RANDOM_OPS = re.compile(
    r"(Stateless)?(Random(?!GetKeyCounter|GetAlg|Dataset)|ParameterizedTruncatedNormal|TruncatedNormal|Multinomial"
    r"|SampleDistortedBoundingBox)|Rng(ReadAnd)?Skip|Stateful(Uniform|StandardNormal|TruncatedNormal|RandomBinomial)"
    r"|StochasticCastToInt|\w*CandidateSampler|\w*Dropout"
)
_TRAINING_OPS = re.compile(
    r"Assign|Resource(Sparse)?Apply|(Sparse)?Apply[A-Z]|ResourceStridedSliceAssign"
    r"|(Resource)?Scatter(Nd)?(Add|Sub|Mul|Div|Min|Max|Update)"
)
# Ops of one kind replace each other: if one is missing, another one of its kind is the likely culprit.
_OP_KINDS = (re.compile(r"Resize|ScaleAndTranslate|CropAndResize"), re.compile(r"Decode(?!Raw|PaddedRaw)"))


@dataclass(frozen=True)
class Finding:
    """A fault in a graph, in the weights or in the labels.

    Attributes:
      signature: Signature with the fault; "training" if the TransformGraph has it.
      kind: Kind of the fault.
      detail: What and where, in one line.
    """

    signature: str
    kind: Literal["random", "training", "preprocessing", "labels", "weights"]
    detail: str


def random_ops(model: str, signatures: Sequence[str] = ()) -> list[Finding]:
    """Find ops that draw random numbers, or that belong to training, on which a signature's outputs depend.

    Ops that belong to training: batch norm (or a cuDNN RNN) in training mode, and assignments to variables.

    Args:
      model: Folder of a SavedModel.
      signatures: Signatures to check; empty for all.

    Returns:
      One finding for each such op of each signature.

    Raises:
      UsageError: If there is no SavedModel, or no such signature.
    """
    graph = SavedGraph(model)
    found: dict[Finding, None] = {}
    for signature in signatures or sorted(graph.signatures):
        for upstream in upstream_nodes(graph, graph.outputs(signature).values()):
            if _RANDOM_OPS.match(upstream.node.op):
                found[Finding(signature, "random", _describe_place(upstream))] = None
            elif _TRAINING_OPS.match(upstream.node.op):
                found[Finding(signature, "training", _describe_place(upstream))] = None
            elif _is_training(upstream.node):
                found[Finding(signature, "training", f"{_describe_place(upstream)}, is_training")] = None
    return list(found)


def _is_training(node: Any) -> bool:
    if "is_training" in node.attr:
        return bool(node.attr["is_training"].b)
    op_def = op_def_registry.get(node.op)  # a SavedModel leaves out values that are the op's default, which may be True
    return op_def is not None and any(attr.name == "is_training" and attr.default_value.b for attr in op_def.attr)


def _describe_place(upstream: UpstreamNode) -> str:
    calls = " > ".join(short_name(name) for name in upstream.path)
    return f"{upstream.node.op} in {upstream.node.name}" + (f" ({calls})" if calls else "")


def same_preprocessing(model: str, transform_graph: str, feature: str, signatures: Sequence[str] = ()) -> list[Finding]:
    """Check that each signature preprocesses its raw input exactly as the TransformGraph does.

    Somewhere upstream of the outputs there must be a tensor that the TransformGraph's own ops compute from the
    signature's raw input (`serving.graph.hashes.GraphHashes`), and raw input must reach the outputs only through it;
    its shape does not count, nor does a last cast of uint8 to float32, which changes no value. A copy that was traced
    again passes if it is equal op by op. The check covers the graph up to that tensor. What stands between it and the
    model (a second /255, BGR) is not seen here; the comparison of routes finds it.

    Args:
      model: Folder of a SavedModel.
      transform_graph: Folder of the TransformGraph artifact (with `transform_fn`).
      feature: A transformed feature of the TransformGraph.
      signatures: Signatures of the model to check; empty for all. Of a signature with an output of the feature's name,
        only that output is checked.

    Returns:
      At most one finding for each signature.

    Raises:
      UsageError: If there is no SavedModel, no such signature, or no such feature in the TransformGraph.
    """
    trained = SavedGraph(posixpath.join(transform_graph, "transform_fn"))
    tensor = _feature_tensor(trained, feature)
    wanted = GraphHashes(trained).before_cast(tensor).hash
    graph = SavedGraph(model)
    hashes = GraphHashes(graph, wanted)
    found = []
    for signature in signatures or sorted(graph.signatures):
        outputs = graph.outputs(signature)
        outputs = {feature: outputs[feature]} if feature in outputs else outputs
        values = {name: hashes.of(output) for name, output in outputs.items()}
        bypassing = [name for name, value in values.items() if value.is_raw]
        if not any(value.has_wanted for value in values.values()):
            difference = _first_difference(_required_ops(trained, tensor), _count_ops(graph, list(outputs.values())))
            detail = f"the served graph lacks the TransformGraph's function for '{feature}': {difference}"
            found.append(Finding(signature, "preprocessing", detail))
        elif bypassing:
            detail = f"raw input reaches '{bypassing[0]}' without the TransformGraph's function for '{feature}'"
            found.append(Finding(signature, "preprocessing", detail))
    return found


def _feature_tensor(graph: SavedGraph, feature: str) -> TensorRef:
    """Return the TransformGraph's output of that name."""
    outputs = {name: tensor for signature in graph.signatures for name, tensor in graph.outputs(signature).items()}
    if feature not in outputs:
        raise unknown("transformed feature", feature, outputs)
    return outputs[feature]


class _Op(NamedTuple):
    name: str
    attributes: tuple[tuple[str, str], ...]


def _required_ops(graph: SavedGraph, tensor: TensorRef) -> Counter[_Op]:
    """Count the ops upstream of the TransformGraph's tensor, without its last cast of uint8 to float32."""
    hashes, counted = GraphHashes(graph), _count_ops(graph, [tensor])
    if hashes.before_cast(tensor) != hashes.of(tensor):
        counted[_Op("Cast", tuple(PIXELS_TO_FLOAT.items()))] -= 1
    return counted


def _count_ops(graph: SavedGraph, tensors: Sequence[TensorRef]) -> Counter[_Op]:
    """Count each op with its attributes upstream of the tensors, without calls, branches and loops."""
    return Counter(
        # A constant counts under the last part of its name, because a network has many.
        _Op(
            f"constant {node.name.rpartition('/')[2]}" if node.op == "Const" else node.op,
            tuple(body.attributes(node.name).items()),
        )
        for _, body, node in upstream_nodes(graph, tensors)
        if node.op not in PASS_THROUGH_OPS and not body.called(node.name)
    )


def _first_difference(trained: Counter[_Op], served: Counter[_Op]) -> str:
    """Describe the most telling op that only the TransformGraph has, and what the served graph has instead."""
    missing, added = list(trained - served), list(served - trained)
    for kind in (*_OP_KINDS, re.compile("(?!constant)"), re.compile("")):
        for op in missing:
            replaced = _replacement(op, added, kind) if kind.match(op.name) else ""
            if replaced:
                return replaced
    for op in missing:
        if not op.name.startswith("constant"):
            return f"the TransformGraph's {op.name} is missing"
    for op in missing:
        return f"the TransformGraph's {op.name} {dict(op.attributes)['value']} is missing"
    return "the ops are the same, but connected in another way"


def _replacement(op: _Op, added: Sequence[_Op], kind: re.Pattern[str]) -> str:
    """Describe what stands in for a missing op: itself with other attributes, or another op of its kind."""
    same_name = [other for other in added if other.name == op.name]
    if same_name:
        return min((_differing_attributes(op, other) for other in same_name), key=len)
    others = [other for other in added if kind.match(other.name)] if kind in _OP_KINDS else []
    return f"{others[0].name} instead of the TransformGraph's {op.name}" if others else ""


def _differing_attributes(trained: _Op, served: _Op) -> str:
    first, second = dict(trained.attributes), dict(served.attributes)
    names = [name for name in sorted({*first, *second}) if first.get(name) != second.get(name)]
    return f"{trained.name} " + ", ".join(
        f"{name} {second.get(name, 'default')}, not {first.get(name, 'default')}" for name in names
    )
