"""What a run reports: reasons from the ML Metadata of real runs, the log, the display, the record, the summary."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import linecache
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import json_format
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb
from rich.console import Console
from rich.text import Text

from components.prepare.schema import SchemaGen
from components.prepare.statistics import statistics_gen
from components.progress import LOGGER, report
from components.release.evaluator import eval_config
from components.task import fingerprint
from components.task.reference import TaskReference
from data.errors import UsageError
from data.files.fingerprint import folder_fingerprint
from pipeline.paths import Paths
from pipeline.report.display import Display
from pipeline.report.metadata import Metadata, _changes
from pipeline.report.quiet import logged_to
from pipeline.report.record import (
    ComponentRun,
    DataSummary,
    EvaluationSummary,
    LayerSummary,
    PhaseStart,
    PushedVersion,
    RunRecord,
    TrainingSummary,
    read_record,
    write_record,
)
from pipeline.report.summary import print_summary
from serving.graph.checks import Finding
from serving.parity.client_skew import ClientSkewCost
from serving.parity.compare import Comparison
from serving.parity.report import Diagnosis, SkewReport
from tests.components.conftest import example_gen, run_components
from tests.tasks.tiny import TASK

MODULE = "skewless_report_test_task"
SOURCE = """
from dataclasses import dataclass, replace
from data.sources import ImageFolder
from tests.tasks.tiny import TASK

@dataclass(frozen=True)
class Mine(ImageFolder):
    def plan(self, folder, feature, label=None):
        return super().plan(folder, feature, label)

TASK = replace(TASK, source=Mine())
"""


# Why


def _write_module(folder: Path, source: str) -> None:
    (folder / f"{MODULE}.py").write_text(source)
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()
    linecache.clearcache()


def _run(folder: Path, **settings: str) -> tuple[dict[str, str], set[str]]:
    """Run the data's components; return why each ran, by component, and their states."""
    reference = TaskReference(f"{MODULE}:TASK", {key.replace("__", "."): text for key, text in settings.items()})
    config = reference.config("feature", "label")
    examples = example_gen(reference, folder / "data")
    statistics = statistics_gen(examples.outputs["examples"], TASK.feature)
    schema = SchemaGen(examples.outputs["examples"], statistics.outputs["statistics"], config)
    run_components([examples, statistics, schema], folder)
    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(folder / "metadata.db")
    store, metadata = metadata_store.MetadataStore(connection), Metadata(connection)
    names = {kind.id: kind.name.rpartition(".")[2] for kind in store.get_execution_types()}
    last = {names[one.type_id]: one.id for one in sorted(store.get_executions(), key=lambda one: one.id)}
    assert set(last) == {"ExampleGen", "StatisticsGen", "SchemaGen"}, last
    return {name: metadata.why(number) for name, number in last.items()}, set(map(metadata.state, last.values()))


