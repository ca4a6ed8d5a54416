"""Run the notebooks of examples/ and write them with their outputs.

    python scripts/render_notebooks.py DATA [NAME...]

DATA has the folders fashion-mnist, horse-or-human and flowers, and the weights of MobileNetV2 0.35 in keras-weights.
The page of a run is too large for a repository: the notebooks keep their plots.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parents[1] / "examples" / "notebooks"
WEIGHTS = "keras-weights/mobilenet_v2_0.35_224_no_top.weights.h5"
LARGEST = 200_000  # characters of a picture in base64
SETTINGS = {"transfer": f'SETTINGS = {{"model.weights": "{WEIGHTS}"}}'}  # what replaces the defaults while it runs


def render(script: Path, data: Path) -> nbformat.NotebookNode:
    """Run a script's cells in an empty folder, and return the notebook."""
    notebook = jupytext.read(script)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    shown = parameters.source
    parameters.source += f"\n{SETTINGS.get(script.stem, '')}"
    with tempfile.TemporaryDirectory() as folder:
        for one in data.iterdir():
            Path(folder, one.name).symlink_to(one)
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": folder}}).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # the times of this run
            if cell.cell_type == "code":
                cell.outputs = [clean(one, folder, str(data)) for one in cell.outputs if is_kept(one)]
    parameters.source = shown
    return notebook


def is_kept(output: Any) -> bool:
    """Return whether an output belongs into the repository: not the page, and not Beam's scripts."""
    return "skewless" not in output.get("metadata", {}) and "application/javascript" not in output.get("data", {})


def clean(output: Any, *folders: str) -> Any:
    """Return an output with paths relative to these folders, and large pictures as JPEG."""
    data = output.get("data", {})
    for kind in {"text/plain", "text/html"} & data.keys():
        for folder in folders:
            data[kind] = data[kind].replace(f"{folder}/", "")
    if len(data.get("image/png", "")) > LARGEST:
        width = output.metadata.pop("image/png")["width"]
        data["image/jpeg"] = shrink(data.pop("image/png"), width)
        output.metadata["image/jpeg"] = {"width": width}
    return output


def shrink(png: str, width: int) -> str:
    """Return a PNG in base64 as a JPEG in base64, in the width in which it is shown."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.thumbnail((width, picture.height))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=60)
    return base64.b64encode(out.getvalue()).decode()


def main(data: str, *names: str) -> None:
    """Render the notebooks with these names, or all."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", PYTHONWARNINGS="ignore")
    for script in sorted(NOTEBOOKS.glob("*.py")):
        if not names or script.stem in names:
            nbformat.write(render(script, Path(data).resolve()), script.with_suffix(".ipynb"))


if __name__ == "__main__":
    main(*sys.argv[1:])
