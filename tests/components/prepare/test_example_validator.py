from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, json_utils

from components.prepare import example_validator
from components.prepare.schema import read_schema
from components.task.reference import TaskReference
from data.errors import DataError, UsageError
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardFile


def _manifest(examples: int, **quarantined: int) -> Manifest:
    shard = ShardFile("Split-train/data", examples, 1, "", {})
    return Manifest({"train": [shard]}, quarantined={key.replace("_", " "): n for key, n in quarantined.items()})


# The limit


@pytest.mark.parametrize(
    ("examples", "broken", "limit", "stops"),
    [
        (95, 5, 0.05, False),  # exactly the limit
        (94, 6, 0.05, True),
        (949, 51, 0.05, True),  # just above
        (100, 0, 0.0, False),
        (999, 1, 0.0, True),
        (1, 99, 1.0, False),
        (0, 0, 0.0, False),
    ],
)
def test_the_share_may_reach_the_limit_but_not_exceed_it(examples: int, broken: int, limit: float, stops: bool) -> None:
    found = _manifest(examples, **({"not_decodable": broken} if broken else {}))
    if not stops:
        example_validator.check_quarantine(found, limit, "/x")
        return
    with pytest.raises(DataError):
        example_validator.check_quarantine(found, limit, "/x")


def test_the_text_names_numbers_reasons_report_and_setting() -> None:
    with pytest.raises(DataError) as caught:
        example_validator.check_quarantine(_manifest(90, not_decodable=7, empty_file=3), 0.05, "/some/folder")
    assert str(caught.value) == (
        "10 of 100 examples (10.0%) are in quarantine, more than 5.0%: 3 empty file, 7 not decodable;"
        " listed in /some/folder/quarantine.jsonl"
    )
    assert caught.value.exit_code == 3
    assert "--set ingest.max_quarantine=0.11" in caught.value.hint


@pytest.mark.parametrize(("examples", "broken"), [(90, 10), (9, 1), (1, 99), (1000, 51), (0, 5)])
def test_the_setting_that_the_hint_names_is_legal_and_enough(examples: int, broken: int) -> None:
    with pytest.raises(DataError) as caught:
        example_validator.check_quarantine(_manifest(examples, bad=broken), 0.0, "/x")
    value = caught.value.hint.rpartition("ingest.max_quarantine=")[2]
    task = TaskReference("tests.tasks.tiny:TASK", {"ingest.max_quarantine": value}).load()
    example_validator.check_quarantine(_manifest(examples, bad=broken), task.ingest.max_quarantine, "/x")


# The component on the artifacts of a real run


Validate = Callable[..., Path]


@pytest.fixture
def validate(digit_named: SimpleNamespace, tmp_path: Path) -> Validate:
    """Return a function that runs the executor and returns the folder of its anomalies."""

    def call(
        schema: str | None = None, examples: str | None = None, split: str = "eval", limited: tuple[str, ...] = ()
    ) -> Path:
        inputs = {}
        for key, kind, uri in (
            ("examples", "Examples", examples),
            ("statistics", "ExampleStatistics", None),
            ("schema", "Schema", schema),
        ):
            artifact = getattr(standard_artifacts, kind)()
            artifact.set_mlmd_artifact(copy.deepcopy(digit_named.artifacts[kind]))
            if uri:
                artifact.mlmd_artifact.uri = uri
            inputs[key] = [artifact]
        anomalies = standard_artifacts.ExampleAnomalies()
        anomalies.uri = str(tmp_path / "anomalies")
        config = TaskReference("tests.tasks.tiny:TASK").config("ingest")
        config |= {"split": split, "limited": list(limited)}
        properties = {"exclude_splits": json_utils.dumps([]), "custom_config": json.dumps(config)}
        example_validator.ExampleValidatorExecutor().Do(inputs, {"anomalies": [anomalies]}, properties)
        assert artifact_utils.decode_split_names(anomalies.split_names) == ["train", "eval"]
        return Path(anomalies.uri)

    return call


def test_good_data_pass(validate: Validate) -> None:
    assert all((validate() / f"Split-{split}" / "SchemaDiff.pb").exists() for split in ("train", "eval"))


def test_an_anomaly_stops_the_run_in_one_line(validate: Validate, digit_named: SimpleNamespace, tmp_path: Path) -> None:
    schema = read_schema(digit_named.schema)
    label = next(feature for feature in schema.feature if feature.name == "label")
    label.string_domain.value.remove("10")  # a class that the schema does not know
    io_utils.write_pbtxt_file(str(tmp_path / "schema" / "schema.pbtxt"), schema)
    with pytest.raises(DataError) as caught:
        validate(schema=str(tmp_path / "schema"))
    assert str(caught.value).startswith("the train data do not fit the schema: label: ")
    assert "10" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_split_stops_the_run_before_the_training(validate: Validate, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="^evaluate.split is test, but the data have only the splits eval, train$"):
        validate(split="test")
    assert not (tmp_path / "anomalies").exists()


def test_a_limit_on_a_class_that_does_not_exist_stops_the_run_before_the_training(
    validate: Validate, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="^no class for the limits of evaluate '100'. Did you mean '10'?") as caught:
        validate(limited=("10", "100"))
    assert caught.value.hint.startswith("Legal: ") and not (tmp_path / "anomalies").exists()
    validate(limited=("10",))


def test_the_quarantine_is_checked_before_the_statistics(
    validate: Validate, digit_named: SimpleNamespace, tmp_path: Path
) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(digit_named.examples, examples)
    broken = Manifest.load(str(examples))
    broken.quarantined = {"not decodable": 3}  # of 45: 6.7 %
    broken.save(str(examples))
    with pytest.raises(DataError, match=r"^3 of 45 examples \(6\.7%\) are in quarantine, more than 5\.0%"):
        validate(examples=str(examples))
    assert not (tmp_path / "anomalies").exists()
