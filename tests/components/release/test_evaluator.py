"""What is asked of TFMA, and what is said of its verdict; `test_evaluation` runs it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.evaluators import metrics_validator
from tfx import types
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from components.release.evaluation import Evaluation, check_quality, violations
from components.release.evaluator import eval_config, evaluator
from components.release.limits import metric_of
from components.release.measures import ACCURACY, ERROR
from components.task.limits import check_labels
from components.task.task import Evaluate, Task
from data.errors import QualityError, UsageError
from data.sources import Arrays, Csv, ImageTable
from data.spec import Classes, Labels, Number, Vector
from tests.tasks.tiny import TASK

ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Classes())
NUMBERS = dataclasses.replace(ROWS, label=Number())
SEVERAL = dataclasses.replace(ROWS, source=Arrays(), label=Labels())


def _with(task: Task, **evaluate: Any) -> Task:
    return dataclasses.replace(task, evaluate=Evaluate(**evaluate))


# The configuration


@pytest.mark.parametrize("task", [ROWS, NUMBERS], ids=["classes", "numbers"])
def test_the_limits_hold_for_all_examples_together_only(task: Task) -> None:
    config = eval_config(_with(task, max_drop=0.25, min_accuracy=0.5))
    metrics = config.metrics_specs[0].metrics
    assert not any(metric.HasField("threshold") for metric in metrics)
    limited = {metric.class_name: metric.per_slice_thresholds for metric in metrics if metric.per_slice_thresholds}
    (name,) = limited
    assert name == ("SparseCategoricalAccuracy" if task is ROWS else "MeanSquaredError")
    assert [list(one.slicing_specs) for one in limited[name]] == [[tfma.SlicingSpec()], [tfma.SlicingSpec()]]
    assert [one.threshold.HasField("change_threshold") for one in limited[name]] == [False, True]
    slices = [list(one.feature_keys) for one in config.slicing_specs]
    assert slices == ([[], ["label"]] if task is ROWS else [[]])
    tfma.utils.verify_eval_config(config)


def test_of_several_labels_the_mean_average_precision_has_the_limit() -> None:
    """TFMA builds the metric from its configuration, and gives it the limits."""
    task = _with(SEVERAL, min_average_precision=0.5, max_drop=0.25)
    config = eval_config(task)
    assert metric_of(task) == "mean_average_precision"
    limits = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, config)
    assert {key.name for key in limits} == {"mean_average_precision"}
    ((slicing, limit),) = limits[tfma.metrics.MetricKey("mean_average_precision")]
    assert slicing == tfma.SlicingSpec() and limit.lower_bound.value == pytest.approx(0.5, abs=1e-5)
    assert [list(one.feature_keys) for one in config.slicing_specs] == [[]]  # each label has metrics without a slice
    assert json.loads(config.metrics_specs[0].metrics[0].config)["by_label"] is True
    assert json.loads(eval_config(_with(SEVERAL, slices=())).metrics_specs[0].metrics[0].config)["by_label"] is False


def test_a_slice_for_each_feature_asked_for() -> None:
    config = eval_config(_with(TASK, slices=("label", "image/format")))
    assert [list(one.feature_keys) for one in config.slicing_specs] == [[], ["label"], ["image/format"]]


def test_the_exported_signature_is_what_is_evaluated() -> None:
    (model,) = eval_config(ROWS).model_specs
    assert (model.signature_name, model.label_key, model.prediction_key) == ("serving_examples", "label", "scores")
    assert eval_config(NUMBERS).model_specs[0].prediction_key == "outputs"
    assert eval_config(SEVERAL).model_specs[0].prediction_key == "scores"
    assert (metric_of(ROWS), metric_of(NUMBERS)) == (ACCURACY, ERROR)


def test_the_component_reads_the_split_of_the_task() -> None:
    kinds = ("Examples", "Model", "Model", "Schema")
    channels = [types.Channel(type=getattr(standard_artifacts, kind)) for kind in kinds]
    found = evaluator(_with(ROWS, split="test"), *channels)
    assert json_utils.loads(found.exec_properties["example_splits"]) == ["test"]


# Limits by metric


@pytest.mark.parametrize(
    ("task", "limits", "message", "hint"),
    [
        (
            ROWS,
            {"minimum": {"acuracy": 0.9}},
            "no metric of classes for evaluate.minimum 'acuracy'. Did you mean",
            "auc",
        ),
        (ROWS, {"minimum": {"mae": 0.9}}, "no metric of classes for evaluate.minimum 'mae'", "recall"),
        (NUMBERS, {"maximum": {"recall": 0.9}}, "no metric of numbers for evaluate.maximum 'recall'", "rmse"),
        (
            SEVERAL,
            {"minimum": {"accuracy": 0.9}},
            "no metric of several labels for evaluate.minimum 'acc",
            "exact_match",
        ),
        (ROWS, {"minimum": {"accuracy/rose": 0.9}}, "accuracy is a metric of all classes together", "recall/rose"),
        (
            ROWS,
            {"minimum": {"recall@label=rose": 0.9}},
            "recall compares classes, and a slice of one class has no other",
            "recall/rose",
        ),
        (ROWS, {"minimum": {"recall@*": 0.9}}, "there are no slices for 'recall@*'", "evaluate.slices="),
        (ROWS, {"max_drop": {"mean_label/rose": 0.1}}, "neither higher nor lower is better for mean_label", "minimum"),
        (ROWS, {"minimum": {"recall(class_id=1)": 0.9}}, "recall must not have class_id", "METRIC/CLASS"),
        (ROWS, {"minimum": {"recall(top=1)": 0.9}}, "no argument of recall for evaluate.minimum 'top'", "thresholds"),
        (ROWS, {"minimum": {"recall_at_precision": 0.9}}, "recall_at_precision is not legal: .*'precision'", ""),
    ],
)
def test_limits_that_do_not_exist_are_refused_before_the_run(
    task: Task, limits: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(
        UsageError, match=f"^(evaluate.m[a-z_]*: )?{message.replace('*', '[*]', message.count('@*'))}"
    ) as caught:
        eval_config(_with(task, **limits))
    assert hint in caught.value.hint and "\n" not in str(caught.value)


def test_the_direction_of_a_change_is_the_metrics() -> None:
    """A share may drop by a difference, an error or a loss may grow by a share of itself."""
    names = ("auc", "expected_calibration_error", "crossentropy", "top_2_accuracy@*", "fall_out/1")
    config = eval_config(_with(ROWS, max_drop=dict.fromkeys(names, 0.1)))
    tfma.utils.verify_eval_config(config)
    limits = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, config)
    found = {(key.name, key.output_name): [limit for _, limit in some] for key, some in limits.items() if key.is_diff}
    assert len(found) == len(names)
    higher, lower = tfma.MetricDirection.HIGHER_IS_BETTER, tfma.MetricDirection.LOWER_IS_BETTER
    for (name, label), (limit,) in found.items():
        is_higher, is_loss = name in ("auc", "top_2_accuracy"), name == "sparse_categorical_crossentropy"
        assert limit.direction == (higher if is_higher else lower) and label == ("1" if name == "fall_out" else "")
        amount = limit.relative.value if is_loss else limit.absolute.value
        assert amount == pytest.approx(-0.1 if is_higher else 0.1, abs=1e-5), name
    assert not any(key.name == ACCURACY for key in limits if key.is_diff)


def test_each_slice_and_one() -> None:
    names = ("accuracy@*", "recall/1@*", "auc@image/format=PNG")
    task = _with(TASK, slices=("label", "image/width"), minimum=dict.fromkeys(names, 0.5))
    config = eval_config(task)
    features = ["label", "image/width", "image/format"]
    assert [list(one.feature_keys) for one in config.slicing_specs] == [[], *([name] for name in features)]
    limits = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, config)
    found = {(key.name, key.output_name): [one for one, _ in some] for key, some in limits.items() if not key.is_diff}
    by = [tfma.SlicingSpec(feature_keys=[name]) for name in features]
    assert found == {
        (ACCURACY, ""): [tfma.SlicingSpec(), *by],
        ("recall", "1"): by[1:],
        ("auc", ""): [tfma.SlicingSpec(feature_values={"image/format": "PNG"})],
    }


def test_a_class_that_does_not_exist() -> None:
    check_labels(("", "1"), ("1", "2"))
    with pytest.raises(UsageError, match="no class for the limits of evaluate 'rosé'. Did you mean 'rose'?") as caught:
        check_labels(("tulip", "rosé"), ("rose", "tulip"))
    assert caught.value.hint == "Legal: rose, tulip"


# What is said of a model that was not blessed


_Values = dict[tuple[tuple[tuple[str, Any], ...], str, str], float]


def _evaluation(task: Task, value: float, baseline: float | None = None) -> Evaluation:
    """With TFMA's own verdict on the value."""
    name = metric_of(task)
    config = tfma.utils.update_eval_config_with_defaults(
        eval_config(task), has_baseline=baseline is not None, rubber_stamp=True
    )
    key = tfma.metrics.MetricKey(name, "" if baseline is None else "candidate")
    metrics = {key: value}
    now: _Values = {((), "", name): value}
    before: _Values = {}
    if baseline is not None:
        metrics |= {key.make_baseline_key("baseline"): baseline, key.make_diff_key(): value - baseline}
        before = {((), "", name): baseline}
    result = metrics_validator.validate_metrics(((), metrics), config)
    found = tuple(violations(result, now, before))
    return Evaluation({"overall": {name: value}}, 10, baseline, found)


