"""What can be told from a SavedModel's graph alone: that it serves what was trained, without running a picture."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tensorflow.python.framework import op_def_registry

from data.errors import unknown
from serving.graph.saved_graph import SAME, Hashes, Reached, SavedGraph, Tensor, short, upstream

# GetKeyCounter and GetAlg only prepare a draw.
_RANDOM = re.compile(
    r"(Stateless)?(Random(?!GetKeyCounter|GetAlg|Dataset)|ParameterizedTruncatedNormal|TruncatedNormal|Multinomial"
    r"|SampleDistortedBoundingBox)|Rng(ReadAnd)?Skip|Stateful(Uniform|StandardNormal|TruncatedNormal|RandomBinomial)"
    r"|StochasticCastToInt|\w*CandidateSampler|\w*Dropout"
)
_TRAINING = re.compile(
    r"Assign|Resource(Sparse)?Apply|(Sparse)?Apply[A-Z]|ResourceStridedSliceAssign"
    r"|(Resource)?Scatter(Nd)?(Add|Sub|Mul|Div|Min|Max|Update)"
)
# Ops of one kind stand for one another: where one is missing, another of the kind is what was planted.
_KINDS = (re.compile(r"Resize|ScaleAndTranslate|CropAndResize"), re.compile(r"Decode(?!Raw|PaddedRaw)"))


@dataclass(frozen=True)
class Finding:
    """A fault.

    Attributes:
      signature: that has it; "training" where the TransformGraph does.
      kind: of the fault.
      detail: what and where, one line.
    """

    signature: str
    kind: Literal["random", "training", "preprocessing", "labels", "weights"]
    detail: str


def random_ops(model: str, signatures: Sequence[str] = ()) -> list[Finding]:
    """Ops that draw random numbers, and ops that only training has, on which a signature's outputs depend.

    Only training has: batch norm (or a cuDNN RNN) in training mode, and whatever assigns to variables.

    Args:
      model: folder of a SavedModel.
      signatures: to check; empty for all.

    Returns:
      One for each such op of each signature; none if all is well.

    Raises:
      UsageError: no SavedModel, or no such signature.
    """
    graph = SavedGraph(model)
    found: dict[Finding, None] = {}
    for signature in signatures or sorted(graph.signatures):
        for reached in upstream(graph, graph.outputs(signature).values()):
            if _RANDOM.match(reached.node.op):
                found[Finding(signature, "random", _where(reached))] = None
            elif _TRAINING.match(reached.node.op):
                found[Finding(signature, "training", _where(reached))] = None
            elif _is_training(reached.node):
                found[Finding(signature, "training", f"{_where(reached)}, is_training")] = None
    return list(found)


def _is_training(node: Any) -> bool:
    if "is_training" in node.attr:
        return bool(node.attr["is_training"].b)
    op_def = op_def_registry.get(node.op)  # a SavedModel leaves out what is the op's default, and that may be True
    return op_def is not None and any(attr.name == "is_training" and attr.default_value.b for attr in op_def.attr)


def _where(reached: Reached) -> str:
    calls = " > ".join(short(name) for name in reached.path)
    return f"{reached.node.op} in {reached.node.name}" + (f" ({calls})" if calls else "")


def same_preprocessing(model: str, transform_graph: str, feature: str, signatures: Sequence[str] = ()) -> list[Finding]:
    """Whether what each signature computes from its raw input first is what the TransformGraph computes.

    Exact: somewhere upstream of the outputs there must be a tensor that the very ops of the TransformGraph compute
    from the signature's raw input (`graph_cone.Hashes`), and no raw input may reach the outputs but through it, its
    shape aside. A copy that was traced anew passes if it is equal op by op. Told from the TransformGraph on, so that
    what stands between it and the model (a second /255, BGR) is not seen here: it is the routes' comparison that
    sees it.

    Args:
      model: folder of a SavedModel.
      transform_graph: folder of the TransformGraph artifact (with `transform_fn`).
      feature: a transformed feature of it.
      signatures: of the model, to check; empty for all. Of one with an output named as the feature, only that output.

    Returns:
      At most one for each signature.

    Raises:
      UsageError: no SavedModel, no such signature, or the TransformGraph has no such feature.
    """
    wanted = SavedGraph(posixpath.join(transform_graph, "transform_fn"))
    tensor = _feature(wanted, feature)
    digest = Hashes(wanted).of(tensor).hash
    graph = SavedGraph(model)
    hashes = Hashes(graph, digest)
    found = []
    for signature in signatures or sorted(graph.signatures):
        outputs = graph.outputs(signature)
        outputs = {feature: outputs[feature]} if feature in outputs else outputs
        values = {key: hashes.of(one) for key, one in outputs.items()}
        past = [key for key, value in values.items() if value.is_raw]
        if not any(value.has_wanted for value in values.values()):
            detail = f"the served graph does not hold the TransformGraph's function for '{feature}'"
            difference = _difference(_ops(wanted, [tensor]), _ops(graph, list(outputs.values())))
            found.append(Finding(signature, "preprocessing", f"{detail}: {difference}"))
        elif past:
            detail = f"raw input reaches '{past[0]}' past the TransformGraph's function for '{feature}'"
            found.append(Finding(signature, "preprocessing", detail))
    return found


def _feature(graph: SavedGraph, feature: str) -> Tensor:
    """The TransformGraph's output of that name."""
    outputs = {key: one for name in graph.signatures for key, one in graph.outputs(name).items()}
    if feature not in outputs:
        raise unknown("transformed feature", feature, outputs)
    return outputs[feature]


class _Op(NamedTuple):
    name: str
    attributes: tuple[tuple[str, str], ...]


def _ops(graph: SavedGraph, tensors: Sequence[Tensor]) -> Counter[_Op]:
    """How often each op with its attributes stands upstream of the tensors; calls, branches and loops left out."""
    return Counter(
        # Constants go by the last part of their names, for a network has many, too.
        _Op(
            f"constant {node.name.rpartition('/')[2]}" if node.op == "Const" else node.op,
            tuple(body.attributes(node.name).items()),
        )
        for _, body, node in upstream(graph, tensors)
        if node.op not in SAME and not body.called(node.name)
    )


def _difference(wanted: Counter[_Op], served: Counter[_Op]) -> str:
    """The most telling op that the TransformGraph has and the served graph has not, and what it has instead."""
    missing, more = list(wanted - served), list(served - wanted)
    for kind in (*_KINDS, re.compile("(?!constant)"), re.compile("")):
        for op in filter(lambda one: kind.match(one.name), missing):
            alike = [one for one in more if one.name == op.name]
            if alike:
                return min((_attributes_that_differ(op, one) for one in alike), key=len)
            others = [one for one in more if kind.match(one.name)] if kind in _KINDS else []
            if others:
                return f"{others[0].name} where the TransformGraph has {op.name}"
    for op in missing:
        if not op.name.startswith("constant"):
            return f"no {op.name}, which the TransformGraph has"
    for op in missing:
        return f"no {op.name} {dict(op.attributes)['value']}, which the TransformGraph has"
    return "the same ops, joined otherwise"


def _attributes_that_differ(wanted: _Op, served: _Op) -> str:
    first, second = dict(wanted.attributes), dict(served.attributes)
    names = [name for name in sorted({*first, *second}) if first.get(name) != second.get(name)]
    return f"{wanted.name} " + ", ".join(
        f"{name} {second.get(name, 'left out')}, not {first.get(name, 'left out')}" for name in names
    )
