from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from data.files.copy_tree import copy_tree

FILES = {"a.txt": "a", "below/b.txt": "b", "below/deeper/c.txt": "c", "z.pb": "z"}


def _write(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_to_another_file_system_and_back(tmp_path: Path) -> None:
    copy_tree(f"{_write(tmp_path / 'from')}/", "ram://trees/a")
    copy_tree("ram://trees/a", str(tmp_path / "to"))
    copy_tree("ram://trees/a", str(tmp_path / "to"))  # over what is there
    found = {str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*") if path.is_file()}
    assert {name: (tmp_path / "to" / name).read_text() for name in found} == FILES


def test_the_last_file_comes_only_when_all_others_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, stock = _write(tmp_path / "from"), tf.io.gfile.copy

    def breaks_off(path: str, target: str, overwrite: bool = False) -> None:
        if path.endswith("c.txt"):
            raise OSError("no network")
        stock(path, target, overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(tf.io.gfile, "copy", breaks_off)
        with pytest.raises(OSError, match="no network"):
            copy_tree(str(source), str(tmp_path / "to"), last="a.txt")
    assert not (tmp_path / "to" / "a.txt").exists()
    copy_tree(str(source), str(tmp_path / "to"), last="a.txt")
    assert (tmp_path / "to" / "a.txt").read_text() == "a"
