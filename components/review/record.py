"""The types of a review: what `ReportGen` writes, and what the page of a run shows besides `run.json`.

A review is one JSON file, `review.json`, with its thumbnails in it: hundreds of small files would be slow to write to a
bucket.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union

import tensorflow as tf

from data.files.atomic import write_aside
from serving.parity.client_skew import ClientSkewCost

REVIEW = "review.json"

_Kind = TypeVar("_Kind")


@dataclass
class Picture:
    """An example that the page shows: a picture, or a row of numbers.

    Attributes:
      source: File or row that it was read from; untrusted text.
      thumbnail: Data URI of a PNG or JPEG of at most `thumbnails.SIDE` pixels; "" for numbers.
      width: Of the file, in pixels; 0 for numbers.
      height: Of the file, in pixels; 0 for numbers.
      label: Class, labels separated by commas ("(none)" if none applies), or number, as text; untrusted text.
      answer: The model's, in the same form; "" if it was not asked.
      score: Score of the answer, 0..1; None without one.
      label_score: Score of the right class, 0..1; None without one.
      before: The baseline's answer; "" without one.
      detail: One more line; may be empty.
    """

    source: str
    thumbnail: str = ""
    width: int = 0
    height: int = 0
    label: str = ""
    answer: str = ""
    score: float | None = None
    label_score: float | None = None
    before: str = ""
    detail: str = ""


# The data


@dataclass
class ClassSample:
    """A class or label: how many examples it has, and some of its pictures, sampled from the training data.

    Attributes:
      name: Of the class; untrusted text.
      examples: Number of examples by split.
      pictures: Sampled pictures.
    """

    name: str
    examples: dict[str, int] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)


@dataclass
class Histogram:
    """Counts in bins.

    Attributes:
      edges: Edges of the bins, one more than counts; all are equal if all values are.
      counts: Number of examples in each bin.
      median: Of the values; None if it is unknown.
    """

    edges: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    median: float | None = None


@dataclass
class Twin:
    """A picture that is there twice.

    Attributes:
      picture: The picture; both places have the same bytes.
      places: Source by split, or, of pictures with two labels, source by label.
    """

    picture: Picture
    places: dict[str, str]


@dataclass
class Quarantined:
    """An input that was left out.

    Attributes:
      picture: Its source, and a thumbnail if Pillow can show what TensorFlow cannot decode.
      reason: Why, in a few words.
      message: The reason in full.
    """

    picture: Picture
    reason: str
    message: str


@dataclass
class Anomaly:
    """An anomaly that TFDV found.

    Attributes:
      feature: Name of the feature; "" for the whole data set.
      summary: In a few words.
      detail: In full.
      split: Name of the split; "" in reviews without it.
    """

    feature: str
    summary: str
    detail: str
    split: str = ""


@dataclass
class DataReview:
    """The data.

    Attributes:
      classes: Classes or labels, the largest first, of many the `class_samples.SHOWN` largest and smallest; empty for
        numbers.
      class_count: Number of all classes or labels.
      samples: Pictures of the training data that are in no class: those whose label is a number, in its order, and
        those without any of several labels.
      sizes: Histograms of the training data by name: "width", "height", "bytes", or of numbers the name of the label
        and of the first features.
      formats: Number of pictures by format, in all splits.
      duplicates: Pictures in training and another split, some of them.
      contradictions: Pictures with two labels, some of them.
      quarantine: Inputs that were left out, some of them.
      anomalies: What TFDV found.
    """

    classes: list[ClassSample] = field(default_factory=list)
    class_count: int = 0
    samples: list[Picture] = field(default_factory=list)
    sizes: dict[str, Histogram] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    duplicates: list[Twin] = field(default_factory=list)
    contradictions: list[Twin] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)


# The evaluation


@dataclass
class Interval:
    """A share and its 95 % confidence interval, 0..1; of a regression a mean, in the label's unit."""

    value: float
    low: float
    high: float


@dataclass
class ClassQuality:
    """The quality of a class or label on the held-out examples.

    Attributes:
      name: Of the class; untrusted text.
      examples: Number of its examples.
      answers: Number of examples that were taken for it.
      right: Number of these that are right.
      precision: `right` of `answers`; None without answers.
      recall: `right` of `examples`; None without examples.
      f1: None if it is not defined.
    """

    name: str
    examples: int
    answers: int
    right: int
    precision: Interval | None = None
    recall: Interval | None = None
    f1: float | None = None


