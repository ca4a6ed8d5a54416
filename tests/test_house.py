"""The house's rules: who may import whom, and what a light import must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ORDER = ["data", "serving", "components", "pipeline"]


def _imports(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports, inside functions, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_those_to_its_left(package: str) -> None:
    right = set(ORDER[ORDER.index(package) + 1 :])
    files = sorted((PROJECT / package).rglob("*.py"))
    assert files
    assert {str(file): _imports(file) & right for file in files if _imports(file) & right} == {}


@pytest.mark.parametrize("package", ["data", "serving"])
def test_tfx_and_beam_stay_in_components_and_pipeline(package: str) -> None:
    heavy = {"tfx", "apache_beam", "tensorflow_transform", "tfx_bsl", "ml_metadata", "tensorflow_model_analysis"}
    assert {str(file) for file in (PROJECT / package).rglob("*.py") if _imports(file) & heavy} == set()


@pytest.mark.parametrize(
    "code", ["import serving.client", "from pipeline.cli import cli; cli(['--help'], standalone_mode=False)"]
)
def test_light_imports_load_no_tensorflow(code: str) -> None:
    check = f"{code}\nimport sys\nassert not {{'tensorflow', 'tfx', 'apache_beam', 'keras'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tfx_v1_is_not_imported() -> None:
    """It imports all of Vertex AI's client, a third of the time that a run needs to begin."""
    nodes = [
        (str(file), node)
        for package in ("components", "pipeline")
        for file in (PROJECT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
    ]
    named = [
        (file, f"{one.module}.{name.name}")
        for file, one in nodes
        if isinstance(one, ast.ImportFrom)
        for name in one.names
    ]
    named += [(file, name.name) for file, one in nodes if isinstance(one, ast.Import) for name in one.names]
    assert [one for one in named if f"{one[1]}.".startswith("tfx.v1.")] == []


def test_files_stay_small_enough_to_read() -> None:
    sizes = {
        str(file.relative_to(PROJECT)): len(file.read_text().splitlines())
        for package in [*ORDER, "benchmarks"]
        for file in (PROJECT / package).rglob("*.py")
    }
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_the_pins_of_doctor_are_those_of_the_lock_file() -> None:
    from pipeline.commands.doctor import pins

    lock = (PROJECT / "requirements.lock").read_text()
    assert len(pins()) >= 12
    assert {name for name, version in pins().items() if f"\n{name}=={version}" not in lock} == set()
