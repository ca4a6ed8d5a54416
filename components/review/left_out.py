"""What is there twice, what was left out, and what TFDV noticed: from the files of ingestion and validation."""

from __future__ import annotations

import itertools
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.review.record import Anomaly, Picture, Quarantined, Twin
from data.images.previews import Preview
from data.ingest.manifest import QUARANTINE

QUARANTINED = 100  # inputs that are shown, those with a picture first
ANOMALIES = 100
SCHEMA_DIFF = "SchemaDiff.pb"  # TFX's name, in the folder of each split
_LINES = 20_000  # of the quarantine that are read


def read_twins(pairs: Sequence[Mapping[str, str]], previews: Mapping[str, Preview]) -> list[Twin]:
    """Return records that are there twice.

    Args:
      pairs: Source by split or by label, from the manifest.
      previews: By source.
    """
    found = []
    for pair in pairs:
        source = next((one for one in pair.values() if one in previews), next(iter(pair.values())))
        found.append(Twin(_picture(source, previews), dict(pair)))
    return found


def read_quarantine(examples: str, previews: Mapping[str, Preview]) -> list[Quarantined]:
    """Return at most `QUARANTINED` inputs that were left out: those with a picture first; the reasons take turns.

    Args:
      examples: Folder of the Examples artifact.
      previews: By source.
    """
    path = posixpath.join(examples, QUARANTINE)
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        lines = [json.loads(line) for line in itertools.islice(file, _LINES)]
    shown = [line for line in lines if line["source"] in previews]
    others = [line for line in lines if line["source"] not in previews]
    chosen = itertools.islice(itertools.chain(_in_turns(shown), _in_turns(others)), QUARANTINED)
    return [Quarantined(_picture(one["source"], previews), one["reason"], one.get("message", "")) for one in chosen]


def read_anomalies(folder: str) -> list[Anomaly]:
    """Return what TFDV found in the splits, at most `ANOMALIES`, in the order of their names.

    Args:
      folder: Of the ExampleAnomalies artifact.
    """
    found: list[Anomaly] = []
    for path in sorted(tf.io.gfile.glob(posixpath.join(folder, "Split-*", SCHEMA_DIFF))):
        split = posixpath.basename(posixpath.dirname(path)).removeprefix("Split-")
        with tf.io.gfile.GFile(path, "rb") as file:
            anomalies = anomalies_pb2.Anomalies.FromString(file.read())
        for name, info in sorted(anomalies.anomaly_info.items()):
            found.append(Anomaly(name, info.short_description, info.description, split))
        whole = anomalies.dataset_anomaly_info
        if whole.reason:
            found.append(Anomaly("", whole.short_description, whole.description, split))
    return found[:ANOMALIES]


def _in_turns(lines: Sequence[Mapping[str, str]]) -> Iterator[Mapping[str, str]]:
    """Yield lines so that the reasons take turns."""
    by_reason: dict[str, list[Mapping[str, str]]] = {}
    for line in lines:
        by_reason.setdefault(line["reason"], []).append(line)
    turns = itertools.zip_longest(*by_reason.values())
    return (line for turn in turns for line in turn if line is not None)


def _picture(source: str, previews: Mapping[str, Preview]) -> Picture:
    preview = previews.get(source)
    return Picture(source, preview.thumbnail, preview.width, preview.height) if preview else Picture(source)
