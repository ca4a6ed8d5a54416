"""From a version's folder to a model that answers: loaded, batched and warmed up."""

from __future__ import annotations

import logging
import posixpath
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from serving.server.config.platform_config import Platform
from serving.server.config.protos import SavedModelConfig
from serving.server.inference.warmup import has_requests, warm_up
from serving.server.rpc_error import Fault
from serving.server.saved_model.saved_model_bundle import SavedModelBundle

log = logging.getLogger(__name__)
CONFIG_FILE = "assets.extra/saved_model_config.pb"  # in a version's folder: a SavedModelConfig
Wrap = Callable[[SavedModelBundle, str], Any]
Warmed = Callable[[str, str, int, int], None]


class Loader:
    """Loads versions as the platform says; may be called from several threads."""

    def __init__(self, platform: Platform, wrap: Wrap | None = None, warmed: Warmed | None = None) -> None:
        """Args:
        platform: how to load.
        wrap: puts batching around a Servable, given also its folder.
        warmed: told of each warm-up: the version's folder, its status OK, how many microseconds it took and of how many
          records.
        """
        self._platform = platform
        self._wrap = wrap
        self._warmed = warmed

    def __call__(self, folder: str) -> Any:
        """A Servable, or what `wrap` made of it.

        Raises:
          Fault: it does not load, or its warm-up failed.
        """
        servable = SavedModelBundle(folder, self._platform.tags, session_config(folder, self._platform.session))
        try:
            model = servable if self._wrap is None else self._wrap(servable, folder)
        except Fault:
            servable.close()
            raise
        if self._platform.warm_up_times and has_requests(folder):
            self._warm_up(model, folder)
        return model

    def _warm_up(self, model: Any, folder: str) -> None:
        start = time.perf_counter_ns()
        try:
            records = warm_up(model, folder, self._platform.warm_up_times)
        except Exception:
            model.close()
            raise
        if self._warmed is not None:
            self._warmed(folder, "OK", (time.perf_counter_ns() - start) // 1000, records)


def session_config(folder: str, config: Any) -> Any:
    """The server's ConfigProto with what a version's own file sets; a broken file is told and changes nothing.

    Of its overrides only the optimizer's switch is known here: the others need optimizers that TensorFlow lacks.
    """
    path = posixpath.join(folder, CONFIG_FILE)
    try:
        if not tf.io.gfile.exists(path):
            return config
        with tf.io.gfile.GFile(path, "rb") as file:
            own = SavedModelConfig.FromString(file.read())
    except (tf.errors.OpError, DecodeError) as error:
        log.warning("Failed to load saved model config: %s: %s", path, error)
        return config
    if not own.HasField("session_overrides"):
        return config
    changed = tf.compat.v1.ConfigProto()
    if config is not None:
        changed.CopyFrom(config)
    changed.graph_options.rewrite_options.disable_meta_optimizer = own.session_overrides.disable_meta_optimizer
    return changed
