"""The pipeline of a task: what each component knows of the run's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from components.task.reference import TaskReference, task_of
from pipeline.commands.completion import COMPONENTS
from pipeline.graph import build_pipeline
from pipeline.paths import Paths
from pipeline.report.metadata import _changes

SETTINGS = {
    "label.names": "0,1,2,3,4,5,6,7,8,9",
    "train.mixed_precision": "bfloat16",
    "train.loss": "sparse_categorical_crossentropy(from_logits=False)",
    "gate.sample": "7",
}


def _components(settings: Mapping[str, str], root: Path) -> list[Any]:
    """Return the components of `digits`."""
    reference = TaskReference("pipeline.tasks.digits:TASK", settings)
    return list(build_pipeline(reference, str(root), Paths(str(root), "digits"), []).components)


def _configs(settings: Mapping[str, str], root: Path) -> dict[str, Any]:
    """Return the custom_config of each component of `digits` that has one, by the component's name."""
    found = {one.id: one.exec_properties.get("custom_config") for one in _components(settings, root)}
    return {name: config for name, config in found.items() if config}


def test_completion_offers_the_components_that_run_in_containers(tmp_path: Path) -> None:
    """It cannot look: that would load TFX. Those of a tuning are in another pipeline."""
    names = {one.id for one in _components({}, tmp_path)} - {"Baseline"}
    assert names | {"Tuner", "MergeTrials"} == set(COMPONENTS)


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _configs(SETTINGS, tmp_path_factory.mktemp("root"))


@pytest.mark.parametrize("part", ["feature", "label", "model", "train"])
def test_the_gate_builds_the_model_of_the_trainer(part: str, configs: dict[str, Any]) -> None:
    """The layers' precision and the outputs, logits or not, follow from the settings of training."""
    trained, checked = (getattr(task_of(configs[name]), part) for name in ("Trainer", "SkewGate"))
    assert trained == checked
    assert (part in ("label", "train")) == any(key.startswith(f"{part}.") for key in SETTINGS)


def test_a_component_knows_the_settings_of_its_parts_only(configs: dict[str, Any]) -> None:
    assert task_of(configs["SkewGate"]).gate.sample == 7
    assert task_of(configs["Transform"]).train.mixed_precision == ""


def test_a_new_limit_on_a_class_is_the_reason_for_the_validation(tmp_path: Path) -> None:
    before, now = (
        {"custom_config": pb.Value(string_value=_configs(settings, tmp_path)["ExampleValidator"])}
        for settings in ({}, {"evaluate.minimum": "recall/3:0.8"})
    )
    assert _changes(before, now) == ["evaluate.limited_labels none -> 3"]
