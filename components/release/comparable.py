"""Check whether the model of an earlier run can be compared with the candidate: it must answer the same question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.prepare.schema import classes_of
from data.errors import UsageError
from data.names import list_names
from data.sources.base import batched
from data.spec import IMAGE, LABEL, VECTOR
from serving.parity.compare import Answers
from serving.parity.routes import LoadedModel, RouteError

_BATCH = 32
NAMED = 10  # classes at most that a message lists


@dataclass(frozen=True)
class Comparable:
    """Whether a model can be compared, and if not, why.

    Attributes:
      reason: Why not, as a text about the last model; empty if it can be compared.
      common: Classes that both models know, in the candidate's order; none of several labels.
    """

    reason: str
    common: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.reason


def check_comparable(model: str, schema: schema_pb2.Schema, records: Iterable[bytes]) -> Comparable:
    """Check with examples of this run whether a model can be compared with the candidate.

    The order of the classes may differ, because TFMA looks up labels by name. The size of pictures may differ, too,
    because the signature takes their bytes.

    Args:
      model: Folder of the SavedModel.
      schema: Schema of this run's data.
      records: Serialized tf.Examples of this run; the model must answer all of them.

    Raises:
      tf.errors.OpError: If the file system fails, which says nothing about the model.
    """
    try:
        signatures = LoadedModel(model)
        takes = _input(signatures)
    except UsageError as error:
        return Comparable(f"the last model cannot be used: {error}")
    if takes != _feature(schema):
        return Comparable(f"the last model takes {takes}")
    known: tuple[str, ...] | None = None
    for some in batched(records, _BATCH):
        try:
            found = signatures.examples(some, len(some))
        except RouteError as error:
            return Comparable(f"the last model rejects examples of this run: {error}")
        except (UsageError, TypeError, ValueError) as error:  # several inputs, or answers of another form
            return Comparable(f"the last model is of another kind: {error}")
        known = _classes(found)
        if known is None:
            return Comparable("the last model is of another kind: it answers neither classes and scores nor a number")
    if known is None:
        return Comparable("")
    several = signatures.has_thresholds
    if several != _has_several_labels(schema) and known:
        kind = "several labels" if several else "classes"
        return Comparable(f"the last model answers with {kind} ({list_names(known, NAMED)})")
    verdict = _compare(known, classes_of(schema))
    return Comparable(verdict.reason) if several else verdict  # labels are compared only if all names are equal


def _classes(found: Answers) -> tuple[str, ...] | None:
    """Return the names of the classes, empty for a number; None if the answers are neither."""
    if found.classes is None:
        return () if found.scores.shape[1] == 1 else None
    if found.classes.shape != found.scores.shape or not all(isinstance(name, bytes) for name in found.classes[0]):
        return None
    return tuple(name.decode(errors="replace") for name in found.classes[0])


def _has_several_labels(schema: schema_pb2.Schema) -> bool:
    label = next(feature for feature in schema.feature if feature.name == LABEL)
    return label.HasField("value_count")  # all others have a shape


def accuracies_on_common(
    models: Sequence[str], common: Sequence[str], records: Iterable[bytes]
) -> tuple[int, list[float]]:
    """Measure models with different classes on the examples of the classes that all of them know.

    Each model may answer with any of its classes, so that the one with more classes has the harder question: the
    accuracies are reported, but decide nothing.

    Args:
      models: Folders of SavedModels that answer with classes.
      common: The common classes.
      records: Serialized tf.Examples; those of other classes are skipped.

    Returns:
      The number of examples, and the accuracy of each model on them, 0..1; no accuracies without an example.

    Raises:
      RouteError: If a model does not answer one of them.
    """
    signatures = [LoadedModel(model) for model in models]
    count, right = 0, np.zeros(len(models), int)
    names = {name.encode() for name in common}
    for some in batched((record for record in records if _label(record) in names), _BATCH):
        labels = np.array([_label(record) for record in some], object)
        count += len(some)
        for place, model in enumerate(signatures):
            found = model.examples(some, len(some))
            assert found.classes is not None
            right[place] += (found.classes[np.arange(len(some)), found.scores.argmax(axis=1)] == labels).sum()
    return count, list(right / count) if count else []


def _label(record: bytes) -> bytes:
    return tf.train.Example.FromString(record).features.feature[LABEL].bytes_list.value[0]


def _compare(known: tuple[str, ...], classes: tuple[str, ...]) -> Comparable:
    """Compare the classes or labels that the model knows with those of this run; empty for a number."""
    if not known and classes:
        return Comparable("the last model answers with a number")
    if known and not classes:
        return Comparable(f"the last model answers with classes ({list_names(known, NAMED)})")
    if set(known) == set(classes):
        return Comparable("", classes)
    common = tuple(name for name in classes if name in known)
    if len(known) <= NAMED:
        return Comparable(f"the last model knew {list_names(known, NAMED)}", common)
    added = [name for name in classes if name not in known]
    gone = [name for name in known if name not in classes]
    changes = [f"not {list_names(added, NAMED)}"] * bool(added) + [f"also {list_names(gone, NAMED)}"] * bool(gone)
    return Comparable(f"the last model knew {len(known)} classes: {'; '.join(changes)}", common)


def _input(signatures: LoadedModel) -> str:
    """Describe what the model takes."""
    spec = signatures.input
    if spec.dtype == tf.string:
        return "pictures"
    return f"{spec.shape[-1]} numbers" if spec.shape.rank == 2 else f"{spec.name} {spec.dtype.name} {spec.shape}"


def _feature(schema: schema_pb2.Schema) -> str:
    """Describe what this run's records contain, in the same words."""
    features = {feature.name: feature for feature in schema.feature}
    return "pictures" if IMAGE in features else f"{features[VECTOR].shape.dim[0].size} numbers"
