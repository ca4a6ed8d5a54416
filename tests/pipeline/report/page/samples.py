"""Runs made by hand, complete in every part, whose pages the tests look at: a record and a review each."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from components.review.record import (
    Anomaly,
    Change,
    ClassQuality,
    ClassSample,
    ClientPicture,
    ConfusionCell,
    DataReview,
    EvaluationReview,
    Histogram,
    Interval,
    Picture,
    ProofReview,
    ProvedRecord,
    Quarantined,
    Residuals,
    Review,
    RoutePicture,
    ServedExample,
    SliceQuality,
    ThresholdCurve,
    Twin,
)
from pipeline.report.record import (
    ComponentRun,
    DataSummary,
    EvaluationSummary,
    LayerSummary,
    PhaseStart,
    PushedVersion,
    RunRecord,
    TrainingSummary,
)
from serving.graph.checks import Finding
from serving.parity.client_skew import ClientSkewCost
from serving.parity.compare import Comparison
from serving.parity.report import Diagnosis, SkewReport

Sample = tuple[RunRecord, Review]

HOSTILE = (
    "<script>document.title='taken'</script>",
    "<img src=x onerror=document.title='taken'>",
    "\"'><svg onload=document.title='taken'>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egpj.tac\u202c",
    "عربي ونص طويل",
    "a\x00b\x07c\nd",
    "caf\udce9",
    "x" * 300,
    "</style></title></textarea>--><!--",
)
"""Names with markup, quotes, text from right to left, control characters, a byte that is not UTF-8, 300 characters."""

_METRIC = "sparse_categorical_accuracy"


@functools.cache
def thumbnail(seed: int, side: int = 8) -> str:
    """Return a small picture as a data URI."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def class_run(names: Sequence[str] = ("cat", "dog", "fox")) -> Sample:
    """Return a run of classes that pushed its model."""
    record = _record("pets", names)
    pairs = [(names[place], names[(place + 1) % len(names)]) for place in range(len(names))]
    evaluation = EvaluationReview(
        examples=40 * len(names),
        quality=Interval(0.9, 0.85, 0.94),
        quality_before=Interval(0.8, 0.74, 0.85),
        classes=[
            ClassQuality(name, 40, 40, 36, Interval(0.9, 0.77, 0.96), Interval(0.9, 0.77, 0.96), 0.9) for name in names
        ],
        curves=[ThresholdCurve(name, [0.1, 0.5, 0.9], [0.6, 0.9, 1.0], [1.0, 0.9, 0.4]) for name in names[:12]],
        confusion=[ConfusionCell(name, name, 36) for name in names]
        + [ConfusionCell(label, answer, 4, [_picture(9, label, answer)]) for label, answer in pairs],
        mistakes=[_picture(seed, label, answer) for seed, (label, answer) in enumerate(pairs[:24])],
        label_errors=[_picture(30 + seed, label, answer) for seed, (label, answer) in enumerate(pairs[:3])],
        unusual=[_picture(60 + seed, label, label) for seed, (label, _) in enumerate(pairs[:3])],
        unusual_among=120,
        slices=[
            SliceQuality("image/format", "jpeg", 70, Interval(0.91, 0.82, 0.96)),
            SliceQuality("image/format", names[0], 50, Interval(0.88, 0.76, 0.94)),
        ],
        change=Change(
            16, 4, 92, 8, Interval(0.1, 0.03, 0.17), [_picture(1, *pairs[0])], [_picture(2, names[0], names[0])]
        ),
    )
    return record, _review(names, evaluation)


def hostile_run() -> Sample:
    """Return a run whose names of classes, files, settings and messages do harm if they are not escaped."""
    record, review = class_run(HOSTILE)
    record.task = HOSTILE[0]
    record.settings = {HOSTILE[1]: HOSTILE[2]}
    record.data_folder = record.log = f"/data/{HOSTILE[0]}"
    record.components[0].why = HOSTILE[0]
    assert record.data
    record.data.notes = list(HOSTILE)
    return record, review


