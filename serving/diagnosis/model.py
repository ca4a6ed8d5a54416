"""Faults of the served model itself: what it draws, what it takes from the batch, and other weights."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from serving.diagnosis.base import some
from serving.graph.checks import Finding
from serving.parity.compare import Answers, score_differences
from serving.parity.report import Diagnosis

Ask = Callable[[Sequence[int], int], Answers]  # records, and how many at a time


def diagnose_draws(ask: Ask, records: Sequence[int], findings: Sequence[Finding], allowed: float) -> Diagnosis | None:
    """Whether the same question gets two answers.

    Args:
      ask: the route that differs.
      records: to ask about.
      findings: of `structure.random_ops`.
      allowed: difference of scores that means nothing.
    """
    found = score_differences(*(ask(records, len(records)).scores for _ in range(2)))
    if not found.max() > allowed:
        return None
    told = f"the same question twice gets scores that differ by {found.max():.2g}"
    return Diagnosis("model", *_drawing(findings, records[int(found.argmax())], told))


def suspected(findings: Sequence[Finding], record: int) -> Diagnosis | None:
    """What the structure alone says, where nothing else explains the difference."""
    if any(one.kind == "random" for one in findings):
        return Diagnosis("model", *_drawing(findings, record, "the same draw each time"))
    if findings:
        return Diagnosis("model", "batch norm in training mode", record, _details(findings, "training"))
    return None


def _drawing(findings: Sequence[Finding], record: int, told: str) -> tuple[str, int, str]:
    random = [one for one in findings if one.kind == "random"]
    if not random:
        return "answers that change by chance", record, f"{told}; no op of the graph is known to draw"
    is_dropout = all("dropout" in one.detail.lower() for one in random)
    return f"{'dropout' if is_dropout else 'augmentation'} left on", record, f"{told}: {_details(random, 'random')}"


def _details(findings: Sequence[Finding], kind: str) -> str:
    return some([one.detail for one in findings if one.kind == kind])


def diagnose_batch(ask: Ask, records: Sequence[int], findings: Sequence[Finding], allowed: float) -> Diagnosis | None:
    """Whether an answer depends on what else is in the batch; arguments as of `diagnose_draws`."""
    found = score_differences(ask(records, 1).scores, ask(records, len(records)).scores)
    if not found.max() > allowed:
        return None
    told = f"one by one scores differ by {found.max():.2g} from those in a batch of {len(records)}"
    where = _details(findings, "training")
    return Diagnosis(
        "model", "batch norm in training mode", records[int(found.argmax())], f"{told}{where and ': '}{where}"
    )


def diagnose_weights(folder: str, weights: Mapping[str, np.ndarray], record: int) -> Diagnosis | None:
    """Whether all trained weights are in the SavedModel's checkpoint, bit by bit, whatever their names there.

    Those that are no floats (states of seeds) do not count. A checkpoint without floats (a model whose weights became
    constants) tells nothing.
    """
    trained = {name: _digest(value) for name, value in weights.items() if value.dtype.kind == "f"}
    served = Counter(_digest(value) for value in _stored(folder))
    if not served or not trained:
        return None
    missing = []
    for name, digest in trained.items():
        served[digest] -= 1  # each of several that are equal, such as zeros, must be there
        if served[digest] < 0:
            missing.append(name)
    if not missing:
        return None
    told = f"{len(missing)} of {len(trained)} weights are not the trained ones: {some(missing)}"
    return Diagnosis("model", "a different model version", record, told)


def _stored(folder: str) -> Iterator[np.ndarray]:
    """The floats of the SavedModel's checkpoint."""
    prefix = os.path.join(folder, "variables", "variables")
    if tf.io.gfile.exists(f"{prefix}.index"):
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)  # `load_checkpoint` would take it for a folder first
        for name, dtype in reader.get_variable_to_dtype_map().items():
            if dtype.is_floating:
                yield reader.get_tensor(name)


def _digest(value: np.ndarray) -> tuple[str, tuple[int, ...], str]:
    return str(value.dtype), value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
