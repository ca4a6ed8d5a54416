"""The data on the page: what is shown of a complete run, of one without a review, and of a large quarantine."""

from __future__ import annotations

import re

import pytest

from components.review.record import DataReview, Picture, Quarantined, Review, Twin
from data.images.headers import REMARKS
from pipeline.report.page.render import render_page
from pipeline.report.page.sections.data import build_data
from pipeline.report.record import DataSummary, RunRecord
from tests.pipeline.report.page.samples import HOSTILE, SAMPLES, class_run, failed_run, hostile_run, label_run, old_run


def section_of(record: RunRecord, review: Review) -> str:
    """The HTML of the section."""
    page = render_page(record, review)
    return page[page.index('<section id="data"') : page.index("</section>", page.index('<section id="data"'))]


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_a_complete_run_shows_every_part() -> None:
    record, review = class_run()
    assert record.data
    record.data.layout = {"train": "training"}
    record.data.remarks = {"alpha": 3, "of a later version": 1}
    record.data.unused, record.data.not_pictures = {"in extra/": 4}, {".DS_Store": 1}
    words = words_of(section_of(record, review))
    for part in (
        "train 300 71.4% training",
        "eval 120 28.6% divided by content",
        "3 classes with 100 training examples each.",
        "cat 100 train, 40 eval",
        "370 JPEG, 50 PNG",
        f"3 pictures {REMARKS['alpha'][:20]}",
        "1 example outside of training has a copy in training",
        "train cat/1.jpg eval cat/2.jpg",
        "cat cat/3.jpg dog dog/4.jpg",
        "2 inputs were left out, 0.5% of the data: 2 broken.",
        "cat/5.jpg ends early",
        "The list is /artifacts/ExampleGen/examples/1/quarantine.jsonl",
        "4 pictures or data files are not used: 4 in extra/",
        "1 file is not a picture: 1 .DS_Store",
        "label Unexpected string values Examples contain values missing from the schema.",
        "3 examples whose label is likely wrong and the most unusual ones",
    ):
        assert part in words.replace("&gt;", ">"), part


def test_each_picture_has_words() -> None:
    for image in re.findall(r"<img[^>]*>", section_of(*class_run())):
        assert re.search(r'alt="[^"]+"', image) and 'src="data:image/' in image


def test_a_run_without_a_review_shows_the_numbers_of_its_record() -> None:
    record, review = failed_run()
    section = section_of(record, review)
    words = words_of(section)
    assert "cat 100 train, 40 eval" in words and "train cat/1.jpg eval cat/2.jpg" in words
    assert "Anomalies" not in words and "<img" not in section and "no picture" not in words
    assert "The list is /artifacts/ExampleGen/examples/1/quarantine.jsonl" in words
    assert build_data(*old_run()) is None


def test_several_labels_are_labels() -> None:
    record, review = label_run()
    assert review.data
    review.data.samples = [Picture("none.jpg", label="no label")]
    words = words_of(section_of(record, review))
    assert "3 labels with 100 training examples each." in words and "Pictures without a label" in words


def test_a_failed_run_of_several_labels_is_known_by_its_counts() -> None:
    record, _ = failed_run()
    record.data = DataSummary(examples={"train": 9}, labels={"train": {"a": 5, "b": 6}})
    view = build_data(record, Review())
    assert view and view.classes and view.classes.title == "Labels"
    record.data = DataSummary(examples={"train": 11}, labels={"train": {"a": 5, "b": 6}})
    view = build_data(record, Review())
    assert view and view.classes and view.classes.title == "Classes"


def test_pictures_with_a_number_have_no_classes() -> None:
    record, _ = class_run()
    record.data = DataSummary(examples={"train": 9, "eval": 3}, labels={"train": {}, "eval": {}})
    view = build_data(record, Review(DataReview(samples=[Picture("1.jpg", label="3.5")])))
    assert view and view.classes is None and view.samples_title == "Pictures in the order of their number"


def test_removed_copies_are_counted() -> None:
    record, review = class_run()
    assert record.data and review.data
    assert "--set ingest.duplicates=remove" in section_of(record, review)
    record.data.removed = 3
    words = words_of(section_of(record, review))
    assert "3 copies were removed." in words and "--set" not in words


def test_of_a_large_quarantine_some_are_shown_and_the_rest_is_named() -> None:
    record, review = class_run()
    assert record.data and review.data
    record.data.quarantined = {"not decodable": 4000, "empty file": 1}
    review.data.quarantine = [Quarantined(Picture(f"{n}.jpg"), "not decodable", "cut off") for n in range(100)]
    words = words_of(section_of(record, review))
    assert "4,001 inputs were left out, 90.5% of the data: 4,000 not decodable, 1 empty file." in words
    assert "88 more" in words and "3,901 more are in /artifacts" in words


def test_names_stay_words() -> None:
    record, review = hostile_run()
    assert review.data
    review.data.duplicates = [Twin(Picture(HOSTILE[0]), {HOSTILE[1]: HOSTILE[2]})]
    review.data.quarantine = [Quarantined(Picture(name), name, name) for name in HOSTILE]
    review.data.classes[0].pictures = [Picture(name, "data:image/png;base64,x", 8, 8, name) for name in HOSTILE]
    section = section_of(record, review)
    assert not re.search("[\u202a-\u202e\x00\x07\udce9]", section)  # in attributes, too
    assert "<script" not in section and "<svg onload" not in section and "<img src=x" not in section
    assert "&lt;script&gt;" in section


@pytest.mark.parametrize("name", SAMPLES)
def test_any_run_has_a_section_or_none(name: str) -> None:
    record, review = SAMPLES[name]()
    assert (build_data(record, review) is None) == (record.data is None and review.data is None)
    assert build_data(record, Review(data=DataReview())) is not None


def test_sizes_of_a_sample_are_named_so() -> None:
    record, review = class_run()
    assert record.data and review.data
    view = build_data(record, review)
    assert view and view.facts_lead == "Sizes are those of the training data."
    total = sum(record.data.examples.values())
    review.data.formats = {"jpeg": total - 30, "png": 10}
    view = build_data(record, review)
    assert view
    expected = f"Of a sample of {total - 20:,} of {total:,} pictures; sizes are those of the training data."
    assert view.facts_lead == expected