@pytest.mark.slow
def test_the_reasons_of_real_runs(
    tmp_path: Path, picture_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    data = picture_folder(tmp_path / "data", {"cats": 12, "dogs": 12})
    _write_module(tmp_path, SOURCE)

    why, states = _run(tmp_path)
    assert why == dict.fromkeys(why, "first run") and states == {"executed"}

    why, states = _run(tmp_path)
    assert why == dict.fromkeys(why, "nothing that it depends on has changed") and states == {"cached"}

    changed = {"ingest__seed": "7", "feature__resize": "area"}
    why, states = _run(tmp_path, **changed)
    assert why == {
        "ExampleGen": "feature.resize 'bilinear' -> 'area'; ingest.seed 0 -> 7",
        "StatisticsGen": "new examples",
        "SchemaGen": "feature.resize 'bilinear' -> 'area'; new examples; new statistics",
    }
    assert states == {"executed"}

    _write_module(tmp_path, SOURCE.replace("return super()", "assert folder\n        return super()"))
    assert _run(tmp_path, **changed)[0]["ExampleGen"] == "the code of source has changed"

    (data / "cats" / "0000.jpg").unlink()
    assert _run(tmp_path, **changed)[0]["ExampleGen"] == "the data have changed"

    others = {**fingerprint.package_versions(), "packages.tensorflow": "2.99.0"}
    monkeypatch.setattr("components.task.fingerprint.package_versions", lambda: others)
    assert _run(tmp_path, **changed)[0]["ExampleGen"] == f"tensorflow {tf.__version__} -> 2.99.0"

    monkeypatch.setattr("components.task.fingerprint.framework_hash", lambda: "another")
    assert _run(tmp_path, **changed)[0]["ExampleGen"] == "Skewless itself has changed"


def test_a_limit_of_the_evaluation_is_named_with_its_values() -> None:
    def properties(limit: float) -> dict[str, pb.Value]:
        task = dataclasses.replace(TASK, evaluate=dataclasses.replace(TASK.evaluate, min_accuracy=limit))
        text = json.dumps(json_format.MessageToDict(eval_config(task)))
        return {"eval_config": pb.Value(string_value=text), "__execution_set": pb.Value(int_value=int(limit))}

    assert _changes(properties(0.5), properties(0.5)) == []
    assert _changes(properties(0.5), properties(0.95)) == ["a limit in evaluate 0.5 -> 0.95"]
    slices = {"eval_config": pb.Value(string_value=json.dumps({"slicingSpecs": [{"featureKeys": ["label"]}]}))}
    assert "evaluate has changed" in _changes(properties(0.5), slices)
    assert "the limits in evaluate have changed" in _changes(properties(0.5), slices)


def test_a_root_of_an_older_skewless_is_ingested_anew_and_the_reason_is_not_the_data(tmp_path: Path) -> None:
    def properties(found: str) -> dict[str, pb.Value]:
        return {"input_fingerprint": pb.Value(string_value=found)}

    (tmp_path / "1.png").touch()
    older, now = properties("files:1,sha256:0123456789abcdef"), properties(folder_fingerprint(str(tmp_path)))
    assert _changes(older, now) == ["a newer Skewless plans shards in another way"]
    (tmp_path / "1.png").write_bytes(b"1")
    assert _changes(now, properties(folder_fingerprint(str(tmp_path)))) == ["the data have changed"]


def test_packages_that_were_not_noted_before_are_not_named() -> None:
    def properties(**depends: str) -> dict[str, pb.Value]:
        noted = {name.replace("__", "."): text for name, text in depends.items()}
        return {"custom_config": pb.Value(string_value=json.dumps({"skewless": {"depends": noted}}))}

    now = properties(framework="b", packages__tfx="1.21.0")
    assert _changes(properties(framework="a"), now) == ["Skewless itself has changed"]
    assert _changes(properties(framework="b", packages__tfx="1.16.0"), now) == ["tfx 1.16.0 -> 1.21.0"]


# The log


def test_what_python_and_c_print_goes_to_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log, root = tmp_path / "logs" / "run.log", logging.getLogger()
    log.parent.mkdir()
    log.write_text("kept\n")
    handlers, level = root.handlers[:], root.level
    descriptors = {number: os.fstat(number) for number in (1, 2)}
    before = os.listdir("/proc/self/fd")
    with logged_to(log) as terminal:
        os.write(1, b"c out\n")
        os.write(2, b"c err\n")
        os.system("echo child")
        print("python out", flush=True)
        print("python err", file=sys.stderr, flush=True)
        logging.getLogger("some.library").info("logged")
        terminal.write("seen\n")
        terminal.flush()
    os.write(1, b"after out\n")
    os.write(2, b"after err\n")
    lines = log.read_text().splitlines()
    assert lines[0] == "kept"
    assert [lines.count(line) for line in ("c out", "c err", "child", "python out", "python err")] == [1] * 5
    assert [line for line in lines if line.endswith("INFO some.library: logged")]
    out, err = capfd.readouterr()
    assert "seen" in out.splitlines() and "after out" in out and err.splitlines()[-1] == "after err"
    assert "c out" not in out and "c err" not in err and "after" not in log.read_text()
    assert root.handlers == handlers and root.level == level
    assert all(os.path.samestat(os.fstat(number), descriptors[number]) for number in (1, 2))
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_tensorflow_s_own_handler_is_silent_meanwhile(tmp_path: Path) -> None:
    """TensorFlow keeps the stream of its import, in a notebook that of a cell."""
    logger, stream = logging.getLogger("tensorflow"), io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    level = logger.level  # another test may have raised it
    logger.setLevel(logging.WARNING)
    try:
        with logged_to(tmp_path / "log"):
            logger.warning("deprecated")
        logger.warning("heard again")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert stream.getvalue() == "heard again\n"
    assert "WARNING tensorflow: deprecated" in (tmp_path / "log").read_text()


def test_an_error_leaves_the_descriptors_restored(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), logged_to(tmp_path / "log"):
        raise KeyError("x")
    os.write(2, b"back\n")
    assert capfd.readouterr().err == "back\n"


# The display


def test_the_display_prints_a_line_a_component_and_no_progress_into_a_file() -> None:
    console = Console(file=io.StringIO(), width=120)
    with Display(console) as display:
        display.started("ExampleGen")
        report("12 of 40")
        display.done("ExampleGen", "executed", "first run", 1.25)
        display.started("Trainer")
        display.done("Trainer", "cached", "nothing [b]changed[/b]", 0.0)
        display.done("Pusher", "failed", "", 100.04)
    report("after")
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.rstrip() for line in lines if line.strip()] == [
        "done   ExampleGen          1.2 s  first run",
        "cached Trainer             0.0 s  nothing [b]changed[/b]",
        "failed Pusher            100.0 s",
    ]
    assert display not in LOGGER.handlers


