"""What the client imports, and that the packages of `skewless[client]` are enough for it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests import PROJECT

HEAVY = {"tensorflow", "tensorflow_serving", "tfx", "keras", "numpy", "apache_beam"}
ASK = f"""
import sys
from PIL import Image
from serving.client import Client, Unavailable
address, *files = sys.argv[1:]
with Client(address, "pictures") as client:
    client.wait_until_available(10)
    for images in (files, [open(file, "rb").read() for file in files], [Image.open(file) for file in files]):
        assert client.predict_images(images) == client.predict_images(files)
        assert [one.label for one in client.classify(images)] == [one.label for one in client.predict_images(files)]
    print(*(one.label for one in client.predict_images(files)))
    assert client.predict({{"image_bytes": [open(files[0], "rb").read()]}})["scores"].shape == (1, 3)
with Client("http://127.0.0.1:1", "pictures", retries=0) as client:
    try:
        client.predict_images(files)
    except Unavailable as error:
        assert str(error) == "no server answers at http://127.0.0.1:1"
heavy = {HEAVY!r} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def asked(
    serve: Callable[..., Any],
    pictures_model: tuple[Path, keras.Model],
    picture_files: tuple[np.ndarray, list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], None]:
    """Return a function that runs ASK against a real server in another interpreter, and compares with the model."""
    folder = tmp_path_factory.mktemp("files")
    pixels, contents = picture_files
    names = []
    for number, content in enumerate(contents):
        (folder / f"{number}.png").write_bytes(content)
        names.append(str(folder / f"{number}.png"))
    address = serve(pictures_model[0], "pictures").address()
    best = pictures_model[1].predict(pixels, verbose=0).argmax(axis=1)

    def ask(python: str) -> None:
        command = [python, "-c", ASK, address, *names]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [("ant", "bee", "cow")[one] for one in best]

    return ask


def test_nothing_heavy_is_loaded_by_any_request(asked: Callable[[str], None]) -> None:
    asked(sys.executable)


def test_import_alone_loads_no_transport() -> None:
    heavier = {"grpc", "google.protobuf", "PIL", "http.client", "urllib3"}
    code = f"import sys, serving.client; print({heavier} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
@pytest.mark.parametrize(
    "versions", [("protobuf==3.20.3", "urllib3==1.26.20"), ("protobuf", "urllib3>=2")], ids=["oldest", "newest"]
)
def test_the_extra_s_packages_are_enough(
    asked: Callable[[str], None], tmp_path: Path, versions: tuple[str, ...]
) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("no uv to make a virtual environment with")
    (extra,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((PROJECT / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CLIENT"
    )
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "venv")], check=True, timeout=60)
    install = [uv, "pip", "install", "-q", "--python", python, *extra, *versions]
    done = subprocess.run(install, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    asked(python)