def thousand_classes_run() -> Sample:
    """Return a run of 1,000 classes."""
    return class_run([f"class {number:04d}" for number in range(1000)])


def number_run() -> Sample:
    """Return a run on rows of numbers whose answer is a number; the model was not pushed."""
    record = _record("prices", ())
    record.status, record.pushed, record.skew, record.blessed = "not pushed", None, None, False
    record.exit_code = 1
    record.evaluation = EvaluationSummary(
        "mean_squared_error", 4.0, "", {"overall": {"mean_squared_error": 4.2, "example_count": 120}}, folder="/x"
    )
    rows = [Picture(f"houses.csv:{row}", label=f"{row}.5", answer=f"{row + 2}.25") for row in range(6)]
    values = np.random.default_rng(0).normal(100, 20, 120)
    errors = np.random.default_rng(1).normal(0, 2, 120)
    counts, edges = np.histogram(errors, 12)
    evaluation = EvaluationReview(
        examples=120,
        quality=Interval(4.2, 3.4, 5.1),
        quality_before=Interval(4.0, 3.3, 4.8),
        residuals=Residuals(
            values.tolist(), (values + errors).tolist(), Histogram(edges.tolist(), counts.tolist()), rows
        ),
    )
    review = Review(
        DataReview(sizes={"price": Histogram([0.0, 50.0, 100.0], [3.0, 7.0]), "rooms": Histogram([1, 2, 3], [5, 5])}),
        evaluation,
        ProofReview([RoutePicture("REST predict", rows[0])]),
    )
    return record, review


def label_run() -> Sample:
    """Return a run on pictures with several labels each."""
    record, review = class_run(("beach", "people", "night"))
    names = ("beach", "people", "night")
    assert record.evaluation and record.training and review.evaluation
    record.evaluation.metric = "mean_average_precision"
    record.evaluation.confusion = {}
    record.evaluation.slices = {
        "overall": {"mean_average_precision": 0.83, "exact_match": 0.7, "example_count": 120},
        **{f"label:{name}": {"average_precision": 0.8, "f1": 0.75, "example_count": 40} for name in names},
    }
    record.training.thresholds = {name: 0.4 + 0.1 * place for place, name in enumerate(names)}
    found = review.evaluation
    found.confusion = []
    found.quality = Interval(0.7, 0.61, 0.77)
    for curve in found.curves:
        curve.chosen = 0.5
    found.mistakes = [_picture(5, "beach, people", "beach"), _picture(6, "", "night")]
    return record, review


def failed_run() -> Sample:
    """Return a run that ended in the Trainer: no review, and no part after it."""
    record = RunRecord(
        "pets",
        "20261127-1",
        "/data/pets",
        {"train.epochs": "3"},
        "/runs/log",
        "2026-11-27T10:00:00+00:00",
        "failed",
        12.5,
        1,
        "the loss is not a number in epoch 2\nLower train.learning_rate.",
    )
    record.components = _components(("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"))
    record.components.append(ComponentRun("Trainer", "failed", "new examples", 3.0))
    record.data = _data(("cat", "dog"))
    return record, Review()


def skewed_run() -> Sample:
    """Return a run that the skew gate stopped, with a diagnosis."""
    record, review = class_run()
    assert record.skew
    record.status, record.pushed, record.exit_code = "not pushed", None, 2
    record.skew.routes[1] = Comparison(
        "REST predict", "training, batches of 8", 0.4, 3, 2, True, 1e-5, "scores differ by up to 0.4"
    )
    assert review.proof
    review.proof.differences["REST predict"] = [0.1, 0.0, None, 0.4, 5e-6] + [0.0] * 53
    record.skew.structure = [Finding("serving_default", "random", "RandomUniform in dropout")]
    record.skew.diagnosis = Diagnosis("resize", "nearest instead of bilinear", 3, "it explains all of the difference")
    return record, review


