"""The models of one server: which are served, and which version of which model a request means."""

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
from serving.server.rpc_error import Fault, invalid

log = logging.getLogger(__name__)
_LOOK_S = 0.2  # how soon it is noticed that nobody waits for a reload any more


class ModelManager(Generic[ServableT]):
    """Every model by its name; its methods may be called from any thread.

    `reload` says what is served and `poll` finds its versions; the work that follows is taken from `next_work` and run
    by others.

    Attributes:
      changed: notified whenever a version changes its state or other versions are wanted.
    """

    def __init__(
        self,
        load: Callable[[str], ServableT],
        retries: LoadRetries | None = None,
        allow_unavailable_labels: bool = False,
    ) -> None:
        """Args:
        load: from a version's folder to the loaded model; raises Fault.
        retries: of failed loads.
        allow_unavailable_labels: whether a label may be set on a version that is not loaded, provided that it is new
          or already means that version.
        """
        self._load = load
        self._retries = retries
        self._allow_unavailable = allow_unavailable_labels
        self._managers: dict[
            str, VersionManager[ServableT]
        ] = {}  # of models that are served no more, too: their status is asked
        self._served: dict[str, ModelConfig] = {}
        self._labels: Mapping[str, Mapping[str, int]] | None = None
        self._reloading = threading.Lock()
        self._polling = threading.Lock()  # held while versions are looked for, and while what is served changes
        self.changed = threading.Condition()

    @contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[ServableVersion[ServableT]]:
        """The version that a request means, for the time of the request; it is not unloaded before the request ends.

        Raises:
          Fault: no name, an unknown label (INVALID_ARGUMENT), or nothing loaded that fits (NOT_FOUND).
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        number = None
        if choice == "version_label":
            number = self._labelled(spec.name, spec.version_label)
        elif choice == "version":
            number = spec.version.value
        manager = self._managers.get(spec.name)
        if manager is None:
            raise servable_not_found(spec.name, number)
        with manager.use(number) as version:
            yield version

    def versions(self, name: str) -> list[ServableVersion[ServableT]]:
        """All versions ever seen of a model, ascending; empty for an unknown name."""
        manager = self._managers.get(name)
        return [] if manager is None else manager.versions()

    def reload(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        wanted: Callable[[], bool] = lambda: True,
        look: bool = True,
    ) -> None:
        """Serves the models of `config` and no others; returns when the newest version of each new one is settled.

        Args:
          config: with a `model_config_list`; an empty one changes nothing.
          wanted: asked now and then whether to go on waiting.
          look: whether to look for versions at once, and not only with the next `poll`.

        Raises:
          Fault: INVALID_ARGUMENT or FAILED_PRECONDITION, nothing was changed, save that the labels may have been;
            UNKNOWN, new models did not load, the others are served.
        """
        with self._reloading:
            kind = config.WhichOneof("config")
            if kind is None:
                log.info("Taking no action for empty config.")
                return
            if kind != "model_config_list":
                raise invalid("ModelServer does not yet support custom model config.")
            models = read_models(config, self._served)
            is_first = self._labels is None
            self._labels = self._new_labels(models)
            check_platforms(config)
            new = models.keys() - self._served.keys()
            self._serve(models)
            if look:
                self.poll()
            self._await(new, wanted, "servable(s)" if is_first else "model(s)")

    def poll(self) -> None:
        """Looks at all base paths once. If one cannot be listed, everything stays as it is."""
        with self._polling:
            try:
                found = {
                    one.name: aspired_versions(one.name, one.base_path, one.policy) for one in self._served.values()
                }
            except Fault as fault:
                log.error("FileSystemStoragePathSource encountered a filesystem access error: %s", fault.message)
                return
            for name, folders in found.items():
                self._managers[name].aspire(folders)

    def next_work(self) -> ServableAction | None:
        """The next load or unload, of whichever model, or None; it is then under way and will not come again."""
        works = (manager.next_work() for manager in list(self._managers.values()))
        return next((work for work in works if work is not None), None)

    def _labelled(self, name: str, label: str) -> int:
        if self._labels is None:
            raise Fault(grpc.StatusCode.UNAVAILABLE, f"Model labels does not init yet.{label}")
        number = self._labels.get(name, {}).get(label)
        if number is None:
            raise invalid(f"Unrecognized servable version label: {label}")
        return number

    def _new_labels(self, models: Mapping[str, ModelConfig]) -> dict[str, Mapping[str, int]]:
        for model in models.values():
            now = {} if self._labels is None else self._labels.get(model.name, {})
            available = {one.number for one in self.versions(model.name) if one.state is VersionState.AVAILABLE}
            for label, number in sorted(model.labels.items()):
                allowed = self._allow_unavailable and now.get(label, number) == number
                if number not in available and not allowed:
                    raise Fault(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {model.name}, which is not currently "
                        "available for inference",
                    )
        return {model.name: model.labels for model in models.values()}

    def _serve(self, models: dict[str, ModelConfig]) -> None:
        with self._polling:
            for name in self._served.keys() - models.keys():
                self._managers[name].aspire({})
            for name in models.keys() - self._managers.keys():
                self._managers[name] = VersionManager(name, self._load, self._retries, self.changed)
            self._served = models

    def _await(self, names: Collection[str], wanted: Callable[[], bool], kind: str) -> None:
        """Waits until the newest wanted version of each model is AVAILABLE or END."""
        with self.changed:
            while wanted():
                newest = [self._newest(name) for name in sorted(names)]
                if all(one is not None and one.state in (VersionState.AVAILABLE, VersionState.END) for one in newest):
                    break
                self.changed.wait(_LOOK_S)
            else:
                return
        failed = [one for one in newest if one is not None and one.state is VersionState.END]
        if failed:
            each = "".join(f"{{{one} due to error: {one.fault}}}, " for one in failed)
            raise Fault(grpc.StatusCode.UNKNOWN, f"{len(failed)} {kind} did not become available: {{{each}}}")

    def _newest(self, name: str) -> ServableVersion[ServableT] | None:
        live = [one for one in self.versions(name) if not one.dropped.is_set()]
        return live[-1] if live else None


def model_spec_of(request: Any) -> model_pb2.ModelSpec:
    """The request's `model_spec`.

    Raises:
      Fault: INVALID_ARGUMENT, it has none.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec
