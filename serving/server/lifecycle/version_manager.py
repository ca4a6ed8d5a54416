"""Versions of one model: loaded, kept for the requests that use them, and dropped, without a gap."""

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
    """Of a version; the numbers are `ModelVersionStatus.State`'s."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Closable(Protocol):
    """What a manager loads."""

    def close(self) -> None:
        """Frees what it holds."""


ServableT = TypeVar("Loaded", bound=Closable)


@dataclass(frozen=True)
class LoadRetries:
    """What follows a failed load.

    Attributes:
      most: how often it is tried again.
      pause_s: before each time; none if negative.
    """

    most: int = 5
    pause_s: float = 60.0


@dataclass(eq=False)
class ServableVersion(Generic[ServableT]):
    """One load of one version.

    Attributes:
      name: the model's.
      folder: what is loaded.
      fault: what its load failed with, if it did.
      loaded: the model, while it is AVAILABLE or UNLOADING.
      users: requests under way on it.
      dropped: set while the version is not wanted; ends the retries of its load.
    """

    name: str
    number: int
    folder: str
    state: VersionState = VersionState.START
    fault: Fault | None = None
    loaded: ServableT | None = None
    users: int = 0
    dropped: threading.Event = field(default_factory=threading.Event)

    def __str__(self) -> str:
        return f"{{name: {self.name} version: {self.number}}}"


class ServableAction(NamedTuple):
    """A load or an unload that is due."""

    is_load: bool
    run: Callable[[], None]


class VersionManager(Generic[ServableT]):
    """Loads and unloads the versions of a model so that what is wanted replaces what was, and requests never miss.

    `aspire` says what is wanted, `next_work` what is to be done for it; the caller runs that on a thread of its choice.
    All methods may be called from any thread.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[str], ServableT],
        retries: LoadRetries | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        """Args:
        name: the model's, as requests say it.
        load: from a version's folder to the loaded model; raises Fault.
        retries: of failed loads.
        changed: guards the versions, and is notified whenever one changes its state.
        """
        self.name = name
        self._load_folder = load
        self._retries = retries or LoadRetries()
        self._changed = changed or threading.Condition()
        self._versions: dict[int, ServableVersion[ServableT]] = {}
        self._ready: dict[int, ServableVersion[ServableT]] = {}
        self._aspired: dict[int, str] = {}

    def aspire(self, folders: Mapping[int, str]) -> None:
        """Sets which versions are wanted.

        A failed version is tried again only after it was not wanted for a while; one that is still unloading is loaded
        again as soon as it has ended.

        Args:
          folders: of all wanted versions, by number.
        """
        with self._changed:
            for number in self._aspired.keys() - folders.keys():
                self._versions[number].dropped.set()
                if self._versions[number].state is VersionState.START:
                    self._versions[number].state = VersionState.END
            self._aspired = dict(folders)
            self._start()
            self._changed.notify_all()

    def next_work(self) -> ServableAction | None:
        """The next load or unload, or None if all is as it should be; it is then under way and will not come again.

        TensorFlow Serving's availability-preserving policy: a version goes when another serves in its stead, or none is
        wanted, or two unwanted ones serve, the lowest first; else the highest of the new ones is loaded.
        """
        with self._changed:
            self._start()
            unwanted = sorted(number for number, version in self._ready.items() if version.dropped.is_set())
            replaced = len(unwanted) < len(self._ready)
            if unwanted and (replaced or not self._aspired or len(unwanted) > 1):
                version = self._ready.pop(unwanted[0])
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
    def use(self, number: int | None) -> Iterator[ServableVersion[ServableT]]:
        """A version for the time of one request; it is not unloaded before the request ends.

        Args:
          number: the version; None is the highest that is loaded.

        Raises:
          Fault: NOT_FOUND.
        """
        with self._changed:
            version = self._ready.get(max(self._ready, default=0) if number is None else number)
            if version is None:
                raise servable_not_found(self.name, number)
            version.users += 1
        try:
            yield version
        finally:
            with self._changed:
                version.users -= 1
                last = version.users == 0 and version.state is VersionState.UNLOADING
            if last:
                self._close(version)

    def versions(self) -> list[ServableVersion[ServableT]]:
        """All versions ever seen, ascending; unloaded and failed ones too."""
        with self._changed:
            return [self._versions[number] for number in sorted(self._versions)]

    def _start(self) -> None:
        """Wanted versions that have no load, or one that was dropped and is over, get one; needs the lock."""
        for number, folder in self._aspired.items():
            version = self._versions.get(number)
            if version is None or (version.dropped.is_set() and version.state is VersionState.END):
                self._versions[number] = ServableVersion(self.name, number, folder)
            elif version.state is VersionState.AVAILABLE:
                version.dropped.clear()  # it never stopped serving

    def _load(self, version: ServableVersion[ServableT]) -> None:
        loaded, fault = None, None
        try:
            loaded = self._try_load(version)
        except Exception as error:  # whatever it is, it is the version's and not the server's
            fault = _told_again(error)
        with self._changed:
            if loaded is not None and not version.dropped.is_set():
                version.loaded, version.state = loaded, VersionState.AVAILABLE
                self._ready[version.number] = version
                loaded = None
            else:
                version.fault = fault or Fault(grpc.StatusCode.CANCELLED, "Loading of servable cancelled")
                version.state = VersionState.END
            self._changed.notify_all()
        if loaded is not None:
            loaded.close()
        if version.fault is None:
            log.info("Successfully loaded servable version %s", version)
        else:
            log.error("Loading servable: %s failed: %s", version, version.fault)

    def _try_load(self, version: ServableVersion[ServableT]) -> ServableT:
        if tf.io.gfile.exists(version.folder) and not tf.io.gfile.isdir(version.folder):
            raise Fault(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Error while attempting to reserve resources to load servable {version}: {version.folder}; "
                "Not a directory",
            )
        for attempt in range(self._retries.most):
            try:
                return self._load_folder(version.folder)
            except Exception as error:  # each is worth another try, as there
                fault = _told_again(error)
            if version.dropped.wait(max(0.0, self._retries.pause_s)):
                raise fault
            log.warning(
                "Loading servable: %s, retry %d of %d after %s", version, attempt + 1, self._retries.most, fault
            )
        return self._load_folder(version.folder)

    def _unload(self, version: ServableVersion[ServableT]) -> None:
        with self._changed:
            busy = version.users > 0
        if not busy:  # else the last of its requests ends it
            self._close(version)

    def _close(self, version: ServableVersion[ServableT]) -> None:
        with self._changed:
            loaded, version.loaded = version.loaded, None
        if loaded is None:  # the last request was quicker
            return
        loaded.close()
        with self._changed:
            version.state = VersionState.END
            self._changed.notify_all()
        log.info("Done unloading servable version %s", version)


def _told_again(error: Exception) -> Fault:
    """A new Fault: the caught error's traceback would keep the half-loaded model in memory."""
    if isinstance(error, Fault):
        return Fault(error.code, error.message)
    return Fault(grpc.StatusCode.UNKNOWN, str(error))


def servable_not_found(name: str, number: int | None) -> Fault:
    """No version of the model is loaded, or not the one that was asked for."""
    asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return Fault(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")