@dataclass
class ThresholdCurve:
    """Precision and recall of a class or label against all others, by the threshold of its score.

    Attributes:
      name: Of the class; untrusted text.
      thresholds: Rising, 0..1.
      precision: At each threshold; NaN is left out by ending the curve before it.
      recall: At each threshold.
      chosen: The threshold that is served, of one of several labels; None for classes.
    """

    name: str
    thresholds: list[float]
    precision: list[float]
    recall: list[float]
    chosen: float | None = None


@dataclass
class ConfusionCell:
    """Pictures of a cell of the confusion matrix.

    Attributes:
      label: The right class.
      answer: The model's answer.
      count: Number of examples.
      pictures: Some of them: of wrong answers those with the largest scores first, of right ones with the smallest.
    """

    label: str
    answer: str
    count: int
    pictures: list[Picture] = field(default_factory=list)


@dataclass
class SliceQuality:
    """The quality on a slice.

    Attributes:
      feature: Name of the slice's feature: "label", "image/format".
      value: Of the feature; untrusted text.
      examples: Number of examples.
      quality: As `EvaluationReview.quality`; None if it is not defined.
    """

    feature: str
    value: str
    examples: int
    quality: Interval | None


@dataclass
class Change:
    """What changed against the baseline, example by example.

    Attributes:
      won: Number of examples that only the candidate answers right; of numbers, those with a smaller error than before.
      lost: Number of examples that only the baseline answers right; of numbers, those with a larger error than before.
      both: Number that both answer right; of numbers 0.
      neither: Number that neither does; of numbers, those with the same error.
      difference: Candidate minus baseline of `EvaluationReview.quality`, with the interval of paired answers.
      pictures_won: Some of them, those that changed most first.
      pictures_lost: The same.
    """

    won: int
    lost: int
    both: int
    neither: int
    difference: Interval
    pictures_won: list[Picture] = field(default_factory=list)
    pictures_lost: list[Picture] = field(default_factory=list)


@dataclass
class Residuals:
    """The errors of a model whose answer is a number.

    Attributes:
      labels: Right numbers of at most `regression.POINTS` examples, sampled.
      answers: The model's for the same examples.
      errors: Histogram of answer minus label.
      worst: The examples with the largest errors.
    """

    labels: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    errors: Histogram = field(default_factory=Histogram)
    worst: list[Picture] = field(default_factory=list)


@dataclass
class EvaluationReview:
    """The held-out examples and the model's answers.

    Attributes:
      examples: Number of held-out examples.
      quality: Accuracy, exact match of all labels, or mean squared error, with its interval.
      quality_before: The same of the baseline; None without one.
      classes: Quality by class or label, the worst recall first.
      curves: Threshold curves of at most `curves.SHOWN` classes.
      confusion: Of classes, the cells of the confusion matrix that have examples (at most `confusion.CELLS`), the wrong
        answers first, the larger ones first, with pictures of some of them.
      mistakes: The wrong answers with the largest scores.
      mistake_count: Number of all wrong answers.
      label_errors: Examples whose label is likely wrong, the most likely first; `detail` names what is.
      label_error_count: Number of all of these.
      unusual: Examples that are least like the others, by the model's last features.
      unusual_among: Number of examples that were looked at for `unusual`: a sample, and of slow models what fits in
        about 2 s.
      slices: The quality by slice: those of a feature together, the worst first.
      change: Against the baseline; None without one.
      residuals: Of numbers; None for classes and labels.
    """

    examples: int = 0
    quality: Interval | None = None
    quality_before: Interval | None = None
    classes: list[ClassQuality] = field(default_factory=list)
    curves: list[ThresholdCurve] = field(default_factory=list)
    confusion: list[ConfusionCell] = field(default_factory=list)
    mistakes: list[Picture] = field(default_factory=list)
    mistake_count: int = 0
    label_errors: list[Picture] = field(default_factory=list)
    label_error_count: int = 0
    unusual: list[Picture] = field(default_factory=list)
    unusual_among: int = 0
    slices: list[SliceQuality] = field(default_factory=list)
    change: Change | None = None
    residuals: Residuals | None = None

    def all_pictures(self) -> list[Picture]:
        """Return the examples of all parts."""
        found = [*self.mistakes, *self.label_errors, *self.unusual]
        found += [picture for cell in self.confusion for picture in cell.pictures]
        if self.change:
            found += [*self.change.pictures_won, *self.change.pictures_lost]
        return [*found, *(self.residuals.worst if self.residuals else ())]


# The proof


@dataclass
class RoutePicture:
    """The record on which a route differs most from training.

    Attributes:
      route: Name of the route, as in `run.json`.
      picture: The record.
    """

    route: str
    picture: Picture


