"""Diagnose the served model itself: random draws, dependence on the batch, and other weights."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from data.names import list_names
from serving.diagnosis.base import LISTED, Array
from serving.graph.checks import Finding
from serving.parity.compare import Answers, score_differences
from serving.parity.report import Diagnosis

Ask = Callable[[Sequence[int], int], Answers]  # takes indices of records and a batch size


def diagnose_draws(ask: Ask, records: Sequence[int], findings: Sequence[Finding], allowed: float) -> Diagnosis | None:
    """Check whether the same request gets two answers.

    Args:
      ask: Calls the route.
      records: Records to send.
      findings: Findings of `serving.graph.checks.random_ops`.
      allowed: Largest difference of a score that counts as equal.
    """
    differences = score_differences(*(ask(records, len(records)).scores for _ in range(2)))
    if not differences.max() > allowed:
        return None
    seen = f"two equal requests get scores that differ by {differences.max():.2g}"
    return _random_diagnosis(findings, records[int(differences.argmax())], seen)


def diagnose_batch(ask: Ask, records: Sequence[int], findings: Sequence[Finding], allowed: float) -> Diagnosis | None:
    """Check whether an answer depends on the other rows of the batch.

    Args:
      ask: Calls the route.
      records: Records to send.
      findings: Findings of `serving.graph.checks.random_ops`.
      allowed: Largest difference of a score that counts as equal.
    """
    differences = score_differences(ask(records, 1).scores, ask(records, len(records)).scores)
    if not differences.max() > allowed:
        return None
    seen = f"one by one, scores differ by {differences.max():.2g} from those in a batch of {len(records)}"
    ops = _details(findings, "training")
    record = records[int(differences.argmax())]
    return Diagnosis("model", "batch norm in training mode", record, f"{seen}{ops and ': '}{ops}")


def diagnose_weights(folder: str, weights: Mapping[str, Array], record: int) -> Diagnosis | None:
    """Check that the SavedModel's checkpoint holds all trained weights, bit by bit, under any name.

    Weights that are not floats (states of seeds) do not count. A checkpoint without floats (a model whose weights
    became constants) shows nothing.

    Args:
      folder: Folder of the SavedModel.
      weights: Trained weights by name.
      record: Record to name in the diagnosis.
    """
    trained = {name: _digest(value) for name, value in weights.items() if value.dtype.kind == "f"}
    served = Counter(_digest(value) for value in _stored_floats(folder))
    if not served or not trained:
        return None
    missing = []
    for name, digest in trained.items():
        served[digest] -= 1  # each of several equal weights, such as zeros, must be there
        if served[digest] < 0:
            missing.append(name)
    if not missing:
        return None
    detail = f"{len(missing)} of {len(trained)} weights are not the trained ones: {list_names(missing, LISTED)}"
    return Diagnosis("model", "a different model version", record, detail)


def diagnose_structure(findings: Sequence[Finding], record: int) -> Diagnosis | None:
    """Return the cause that the graph suggests, for a difference that nothing else explains.

    Args:
      findings: Findings of `serving.graph.checks.random_ops`.
      record: Record to name in the diagnosis.
    """
    if any(finding.kind == "random" for finding in findings):
        return _random_diagnosis(findings, record, "the same draw each time")
    if findings:
        return Diagnosis("model", "batch norm in training mode", record, _details(findings, "training"))
    return None


def _random_diagnosis(findings: Sequence[Finding], record: int, seen: str) -> Diagnosis:
    random = [finding for finding in findings if finding.kind == "random"]
    if not random:
        return Diagnosis("model", "random answers", record, f"{seen}; the graph has no op that is known to draw")
    is_dropout = all("dropout" in finding.detail.lower() for finding in random)
    skew = f"{'dropout' if is_dropout else 'augmentation'} left on"
    return Diagnosis("model", skew, record, f"{seen}: {_details(random, 'random')}")


def _details(findings: Sequence[Finding], kind: str) -> str:
    return list_names([finding.detail for finding in findings if finding.kind == kind], LISTED)


def _stored_floats(folder: str) -> Iterator[Array]:
    """Yield the float tensors of the SavedModel's checkpoint."""
    prefix = os.path.join(folder, "variables", "variables")
    if tf.io.gfile.exists(f"{prefix}.index"):
        # Not `load_checkpoint`, which would first look for a folder of this name.
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        for name, dtype in reader.get_variable_to_dtype_map().items():
            if dtype.is_floating:
                yield reader.get_tensor(name)


def _digest(value: Array) -> tuple[str, tuple[int, ...], str]:
    return str(value.dtype), value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
