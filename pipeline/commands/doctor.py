"""`skewless doctor`: check whether this machine can run Skewless, and what to do if not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape

from pipeline.paths import local_folder
from pipeline.registry import hidden_modules
from pipeline.report.waiting import Waiting

MIN_DISK_GB = 5
MIN_MEMORY_GB = 4
PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))
NEEDED_GLIBC = (2, 39)  # for the wheels of TFX 1.21's family; the older family has no minimum


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
      fine: Whether the check passed.
      what: What was checked, and the result.
      repair: What to do if it failed.
    """

    fine: bool
    what: str
    repair: str = ""


def examine_machine(root: str, console: Console | None = None) -> bool:
    """Run and print all checks; return whether all passed."""
    console = console or Console(highlight=False, soft_wrap=True)
    fine = True
    for check in CHECKS:
        with console.status(Waiting("checking")):  # Beam's imports take a while
            findings = check(root)
        for finding in findings:
            fine &= finding.fine
            console.print(f"{'[green]ok [/]' if finding.fine else '[red]bad[/]'} {escape(finding.what)}")
            if not finding.fine:
                console.print(f"    [yellow]-> {escape(finding.repair)}[/]")
    return fine


def check_python(root: str) -> list[CheckResult]:
    """Check the version of Python, and the C library and compiler that its family of packages needs."""
    version = ".".join(map(str, sys.version_info[:3]))
    family = "TFX 1.21's family" if sys.version_info[:2] >= (3, 11) else "TFX 1.16's family"
    fits = sys.version_info[:2] in PYTHONS
    repair = "Run `make install`: it finds the newest suitable Python, of 3.10 to 3.13."
    found = [CheckResult(fits, f"Python {version}, {family}" if fits else f"Python {version}", repair)]
    name, libc = platform.libc_ver()
    if not fits:
        return found
    if sys.version_info[:2] >= (3, 11):
        known = name == "glibc" and tuple(map(int, libc.split(".")[:2])) >= NEEDED_GLIBC
        repair = "Use Debian 13, Ubuntu 24.04 or newer, or Python 3.10 with the older family."
        found.append(CheckResult(known, f"C library {name} {libc}; this family needs glibc 2.39", repair))
    elif not (shutil.which("c++") or shutil.which("g++")):
        found.append(CheckResult(True, "no C++ compiler: a new installation of this family needs one"))
    return found


def pins() -> dict[str, str]:
    """Return name and version of the packages that were tested together, from Skewless' metadata for this Python."""
    found: dict[str, str] = {}
    for line in importlib.metadata.requires("skewless") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "pipeline"}):
            for one in requirement.specifier:
                if one.operator == "==":
                    found[requirement.name] = one.version
    return found


def check_packages(root: str) -> list[CheckResult]:
    """Check that each pinned package has its version."""
    found = []
    for name, wanted in pins().items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        repair = f"Run `make install`; Skewless needs {wanted}."
        found.append(CheckResult(version == wanted, f"{name} {version}", repair))
    return found


def check_beam(root: str) -> list[CheckResult]:
    """Check that Beam's local runner runs a pipeline of one element."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import apache_beam as beam

        from pipeline.runners.beam import DIRECT

        with beam.Pipeline(argv=list(DIRECT)) as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(lambda value: value + 1)
    except Exception as error:  # any error is the result of this check
        return [CheckResult(False, f"Beam's local runner: {error}", "Run `make install` in a fresh checkout.")]
    return [CheckResult(True, "Beam's local runner runs")]


def check_names(root: str) -> list[CheckResult]:
    """Check that no module in the current folder has the name of a package of Skewless."""
    return [
        CheckResult(False, f"{path} has the name of a package of Skewless: a task cannot import it", f"Rename {path}.")
        for path in hidden_modules(str(Path.cwd())).values()
    ]


def check_disk(root: str) -> list[CheckResult]:
    """Check the disk space for artifacts, and the permission to write them."""
    folder = Path(local_folder(root)).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    return [
        CheckResult(
            free >= MIN_DISK_GB, f"{free:.0f} GB free for {root}", f"Free {MIN_DISK_GB} GB, or use --root DIR."
        ),
        CheckResult(
            writable, f"{folder} is {'' if writable else 'not '}writable", "Use another folder with --root DIR."
        ),
    ]


def check_memory(root: str) -> list[CheckResult]:
    """Check the memory that a run can use, within the limit of a container."""
    available = _available() / 1e9
    repair = f"Close programs, or give the container {MIN_MEMORY_GB} GB; --set train.cache_mb=0 needs less."
    return [CheckResult(available >= MIN_MEMORY_GB, f"{available:.0f} GB of memory available", repair)]


def _available() -> float:
    """Return the available bytes: the kernel's figure, or the cgroup's if that is less."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = float(lines["MemAvailable"].split()[0]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and limit.read_text().strip().isdecimal():
        used = float(Path("/sys/fs/cgroup/memory.current").read_text())
        available = min(available, float(limit.read_text()) - used)
    return available


CHECKS: tuple[Callable[[str], list[CheckResult]], ...] = (
    check_python,
    check_packages,
    check_names,
    check_beam,
    check_disk,
    check_memory,
)
