"""ReportGen: the last component; it looks at the data, the answers and the proof, and draws the page of the run.

It runs after a rejected model, too: that is when one wants to look.
"""

from __future__ import annotations

import base64
import importlib
import io
import logging
import posixpath
import time
from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf
from PIL import Image
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts
from tfx.utils import json_utils

from components.executor import Artifacts, ComponentExecutor, Execution
from components.progress import report
from components.review.client_review import review_clients
from components.review.data_review import review_data
from components.review.evaluation_review import review_evaluation
from components.review.inputs import ReviewInputs
from components.review.proof_review import review_proof
from components.review.record import Review
from components.task.task import Task
from components.training.augmentation_samples import AUGMENTATION
from data.errors import first_line

log = logging.getLogger(__name__)
PAGE = "report.html"  # in the artifact `html`
_DRAW = "draw_page"  # key of the configuration

DrawPage = Callable[[Task, Artifacts, Review, str], None]
"""Draws a page: from the task, the component's inputs and the review, to a path."""

_Part = TypeVar("_Part")


class ReportGenExecutor(ComponentExecutor):
    """Make the review, and draw the page."""

    def execute(self, execution: Execution) -> None:
        """Write the review and the page; a part that cannot be made is missing, and the page gives the reason."""
        given = {key: execution.input(key).uri for key in execution.inputs if execution.inputs[key]}
        # Without the Evaluator's blessing the gate checks nothing; a compiled pipeline still runs it.
        is_checked = model_utils.is_model_blessed(execution.input("model_blessing"))
        inputs = ReviewInputs(
            execution.task,
            given["examples"],
            given["statistics"],
            given["schema"],
            given["anomalies"],
            given["model_run"],
            given["evaluation"],
            given.get("infra_blessing", "") if is_checked else "",
            is_pushed=any(one.get_int_custom_property("pushed") for one in execution.inputs.get("pushed_model", ())),
        )
        review = make_review(inputs)
        review.write(execution.output("review").uri)
        report("drawing the page")
        module, _, name = execution.config[_DRAW].rpartition(".")
        draw: DrawPage = getattr(importlib.import_module(module), name)
        draw(inputs.task, execution.inputs, review, posixpath.join(execution.output("html").uri, PAGE))


def make_review(inputs: ReviewInputs) -> Review:
    """Return the review of a run; a part that cannot be made is None, and `problems` has the reason."""
    started = time.perf_counter()
    review = Review()

    def part(name: str, make: Callable[[ReviewInputs], _Part]) -> _Part | None:
        report(f"looking at the {name}")
        try:
            return make(inputs)
        except Exception as error:  # the run is not worth less because a picture of it is missing
            log.exception("the review of the %s failed", name)
            review.problems.append(f"the {name} could not be shown: {type(error).__name__}: {first_line(error)}")
            return None

    review.data = part("data", review_data)
    review.augmentation = part("augmentation", _augmentation) or ""
    review.evaluation = part("answers", review_evaluation)
    review.proof = part("proof", review_proof)
    clients = part("clients", review_clients)
    if review.proof and clients:
        review.proof.costs, review.proof.clients = clients
    review.seconds = round(time.perf_counter() - started, 2)
    return review


def _augmentation(inputs: ReviewInputs) -> str:
    """Return the Trainer's picture of the augmentation as a data URI of a JPEG, a tenth of the PNG; "" without one."""
    path = posixpath.join(inputs.model_run, AUGMENTATION)
    if not tf.io.gfile.exists(path):
        return ""
    with tf.io.gfile.GFile(path, "rb") as file:
        sheet = Image.open(io.BytesIO(file.read())).convert("RGB")
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _channel(kind: type[types.Artifact], *, optional: bool = False) -> component_spec.ChannelParameter:
    return component_spec.ChannelParameter(type=kind, optional=optional)


class _ReportGenSpec(component_spec.ComponentSpec):
    PARAMETERS = {"custom_config": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": _channel(standard_artifacts.Examples),
        "statistics": _channel(standard_artifacts.ExampleStatistics),
        "schema": _channel(standard_artifacts.Schema),
        "anomalies": _channel(standard_artifacts.ExampleAnomalies),
        "model_run": _channel(standard_artifacts.ModelRun),
        "evaluation": _channel(standard_artifacts.ModelEvaluation),
        "model_blessing": _channel(standard_artifacts.ModelBlessing),
        # A local run of a rejected model has none of these.
        "infra_blessing": _channel(standard_artifacts.InfraBlessing, optional=True),
        "pushed_model": _channel(standard_artifacts.PushedModel, optional=True),
    }
    OUTPUTS = {"review": _channel(simple_artifacts.File), "html": _channel(simple_artifacts.File)}


class ReportGen(base_component.BaseComponent):
    """The component; its output `html` has the page, `review` what the page shows besides `run.json`."""

    SPEC_CLASS = _ReportGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ReportGenExecutor)

    def __init__(self, config: dict[str, Any], draw_page: str, **inputs: types.Channel) -> None:
        """Create the component.

        Args:
          config: The result of `TaskReference.config`.
          draw_page: Import path of a `DrawPage`.
          **inputs: The channels of `_ReportGenSpec.INPUTS`.
        """
        super().__init__(
            _ReportGenSpec(
                **inputs,
                custom_config=json_utils.dumps({**config, _DRAW: draw_page}),
                review=types.Channel(type=simple_artifacts.File),
                html=types.Channel(type=simple_artifacts.File),
            )
        )
