"""Aspired versions of a model: the numbered folders under its base path that its version policy selects."""

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
    """Return the names of a folder's children whose whole name is a decimal int64, by number.

    Raises:
      Fault: NOT_FOUND or another code if the folder cannot be listed.
    """
    try:
        names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(base_path))
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    names_by_number: dict[int, str] = {}
    for name in names:
        if not _NUMBER.fullmatch(name) or not -(2**63) <= int(name) < 2**63:
            continue
        if (number := int(name)) in names_by_number:
            log.warning(
                "Duplicate version directories detected. Version %d will be loaded from %s, %s will be ignored.",
                number,
                name,
                names_by_number[number],
            )
        names_by_number[number] = name
    return names_by_number


def aspired_versions(name: str, base_path: str, policy: Any) -> dict[int, str]:
    """Return the folders of the versions that a model's policy selects, by number; empty if there are none.

    Args:
      name: name of the model, for the log.
      base_path: folder whose children named by a number are the versions.
      policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy; unset selects the latest version.

    Raises:
      Fault: NOT_FOUND if the folder is missing; another code if it cannot be listed for another reason.
    """
    try:
        if policy.WhichOneof("policy_choice") == "specific":
            folders = _specific_folders(name, base_path, policy.specific.versions)
            if folders is not None:
                return folders
        names_by_number = find_versions(base_path)
    except Fault as fault:
        _warn_no_versions(name, base_path)
        is_missing = fault.code is grpc.StatusCode.NOT_FOUND
        text = f"Could not find base path {base_path} for servable {name} with error {fault}"
        raise Fault(fault.code, text if is_missing else fault.message) from fault
    selected = _select(name, names_by_number, policy)
    if not selected:
        _warn_no_versions(name, base_path)
    return {number: posixpath.join(base_path, names_by_number[number]) for number in selected}


def _specific_folders(name: str, base_path: str, numbers: Sequence[int]) -> dict[int, str] | None:
    """Return the folders of specific versions without a listing, which takes long in a bucket.

    Returns:
      The folders by number; None unless every version is there under its plain number.
    """
    if not _exists(base_path):
        return None
    if not numbers:
        log.warning("No specific versions requested for servable %s.", name)
    folders = {number: posixpath.join(base_path, str(number)) for number in sorted(numbers)}
    return folders if all(map(_exists, folders.values())) else None


def _exists(path: str) -> bool:
    try:
        return bool(tf.io.gfile.exists(path))
    except tf.errors.OpError:
        return False


def _select(name: str, names_by_number: dict[int, str], policy: Any) -> list[int]:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return sorted(names_by_number)
    if choice != "specific":
        return sorted(names_by_number)[-max(policy.latest.num_versions, 1) :]
    requested = set(policy.specific.versions)
    for number in sorted(requested - names_by_number.keys()):
        log.warning(
            "Version %d of servable %s, which was requested to be served as a 'specific' version in the servable's "
            "version policy, was not found in the file system",
            number,
            name,
        )
    return sorted(requested & names_by_number.keys())


def _warn_no_versions(name: str, base_path: str) -> None:
    log.warning(
        "No versions of servable %s found under base path %s. Did you forget to name your leaf directory as a number "
        "(eg. '/1/')?",
        name,
        base_path,
    )
