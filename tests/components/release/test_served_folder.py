from __future__ import annotations

from pathlib import Path

import pytest

from components.release import served_folder


def _model(folder: Path, name: str) -> str:
    model = folder / name
    (model / "variables").mkdir(parents=True)
    (model / "variables" / "data").write_text(name)
    (model / "saved_model.pb").write_text(name)
    (model / served_folder.FINGERPRINT).write_text(name)
    return str(model)


def test_a_model_becomes_a_version_named_by_the_time(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    path, version = served_folder.push_model(_model(tmp_path, "a"), str(base), now=1000.9)
    assert version == 1000 and path == str(base / "1000")
    assert {str(file.relative_to(path)) for file in Path(path).rglob("*") if file.is_file()} == {
        "saved_model.pb",
        "fingerprint.pb",
        "variables/data",
    }


def test_versions_rise_even_when_the_clock_does_not(tmp_path: Path) -> None:
    base = str(tmp_path / "serving")
    served_folder.push_model(_model(tmp_path, "a"), base, now=1000)
    assert served_folder.push_model(_model(tmp_path, "b"), base, now=1000)[1] == 1001
    assert served_folder.push_model(_model(tmp_path, "c"), base, now=500)[1] == 1002
    assert served_folder.versions(base) == [1000, 1001, 1002]


def test_the_latest_model_is_not_pushed_twice_but_an_older_one_is(tmp_path: Path) -> None:
    base = str(tmp_path / "serving")
    first, second = _model(tmp_path, "a"), _model(tmp_path, "b")
    served_folder.push_model(first, base, now=1)
    assert served_folder.push_model(first, base, now=2)[1] == 1
    served_folder.push_model(second, base, now=3)
    assert served_folder.push_model(first, base, now=4)[1] == 4


def test_a_push_that_breaks_off_is_never_visible_and_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "serving"

    def breaks_off(source: str, target: str) -> None:
        Path(target).mkdir()
        Path(target, "half").write_text("")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(served_folder.io_utils, "copy_dir", breaks_off)
        with pytest.raises(OSError, match="disk full"):
            served_folder.push_model(_model(tmp_path, "a"), str(base), now=7)
    assert served_folder.versions(str(base)) == []
    assert list(base.iterdir()) == []
    Path(base, ".pushing-7").mkdir()  # left by a push that was killed
    Path(base, ".pushing-7", "half").write_text("")
    served_folder.push_model(_model(tmp_path, "b"), str(base), now=8)
    assert [path.name for path in base.iterdir()] == ["8"]
