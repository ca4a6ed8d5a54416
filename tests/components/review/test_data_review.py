"""The whole data part of a review, from the artifacts of real components."""

from __future__ import annotations

import dataclasses
import json

from components.review.data_review import review_data
from components.review.inputs import ReviewInputs
from components.review.record import DataReview, from_json
from data.ingest.manifest import Manifest
from tests.tasks import several as several_task


def test_a_review_of_real_artifacts(several):
    inputs = ReviewInputs(
        several_task.RECORDS, several.examples, several.statistics, several.schema, several.anomalies, "", ""
    )
    found = review_data(inputs)
    assert found.class_count == 3 and found.formats == {"jpeg": 25, "png": 25}
    assert sum(found.sizes["width"].counts) == Manifest.load(several.examples).examples("train")
    assert found.anomalies == [] and found.quarantine == [] and found.duplicates == []
    assert from_json(DataReview, json.loads(json.dumps(dataclasses.asdict(found)))) == found
