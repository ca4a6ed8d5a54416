"""Resources of a component's container: CPUs, memory, GPUs.

Our own parser: TFX takes a ResourceSpec only in code (`with_platform_config`), and has no machine types.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

from data.errors import UsageError, unknown

KEYS = ("cpu", "memory", "gpu", "machine")
_GB_PER_CPU = {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0}  # of Google's machine families; N1's differ
_GB_PER_CPU_N1 = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}


def parse_resources(assignments: Sequence[str], components: Collection[str], target: str) -> dict[str, dict[str, Any]]:
    """Return the JSON of PipelineSpec's ResourceSpec by component.

    For example, `["Trainer.cpu=8"]` becomes `{"Trainer": {"cpuLimit": 8.0}}`.

    Args:
      assignments: COMPONENT.KEY=VALUE: a number of CPUs, gigabytes (10^9 bytes) of memory, TYPE:COUNT of GPUs, or a
        Vertex AI machine, `n1-standard-8`, which becomes its CPUs and memory: a PipelineSpec has no machines. `Tuner`
        means `Tuner-1`, `Tuner-2` ..., too.
      components: The components that run in a container.
      target: "vertex" or "kubeflow".

    Raises:
      UsageError: If an assignment has another form, the component or key is unknown, or the value is out of range.
    """
    found: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        component, dot, key = name.strip().partition(".")
        if not separator or not dot:
            raise UsageError(f"--resource {assignment}: expected COMPONENT.KEY=VALUE", hint=_EXAMPLE)
        named = [one for one in components if one == component or re.fullmatch(rf"{re.escape(component)}-\d+", one)]
        if not named:
            raise unknown("component", component, components)
        if key not in KEYS:
            raise unknown("resource", key, KEYS)
        for one in named:
            found.setdefault(one, {}).update(_spec(key, value.strip(), assignment, target))
    return found


_EXAMPLE = "For example --resource Trainer.cpu=8 --resource Trainer.memory=30 --resource Trainer.gpu=NVIDIA_TESLA_T4:1"


def _spec(key: str, value: str, assignment: str, target: str) -> dict[str, Any]:
    if key == "machine":
        return _machine(value, target)
    if key == "gpu":
        return _gpu(value, target)
    try:
        number = float(value.removesuffix("G") if key == "memory" else value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        unit = "gigabytes" if key == "memory" else "CPUs"
        raise UsageError(f"--resource {assignment}: expected a number of {unit} above 0", hint=_EXAMPLE)
    return {f"{key}Limit": number}


def _gpu(value: str, target: str) -> dict[str, Any]:
    kind, _, count = value.partition(":")
    count = count or "1"
    if not kind or not count.isdecimal() or int(count) < 1:
        raise UsageError(f"expected a GPU as TYPE:COUNT, got '{value}'", hint=_EXAMPLE)
    if target == "vertex" and "/" in kind:
        raise UsageError(f"Vertex AI has no GPU '{kind}'", hint="Its types are NVIDIA_TESLA_T4, NVIDIA_L4, ...")
    if target == "kubeflow" and "/" not in kind:
        raise UsageError(
            f"Kubernetes has no GPU '{kind}'",
            hint=f"Give the resource of a device plugin: nvidia.com/gpu:{count}",
        )
    return {"accelerator": {"type": kind, "count": count}}


def _machine(value: str, target: str) -> dict[str, Any]:
    match = re.fullmatch(r"([a-z]\d?d?)-(standard|highmem|highcpu)-(\d+)", value)
    if target != "vertex" or not match or int(match[3]) < 1:
        raise UsageError(
            f"no machine '{value}' on {target}",
            hint="Machines of Vertex AI are FAMILY-standard|highmem|highcpu-CPUS, such as n1-standard-8. For others,"
            " and on Kubeflow, give cpu and memory.",
        )
    family, kind, cpus = match[1], match[2], int(match[3])
    memory = cpus * (_GB_PER_CPU_N1 if family == "n1" else _GB_PER_CPU)[kind]
    return {"cpuLimit": float(cpus), "memoryLimit": round(memory, 2)}
