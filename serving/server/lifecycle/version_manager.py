"""Versions of one model: load new ones, keep those in use, unload old ones, without a gap between them.

For one model this is TensorFlow Serving's AspiredVersionsManager with its availability-preserving policy.
"""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

import grpc
import tensorflow as tf

from serving.server.rpc_error import Fault

log = logging.getLogger(__name__)


class VersionState(enum.IntEnum):
    """State of a version, with the numbers of `ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Closable(Protocol):
    """Interface that a manager needs of the servables it loads."""

    def close(self) -> None:
        """Free the servable's resources."""


ServableT = TypeVar("ServableT", bound=Closable)


@dataclass(frozen=True)
class LoadRetries:
    """Retries of a failed load.

    Attributes:
      limit: number of retries after the first attempt (`--max_num_load_retries`).
      interval_s: seconds to wait before each retry (`--load_retry_interval_micros`); no wait if negative.
    """

    limit: int = 5
    interval_s: float = 60.0


@dataclass(eq=False)
class ServableVersion(Generic[ServableT]):
    """One load of one version of a model.

    Attributes:
      name: name of the model.
      number: number of the version.
      folder: folder to load.
      state: current state.
      fault: error of the load, if it failed.
      servable: the loaded model, while the state is AVAILABLE or UNLOADING.
      active_requests: number of requests that use the servable now.
      dropped: set while the version is not aspired; ends the retries of its load.
    """

    name: str
    number: int
    folder: str
    state: VersionState = VersionState.START
    fault: Fault | None = None
    servable: ServableT | None = None
    active_requests: int = 0
    dropped: threading.Event = field(default_factory=threading.Event)

    def __str__(self) -> str:
        return f"{{name: {self.name} version: {self.number}}}"


class ServableAction(NamedTuple):
    """A load or an unload that is due."""

    is_load: bool
    run: Callable[[], None]


