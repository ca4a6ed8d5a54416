"""Each planted skew gets its name, and what nothing explains is reported as unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.diagnosis.activations import diagnose_activation
from serving.diagnosis.base import ReferenceModel
from serving.diagnosis.diagnose import diagnose
from serving.diagnosis.labels import diagnose_names, diagnose_thresholds, stale_assets
from serving.parity.compare import Answers, compare_answers, score_tolerance
from serving.parity.proof import Difference
from serving.parity.report import Diagnosis
from serving.parity.routes import LoadedModel
from tests.serving.diagnosis import planted


@pytest.fixture(scope="module")
def values() -> list[bytes]:
    return planted.pictures()


def _diagnosed(found: planted.PlantedModel, values: list[bytes], is_known: bool = True) -> Diagnosis | None:
    """Return the diagnosis, or None if the served answers are training's."""
    batch, model = len(values), LoadedModel(found.folder)
    reference = found.reference(values, batch)
    allowed = score_tolerance(reference, [found.reference(values, 1)])
    served = model.default(values, batch)
    if not compare_answers(reference, served, allowed).fault:
        return None
    trained = found.trained if is_known else None

    def ask(rows: Sequence[int], size: int) -> Answers:
        return model.default([values[row] for row in rows], size)

    return diagnose(Difference(found.folder, values, reference, served, ask, allowed), trained)


def test_the_clean_model_has_no_fault(tmp_path: Path, values: list[bytes]) -> None:
    assert _diagnosed(planted.plant(planted.CLEAN, str(tmp_path)), values) is None


@pytest.mark.parametrize(
    "expected",
    [pytest.param(skew, marks=[pytest.mark.slow] * skew.is_rare, id=name) for name, skew in planted.SKEWS.items()],
)
def test_each_planted_skew_is_named(tmp_path: Path, values: list[bytes], expected: planted.PlantedSkew) -> None:
    found = _diagnosed(planted.plant(expected, str(tmp_path)), values)
    assert found is not None
    assert (found.stage, found.skew[: len(expected.skew)]) == (expected.stage, expected.skew)
    assert " or " not in found.skew
    assert expected.detail in found.detail


@pytest.mark.parametrize(
    ("skew", "stage"),
    [("columns permuted", "label order"), ("augmentation, one seed", "model"), ("BGR", "unknown")],
)
def test_of_a_foreign_model_what_needs_no_pixels_is_told(
    tmp_path: Path, values: list[bytes], skew: str, stage: str
) -> None:
    found = _diagnosed(planted.plant(planted.SKEWS[skew], str(tmp_path)), values, is_known=False)
    assert found is not None and found.stage == stage


def test_pixels_that_are_not_scaled_may_look_like_a_softmax_of_one_output(tmp_path: Path, values: list[bytes]) -> None:
    """Outputs that are far too large give 0 and 1, too: of a foreign model, no single cause is certain."""
    found = _diagnosed(planted.plant(planted.SKEWS["softmax of one"], str(tmp_path)), values, is_known=False)
    assert found is not None and (found.stage, found.skew) == ("model", "every answer is 0 and 1")
    assert "softmax of a single output" in found.detail and "are the inputs scaled?" in found.detail


def test_one_picture_is_enough_for_most(tmp_path: Path, values: list[bytes]) -> None:
    found = _diagnosed(planted.plant(planted.SKEWS["BGR"], str(tmp_path)), values[:1])
    assert found is not None and "BGR instead of RGB" in found.skew


def test_numbers_are_no_pictures(tmp_path: Path) -> None:
    module = tf.Module()
    module.weight = tf.Variable([[2.0], [1.0]])
    serve = tf.function(lambda features: {"outputs": (features @ module.weight)[:, 0]}, autograph=False)
    signature = serve.get_concrete_function(tf.TensorSpec([None, 2], tf.float32, "features"))
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": signature})
    rows = [[1.0, 2.0], [3.0, -4.0]]

    def ask(some: Sequence[int], size: int) -> Answers:
        return Answers("serving_default", serve(tf.constant([rows[one] for one in some]))["outputs"].numpy()[:, None])

    reference = Answers("training", np.array([[4.0], [7.0]], np.float32))
    trained = ReferenceModel(None, lambda pixels: pixels, None, {"weight": module.weight.numpy()})
    difference = Difference(str(tmp_path), rows, reference, ask([0, 1], 2), ask, 1e-3)
    found = diagnose(difference, trained)
    assert (found.stage, found.record) == ("unknown", 1) and "not images" in found.detail
    weights = {"w": np.array([[2.5], [1.0]], np.float32), "seed": np.array([1], np.uint32)}
    other = ReferenceModel(None, lambda pixels: pixels, None, weights)
    found = diagnose(difference, other)
    assert (found.skew, found.detail) == (
        "a different model version",
        "1 of 1 weights are not the trained ones: w",
    )


