"""The notebooks of examples/: script and rendered form are equal; a kernel runs the cells with few pictures."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from tests import PROJECT

FOLDER = PROJECT / "examples" / "notebooks"
NAMES = sorted(script.stem for script in FOLDER.glob("*.py"))
WEIGHTS = "mobilenet_v2_0.35_224_no_top.weights.h5"
FAST = {"train.epochs": 1, "train.batch_size": 8, "evaluate.min_accuracy": 0, "gate.sample": 4, "gate.pictures": 0}
LARGEST = 400_000  # bytes


class _Recorder(NotebookClient):
    """Client that keeps the texts of outputs which a cell replaced."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.replaced: list[str] = []

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "update_display_data":
            self.replaced.append(msg["content"]["data"]["text/plain"])
        return super().process_message(msg, cell, cell_index)


class _Executed(NamedTuple):
    """What the kernel did.

    Attributes:
      cells: Of each notebook; those of "wrong" have errors.
      replaced: Texts that an output had for a while.
    """

    cells: dict[str, list[Any]]
    replaced: list[str]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_script_with_outputs(name: str) -> None:
    script, rendered = (jupytext.read(FOLDER / f"{name}.{suffix}") for suffix in ("py", "ipynb"))
    assert [(one.cell_type, one.source) for one in script.cells] == [
        (one.cell_type, one.source) for one in rendered.cells
    ], f"render it again: python scripts/render_notebooks.py DATA {name}"
    outputs = [output for one in rendered.cells if one.cell_type == "code" for output in one.outputs]
    assert [one for one in outputs if one.output_type == "error"] == []
    assert sum("image/png" in one.get("data", {}) for one in outputs) >= 4
    assert any("\npushed " in one.get("data", {}).get("text/plain", "") for one in outputs)
    text = (FOLDER / f"{name}.ipynb").read_text()
    assert len(text) < LARGEST
    assert [path for path in ("/tmp/", "/work/", "/root/", "/home/") if path in text] == []


@pytest.fixture(scope="module")
def executed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> _Executed:
    """Outputs of all notebooks in one kernel: importing TFX takes longer than a run of few pictures."""
    work = tmp_path_factory.mktemp("notebooks")
    _write_few(shared_data, work)
    cells = {name: jupytext.read(FOLDER / f"{name}.py").cells for name in NAMES}
    settings: dict[str, Mapping[str, object]] = dict.fromkeys(NAMES, FAST)
    settings["horse_or_human"] = {**FAST, "feature.height": 160, "feature.width": 160}
    weights = {"model.weights": str(shared_data / "keras-weights" / WEIGHTS), "train.fine_tune.epochs": 0}
    settings["transfer"] = {**FAST, **weights}
    for name, found in cells.items():
        (parameters,) = [one for one in found if "parameters" in one.metadata.get("tags", ())]
        parameters.source += f"\nSETTINGS = {settings[name]}"
    cells["wrong"] = [
        _failing_cell({"train.epoch": 1}),
        _failing_cell({**FAST, "evaluate.min_accuracy": 1}),
        nbformat.v4.new_code_cell("!sed -i 's/min_accuracy=0.8/min_accuracy=1.5/' clothes.py"),
        _failing_cell({}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[one for found in cells.values() for one in found])
    client = _Recorder(notebook, timeout=300, resources={"metadata": {"path": str(work)}})
    client.execute(env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "ignore"})
    left = iter(notebook.cells)
    return _Executed({name: list(islice(left, len(found))) for name, found in cells.items()}, client.replaced)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_run_shows_its_progress_and_its_summary_in_one_output(executed: _Executed, name: str) -> None:
    (cell,) = [one for one in executed.cells[name] if "skewless.run(" in one.source]
    (output,) = [one for one in cell.outputs if "application/javascript" not in one.get("data", {})]  # Beam's
    lines = output.data["text/plain"].splitlines()
    words = [line.split()[0] for line in lines if line.strip()]
    assert words.count("done") == 11 and {"data", "training", "quality", "proof", "pushed"} <= set(words)
    assert "<span" in output.data["text/html"]
    assert "epoch 1/" not in output.data["text/plain"]
    assert any("Trainer" in text and "epoch 1/" in text for text in executed.replaced)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_record_shows_its_plots_and_its_page(executed: _Executed, name: str) -> None:
    (cell,) = [one for one in executed.cells[name] if one.source == "record"]
    *plots, page = cell.outputs
    assert len(plots) >= 4 and all(one.data["image/png"] for one in plots)
    frame = page.data["text/html"]
    assert frame.startswith("<iframe srcdoc='&lt;!doctype html&gt;") and frame.count("'") == 6, frame[:200]
    assert "The proof" in frame
    assert "&lt;head&gt;&lt;base href=&#x27;about:srcdoc&#x27;&gt;" in frame  # its own links stay in the frame


@pytest.mark.slow
def test_an_error_is_a_line_and_a_hint(executed: _Executed) -> None:
    lines = executed.cells["wrong"][0].outputs[-1].traceback
    assert lines[0] == "error: no setting 'train.epoch'. Did you mean 'train.epochs'?"
    assert lines[1].startswith("Legal: ") and len(lines) <= 3


@pytest.mark.slow
def test_a_model_that_is_not_pushed_shows_why(executed: _Executed) -> None:
    *_, plot, page, error = executed.cells["wrong"][1].outputs
    assert plot.data["image/png"] and page.data["text/html"].startswith("<iframe ")
    assert error.ename == "QualityError" and error.traceback[0].startswith("error: ")


@pytest.mark.slow
def test_a_module_that_a_cell_has_changed_is_imported_again(executed: _Executed) -> None:
    error = executed.cells["wrong"][3].outputs[-1]
    assert error.ename == "UsageError" and "1.5" in error.traceback[0]


def _failing_cell(settings: Mapping[str, object]) -> Any:
    """Return a cell that runs the first notebook's task with other settings."""
    source = f"skewless.run('clothes', data='fashion-mnist', settings={settings})"
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"]})


def _write_few(source: Path, target: Path) -> None:
    """Write a few pictures of each data set."""
    for split, count in (("train", 300), ("t10k", 100)):
        for kind, header, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            name = f"fashion-mnist/{split}-{kind}-ubyte.gz"
            content = gzip.decompress((source / name).read_bytes())[: header + count * size]
            (target / name).parent.mkdir(exist_ok=True)
            (target / name).write_bytes(gzip.compress(content[:4] + count.to_bytes(4, "big") + content[8:]))
    for name, count in (("horse-or-human/training", 12), ("horse-or-human/validation", 8), ("flowers", 16)):
        for file in _few_files(source / name, count):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def _few_files(folder: Path, count: int) -> Iterator[Path]:
    """Yield the first files of each subfolder."""
    for one in sorted(folder.iterdir()):
        yield from islice(sorted(one.iterdir()), count)
