"""Pusher, as TFX has it, but atomic: a server that polls the folder never sees half a version."""

from __future__ import annotations

import json
import logging
import posixpath
import time

import tensorflow as tf
from tfx import types
from tfx.components import Pusher as TfxPusher
from tfx.components.pusher import executor
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import standard_component_specs
from tfx.utils import io_utils, proto_utils

from components.executor import ComponentExecutor, Execution
from components.release import skew_check
from data.errors import SkewError
from data.files.atomic import atomic_path
from data.files.copy_tree import copy_tree
from data.files.remote import is_remote
from serving.parity.compare import Comparison

log = logging.getLogger(__name__)
PROOF = "proof"  # custom property of the PushedModel: the comparison as JSON
GRAPH = "saved_model.pb"
FINGERPRINT = "fingerprint.pb"  # TensorFlow's checksum of a SavedModel, copied with it


def push(model: str, base: str, now: float) -> tuple[str, int]:
    """Copies a SavedModel to `<base>/<version>`: aside, then one rename. In a bucket, which renames no folders,
    `saved_model.pb` comes last, without which no server loads a version.

    Versions are seconds since 1970, as TFX's, but always above the last. A model that is the latest version already
    (a run killed between the push and its record) is not pushed twice.

    Returns:
      The version's folder and its number.
    """
    tf.io.gfile.makedirs(base)
    for leftover in _leftovers(base):
        tf.io.gfile.rmtree(posixpath.join(base, leftover))
    present = versions(base)
    if present and _same_model(posixpath.join(base, str(present[-1])), model):
        return posixpath.join(base, str(present[-1])), present[-1]
    version = max(int(now), *(number + 1 for number in present[-1:]), 1)
    aside, target = posixpath.join(base, f".pushing-{version}"), posixpath.join(base, str(version))
    if is_remote(base):
        copy_tree(model, target, last=GRAPH)
        return target, version
    with atomic_path(target, aside) as partial:
        io_utils.copy_dir(model, partial)
    return target, version


def versions(base: str) -> list[int]:
    """Numbers of the versions in a model's folder, ascending; none where there is no folder."""
    if not tf.io.gfile.isdir(base):
        return []
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(base))
    return sorted(int(name) for name in names if name.isdecimal())


def _leftovers(base: str) -> list[str]:
    """What a push that broke off has left."""
    if is_remote(base):
        names = map(str, versions(base))
        return [name for name in names if not tf.io.gfile.exists(posixpath.join(base, name, GRAPH))]
    return [name for name in tf.io.gfile.listdir(base) if name.startswith(".pushing-")]


def _same_model(left: str, right: str) -> bool:
    paths = [posixpath.join(folder, FINGERPRINT) for folder in (left, right)]
    return all(map(tf.io.gfile.exists, paths)) and len({io_utils.read_bytes_file(path) for path in paths}) == 1


def prove_pushed(blessing: str, version: str) -> Comparison:
    """The last route of the proof: the version that servers find. One that differs is taken away again.

    Args:
      blessing: folder of the SkewGate's InfraBlessing.
      version: folder of the version.

    Raises:
      SkewError: it answers otherwise than the model did in training.
    """
    found = skew_check.check_pushed(blessing, version)
    if found.fault:
        tf.io.gfile.rmtree(version)
        raise SkewError(
            f"the pushed version differs from the model, and was removed: {found.fault}, record {found.record}",
            hint="The version before keeps serving. Was the copy disturbed? Run again.",
        )
    return found


class PusherExecutor(ComponentExecutor, executor.Executor):
    """The stock checks of the blessings and marks, around `push`, and the proof of what was pushed."""

    def execute(self, execution: Execution) -> None:
        """Push a model that both gates blessed, and prove the pushed version.

        Raises:
          SkewError: If the pushed version answers differently from the model.
        """
        pushed = execution.output(standard_component_specs.PUSHED_MODEL_KEY)
        if not self.CheckBlessing(execution.inputs):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(execution.properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        model = self.GetModelPath(execution.inputs)
        path, version = push(model, destination.filesystem.base_directory, time.time())
        blessing = execution.input(standard_component_specs.INFRA_BLESSING_KEY).uri
        pushed.set_string_custom_property(PROOF, json.dumps(prove_pushed(blessing, path).to_json()))
        io_utils.copy_dir(model, pushed.uri)
        self._MarkPushed(pushed, pushed_destination=path, pushed_version=str(version))
        log.info("pushed version %d to %s", version, path)


class Pusher(TfxPusher):
    """TFX's Pusher to a folder that TF Serving watches."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PusherExecutor)

    def __init__(
        self, model: types.Channel, model_blessing: types.Channel, infra_blessing: types.Channel, base_directory: str
    ) -> None:
        """Args:
        model: the candidate.
        model_blessing: the Evaluator's verdict.
        infra_blessing: the SkewGate's.
        base_directory: folder of the served model, `--model_base_path` of the server.
        """
        super().__init__(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=pusher_pb2.PushDestination(
                filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=base_directory)
            ),
        )