def test_names_that_come_with_their_scores_in_another_order(tmp_path: Path) -> None:
    reference = Answers("training", np.array([[0.2, 0.8]], np.float32), np.array([[b"a", b"b"]], object))
    served = Answers("serving_default", np.array([[0.8, 0.2]], np.float32), np.array([[b"b", b"a"]], object))
    found = diagnose_names(str(tmp_path), reference, served, 1e-6)
    assert found is not None and found.skew == "names and scores both in another order"
    assert diagnose_names(str(tmp_path), reference, reference, 1e-6) is None
    fewer = Answers("serving_default", served.scores[:, :1], np.array([[b"a"]], object))
    found = diagnose_names(str(tmp_path), reference, fewer, 1e-6)
    assert found is not None and (found.skew, found.detail.split(";")[0]) == ("stale vocabulary", "lacks b")
    found = diagnose_names(str(tmp_path), reference, Answers("x", served.scores), 1e-6)
    assert found is not None and found.skew == "names missing"


@pytest.mark.parametrize(
    ("limits", "skew", "detail"),
    [
        ((0.25, 0.5, 0.75), "thresholds in another order", "a 0.25, not 0.5, b 0.5, not 0.25"),
        ((0.25, 0.75, 0.5), "thresholds shifted by one", "a 0.25, not 0.5, b 0.75, not 0.25, c 0.5, not 0.75"),
        ((0.5, 0.5, 0.5), "0.5 for every label instead of the chosen thresholds", "b 0.5, not 0.25, c 0.5, not 0.75"),
        ((0.5, 0.25, 0.75000006), "thresholds of another version", "c 0.75000006, not 0.75"),
        (None, "thresholds missing", ""),
    ],
)
def test_thresholds_that_differ(limits: tuple[float, ...] | None, skew: str, detail: str) -> None:
    names = np.array([[b"a", b"b", b"c"]] * 2, object)
    reference = Answers(
        "training", np.full((2, 3), 0.5, np.float32), names, np.array([[0.5, 0.25, 0.75]] * 2, np.float32)
    )
    thresholds = None if limits is None else np.array([[0.5, 0.25, 0.75], limits], np.float32)
    found = diagnose_thresholds(reference, dataclasses.replace(reference, thresholds=thresholds), 1e-6)
    assert found is not None and (found.stage, found.skew) == ("thresholds", skew)
    assert found.record == (0 if limits is None else 1)
    assert found.detail == (f"{detail}; the scores are training's" if detail else "")
    assert diagnose_thresholds(reference, reference, 1e-6) is None
    other = dataclasses.replace(reference, scores=reference.scores + 0.1, thresholds=thresholds)
    assert diagnose_thresholds(reference, other, 1e-6) is None


def test_saturated_scores_do_not_hide_a_softmax() -> None:
    outputs = np.random.default_rng(0).normal(0, 6, (40, 4))
    outputs[0] = [30, 1, -2, 0]
    sigmoids, exponentials = 1 / (1 + np.exp(-outputs)), np.exp(outputs)
    reference = Answers("training", np.array(sigmoids, np.float32), None, np.full((40, 4), 0.5, np.float32))
    served = Answers("gRPC", np.array(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32))
    assert (reference.scores == 1).any()
    found = diagnose_activation(reference, served, 3, 1e-6)
    assert found is not None and (found.skew, found.record) == ("softmax instead of sigmoids", 3)
    other = Answers("gRPC", np.array(np.random.default_rng(1).random((40, 4)), np.float32))
    assert diagnose_activation(reference, other, 3, 1e-6) is None
    assert diagnose_activation(dataclasses.replace(reference, thresholds=None), served, 3, 1e-6) is None


def test_assets_that_hold_other_names_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "assets"
    folder.mkdir()
    for name, text in {"ok": "a\nb\n", "turned": "b\na\n", "old": "a\nc\n", "others": "x\ny\n"}.items():
        (folder / name).write_text(text)
    assert stale_assets(str(tmp_path), [b"a", b"b"]) == [
        "assets/old has c and lacks b",
        "assets/turned has them in another order",
    ]
