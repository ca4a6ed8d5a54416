"""Which versions of a model are wanted: what lies under its base path, sifted by its version policy."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Sequence
from typing import Any

import grpc
import tensorflow as tf

from serving.server.rpc_error import Fault, from_tensorflow

log = logging.getLogger(__name__)
_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)


def find_versions(base_path: str) -> dict[int, str]:
    """The children of a folder whose whole name is a decimal int64, by number.

    Raises:
      Fault: NOT_FOUND or another code, the folder cannot be listed.
    """
    try:
        names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(base_path))
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    found: dict[int, str] = {}
    for name in names:
        if not _NUMBER.fullmatch(name) or not -(2**63) <= int(name) < 2**63:
            continue
        if (number := int(name)) in found:
            log.warning(
                "Duplicate version directories detected. Version %d will be loaded from %s, %s will be ignored.",
                number,
                name,
                found[number],
            )
        found[number] = name
    return found


def aspired_versions(name: str, base_path: str, policy: Any) -> dict[int, str]:
    """The folders of the versions that a model's policy wants, by number; none where there are none.

    Args:
      name: the model's, for the log.
      base_path: its children named by a number are the versions.
      policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy; unset is the latest version.

    Raises:
      Fault: NOT_FOUND, there is no such folder; or whatever else keeps it from being listed.
    """
    try:
        if policy.WhichOneof("policy_choice") == "specific":
            folders = _specific_folders(name, base_path, policy.specific.versions)
            if folders is not None:
                return folders
        found = find_versions(base_path)
    except Fault as fault:
        _warn_of_none(name, base_path)
        missing = fault.code is grpc.StatusCode.NOT_FOUND
        text = f"Could not find base path {base_path} for servable {name} with error {fault}"
        raise Fault(fault.code, text if missing else fault.message) from fault
    wanted = _choose(name, found, policy)
    if not wanted:
        _warn_of_none(name, base_path)
    return {number: posixpath.join(base_path, found[number]) for number in wanted}


def _specific_folders(name: str, base_path: str, numbers: Sequence[int]) -> dict[int, str] | None:
    """Without a listing, which a bucket takes its time for; None unless each is there under its plain number."""
    if not _is_there(base_path):
        return None
    if not numbers:
        log.warning("No specific versions requested for servable %s.", name)
    folders = {number: posixpath.join(base_path, str(number)) for number in sorted(numbers)}
    return folders if all(map(_is_there, folders.values())) else None


def _is_there(path: str) -> bool:
    try:
        return tf.io.gfile.exists(path)
    except tf.errors.OpError:
        return False


def _choose(name: str, found: dict[int, str], policy: Any) -> list[int]:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return sorted(found)
    if choice != "specific":
        return sorted(found)[-max(policy.latest.num_versions, 1) :]
    asked = set(policy.specific.versions)
    for number in sorted(asked - found.keys()):
        log.warning(
            "Version %d of servable %s, which was requested to be served as a 'specific' version in the servable's "
            "version policy, was not found in the file system",
            number,
            name,
        )
    return sorted(asked & found.keys())


def _warn_of_none(name: str, base_path: str) -> None:
    log.warning(
        "No versions of servable %s found under base path %s. Did you forget to name your leaf directory as a number "
        "(eg. '/1/')?",
        name,
        base_path,
    )
