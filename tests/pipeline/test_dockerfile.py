"""The image, as far as a machine without an engine can build it: each line of the Dockerfile, below a folder."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import PROJECT
from tests.dockerfile import Image, build, instructions


def _locked(**python: str) -> dict[str, str]:
    """The versions of the lock file for this Python, or for another."""
    lines = re.findall(r"^[\w.-]+.*$", (PROJECT / "requirements.lock").read_text(), re.MULTILINE)
    found = (one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate(python))
    return {one.name: next(iter(one.specifier)).version for one in found}


LOCKED = _locked()

pytestmark = pytest.mark.slow


def _packages(image: Image) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json, re\n"
        "print(json.dumps({re.sub('[-_.]+', '-', d.metadata['Name']).lower(): d.version for d in m.distributions()}))"
    )
    done = image.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_its_packages_are_those_of_the_lock_file_and_no_tool_of_development(image: Image) -> None:
    found = _packages(image)
    own = {"skewless", "pip", "setuptools"}  # the latter two are the environment's
    assert {name: version for name, version in found.items() if name not in own and LOCKED[name] != version} == {}
    assert not {"pytest", "ruff", "mypy", "opencv-python-headless", "uv"} & set(found)
    assert {"tfx", "kfp", "apache-beam", "google-cloud-storage", "tensorflow-serving-api"} <= set(found)


def test_the_project_is_in_it_as_a_wheel_with_all_its_files(image: Image) -> None:
    assert not (image.root / "source").exists()
    assert not list(image.site.glob("*.egg-link")) and not list(image.site.glob("__editable__*"))
    (about,) = image.site.glob("skewless-*.dist-info")
    origin = json.loads((about / "direct_url.json").read_text())
    assert origin["url"].endswith(".whl") and "dir_info" not in origin
    for top in ("skewless", "data", "serving", "components", "pipeline"):
        wanted = {
            str(file.relative_to(PROJECT))
            for file in (PROJECT / top).rglob("*")
            if file.is_file() and "__pycache__" not in file.parts
        }
        there = {str(file.relative_to(image.site)) for file in (image.site / top).rglob("*") if file.is_file()}
        assert {name for name in there if "__pycache__" not in name} == wanted
    own = (about / "RECORD").read_text().splitlines()
    assert own and not [line for line in own if line.startswith(("tests/", "benchmarks/"))]


def test_its_commands_run_for_a_user_without_a_name(image: Image) -> None:
    assert image.user == "1000" and image.workdir == image.env["HOME"].removeprefix(str(image.root)) == "/tmp"
    unreadable = [
        path
        for path in image.root.glob("opt/**/*")
        if not path.is_symlink() and not path.stat().st_mode & (stat.S_IROTH if path.is_file() else stat.S_IXOTH)
    ]
    assert unreadable == []
    told = image.run("skewless", "doctor")
    assert told.returncode == 0, told.stdout + told.stderr
    assert image.run("python", "-c", "import getpass; print(getpass.getuser())").stdout == "skewless\n"


def test_a_component_and_a_beam_worker_find_their_programs(image: Image) -> None:
    """What a compiled file calls, and what Beam's `boot` calls once it has asked its runner."""
    executor = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"
    code = f"import importlib.util as u; assert u.find_spec('{executor}'); import components, apache_beam as b; "
    code += "import apache_beam.runners.worker.sdk_worker_main; print(components.__file__, b.__version__)"
    done = image.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    file, version = done.stdout.split()
    assert file.startswith(str(image.site))
    assert version == LOCKED["apache-beam"]
    wanted = _locked(python_version="3.13", python_full_version="3.13.0")["apache-beam"]
    assert image.foreign == ((f"apache/beam_python3.13_sdk:{wanted}", "/opt/apache/beam"),)
    assert json.loads(image.entrypoint) == ["/opt/apache/beam/boot"]


def test_the_context_holds_what_the_dockerfile_copies_and_nothing_else(tmp_path: Path) -> None:
    from docker.utils.build import exclude_paths

    project = tmp_path / "project"
    for name in ("data/a.py", "data/__pycache__/a.pyc", ".git/config", "tests/test_a.py", "skewless-root/x", "secret"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("")
    found = exclude_paths(str(project), (PROJECT / ".dockerignore").read_text().splitlines())
    assert {one for one in found if os.path.isfile(project / one)} == {"data/a.py"}


def test_a_failing_line_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("")
    (tmp_path / "Dockerfile").write_text("FROM python:3.13-slim AS a\nRUN true \\\n  && false\n")
    with pytest.raises(Exception, match="true && false"):
        build(tmp_path, tmp_path / "root")


def test_it_names_no_registry_and_the_pythons_agree() -> None:
    images = [rest.partition(" ")[0] for word, rest in instructions(PROJECT / "Dockerfile") if word == "FROM"]
    assert len(images) == 2
    assert all(re.fullmatch(r"python:3\.13-slim-[a-z]+", one) for one in images), images