def old_run() -> Sample:
    """Return the record of an early version, which lacks most fields."""
    return RunRecord.from_json(
        {
            "task": "pets",
            "run_id": "20260101-1",
            "data_folder": "/data",
            "settings": {},
            "log": "",
            "started": "2026-01-01T00:00:00",
            "status": "pushed",
            "training": {"epochs": 2},
            "evaluation": {"metric": _METRIC, "slices": {"overall": {_METRIC: 0.5, "example_count": 10}}},
        }
    ), Review()


def _picture(seed: int, label: str, answer: str) -> Picture:
    return Picture(
        f"{label}/{seed:04d}.jpg", thumbnail(seed), 640, 480, label, answer, 0.93, 0.93 if label == answer else 0.05
    )


def _components(names: Sequence[str]) -> list[ComponentRun]:
    return [
        ComponentRun(
            name, "executed" if place % 2 else "cached", "new examples" if place % 2 else "nothing changed", 1.5
        )
        for place, name in enumerate(names)
    ]


def _data(names: Sequence[str]) -> DataSummary:
    one = dict.fromkeys(names, 100)
    return DataSummary(
        examples={"eval": 120, "train": 300},
        labels={"eval": dict.fromkeys(names, 40), "train": one},
        bytes=1_234_567,
        quarantined={"broken": 2},
        folder="/artifacts/ExampleGen/examples/1",
        duplicate_count=1,
        duplicates=[{"train": "cat/1.jpg", "eval": "cat/2.jpg"}],
    )


def _record(task: str, names: Sequence[str]) -> RunRecord:
    """Return a record of a run that pushed its model, complete in every part."""
    record = RunRecord(
        task,
        "20261127-100000-1",
        f"/data/{task}",
        {"train.epochs": "4"},
        "/runs/log",
        "2026-11-27T10:00:00+00:00",
        "pushed",
        75.2,
        0,
    )
    record.components = _components(
        [
            "ExampleGen",
            "StatisticsGen",
            "SchemaGen",
            "ExampleValidator",
            "Transform",
            "Trainer",
            "Baseline",
            "Evaluator",
            "SkewGate",
            "Pusher",
            "ReportGen",
        ]
    )
    record.data = _data(names)
    record.training = TrainingSummary(
        epochs=4,
        best_epoch=3,
        phases=[PhaseStart("head", 1), PhaseStart("all layers", 3)],
        stopped="no better for 1 epoch",
        images_per_second=812.5,
        waiting_share=0.31,
        history={
            "loss": [1.0, 0.6, 0.4, 0.3],
            "val_loss": [1.1, 0.7, 0.6, 0.65],
            "accuracy": [0.5, 0.7, 0.85, 0.9],
            "val_accuracy": [0.5, 0.65, 0.8, 0.79],
            "learning_rate": [1e-3, 1e-3, 1e-4, 1e-4],
        },
        input_stages={"read": 0.2, "parse": 0.1, "transform": 0.7},
        layers=[
            LayerSummary("image", "InputLayer", "", [8, 8, 3], 0, True, 0, []),
            LayerSummary("conv", "Conv2D", "16 filters 3x3, relu", [8, 8, 16], 448, False, 0, ["image"]),
            LayerSummary("scores", "Dense", "softmax", [3], 3075, True, 3075, ["conv"]),
        ],
        folder="/artifacts/Trainer/model_run/6",
    )
    record.evaluation = EvaluationSummary(
        _METRIC,
        0.8,
        "",
        {
            "overall": {_METRIC: 0.9, "top_3_accuracy": 0.99, "brier_score": 0.1, "example_count": 120},
            **{f"label:{name}": {_METRIC: 0.9, "f1": 0.9, "example_count": 40} for name in names},
        },
        {name: {name: 36, names[(place + 1) % len(names)]: 4} for place, name in enumerate(names)},
        [{"examples": 20, "score": 0.4, "right": 0.5}, {"examples": 100, "score": 0.95, "right": 0.97}],
        "/artifacts/Evaluator/evaluation/8",
    )
    record.blessed = True
    record.skew = SkewReport(
        records=58,
        server="the embedded one",
        reference="training, batches of 8",
        tolerance=1.7e-5,
        feature="image",
        synthetic=10,
        routes=[
            Comparison(route, "training, batches of 8", 2e-7, 5, 0, True, 1.7e-5, "")
            for route in ("serving_default", "REST predict", "gRPC Predict", "the pushed version")
        ],
        client_skew=[ClientSkewCost("Pillow, bicubic", 50, 6, 0.8, 0.9, 0.4)],
        seconds=12.3,
    )
    record.pushed = PushedVersion(1795813901, f"/serving/{task}/1795813901")
    record.page = "/runs/report.html"
    record.review = "/artifacts/ReportGen/review/11"
    return record


