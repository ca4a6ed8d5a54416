"""Models of one server: the set that is served, and the version that answers a request.

This is what TensorFlow Serving calls its ServerCore.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic

import grpc
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server.config.model_config import ModelConfig, check_platforms, read_models
from serving.server.lifecycle.version_manager import (
    LoadRetries,
    ServableAction,
    ServableT,
    ServableVersion,
    VersionManager,
    VersionState,
    servable_not_found,
)
from serving.server.lifecycle.version_policy import aspired_versions
from serving.server.rpc_error import Fault, invalid_argument

log = logging.getLogger(__name__)
_CANCEL_CHECK_S = 0.2  # how often a waiting reload checks whether its caller still waits


class ModelManager(Generic[ServableT]):
    """Every model by its name; its methods may be called from any thread.

    `reload_config` sets the models and `poll` finds their versions. The loads and unloads that follow are taken from
    `next_action`, and other threads run them.

    Attributes:
      changed: notified whenever a version changes its state or the aspired versions change.
    """

    def __init__(
        self,
        load: Callable[[str], ServableT],
        retries: LoadRetries | None = None,
        allow_unavailable_labels: bool = False,
    ) -> None:
        """Create a manager without models.

        Args:
          load: loads the servable in a version's folder; raises Fault.
          retries: retries of failed loads.
          allow_unavailable_labels: accept a label for a version that is not loaded, if the label is new or already
            stands for that version.
        """
        self._load = load
        self._retries = retries
        self._allow_unavailable = allow_unavailable_labels
        self._managers: dict[str, VersionManager[ServableT]] = {}  # also of removed models: they still have a status
        self._served: dict[str, ModelConfig] = {}
        self._labels: Mapping[str, Mapping[str, int]] | None = None
        self._reloading = threading.Lock()
        self._polling = threading.Lock()  # held during a poll, and while the set of served models changes
        self.changed = threading.Condition()

    @contextmanager
    def servable_handle(self, spec: model_pb2.ModelSpec) -> Iterator[ServableVersion[ServableT]]:
        """Hold the version that a request names: it is not unloaded before the request ends.

        Raises:
          Fault: INVALID_ARGUMENT for a missing name or an unknown label; NOT_FOUND if no such version is loaded.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        number = None
        if choice == "version_label":
            number = self._version_of_label(spec.name, spec.version_label)
        elif choice == "version":
            number = spec.version.value
        manager = self._managers.get(spec.name)
        if manager is None:
            raise servable_not_found(spec.name, number)
        with manager.servable_handle(number) as version:
            yield version

    def versions(self, name: str) -> list[ServableVersion[ServableT]]:
        """Return all versions ever aspired of a model, in ascending order; empty for an unknown name."""
        manager = self._managers.get(name)
        return [] if manager is None else manager.versions()

    def reload_config(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        keep_waiting: Callable[[], bool] = lambda: True,
        poll_now: bool = True,
    ) -> None:
        """Serve the models of a config and no others; return when the newest version of each new model is settled.

        A version is settled when it is AVAILABLE or its load has failed.

        Args:
          config: config with a `model_config_list`; an empty config changes nothing.
          keep_waiting: called repeatedly during the wait; False ends it.
          poll_now: look for versions at once, instead of at the next `poll`.

        Raises:
          Fault: INVALID_ARGUMENT or FAILED_PRECONDITION if the config is refused: the models stay as they are, but the
            labels may have changed. UNKNOWN if new models did not load: the others are served.
        """
        with self._reloading:
            kind = config.WhichOneof("config")
            if kind is None:
                log.info("Taking no action for empty config.")
                return
            if kind != "model_config_list":
                raise invalid_argument("ModelServer does not yet support custom model config.")
            models = read_models(config, self._served)
            is_first = self._labels is None
            self._labels = self._checked_labels(models)
            check_platforms(config)
            new = models.keys() - self._served.keys()
            self._set_served(models)
            if poll_now:
                self.poll()
            self._wait_until_settled(new, keep_waiting, "servable(s)" if is_first else "model(s)")

    def poll(self) -> None:
        """Look for versions under all base paths once; change nothing if one of the paths cannot be listed."""
        with self._polling:
            try:
                aspired = {
                    model.name: aspired_versions(model.name, model.base_path, model.policy)
                    for model in self._served.values()
                }
            except Fault as fault:
                log.error("FileSystemStoragePathSource encountered a filesystem access error: %s", fault.message)
                return
            for name, folders in aspired.items():
                self._managers[name].set_aspired_versions(folders)

    def next_action(self) -> ServableAction | None:
        """Return the next load or unload of any model, or None; it counts as under way and is not returned again."""
        actions = (manager.next_action() for manager in list(self._managers.values()))
        return next((action for action in actions if action is not None), None)

    def _version_of_label(self, name: str, label: str) -> int:
        if self._labels is None:
            raise Fault(grpc.StatusCode.UNAVAILABLE, f"Model labels does not init yet.{label}")
        number = self._labels.get(name, {}).get(label)
        if number is None:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return number

    def _checked_labels(self, models: Mapping[str, ModelConfig]) -> dict[str, Mapping[str, int]]:
        """Return the labels of each model after checking that their versions are available, or need not be."""
        for model in models.values():
            current = {} if self._labels is None else self._labels.get(model.name, {})
            available = {
                version.number for version in self.versions(model.name) if version.state is VersionState.AVAILABLE
            }
            for label, number in sorted(model.labels.items()):
                allowed = self._allow_unavailable and current.get(label, number) == number
                if number not in available and not allowed:
                    raise Fault(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {model.name}, which is not currently "
                        "available for inference",
                    )
        return {model.name: model.labels for model in models.values()}

    def _set_served(self, models: dict[str, ModelConfig]) -> None:
        with self._polling:
            for name in self._served.keys() - models.keys():
                self._managers[name].set_aspired_versions({})
            for name in models.keys() - self._managers.keys():
                self._managers[name] = VersionManager(name, self._load, self._retries, self.changed)
            self._served = models

    def _wait_until_settled(self, names: Collection[str], keep_waiting: Callable[[], bool], kind: str) -> None:
        """Wait until the newest aspired version of each model is AVAILABLE or END."""
        settled = (VersionState.AVAILABLE, VersionState.END)
        with self.changed:
            while keep_waiting():
                newest = [self._newest(name) for name in sorted(names)]
                if all(version is not None and version.state in settled for version in newest):
                    break
                self.changed.wait(_CANCEL_CHECK_S)
            else:
                return
        failed = [version for version in newest if version is not None and version.state is VersionState.END]
        if failed:
            each = "".join(f"{{{version} due to error: {version.fault}}}, " for version in failed)
            raise Fault(grpc.StatusCode.UNKNOWN, f"{len(failed)} {kind} did not become available: {{{each}}}")

    def _newest(self, name: str) -> ServableVersion[ServableT] | None:
        aspired = [version for version in self.versions(name) if not version.dropped.is_set()]
        return aspired[-1] if aspired else None


def model_spec_of(request: Any) -> model_pb2.ModelSpec:
    """Return the request's `model_spec`.

    Raises:
      Fault: INVALID_ARGUMENT if the request has none.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec
