"""The data part of a review: samples of each class, sizes, copies, what was left out, anomalies."""

from __future__ import annotations

from components.review.class_samples import sample_classes
from components.review.data_statistics import read_formats, read_sizes
from components.review.inputs import ReviewInputs
from components.review.left_out import read_anomalies, read_quarantine, read_twins
from components.review.record import DataReview
from data.ingest.manifest import Manifest
from data.ingest.previews import read_previews


def review_data(inputs: ReviewInputs) -> DataReview:
    """Return the data part.

    Args:
      inputs: The artifacts of the run.
    """
    manifest = Manifest.load(inputs.examples)
    previews = read_previews(inputs.examples)
    classes, samples = sample_classes(inputs, manifest)
    return DataReview(
        classes,
        len(manifest.labels()),
        samples,
        read_sizes(inputs, manifest),
        read_formats(inputs, manifest),
        read_twins(manifest.duplicates, previews),
        read_twins(manifest.contradictions, previews),
        read_quarantine(inputs.examples, previews),
        read_anomalies(inputs.anomalies),
    )
