from __future__ import annotations

from pathlib import Path

from tfx.types import standard_artifacts

from components.release.baseline import LatestOtherBlessedModel, saved_model


def _model(number: int) -> standard_artifacts.Model:
    model = standard_artifacts.Model()
    model.id = number
    return model


def _blessing(model: int, blessed: bool) -> standard_artifacts.ModelBlessing:
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("current_model_id", model)
    blessing.set_int_custom_property("blessed", int(blessed))
    return blessing


def _resolve(models: list[int], blessed: dict[int, bool], candidate: int) -> list[int]:
    found = LatestOtherBlessedModel().resolve_artifacts(
        None,
        {
            "model": [_model(number) for number in models],
            "model_blessing": [_blessing(number, verdict) for number, verdict in blessed.items()],
            "candidate": [_model(candidate)],
        },
    )
    assert [blessing.get_int_custom_property("current_model_id") for blessing in found["model_blessing"]] == [
        model.id for model in found["model"]
    ]
    return [model.id for model in found["model"]]


def test_nothing_on_the_first_run() -> None:
    assert _resolve([1], {}, candidate=1) == []


def test_not_the_candidate_itself() -> None:
    assert _resolve([1], {1: True}, candidate=1) == []
    assert _resolve([1, 2], {1: True, 2: True}, candidate=2) == [1]


def test_the_latest_that_was_blessed() -> None:
    assert _resolve([1, 2, 3, 4], {1: True, 2: True, 3: False}, candidate=4) == [2]


def test_what_may_be_imported_as_a_baseline(tmp_path: Path) -> None:
    serving, artifact = tmp_path / "serving", tmp_path / "artifact"
    assert saved_model(str(serving)) is None
    for folder in (serving / "9", serving / "10", serving / ".pushing-11", artifact / "Format-Serving"):
        folder.mkdir(parents=True)
    assert saved_model(str(serving)) is None  # no version is complete
    for folder in (serving / "9", serving / "10", artifact / "Format-Serving"):
        (folder / "saved_model.pb").touch()
    assert saved_model(str(serving)) == str(serving / "10")
    assert saved_model(str(serving / "9")) == str(serving / "9")
    assert saved_model(str(artifact)) == str(artifact / "Format-Serving")