def _review(names: Sequence[str], evaluation: EvaluationReview) -> Review:
    first = _picture(3, names[0], names[1])
    data = DataReview(
        classes=[
            ClassSample(name, {"train": 100, "eval": 40}, [_picture(seed, name, "") for seed in range(4)])
            for name in names[:20]
        ],
        class_count=len(names),
        sizes={"width": Histogram([100, 300, 500], [100, 200]), "bytes": Histogram([1e4, 2e4, 4e4], [50, 250])},
        formats={"jpeg": 370, "png": 50},
        duplicates=[Twin(first, {"train": f"{names[0]}/1.jpg", "eval": f"{names[0]}/2.jpg"})],
        contradictions=[Twin(first, {names[0]: f"{names[0]}/3.jpg", names[1]: f"{names[1]}/4.jpg"})],
        quarantine=[
            Quarantined(_picture(7, "", ""), "broken", f"{names[0]}/5.jpg ends early"),
            Quarantined(Picture(f"{names[0]}/6.jpg"), "empty", "the file is empty"),
        ],
        anomalies=[Anomaly("label", "Unexpected string values", "Examples contain values missing from the schema.")],
    )
    return Review(data, evaluation, _proof(names, first), augmentation=thumbnail(10, 64), seconds=1.2)


def _proof(names: Sequence[str], first: Picture) -> ProofReview:
    """Return the proof of a run whose routes are those of `_record`: 58 records, of which one differs by rounding."""
    records = [ProvedRecord(f"{names[row % len(names)]}/{row:04d}.jpg", "random") for row in range(48)]
    records += [ProvedRecord(f"generated: kind {row}", f"kind {row}") for row in range(10)]
    row: list[float | None] = [2e-7 if place == 5 else 0.0 for place in range(len(records))]
    differences = {route: list(row) for route in ("serving_default", "REST predict", "gRPC Predict")}
    content = thumbnail(11).partition("base64,")[2]
    clients = [
        ClientPicture(
            "Pillow, bicubic",
            "resizes with bicubic",
            first,
            *(thumbnail(8, 96), thumbnail(9, 96), names[2], 0.6),
            difference=thumbnail(12, 96),
            largest=85,
            height=96,
            width=96,
            whole_sent=thumbnail(13, 112),
        ),
        ClientPicture("BGR", "cannot read it", first, "", thumbnail(9), "", None),
    ]
    return ProofReview(
        [RoutePicture("REST predict", first), RoutePicture("gRPC Predict", first)],
        clients=clients,
        records=records,
        differences=differences,
        example=ServedExample(first, content, "png"),
    )


SAMPLES = {
    "classes": class_run,
    "hostile": hostile_run,
    "thousand": thousand_classes_run,
    "numbers": number_run,
    "labels": label_run,
    "failed": failed_run,
    "skewed": skewed_run,
    "old": old_run,
}
"""The runs by a word."""
