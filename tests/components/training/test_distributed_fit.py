from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.task.reference import TaskReference
from components.training import trainer
from components.training.distributed_fit import fit_replicas
from components.training.replicas import Replicas
from components.training.trained_model import TrainedModel
from components.training.training_route import answer_records
from data.errors import UsageError
from data.input import reader
from tests import PROJECT


@pytest.fixture(scope="module")
def trained(digit_named: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What `tests.components.mirrored` leaves: `report` and `weights`, by the name of the training; `folder` has what
    the Trainer left."""
    folder = tmp_path_factory.mktemp("mirrored")
    settings = {"train.epochs": "2", "train.strategy": "mirrored"}
    arguments = {
        "custom_config": TaskReference("tests.tasks.tiny:TASK", settings).config("feature", "label", "model", "train"),
        "schema_path": f"{digit_named.schema}/schema.pbtxt",
        "transform_output": digit_named.transform,
        "train_files": [f"{digit_named.examples}/Split-train/*"],
        "serving_model_dir": str(folder / "model"),
        "model_run_dir": str(folder / "run"),
    }
    (folder / "arguments.json").write_text(json.dumps(arguments))
    command = [sys.executable, "-m", "tests.components.mirrored", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[np.ndarray]] = {}
    for name, value in np.load(folder / "weights.npz").items():
        found.setdefault(name.partition("/")[0], []).append(value)
    return SimpleNamespace(report=json.loads((folder / "report.json").read_text()), weights=found, folder=folder)


def _same_training(trained: SimpleNamespace, one: str, other: str, tolerance: float) -> None:
    reports = trained.report[one], trained.report[other]
    assert reports[0]["history"].keys() == reports[1]["history"].keys()
    for name, values in reports[0]["history"].items():
        assert reports[1]["history"][name] == pytest.approx(values, rel=tolerance), name
    for name in ("epochs", "best_epoch", "phases", "stopped"):
        assert reports[0][name] == reports[1][name]
    for value, expected in zip(trained.weights[one], trained.weights[other], strict=True):
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_two_replicas_learn_what_one_learns(trained: SimpleNamespace) -> None:
    """Loss of the epochs, regularization included, accuracy and weights; with batches of 5 (3 and 2) and a last one of
    1 (1 and none). The sums of a step have another order, a rounding of 6e-8 each, which Adam carries on through 25
    steps; leaving out or weighing an example wrongly changes the loss by a hundredth."""
    assert trained.report["replicas"] == 2
    _same_training(trained, "mirrored", "alone", 1e-4)


@pytest.mark.slow
def test_two_replicas_clip_accumulate_average_and_weigh_as_one(trained: SimpleNamespace) -> None:
    """What an optimizer computes of the gradients of a whole batch, and class weights; in epochs that are no pass."""
    _same_training(trained, "rich mirrored", "rich alone", 1e-4)


@pytest.mark.slow
def test_two_replicas_compute_in_half_precision_as_one(trained: SimpleNamespace) -> None:
    """With a scaled loss, the sum over the examples. Sums of float16 gradients round in another order, 5e-4 each."""
    _same_training(trained, "half mirrored", "half alone", 1e-2)


@pytest.mark.slow
def test_two_replicas_learn_several_labels_as_one(trained: SimpleNamespace) -> None:
    """The areas, too, whose counts are sums over the replicas."""
    assert {"val_binary_accuracy", "val_auc", "val_pr_auc"} < trained.report["several mirrored"]["history"].keys()
    _same_training(trained, "several mirrored", "several alone", 1e-4)


def test_a_loss_whose_shares_have_no_sum_is_refused() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(reduction="none"))
    nothing = reader.Batches(lambda epoch, batch: tf.data.Dataset.range(1), 1, True)
    with pytest.raises(UsageError, match="train.loss: the reduction 'none' cannot be computed on several") as caught:
        fit_replicas(
            model, Replicas(), nothing.passes(), nothing, lambda: None, steps=1, start=(0, 0), epochs=1, callbacks=[]
        )
    assert "sum_over_batch_size" in caught.value.hint


@pytest.mark.slow
def test_a_killed_one_goes_on_as_if_nothing_had_been(trained: SimpleNamespace) -> None:
    """Dropout's seeds, and the statistics that each replica gathered by itself, come back."""
    assert trained.report["resumed"]["resumed_at"] == "epoch 2, step 4"
    _same_training(trained, "resumed", "whole", 1e-5)


@pytest.mark.slow
def test_the_statistics_of_the_replicas_become_one(trained: SimpleNamespace) -> None:
    """Of BatchNormalization, which saw other examples in each."""
    one, other = trained.report["statistics"]
    assert one == other and any(one)


@pytest.mark.slow
def test_what_the_trainer_exports_from_replicas_is_a_plain_model(
    trained: SimpleNamespace, digit_named: SimpleNamespace
) -> None:
    """Fed by a tf.data service. It answers as the weights do that the gate compares with, without the second device."""
    folder = trained.folder
    records = list(
        tf.data.TFRecordDataset(tf.io.gfile.glob(f"{digit_named.examples}/Split-eval/*")).as_numpy_iterator()
    )
    signature = tf.saved_model.load(str(folder / "model")).signatures["serving_examples"]
    answers = signature(inputs=tf.constant(records))
    assert answers["classes"][0].numpy().tolist() == [b"1", b"2", b"10"]
    model = TrainedModel(TaskReference("tests.tasks.tiny:TASK").load(), ("1", "2", "10"), str(folder / "run"))
    together, _ = answer_records(model, digit_named.transform, records).answers
    np.testing.assert_allclose(answers["scores"], together.scores, atol=1e-6)
    assert b"CPU:1" not in (folder / "model" / "saved_model.pb").read_bytes()
    report = json.loads((folder / "run" / trainer.REPORT).read_text())
    assert report["epochs"] == 2 and not report["in_memory"] and report["images_per_second"] > 0