@dataclass
class ClientPicture:
    """A picture whose answer a client with its own preprocessing changes.

    Attributes:
      client: Name of the client, as in `run.json`.
      about: What the client does, in one line.
      picture: The file, with the right label, the served answer and its score. Its thumbnail is what the model wants.
      sent: Data URI of a PNG of the pixels that the client sends, or of the part of them that differs most; "" if it
        cannot read the file.
      served: Data URI of a PNG of the pixels that the model wants, or of the same part.
      answer: The answer that the client gets; "" if it cannot read the file.
      score: Score of that answer.
      score_name: With several labels, the label that both scores are of; otherwise "".
      difference: Data URI of a PNG of the difference of `sent` and `served`, black if equal, white where it is largest;
        "" if the client cannot read the file.
      largest: Largest difference of a pixel's channel in the whole picture, 0..255.
      height: Of `served`, in pixels.
      width: Of `served`, in pixels.
      whole_sent: Data URI of a thumbnail of all pixels that the client sends if `sent` is a part of them; otherwise "".
    """

    client: str
    about: str
    picture: Picture
    sent: str
    served: str
    answer: str
    score: float | None
    score_name: str = ""
    difference: str = ""
    largest: int = 0
    height: int = 0
    width: int = 0
    whole_sent: str = ""


@dataclass
class ProvedRecord:
    """A record that the gate sent down every route.

    Attributes:
      source: File or row that it was read from, or what was generated; untrusted text.
      reason: Why it is in the sample; may be empty.
    """

    source: str
    reason: str = ""


@dataclass
class ServedExample:
    """A held-out example with which a reader can try the served model.

    Attributes:
      picture: Its source, label and answer; the answer is empty if it is not known.
      content: The file as base64, or of a large file a reduced copy; "" for numbers.
      suffix: Of the file's name: "png", "jpg"; "" for numbers.
      is_reduced: Whether `content` is a reduced copy.
      numbers: The features; empty for pictures.
    """

    picture: Picture
    content: str = ""
    suffix: str = ""
    is_reduced: bool = False
    numbers: list[float] = field(default_factory=list)


@dataclass
class ProofReview:
    """The pictures of the proof.

    Attributes:
      routes: The record with the largest difference, of each route that has one.
      clients: For each client that changes an answer one such picture.
      records: All N records that were sent; empty for a gate of an earlier version.
      differences: Of each route by its name, the largest difference of a score in each of the records, N numbers; None
        in place of an infinite one. A route that could not be compared is left out.
      example: A held-out example; None without one.
      costs: What each client with its own preprocessing would cost; empty if it was not measured.
    """

    routes: list[RoutePicture] = field(default_factory=list)
    clients: list[ClientPicture] = field(default_factory=list)
    records: list[ProvedRecord] = field(default_factory=list)
    differences: dict[str, list[float | None]] = field(default_factory=dict)
    example: ServedExample | None = None
    costs: list[ClientSkewCost] = field(default_factory=list)


@dataclass
class Review:
    """Everything that the page of a run shows besides its record.

    Attributes:
      data: The data; None if this part could not be made, as in the other parts.
      evaluation: The answers to the held-out examples; None before the Evaluator has run.
      proof: The pictures of the proof; None if the gate did not check the model.
      augmentation: Data URI of the Trainer's picture of the augmentation; "" without one.
      problems: Why parts are missing, a line each.
      seconds: Duration.
    """

    data: DataReview | None = None
    evaluation: EvaluationReview | None = None
    proof: ProofReview | None = None
    augmentation: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def write(self, folder: str) -> None:
        """Write `review.json` into a folder, local or remote; a reader finds it complete or not at all."""
        write_aside(posixpath.join(folder, REVIEW), json.dumps(dataclasses.asdict(self), separators=(",", ":")))

    @classmethod
    def read(cls, folder: str) -> Review:
        """Read what `write` wrote; unknown keys are ignored, missing ones take their defaults."""
        with tf.io.gfile.GFile(posixpath.join(folder, REVIEW)) as file:
            return from_json(cls, json.load(file))


def from_json(kind: type[_Kind], value: Any) -> _Kind:
    """Return a value of JSON as the type that an annotation names: a dataclass, or a list, dict or union of such."""
    found: Any = _converted(kind, value)
    return found


def _converted(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if value is None or origin in (Union, types.UnionType):
        (inner, *_) = [one for one in arguments if one is not type(None)] or [kind]
        return None if value is None else _converted(inner, value)
    if origin is list:
        return [_converted(arguments[0], one) for one in value]
    if origin is dict:
        return {name: _converted(arguments[1], one) for name, one in value.items()}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        given: Mapping[str, Any] = value
        known = {one.name for one in dataclasses.fields(kind)} & given.keys()
        return kind(**{name: _converted(hints[name], given[name]) for name in known})  # type: ignore[operator]
    return value