def test_on_a_terminal_the_spinner_shows_what_goes_on() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with Display(console) as display:
        display.started("Trainer")
        report("epoch 3/12 [loss]")
        console.print(display._status.status)
    assert "Trainer  epoch 3/12 [loss]" in Text.from_ansi(console.file.getvalue()).plain  # type: ignore[attr-defined]


# The record and the summary


def _record() -> RunRecord:
    overall = {"sparse_categorical_accuracy": 0.9812, "example_count": 360.0}
    return RunRecord(
        "tiny",
        "1",
        "/data",
        {"train.epochs": "3"},
        "/log",
        "now",
        status="pushed",
        components=[ComponentRun("ExampleGen", "executed", "first run", 1.5, 1)],
        data=DataSummary(
            examples={"eval": 360, "train": 1437},
            labels={"eval": {"a": 180, "b": 180}, "train": {"a": 700, "b": 736, "c": 1}},
            quarantined={"not decodable": 2, "empty file": 1},
            not_pictures={".DS_Store": 4},
            duplicate_count=1,
            duplicates=[{"train": "train/a.png", "eval": "val/b.png"}],
            remarks={"EXIF rotation": 5, "16 bits, but flat": 2},
            folder="/examples/1",
        ),
        training=TrainingSummary(
            epochs=3,
            best_epoch=2,
            phases=[PhaseStart("training", 1)],
            images_per_second=12345.6,
            waiting_share=0.254,
            input_stages={"read": 0.1, "parse": 0.2, "transform": 0.7},
            resumed_at="epoch 2, step 5",
            stopped="accuracy > 0.9 after epoch 3",
            layers=[LayerSummary("dense", "Dense", "2 units", [2], 10, True, 10, ["input"])],
            thresholds={"a": 0.25, "b": 0.5},
        ),
        evaluation=EvaluationSummary("sparse_categorical_accuracy", None, "", {"overall": overall}),
        skew=SkewReport(
            records=56,
            server="the embedded one",
            reference="training",
            tolerance=1e-6,
            routes=[Comparison("gRPC", "training", float("inf"), 0, 0, False, 1e-6, "2 scores, not 3")],
            structure=[Finding("serving_default", "random", "RandomUniform")],
            diagnosis=Diagnosis("resize", "nearest", 3, "", "gRPC", "smallest", "a.png"),
            client_skew=[ClientSkewCost("BGR", 256, 1, 0.9, 0.91, 0.01)],
            seconds=1.5,
        ),
        pushed=PushedVersion(17, "/serving/tiny/17"),
    )


