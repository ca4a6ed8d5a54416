"""Builds what the Dockerfile says, on a machine without an engine: its own COPY and RUN lines, below a folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker.utils.build import exclude_paths


@dataclass(frozen=True)
class Image:
    """A built stage.

    Attributes:
      root: stands for `/`.
      env: what `ENV` and `ARG` set, below the root.
      user, workdir, entrypoint: as the Dockerfile says.
      foreign: what it takes from images that cannot be had here: (image, path).
    """

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    workdir: str = "/"
    entrypoint: str = ""
    foreign: tuple[tuple[str, str], ...] = ()

    @property
    def site(self) -> Path:
        """Where its packages lie."""
        (found,) = self.root.glob("opt/*/lib/python*/site-packages")
        return found

    @property
    def work(self) -> Path:
        """The working folder."""
        return Path(below(self.root, self.workdir))

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes; nothing in it leads to the source tree."""
        here = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return {**here, **self.env}

    def run(self, *command: str, timeout: int = 500) -> subprocess.CompletedProcess[str]:
        """Runs a command as a container of it would, in its working folder."""
        program = shutil.which(command[0], path=self.env["PATH"]) or command[0]
        return subprocess.run(
            [program, *command[1:]],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


def below(root: Path, path: str) -> str:
    """A path of the image on this machine."""
    return str(root / path.lstrip("/"))


def instructions(file: Path) -> list[tuple[str, str]]:
    """(word, rest) of each instruction, comments and line ends left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in whole.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in found]


def build(project: Path, root: Path, uv_cache: bool = True) -> Image:
    """Carries out the Dockerfile of a project, stage after stage, each with an empty `root`.

    A `FROM python:VERSION` is an environment of this Python below `/usr/local`, whatever the version. What comes from
    another image is not to be had, and listed.

    Args:
      project: the context, seen through its .dockerignore.
      root: a folder that does not exist.
      uv_cache: takes packages from this machine's cache, where the image's line says that there is none.

    Raises:
      CalledProcessError: a RUN line failed.
    """
    image, name, stages = Image(root), "", dict[str, Path]()
    for word, rest in instructions(project / "Dockerfile"):
        if word == "FROM":
            if root.exists():
                stages[name] = root.rename(root.with_name(f"{root.name}-{name}"))
            base, _, name = rest.partition(" AS ")
            assert re.match(r"python:3\.\d+-", base), base
            command = [sys._base_executable, "-m", "venv", str(root / "usr" / "local")]  # type: ignore[attr-defined]
            subprocess.run(command, check=True)
            image = Image(root, {"PATH": f"{root}/usr/local/bin:{os.environ['PATH']}"})
        elif word in ("ARG", "ENV"):
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                image.env[key] = _filled(re.sub(r"(?<![\w/.])/(?=opt|tmp)", f"{root}/", value), image.env)
            if uv_cache:
                image.env.pop("UV_NO_CACHE", None)
        elif word == "WORKDIR":
            os.makedirs(below(root, rest), exist_ok=True)
            image = _with(image, workdir=rest)
        elif word == "COPY":
            image = _copy(image, rest.split(), project, stages)
        elif word == "RUN":
            done = image.run("bash", "-ec", rest)
            if done.returncode:
                raise subprocess.CalledProcessError(done.returncode, rest, done.stdout, done.stderr)
        elif word == "USER":
            image = _with(image, user=_filled(rest, image.env))
        elif word == "ENTRYPOINT":
            image = _with(image, entrypoint=rest)
        else:
            raise ValueError(f"what does {word} do?")
    return image


def _filled(text: str, env: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda match: env[match[1]], text)


def _with(image: Image, **changes: object) -> Image:
    return Image(**{**vars(image), **changes})  # type: ignore[arg-type]


def _copy(image: Image, words: list[str], project: Path, stages: dict[str, Path]) -> Image:
    """`COPY [--from=STAGE] SOURCE... TARGET`."""
    origin = words.pop(0).partition("=")[2] if words[0].startswith("--from=") else None
    *sources, target = words
    where = Path(below(image.root, os.path.join(image.workdir, target)))
    if origin in stages:
        (source,) = sources
        where.parent.mkdir(parents=True, exist_ok=True)
        os.rename(below(stages[origin], source), where)  # moved: the same path, and half the time
        return image
    if origin is not None:
        return _with(image, foreign=(*image.foreign, (origin, sources[0])))
    context = exclude_paths(str(project), (project / ".dockerignore").read_text().splitlines())
    for source in sources:
        inside = [one for one in context if one == source or one.startswith(f"{source}/")]
        assert inside, f".dockerignore leaves out {source}"
        for one in inside:
            # A folder's content goes into the target, a file under its own name into a target that ends in a slash.
            to = where / os.path.relpath(one, source) if (project / source).is_dir() else where / one
            if (project / one).is_file():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project / one, to)
    return image