def _said(task: Task, value: float, baseline: float | None = None) -> QualityError:
    with pytest.raises(QualityError) as caught:
        check_quality(_evaluation(task, value, baseline), task, blessed=False)
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)
    return caught.value


def test_a_blessed_model_needs_no_words() -> None:
    check_quality(_evaluation(ROWS, 0.0), _with(ROWS, min_accuracy=1.0), blessed=True)


def test_below_the_limit() -> None:
    error = _said(_with(ROWS, min_accuracy=0.95), 0.9421)
    assert str(error) == "not pushed: accuracy 0.9421 is below the limit 0.9500"
    assert "--set evaluate.min_accuracy=" in error.hint


def test_the_limit_comes_before_the_model_before() -> None:
    assert "below the limit 0.9500" in str(_said(_with(ROWS, min_accuracy=0.95), 0.9, baseline=0.99))


def test_worse_than_the_model_before() -> None:
    error = _said(_with(ROWS, min_accuracy=0.5, max_drop=0.01), 0.97, baseline=0.99)
    assert str(error) == (
        "not pushed: accuracy 0.9700 is worse than 0.9900 of the last blessed model (allowed drop 0.01)"
    )
    assert "--set evaluate.max_drop=" in error.hint


def test_several_labels_below_their_limit_and_worse_than_before() -> None:
    error = _said(_with(SEVERAL, min_average_precision=0.6), 0.59)
    assert str(error) == "not pushed: mean average precision 0.5900 is below the limit 0.6000"
    assert "--set evaluate.min_average_precision=" in error.hint
    assert "mean average precision 0.5900 is worse than 0.6100 of the last" in str(_said(SEVERAL, 0.59, baseline=0.61))


def test_a_number_above_its_limit_and_worse_than_before() -> None:
    error = _said(_with(NUMBERS, max_error=0.5), 0.625)
    assert str(error) == "not pushed: mean squared error 0.6250 is above the limit 0.5000"
    assert "--set evaluate.max_error=" in error.hint
    worse = _said(NUMBERS, 0.625, baseline=0.5)
    assert "mean squared error 0.6250 is worse than 0.5000" in str(worse)


def test_a_metric_that_is_no_number() -> None:
    assert str(_said(NUMBERS, float("nan"))) == "not pushed: mean squared error is nan"


def test_columns_of_a_table_are_slices() -> None:
    task = dataclasses.replace(TASK, source=ImageTable(slices=("site",)))
    assert [list(one.feature_keys) for one in eval_config(task).slicing_specs] == [[], ["label"], ["site"]]
    several = dataclasses.replace(task, label=Labels())
    assert [list(one.feature_keys) for one in eval_config(several).slicing_specs] == [[], ["site"]]
