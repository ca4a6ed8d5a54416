"""Build the Dockerfile without Docker: carry out its instructions below a folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from docker.utils.build import exclude_paths


@dataclass(frozen=True)
class Image:
    """A built stage.

    Attributes:
      root: Folder that stands for `/`.
      env: Variables of `ENV` and `ARG`; their paths are below `root`.
      user: User of the last `USER`.
      workdir: Path of the last `WORKDIR`.
      entrypoint: Text of `ENTRYPOINT`.
      foreign: Copies from images that are not available here: (image, path).
    """

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    workdir: str = "/"
    entrypoint: str = ""
    foreign: tuple[tuple[str, str], ...] = ()

    @property
    def site(self) -> Path:
        """Folder of its Python packages."""
        (found,) = self.root.glob("opt/*/lib/python*/site-packages")
        return found

    @property
    def work(self) -> Path:
        """Working folder, on this machine."""
        return Path(below(self.root, self.workdir))

    @property
    def environment(self) -> dict[str, str]:
        """Environment of its processes; nothing in it leads to the source tree, and bytecode is kept."""
        others = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
        here = {name: value for name, value in os.environ.items() if name not in others}
        return {**here, **self.env}

    def run(self, *command: str, timeout: int = 500) -> subprocess.CompletedProcess[str]:
        """Run a command in its working folder, as a container would."""
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
    """Return the path on this machine of a path in the image."""
    return str(root / path.lstrip("/"))


def instructions(file: Path) -> list[tuple[str, str]]:
    """Return (word, rest) of each instruction, without comments and line continuations."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in whole.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in found]


def build(project: Path, root: Path, uv_cache: bool = True) -> Image:
    """Carry out the Dockerfile of a project, stage after stage, each in an empty `root`.

    `FROM python:VERSION` creates a virtual environment of this Python, of any version, at `/usr/local`. A copy from
    another image, which is not available here, is only listed.

    Args:
      project: Build context, filtered by its .dockerignore.
      root: Folder for the image; must not exist.
      uv_cache: Use this machine's cache of packages, although the image's `UV_NO_CACHE` forbids it; and leave the
        compilation of bytecode to the first import, which reads a quarter of the modules.

    Raises:
      CalledProcessError: If a RUN line fails.
    """
    builder = _Builder(project, root, uv_cache)
    for word, rest in instructions(project / "Dockerfile"):
        builder.carry_out(word, rest)
    return builder.image


class _Builder:
    """The image so far, and the stages before it."""

    def __init__(self, project: Path, root: Path, uv_cache: bool) -> None:
        self.image = Image(root)
        self._project, self._root, self._uv_cache = project, root, uv_cache
        self._stage, self._stages = "", dict[str, Path]()

    def carry_out(self, word: str, rest: str) -> None:
        methods = {
            "FROM": self._from,
            "ARG": self._set_variables,
            "ENV": self._set_variables,
            "WORKDIR": self._workdir,
            "COPY": self._copy,
            "RUN": self._run,
            "USER": self._user,
            "ENTRYPOINT": self._entrypoint,
        }
        assert word in methods, f"unknown instruction: {word}"
        methods[word](rest)

    def _from(self, rest: str) -> None:
        if self._root.exists():
            self._stages[self._stage] = self._root.rename(self._root.with_name(f"{self._root.name}-{self._stage}"))
        base, _, self._stage = rest.partition(" AS ")
        assert re.match(r"python:3\.\d+-", base), base
        python = sys._base_executable  # type: ignore[attr-defined]
        subprocess.run([python, "-m", "venv", str(self._root / "usr" / "local")], check=True)
        self.image = Image(self._root, {"PATH": f"{self._root}/usr/local/bin:{os.environ['PATH']}"})

    def _set_variables(self, rest: str) -> None:
        env = self.image.env
        for pair in shlex.split(rest):
            key, _, value = pair.partition("=")
            env[key] = _expanded(re.sub(r"(?<![\w/.])/(?=opt|tmp)", f"{self._root}/", value), env)
        if self._uv_cache:
            for name in ("UV_NO_CACHE", "UV_COMPILE_BYTECODE"):
                env.pop(name, None)

    def _workdir(self, rest: str) -> None:
        os.makedirs(below(self._root, rest), exist_ok=True)
        self.image = replace(self.image, workdir=rest)

    def _run(self, rest: str) -> None:
        done = self.image.run("bash", "-ec", rest)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, rest, done.stdout, done.stderr)

    def _user(self, rest: str) -> None:
        self.image = replace(self.image, user=_expanded(rest, self.image.env))

    def _entrypoint(self, rest: str) -> None:
        self.image = replace(self.image, entrypoint=rest)

    def _copy(self, rest: str) -> None:
        """Carry out `COPY [--from=STAGE] SOURCE... TARGET`."""
        words = rest.split()
        origin = words.pop(0).partition("=")[2] if words[0].startswith("--from=") else None
        *sources, target = words
        folder = Path(below(self._root, os.path.join(self.image.workdir, target)))
        if origin in self._stages:
            (source,) = sources
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.rename(below(self._stages[origin], source), folder)  # the path is the same, and it takes half the time
        elif origin is not None:
            self.image = replace(self.image, foreign=(*self.image.foreign, (origin, sources[0])))
        else:
            _copy_context(self._project, sources, folder)


def _copy_context(project: Path, sources: list[str], folder: Path) -> None:
    """Copy files and folders of the build context."""
    context = exclude_paths(str(project), (project / ".dockerignore").read_text().splitlines())
    for source in sources:
        inside = [one for one in context if one == source or one.startswith(f"{source}/")]
        assert inside, f".dockerignore leaves out {source}"
        for one in inside:
            # A folder's content goes into the target, a file under its own name into a target that ends in a slash.
            to = folder / os.path.relpath(one, source) if (project / source).is_dir() else folder / one
            if (project / one).is_file():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project / one, to)


def _expanded(text: str, env: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda match: env[match[1]], text)
