"""The training on the page: its curves have the numbers of the history, its table the model's layers."""

from __future__ import annotations

import math

from components.review.record import Review
from pipeline.report.page.sections.training import build_training
from pipeline.report.page.training_charts import draw_history, draw_waiting
from pipeline.report.record import LayerSummary, PhaseStart, TrainingSummary
from tests.pipeline.report.page.samples import class_run, failed_run


def test_each_metric_and_the_learning_rate_has_a_chart() -> None:
    record, _ = class_run()
    assert record.training
    charts = {chart.title: chart for chart in draw_history(record.training)}
    assert list(charts) == ["Accuracy", "Loss", "Learning rate"]
    history = record.training.history
    for title, name in (("Accuracy", "accuracy"), ("Loss", "loss")):
        assert charts[title].columns == ["epoch", "training", "validation"]
        cells = [[float(cell) for cell in row] for row in charts[title].rows]
        expected = zip(range(1, 5), history[name], history[f"val_{name}"], strict=True)
        assert cells == [list(row) for row in expected]
    assert [float(row[1]) for row in charts["Learning rate"].rows] == history["learning_rate"]
    assert "exported: epoch 3" in charts["Loss"].svg
    assert "all layers" in charts["Loss"].svg


def test_a_learning_rate_that_stays_the_same_is_a_fact() -> None:
    record, _ = class_run()
    record.training = TrainingSummary(epochs=2, history={"loss": [1.0, 0.5], "learning_rate": [0.002, 0.002]})
    view = build_training(record, Review())
    assert view
    assert [chart.title for chart in view.curves] == ["Loss"]
    assert ("learning rate", "0.002") in view.facts


def test_a_metric_of_the_validation_alone_is_not_lost() -> None:
    (chart,) = draw_history(TrainingSummary(history={"val_auc": [0.5, 0.6]}))
    assert chart.rows == [["1", "0.5"], ["2", "0.6"]]


def test_losses_of_many_sizes_have_a_logarithmic_axis() -> None:
    wide, narrow = (draw_history(TrainingSummary(history={"loss": loss})) for loss in ([500.0, 1.0], [5.0, 1.0]))
    assert "log scale" in wide[0].svg
    assert "log scale" not in narrow[0].svg


def test_one_epoch_and_values_that_are_no_numbers() -> None:
    histories: list[dict[str, list[float]]] = [{}, {"loss": [0.5]}, {"loss": [math.nan, math.inf]}, {"loss": []}]
    for history in [*histories, {"accuracy": [1.0, 1.0]}]:
        for chart in draw_history(TrainingSummary(epochs=2, best_epoch=2, history=history)):
            assert "nan" not in chart.svg


def test_the_time_is_divided_into_computing_and_stages() -> None:
    found = draw_waiting(
        TrainingSummary(images_per_second=10, waiting_share=0.4, input_stages={"read": 0.25, "transform": 0.75})
    )
    assert found
    assert found.rows == [
        ["computing", "60.0%"],
        ["waiting: read the files", "10.0%"],
        ["waiting: decode and resize", "30.0%"],
    ]
    whole = draw_waiting(TrainingSummary(images_per_second=10, waiting_share=0.1))
    assert whole and whole.rows[-1] == ["waiting for input", "10.0%"]
    assert draw_waiting(TrainingSummary()) is None


def test_the_facts() -> None:
    record, review = class_run()
    view = build_training(record, review)
    assert view
    facts = dict(view.facts)
    assert facts["epochs"] == "4; epoch 3, the best one, was exported"
    assert facts["phases"] == "head from epoch 1, all layers from epoch 3"
    assert facts["stopped early"] == "no better for 1 epoch"
    assert facts["waiting"] == "31% of the time for input"
    assert view.augmentation == review.augmentation


def test_the_layers() -> None:
    record, _ = class_run()
    view = build_training(record, Review())
    assert view
    assert view.model == "3 layers, 3,523 parameters, 3,075 of them trainable."
    first, conv, last = view.layers
    assert (first.output, first.params, first.is_frozen) == ("8 x 8 x 3", 0, False)
    assert (conv.is_frozen, conv.share, conv.inputs) == (True, 448 / 3523, "")
    assert (last.is_frozen, last.inputs) == (False, "")


def test_a_layer_that_others_feed_names_them() -> None:
    record, _ = class_run()
    assert record.training
    record.training.layers.append(LayerSummary("add", "Add", "", [None, 3], 0, True, 0, ["scores", "image"]))
    view = build_training(record, Review())
    assert view
    assert (view.layers[-1].inputs, view.layers[-1].output) == ("scores, image", "? x 3")


def test_an_early_record_has_no_layers() -> None:
    record, _ = class_run()
    record.training = TrainingSummary(epochs=2, phases=[PhaseStart("training", 1)])
    view = build_training(record, Review())
    assert view
    assert (view.layers, view.model, view.waiting, view.curves) == ([], "", None, [])
    assert view.facts == [("epochs", "2")]


def test_a_run_that_did_not_train_has_no_section() -> None:
    assert build_training(*failed_run()) is None
