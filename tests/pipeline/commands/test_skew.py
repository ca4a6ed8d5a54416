"""`skewless skew` as a user calls it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.pipeline.simulator_in_process import assert_told, attempt
from tests.preloaded import call_module


def skew(*args: object) -> subprocess.CompletedProcess[str]:
    return call_module("pipeline.cli", "skew", *map(str, args))


def save(folder: Path, factor: float) -> Path:
    """Doubles a number; `serving_default` by another factor."""

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, "features")])
        def default(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"outputs": factor * features[:, 0]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            spec = {"features": tf.io.FixedLenFeature([1], tf.float32)}
            return {"outputs": 2.0 * tf.io.parse_example(inputs, spec)["features"][:, 0]}

    model = Model()
    signatures = {"serving_default": model.default, "serving_examples": model.examples}
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shards") / "data_tfrecord-00000-of-00001"
    with tf.io.TFRecordWriter(str(file)) as writer:
        for value in np.linspace(-1, 1, 5):
            example = tf.train.Example()
            example.features.feature["features"].float_list.value.append(value)
            writer.write(example.SerializeToString())
    return file


def test_a_faithful_model_passes(tmp_path: Path, shard: Path) -> None:
    done = skew("--model", save(tmp_path / "m", 2.0), "--examples", shard.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("same") == 8
    assert "5 records; tolerance" in done.stdout and "graph      no findings" in done.stdout


def test_a_skewed_model_is_exit_5_with_the_first_route_and_record(tmp_path: Path, shard: Path) -> None:
    done = skew("--model", save(tmp_path / "m", 2.5), "--examples", shard)
    assert done.returncode == 5
    assert "error: serving_default, one by one: scores differ by up to 0.5" in done.stderr
    assert "6 of 7 routes differ from serving_examples" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_run_whose_model_drops_in_serving_is_not_pushed(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 12, "dogs": 12})
    found = attempt(data, tmp_path / "root", "tests.tasks.tiny:DROPPING", gate__sample="8")
    assert_told(found.error, 5, "not pushed: serving differs from training in the model: dropout left on", "seen on")
    assert found.record["status"] == "not pushed" and found.record["exit_code"] == 5
    assert found.states["SkewGate"] == "executed" and "Pusher" not in found.states
    assert not (tmp_path / "root" / "tiny" / "serving").exists()
    assert {one["kind"] for one in found.record["skew"]["structure"]} == {"random"}
    again = skew("tests.tasks.tiny:DROPPING", "--root", tmp_path / "root", "--set", "gate.sample=8")
    assert again.returncode == 5
    assert "error: serving differs from training in the model: dropout left on" in again.stderr
    assert "Traceback" not in again.stderr and "first" in again.stdout


def test_a_task_that_never_ran_is_told(tmp_path: Path) -> None:
    done = skew("digits", "--root", tmp_path)
    assert (done.returncode, "no run of 'digits'" in done.stderr) == (2, True)
    neither = skew("digits", "--model", tmp_path)
    assert (neither.returncode, "skew needs TASK, or --model DIR" in neither.stderr) == (2, True)


def test_bad_files_are_told(tmp_path: Path, shard: Path) -> None:
    missing = skew("--model", tmp_path, "--examples", tmp_path / "none")
    assert (missing.returncode, "none does not exist" in missing.stderr) == (3, True)
    (tmp_path / "text").write_text("not a TFRecord file, but long enough to be taken for one")
    broken = skew("--model", tmp_path, "--examples", tmp_path / "text")
    assert (broken.returncode, "text cannot be read as TFRecords" in broken.stderr) == (3, True)
    no_model = skew("--model", tmp_path, "--examples", shard)
    assert (no_model.returncode, "no SavedModel at" in no_model.stderr) == (2, True)
