"""The rules of the house: who imports whom, which names are used once, what a light import must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import PROJECT

ORDER = ["data", "serving", "components", "pipeline"]
# Rooms and modules of a package, lowest floor first; what is not named is on the ground floor. Each imports only from
# its own floor and those below.
FLOORS = {
    "data": ["files", "images", "tables", "records", "augmentation", "sources", "ingest", "input"],
    "data.sources": [],  # its own file imports all sources
    "serving": ["protocol", "client", "server", "export", "graph", "parity", "diagnosis"],
    "serving.server": [
        *["saved_model", "config", "inference", "batching", "lifecycle", "services", "rpc", "rest", "serve", "__main__"]
    ],
    "components": ["task", "executor", "models", "prepare", "training", "tuning", "release", "review"],
    "pipeline": ["report", "runners", "scaffold", "commands", "api", "cli"],
    "pipeline.report": ["page"],
    "pipeline.report.page": ["sections", "render", "compare", "of_artifacts", "redraw"],
    "pipeline.runners": ["compiler", "remote", "simulator", "local"],
}


@cache
def _modules() -> dict[str, Path]:
    """Dotted name to file, of every module of the four packages."""
    files = [file for package in ORDER for file in (PROJECT / package).rglob("*.py")]
    dotted = {file: ".".join(file.relative_to(PROJECT).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in dotted.items()}


@cache
def _imported(module: str) -> frozenset[str]:
    """The modules of ours that a module imports, inside functions, too; not what only a type checker sees."""
    tree = ast.parse(_modules()[module].read_text())
    unseen = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & _modules().keys()) or {node.module}
    return frozenset(found & _modules().keys() - {module})


def _top_names(path: Path) -> set[str]:
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
    """The built-in tasks are written as a user's: they take the public names."""
    right = {*ORDER[ORDER.index(package) + 1 :], "skewless"}
    files = [file for file in sorted((PROJECT / package).rglob("*.py")) if file.parent.name != "tasks"]
    assert files
    assert {str(file): _top_names(file) & right for file in files if _top_names(file) & right} == {}


@pytest.mark.parametrize("package", FLOORS)
def test_a_room_imports_only_from_the_floors_below(package: str) -> None:
    floors = FLOORS[package]
    rooms = {
        name.removeprefix(f"{package}.").partition(".")[0] for name in _modules() if name.startswith(f"{package}.")
    }
    assert set(floors) <= rooms, "a floor without a room"

    def floor(module: str) -> int:
        room = module.removeprefix(package).lstrip(".").partition(".")[0]
        return floors.index(room) + 1 if room in floors else 0

    inside = [name for name in _modules() if f"{name}.".startswith(f"{package}.")]
    upwards = [
        f"{name} imports {other}"
        for name in inside
        for other in _imported(name)
        if other in inside and floor(other) > floor(name)
    ]
    assert upwards == []


def test_every_folder_with_rooms_has_floors() -> None:
    """A package with packages inside names their order."""
    holders = {name.rpartition(".")[0] for name, file in _modules().items() if file.name == "__init__.py"}
    assert holders - {""} == set(FLOORS)


def test_no_modules_import_each_other_in_a_circle() -> None:
    def circles(start: str) -> Iterator[list[str]]:
        paths = [[start]]
        seen = {start}
        while paths:
            path = paths.pop()
            for other in _imported(path[-1]):
                if other == start:
                    yield path
                elif other not in seen:
                    seen.add(other)
                    paths.append([*path, other])

    assert [" -> ".join(path) for module in sorted(_modules()) for path in circles(module)] == []


def _definitions(kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> dict[str, list[str]]:
    """Name to modules, of the classes or functions at the top of every module."""
    found = defaultdict(list)
    for module, file in _modules().items():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, kind):
                found[node.name].append(module)
    return found


_ERRORS = {"SkewlessError", "UsageError", "DataError", "QualityError", "SkewError", "ServingError"}
_EXPECTS = re.compile(r"\b(must|expected|needs?|reads|give)\b")
# These pass on the message of another error, or their callers add the hint.
_WITHOUT_HINT = {"components.process_errors", "components.task.overrides", "pipeline.runners.remote.follow"}


def test_an_error_says_what_is_expected_or_has_a_hint() -> None:
    """Its reader knows what to do next."""
    found = []
    for module in _modules().keys() - _WITHOUT_HINT:
        for node in ast.walk(ast.parse(_modules()[module].read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ERRORS):
                continue
            message = "".join(str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant))
            has_hint = len(node.args) > 1 or node.keywords
            if node.args and not has_hint and not _EXPECTS.search(message):
                found.append(f"{module}, line {node.lineno}")
    assert found == []


def test_a_class_name_is_used_once() -> None:
    assert {name: modules for name, modules in _definitions(ast.ClassDef).items() if len(modules) > 1} == {}


def test_a_function_s_name_says_what_it_checks_runs_or_makes() -> None:
    found = _definitions(ast.FunctionDef)
    # `skewless.run` is what users call.
    assert {name: found.get(name, []) for name in ("check", "run", "make")} == {
        "check": [],
        "run": ["pipeline.api"],
        "make": [],
    }


@pytest.mark.parametrize("package", ["data", "serving"])
def test_tfx_and_beam_stay_in_components_and_pipeline(package: str) -> None:
    heavy = {"tfx", "apache_beam", "tensorflow_transform", "tfx_bsl", "ml_metadata", "tensorflow_model_analysis"}
    assert {str(file) for file in (PROJECT / package).rglob("*.py") if _top_names(file) & heavy} == set()


@pytest.mark.parametrize(
    "code",
    [
        "import serving.client",
        "import skewless",
        "import data.augmentation.config",
        "from pipeline.cli import cli; cli(['--help'], standalone_mode=False)",
    ],
)
def test_light_imports_load_no_tensorflow(code: str) -> None:
    check = f"{code}\nimport sys\nassert not {{'tensorflow', 'tfx', 'apache_beam', 'keras'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_tests_mirror_the_rooms() -> None:
    """Tests lie where their subject lies; `end_to_end` and `tasks` are what several rooms share."""
    folders = {
        str(file.parent.relative_to(PROJECT / "tests")).replace("/", ".")
        for package in ORDER
        for file in (PROJECT / "tests" / package).rglob("test_*.py")
    }
    rooms = {name.rpartition(".")[0] for name in _modules()} | {"pipeline.end_to_end", "serving.deploy"}
    assert folders - rooms == set()


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


def test_the_pins_of_doctor_are_those_of_the_lock_file() -> None:
    from pipeline.commands.doctor import pins

    lock = (PROJECT / "requirements.lock").read_text()
    assert len(pins()) >= 12
    assert {name for name, version in pins().items() if f"\n{name}=={version}" not in lock} == set()