def test_the_record_is_its_fields_as_json_and_never_half_written(tmp_path: Path) -> None:
    record = _record()
    files = [tmp_path / "runs" / "1" / "run.json", tmp_path / "run.json"]
    write_record(record, *map(str, files))
    found = [json.loads(file.read_text()) for file in files]
    assert found[0] == found[1]
    assert found[0]["components"] == [
        {"name": "ExampleGen", "state": "executed", "why": "first run", "seconds": 1.5, "execution": 1}
    ]
    assert found[0]["schema"] == 1
    assert record.data is not None
    assert record.data is not None
    assert found[0]["data"] == dataclasses.asdict(record.data) and found[0]["exit_code"] is None
    assert not list(tmp_path.rglob("*.partial"))


KEYS = {
    "": "task run_id data_folder settings log started status seconds exit_code error components data training"
    " evaluation blessed skew pushed plots",
    "data": "examples labels bytes quarantined not_pictures unused layout notes duplicate_count duplicates"
    " contradiction_count contradictions removed remarks folder",
    "training": "epochs best_epoch phases stopped resumed_at images_per_second waiting_share in_memory history layers"
    " input_stages",
    "evaluation": "metric baseline no_baseline slices",
    "skew": "feature records made server reference tolerance routes structure diagnosis avoided seconds passed",
    "pushed": "version path",
}
"""The keys that files had before they had a version: readers outside of Skewless rely on them."""


def test_the_keys_of_earlier_files_are_still_there() -> None:
    found = _record().to_json()
    for part, keys in KEYS.items():
        missing = set(keys.split()) - set(found[part] if part else found)
        assert not missing, (part, missing)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = str(tmp_path / "run.json")
    write_record(_record(), file)
    assert read_record(file) == _record()


def test_a_record_of_a_run_that_failed_early_has_empty_parts(tmp_path: Path) -> None:
    file, record = tmp_path / "run.json", RunRecord("tiny", "1", "/data", {}, "/log", "now", status="failed")
    write_record(record, str(file))
    found = json.loads(file.read_text())
    assert [found[part] for part in ("data", "training", "evaluation", "skew", "pushed")] == [{}] * 5
    assert read_record(str(file)) == record


def test_an_older_file_without_a_version_is_read(tmp_path: Path) -> None:
    """Also one that lacks what was added since, or has a key that no longer exists."""
    file, found = tmp_path / "run.json", _record().to_json()
    del found["schema"], found["plots"], found["training"]["input_stages"], found["data"]["remarks"]
    del found["training"]["layers"][0]["inputs"], found["training"]["layers"][0]["trainable_params"]
    del found["training"]["thresholds"], found["skew"]["is_multi_label"]
    found["host"] = found["training"]["device"] = "gone"
    file.write_text(json.dumps(found))
    record = read_record(str(file))
    assert (record.task, record.plots, record.pushed) == ("tiny", [], PushedVersion(17, "/serving/tiny/17"))
    assert record.training is not None and record.training.input_stages == {}
    assert record.training.layers == [LayerSummary("dense", "Dense", "2 units", [2], 10, True)]
    assert record.training.thresholds == {}
    assert record.skew == _record().skew


def test_a_file_of_a_newer_version_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps({**_record().to_json(), "schema": 2}))
    with pytest.raises(UsageError, match=r"run\.json has schema version 2; this .* reads versions up to 1"):
        read_record(str(file))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "x"}', '{"task": "tiny", "components": 3}'])
