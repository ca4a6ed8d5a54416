"""The extractor that keeps the answers of an evaluation, among those of TFMA.

TFX's Evaluator takes its extractors from a function; ours adds one to TFMA's own that writes the answers and passes
everything on. TFX loads this module anew for each call, so that its state would be lost: the place to write to is in
`components.release.predictions`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.constants import ARROW_INPUT_COLUMN
from tensorflow_model_analysis.extractors.unbatch_extractor import UNBATCH_EXTRACTOR_STAGE_NAME

from components.release.predictions import (
    BEFORE,
    LENGTHS,
    NAMES,
    PART,
    SCORES,
    SOURCE,
    Kept,
    Target,
    current_target,
    slice_key,
)
from components.release.sample import EvaluationSample
from data.spec import LABEL, VECTOR
from serving import signatures

_CANDIDATE, _BASELINE = "candidate", "baseline"  # TFMA's names if there are both; otherwise there is none


def custom_extractors(eval_shared_model: Any, eval_config: tfma.EvalConfig, tensor_adapter_config: Any) -> list[Any]:
    """Return TFMA's extractors, and before examples are separated one that writes the answers; TFX calls it.

    If the held-out examples are very many, the first extractor takes a sample of them.
    """
    found = tfma.default_extractors(
        eval_shared_model=eval_shared_model, eval_config=eval_config, tensor_adapter_config=tensor_adapter_config
    )
    place = [one.stage_name for one in found].index(UNBATCH_EXTRACTOR_STAGE_NAME)
    target = current_target()
    with tf.io.gfile.GFile(posixpath.join(_created(target.folder), NAMES), "w") as file:
        file.write(target.kept.to_json())
    keep = tfma.extractors.Extractor("KeepPredictions", _KeepPredictions(target))
    sampled = [] if target.sample.is_whole else [tfma.extractors.Extractor("Sample", _Sampled(target.sample))]
    return [*sampled, *found[:place], keep, *found[place:]]


def _created(folder: str) -> str:
    tf.io.gfile.makedirs(folder)
    return folder


class _Sampled(beam.PTransform):
    """Leaves out the examples that are not in the sample, before the model answers them."""

    def __init__(self, sample: EvaluationSample) -> None:
        super().__init__()
        self._sample = sample

    def expand(self, extracts: Any) -> Any:
        return extracts | "Filter" >> beam.FlatMap(_in_sample, self._sample)


def _in_sample(extracts: dict[str, Any], sample: EvaluationSample) -> Iterator[dict[str, Any]]:
    batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
    records = batch.column(batch.schema.get_field_index(ARROW_INPUT_COLUMN)).flatten()
    places = [place for place, record in enumerate(records) if record.as_buffer() in sample]
    if places:
        yield {**extracts, tfma.ARROW_RECORD_BATCH_KEY: batch.take(pa.array(places, pa.int64()))}


class _KeepPredictions(beam.PTransform):
    """Writes the answers of each batch as one record, and returns the batches unchanged."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def expand(self, extracts: Any) -> Any:
        kept, folder = self._target.kept, self._target.folder
        rows = extracts | "ToRecord" >> beam.Map(lambda batch: _record_of(batch, kept))
        _ = rows | "Write" >> beam.io.WriteToTFRecord(posixpath.join(folder, PART), file_name_suffix=".gz")
        return extracts


def _record_of(extracts: dict[str, Any], kept: Kept) -> bytes:
    """Return the answers to a batch as a serialized tf.Example; each feature has the values of all its examples."""
    records = np.ravel(extracts[tfma.INPUT_KEY])
    parsed = [tf.train.Example.FromString(one).features.feature for one in records]
    example = tf.train.Example()
    feature = example.features.feature
    sources = [one["image/source"].bytes_list.value[:1] or [b""] for one in parsed]
    feature[SOURCE].bytes_list.value.extend(value for (value, *_) in sources)
    feature[LENGTHS].int64_list.value.extend(len(one[LABEL].bytes_list.value) for one in parsed)
    for one in parsed:
        feature[LABEL].MergeFrom(one[LABEL])
        feature[VECTOR].float_list.value.extend(one[VECTOR].float_list.value)
    for name in kept.slices:
        feature[slice_key(name)].bytes_list.value.extend(_value_of(one[name]) for one in parsed)
    answers = extracts[tfma.PREDICTIONS_KEY]
    has_two = isinstance(answers, dict) and _CANDIDATE in answers
    both = answers if has_two else {_CANDIDATE: answers}
    for model, key in ((_CANDIDATE, SCORES), (_BASELINE, BEFORE)):
        if model in both:
            feature[key].float_list.value.extend(np.ravel(_scores(both[model], len(records), kept.names)).tolist())
    return bytes(example.SerializeToString())


def _value_of(feature: tf.train.Feature) -> bytes:
    """Return the value of a feature by which the evaluation is sliced, as text; empty without one."""
    if feature.bytes_list.value:
        return bytes(feature.bytes_list.value[0])
    numbers = [*feature.int64_list.value, *feature.float_list.value]
    return str(numbers[0]).encode() if numbers else b""


def _scores(answers: Any, count: int, names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return a model's scores [N, C] in the order of the names, or its numbers [N, 1]."""
    if not names:
        found = answers[signatures.OUTPUTS] if isinstance(answers, dict) else answers
        return np.reshape(np.asarray(found, np.float32), (count, 1))
    scores = np.reshape(np.asarray(answers[signatures.SCORES], np.float32), (count, -1))
    known = np.reshape(np.asarray(answers[signatures.CLASSES], object), scores.shape)[0].tolist()
    places = {name: place for place, name in enumerate(known)}
    ordered = np.zeros((count, len(names)), np.float32)
    for column, name in enumerate(names):
        if name.encode() in places:
            ordered[:, column] = scores[:, places[name.encode()]]
    return ordered
