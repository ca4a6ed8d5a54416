"""`skewless doctor`: is this machine fit, and what to do where it is not."""

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

MIN_DISK_GB = 5
MIN_MEMORY_GB = 4
PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))
NEEDED_GLIBC = (2, 39)  # by the wheels of TFX 1.21's family; the older one takes any


@dataclass(frozen=True)
class CheckResult:
    """fine: whether it is as it should be; what: what was looked at and found; mend: what to do if it is not."""

    fine: bool
    what: str
    mend: str = ""


def examine_machine(root: str, console: Console | None = None) -> bool:
    """Prints what was found; whether all is fine."""
    console = console or Console(highlight=False, soft_wrap=True)
    fine = True
    for check in CHECKS:
        for finding in check(root):
            fine &= finding.fine
            console.print(f"{'[green]ok [/]' if finding.fine else '[red]bad[/]'} {escape(finding.what)}")
            if not finding.fine:
                console.print(f"    [yellow]-> {escape(finding.mend)}[/]")
    return fine


def check_python(root: str) -> list[CheckResult]:
    """A Python that one of the two families takes, and the C library and compiler that this family needs."""
    version = ".".join(map(str, sys.version_info[:3]))
    family = "TFX 1.21's family" if sys.version_info[:2] >= (3, 11) else "TFX 1.16's family"
    fits = sys.version_info[:2] in PYTHONS
    mend = "Call `make install`: it finds the newest Python that fits, of 3.10 to 3.13."
    found = [CheckResult(fits, f"Python {version}, {family}" if fits else f"Python {version}", mend)]
    name, libc = platform.libc_ver()
    if not fits:
        return found
    if sys.version_info[:2] >= (3, 11):
        known = name == "glibc" and tuple(map(int, libc.split(".")[:2])) >= NEEDED_GLIBC
        mend = "Take Debian 13, Ubuntu 24.04 or newer, or Python 3.10 with the older family."
        found.append(CheckResult(known, f"C library {name} {libc}; this family needs glibc 2.39", mend))
    elif not (shutil.which("c++") or shutil.which("g++")):
        found.append(CheckResult(True, "no C++ compiler: installing this family again would need one"))
    return found


def pins() -> dict[str, str]:
    """The versions that were run together, end to end, by name, as this package's own metadata say for this Python."""
    found: dict[str, str] = {}
    for line in importlib.metadata.requires("skewless") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "pipeline"}):
            for one in requirement.specifier:
                if one.operator == "==":
                    found[requirement.name] = one.version
    return found


def check_packages(root: str) -> list[CheckResult]:
    """Every pinned package in its version."""
    found = []
    for name, wanted in pins().items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        found.append(CheckResult(version == wanted, f"{name} {version}", f"Call `make install`; wanted is {wanted}."))
    return found


def check_beam(root: str) -> list[CheckResult]:
    """Beam's local runner runs a pipeline of one element."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import apache_beam as beam

        from pipeline.runners.beam import DIRECT

        with beam.Pipeline(argv=list(DIRECT)) as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(lambda value: value + 1)
    except Exception as error:  # whatever it is, it is what the user must hear
        return [CheckResult(False, f"Beam's local runner: {error}", "Call `make install` in a fresh checkout.")]
    return [CheckResult(True, "Beam's local runner runs")]


def check_names(root: str) -> list[CheckResult]:
    """No module in the current folder has the name of a package of Skewless."""
    return [
        CheckResult(False, f"{path} has the name of a package of Skewless: a task cannot import it", f"Rename {path}.")
        for path in hidden_modules(str(Path.cwd())).values()
    ]


def check_disk(root: str) -> list[CheckResult]:
    """Room for artifacts, and the right to write them."""
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
    """Memory that a run can get, the container's limit included."""
    available = _available() / 1e9
    mend = f"Close programs, or give the container {MIN_MEMORY_GB} GB; --set train.cache_mb=0 needs less."
    return [CheckResult(available >= MIN_MEMORY_GB, f"{available:.0f} GB of memory available", mend)]


def _available() -> float:
    """Bytes, from the kernel, or from the cgroup where that is less."""
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