def test_a_file_that_is_no_record_is_rejected(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(UsageError, match="holds no record of a run"):
        read_record(str(file))


def _printed(record: RunRecord) -> list[str]:
    console = Console(file=io.StringIO(), width=300)
    print_summary(record, Paths("/root", "tiny"), console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def _with_labels(thresholds: dict[str, float]) -> RunRecord:
    """Return the record of a run with several labels."""
    record = _record()
    assert record.training is not None and record.data is not None
    overall = {"mean_average_precision": 0.83125, "auc": 0.9, "f1": 0.75, "example_count": 380.0}
    return dataclasses.replace(
        record,
        data=dataclasses.replace(
            record.data, contradiction_count=1, contradictions=[{"a, b": "x/1.png", "no label": "y/1.png"}]
        ),
        training=dataclasses.replace(record.training, thresholds=thresholds),
        evaluation=EvaluationSummary("mean_average_precision", 0.8, "", {"overall": overall}),
    )


def test_the_summary_of_several_labels_has_their_thresholds_and_the_mean_average_precision() -> None:
    lines = _printed(_with_labels({"rose": 0.3, "tulip": 0.71875}))
    assert "labels    2 with thresholds rose 0.30, tulip 0.72 (largest F1 on the evaluation split)" in lines
    quality = "quality   mean average precision 0.8313 on 380 held-out examples through the exported signature"
    assert f"{quality}, 0.8000 before" in lines
    contradiction = "note      1 pictures have other labels elsewhere, e.g. x/1.png (a, b) = y/1.png (no label)"
    assert any(line.startswith(contradiction) for line in lines)
    assert not any("accuracy" in line and not line.startswith("training") for line in lines)


def test_the_summary_of_classes_has_further_metrics_and_the_pair_that_is_confused_most() -> None:
    overall = {"sparse_categorical_accuracy": 0.5, "example_count": 8.0, "auc": 0.875, "f1": 0.7, "precision": 0.6}
    overall |= {
        "expected_calibration_error": 0.03125,
        "brier_score": 0.2,
        "top_5_accuracy": 1.0,
        "top_3_accuracy": 0.75,
    }
    confusion = {"cat": {"cat": 1, "dog": 1}, "dog": {"dog": 3, "owl": 3}}
    evaluation = EvaluationSummary(
        "sparse_categorical_accuracy", None, "", {"overall": overall}, confusion, [{"examples": 8, "score": 0.5}]
    )
    record = dataclasses.replace(_record(), evaluation=evaluation)
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))).evaluation == evaluation
    assert (
        "metrics   top 3 accuracy 0.7500, top 5 accuracy 1.0000, AUC 0.8750, F1 0.7000, Brier score 0.2000,"
        " calibration error 0.0312, most confused: 3 of dog taken for owl"
    ) in _printed(record)


def test_of_many_thresholds_the_summary_has_the_lowest_and_the_highest() -> None:
    lines = _printed(_with_labels({f"label {n}": 0.9 - n / 100 for n in range(80)}))
    assert "labels    80 with thresholds label 79 0.11 to label 0 0.90 (largest F1 on the evaluation split)" in lines


def test_the_summary_of_an_evaluation_of_a_sample_gives_both_numbers() -> None:
    record = _record()
    assert record.evaluation is not None
    record.evaluation.held_out = 1_000_000
    assert "accuracy 0.9812 on 360 of 1,000,000 held-out examples through" in "\n".join(_printed(record))


def test_the_summary_names_what_needs_attention() -> None:
    console = Console(file=io.StringIO(), width=300)
    print_summary(_record(), Paths("/root", "tiny"), console)
    for words in (
        "3 examples in quarantine (2 not decodable, 1 empty file): /examples/1/quarantine.jsonl",
        "4 files are not a picture (4 .DS_Store)",
        "1 evaluation pictures are also in the training data, e.g. val/b.png (eval) = train/a.png",
        "5 pictures carry an EXIF rotation",
        "2 pictures have 16 bits a channel and nearly one colour in the upper 8",
        "1,437 train, 360 eval",
        "3 epochs (the best, 2, is exported), 12,346 examples/s, 25% of the time waiting for input",
        "of which 70% is to decode and resize; resumed at epoch 2, step 5; stopped: accuracy > 0.9 after epoch 3",
        "no held-out example of c: the accuracy says nothing about such classes",
        "accuracy 0.9812 on 360 held-out examples through the exported signature, no model before",
        "version 17 in /serving/tiny/17",
        "/root/tiny/run.json",
    ):
        assert words in console.file.getvalue()  # type: ignore[attr-defined]
