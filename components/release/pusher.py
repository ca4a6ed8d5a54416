"""TFX's Pusher, but atomic, and with a proof of the pushed version."""

from __future__ import annotations

import json
import logging
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
from components.release.served_folder import push_model
from data.errors import SkewError
from serving.parity.compare import Comparison

log = logging.getLogger(__name__)
PROOF = "proof"  # custom property of the PushedModel: the comparison as JSON


def prove_pushed(blessing: str, version: str) -> Comparison:
    """Compare the pushed version with training, the last route of the proof; remove it if it differs.

    Args:
      blessing: Folder of the SkewGate's InfraBlessing.
      version: Folder of the version.

    Raises:
      SkewError: If it answers differently from the model in training.
    """
    found = skew_check.check_pushed(blessing, version)
    if found.fault:
        tf.io.gfile.rmtree(version)
        raise SkewError(
            f"the pushed version differs from the model, and was removed: {found.fault}, record {found.record}",
            hint="The last version keeps serving. Check the disk or bucket, and run again.",
        )
    return found


class PusherExecutor(ComponentExecutor, executor.Executor):
    """TFX's checks of the blessings, an atomic push, and the proof of the pushed version."""

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
        path, version = push_model(model, destination.filesystem.base_directory, time.time())
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
        """Create the component.

        Args:
          model: The candidate.
          model_blessing: The Evaluator's blessing.
          infra_blessing: The SkewGate's blessing.
          base_directory: Folder of the served model, `--model_base_path` of the server.
        """
        super().__init__(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=pusher_pb2.PushDestination(
                filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=base_directory)
            ),
        )