class VersionManager(Generic[ServableT]):
    """Loads and unloads the versions of one model, so that a request always finds a version.

    `set_aspired_versions` sets the goal, `next_action` returns the next step towards it, and the caller runs that step
    on a thread of its choice. All methods may be called from any thread.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[str], ServableT],
        retries: LoadRetries | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        """Create a manager without versions.

        Args:
          name: name of the model in requests.
          load: loads the servable in a version's folder; raises Fault.
          retries: retries of failed loads.
          changed: guards the versions, and is notified whenever a version changes its state.
        """
        self.name = name
        self._load_folder = load
        self._retries = retries or LoadRetries()
        self._changed = changed or threading.Condition()
        self._versions: dict[int, ServableVersion[ServableT]] = {}
        self._serving: dict[int, ServableVersion[ServableT]] = {}
        self._aspired: dict[int, str] = {}

    def set_aspired_versions(self, folders: Mapping[int, str]) -> None:
        """Set the versions to serve.

        A failed version is loaded again only after it has left the aspired versions once. A version that is still
        unloading is loaded again as soon as it has ended.

        Args:
          folders: folder of each aspired version, by number.
        """
        with self._changed:
            for number in self._aspired.keys() - folders.keys():
                self._versions[number].dropped.set()
                if self._versions[number].state is VersionState.START:
                    self._versions[number].state = VersionState.END
            self._aspired = dict(folders)
            self._add_new_versions()
            self._changed.notify_all()

    def next_action(self) -> ServableAction | None:
        """Return the next load or unload, or None if there is nothing to do.

        The action counts as under way and is not returned again. The order is that of TensorFlow Serving's
        availability-preserving policy. A version that is not aspired is unloaded, the lowest number first, if an
        aspired version serves, if no version is aspired, or if another version that is not aspired still serves.
        Otherwise the highest of the new versions is loaded.
        """
        with self._changed:
            self._add_new_versions()
            unwanted = sorted(number for number, version in self._serving.items() if version.dropped.is_set())
            replaced = len(unwanted) < len(self._serving)
            if unwanted and (replaced or not self._aspired or len(unwanted) > 1):
                version = self._serving.pop(unwanted[0])
                version.state = VersionState.UNLOADING
                self._changed.notify_all()
                return ServableAction(False, lambda: self._unload(version))
            new = [number for number in self._aspired if self._versions[number].state is VersionState.START]
            if not new:
                return None
            version = self._versions[max(new)]
            version.state = VersionState.LOADING
            self._changed.notify_all()
            return ServableAction(True, lambda: self._load(version))

    @contextmanager
    def servable_handle(self, number: int | None) -> Iterator[ServableVersion[ServableT]]:
        """Hold a version for one request: it is not unloaded before the request ends.

        Args:
          number: number of the version; None is the highest loaded one.

        Raises:
          Fault: NOT_FOUND if no such version is loaded.
        """
        with self._changed:
            version = self._serving.get(max(self._serving, default=0) if number is None else number)
            if version is None:
                raise servable_not_found(self.name, number)
            version.active_requests += 1
        try:
            yield version
        finally:
            with self._changed:
                version.active_requests -= 1
                is_last = version.active_requests == 0 and version.state is VersionState.UNLOADING
            if is_last:
                self._close(version)

    def versions(self) -> list[ServableVersion[ServableT]]:
        """Return all versions ever aspired, in ascending order, including unloaded and failed ones."""
        with self._changed:
            return [self._versions[number] for number in sorted(self._versions)]

    def _add_new_versions(self) -> None:
        """Add a load for each aspired version that has none, or whose last one was dropped and has ended.

        The caller holds the lock.
        """
        for number, folder in self._aspired.items():
            version = self._versions.get(number)
            if version is None or (version.dropped.is_set() and version.state is VersionState.END):
                self._versions[number] = ServableVersion(self.name, number, folder)
            elif version.state is VersionState.AVAILABLE:
                version.dropped.clear()  # it never stopped serving

    def _load(self, version: ServableVersion[ServableT]) -> None:
        servable, fault = None, None
        try:
            servable = self._load_with_retries(version)
        except Exception as error:  # any error ends this version, never the server
            fault = _without_traceback(error)
        with self._changed:
            if servable is not None and not version.dropped.is_set():
                version.servable, version.state = servable, VersionState.AVAILABLE
                self._serving[version.number] = version
                servable = None
            else:
                version.fault = fault or Fault(grpc.StatusCode.CANCELLED, "Loading of servable cancelled")
                version.state = VersionState.END
            self._changed.notify_all()
        if servable is not None:
            servable.close()
        if version.fault is None:
            log.info("Successfully loaded servable version %s", version)
        else:
            log.error("Loading servable: %s failed: %s", version, version.fault)

    def _load_with_retries(self, version: ServableVersion[ServableT]) -> ServableT:
        if tf.io.gfile.exists(version.folder) and not tf.io.gfile.isdir(version.folder):
            raise Fault(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Error while attempting to reserve resources to load servable {version}: {version.folder}; "
                "Not a directory",
            )
        for attempt in range(self._retries.limit):
            try:
                return self._load_folder(version.folder)
            except Exception as error:  # TensorFlow Serving retries after any error
                fault = _without_traceback(error)
            if version.dropped.wait(max(0.0, self._retries.interval_s)):
                raise fault
            log.warning(
                "Loading servable: %s, retry %d of %d after %s", version, attempt + 1, self._retries.limit, fault
            )
        return self._load_folder(version.folder)

    def _unload(self, version: ServableVersion[ServableT]) -> None:
        with self._changed:
            in_use = version.active_requests > 0
        if not in_use:  # otherwise the last of its requests closes it
            self._close(version)

    def _close(self, version: ServableVersion[ServableT]) -> None:
        with self._changed:
            servable, version.servable = version.servable, None
        if servable is None:  # the last request has closed it already
            return
        servable.close()
        with self._changed:
            version.state = VersionState.END
            self._changed.notify_all()
        log.info("Done unloading servable version %s", version)


def _without_traceback(error: Exception) -> Fault:
    """Return a new Fault for an error: the traceback of the original keeps the half-loaded model in memory."""
    if isinstance(error, Fault):
        return Fault(error.code, error.message)
    return Fault(grpc.StatusCode.UNKNOWN, str(error))


def servable_not_found(name: str, number: int | None) -> Fault:
    """Return the error for a model without a loaded version, or without the version that was asked for."""
    request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return Fault(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")
