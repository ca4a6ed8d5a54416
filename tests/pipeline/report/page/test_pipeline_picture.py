from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from components.task.reference import TaskReference
from pipeline.graph import build_pipeline
from pipeline.paths import Paths
from pipeline.report.page.pipeline_picture import INPUTS, draw_pipeline
from pipeline.report.record import ComponentRun
from tests.pipeline.report.page.samples import class_run, failed_run


def test_the_inputs_are_those_of_the_pipeline(tmp_path: Path) -> None:
    reference = TaskReference("pipeline.tasks.digits:TASK", {})
    built = build_pipeline(reference, str(tmp_path), Paths(str(tmp_path), "digits"), [])
    found = {node.id: {one.id for one in node.upstream_nodes} for node in built.components}
    assert {name: set(inputs) for name, inputs in INPUTS.items()} == found
    assert all(set(inputs) <= set(list(INPUTS)[:place]) for place, inputs in enumerate(INPUTS.values()))  # an order


def test_each_component_is_a_box_with_time_state_and_reason() -> None:
    record, _ = class_run()
    record.components[5] = ComponentRun("Trainer", "executed", "train.epochs 3 -> 4; new examples", 125.0)
    found = draw_pipeline(record)
    assert found
    for drawing in (found.wide, found.tall):
        text = "|".join(ElementTree.fromstring(drawing).itertext())
        for one in record.components:
            assert f"|{one.name}|" in text
        assert "train.epochs 3 -> 4;" in text and "2 min 5 s" in text
    assert found.rows[5] == [
        "Trainer",
        "executed",
        "2 min 5 s",
        "train.epochs 3 -> 4; new examples",
        "ExampleGen, SchemaGen, ExampleValidator, Transform",
    ]
    assert found.cached == sum(one.state == "cached" for one in record.components)


def test_no_box_covers_another_one_or_leaves_the_drawing() -> None:
    found = draw_pipeline(class_run()[0])
    assert found
    for drawing in (found.wide, found.tall):
        root = ElementTree.fromstring(drawing)
        _, _, width, height = map(float, root.get("viewBox", "").split())
        boxes = [tuple(float(box.get(name, "")) for name in ("x", "y", "width", "height")) for box in root.iter("rect")]
        assert len(boxes) == len(INPUTS)
        for x, y, across, down in boxes:
            assert x >= 0 and y >= 0 and x + across <= width and y + down <= height
        for place, (x, y, across, down) in enumerate(boxes):
            for left, top, wide, high in boxes[:place]:
                assert x >= left + wide or left >= x + across or y >= top + high or top >= y + down


def test_arrows_lead_from_the_inputs_without_those_that_follow_from_others() -> None:
    """The transitive reduction, counted by hand."""
    found = draw_pipeline(class_run()[0])
    assert found
    assert len(list(ElementTree.fromstring(found.wide).iter("polygon"))) == 11


def test_components_that_a_failed_run_did_not_reach_are_shown_as_such() -> None:
    found = draw_pipeline(failed_run()[0])
    assert found
    states = {step.name: step.state for step in found.steps}
    assert states["Trainer"] == "failed"
    assert states["Evaluator"] == states["ReportGen"] == "not run"


def test_a_component_that_an_earlier_version_did_not_have_is_left_out() -> None:
    record, _ = class_run()
    del record.components[-1]
    found = draw_pipeline(record)
    assert found and "ReportGen" not in [step.name for step in found.steps]


def test_there_is_no_picture_without_components() -> None:
    record, _ = class_run()
    record.components = []
    assert draw_pipeline(record) is None
