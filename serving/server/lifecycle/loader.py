"""Loader of a version: reads its folder, adds batching, and runs the warm-up requests."""

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
OnWarmUp = Callable[[str, str, int, int], None]


class Loader:
    """Loads versions as the platform config describes; may be called from several threads."""

    def __init__(self, platform: Platform, wrap: Wrap | None = None, on_warm_up: OnWarmUp | None = None) -> None:
        """Create a loader.

        Args:
          platform: tags, session config and warm-up of the models.
          wrap: adds batching to a SavedModelBundle; its second argument is the version's folder.
          on_warm_up: called after each warm-up with the version's folder, the status OK, the duration in microseconds
            and the number of records.
        """
        self._platform = platform
        self._wrap = wrap
        self._on_warm_up = on_warm_up

    def __call__(self, folder: str) -> Any:
        """Return the SavedModelBundle in a folder, or what `wrap` returned for it.

        Raises:
          Fault: If the load or the warm-up fails.
        """
        bundle = SavedModelBundle(folder, self._platform.tags, session_config(folder, self._platform.session))
        try:
            servable = bundle if self._wrap is None else self._wrap(bundle, folder)
        except Fault:
            bundle.close()
            raise
        if self._platform.warm_up_times and has_requests(folder):
            self._warm_up(servable, folder)
        return servable

    def _warm_up(self, servable: Any, folder: str) -> None:
        start = time.perf_counter_ns()
        try:
            records = warm_up(servable, folder, self._platform.warm_up_times)
        except Exception:
            servable.close()
            raise
        if self._on_warm_up is not None:
            self._on_warm_up(folder, "OK", (time.perf_counter_ns() - start) // 1000, records)


def session_config(folder: str, config: Any) -> Any:
    """Return the server's ConfigProto with the overrides of a version's own file; log a broken file and ignore it.

    Only `disable_meta_optimizer` is read: the other overrides need optimizers that TensorFlow lacks.
    """
    path = posixpath.join(folder, CONFIG_FILE)
    try:
        if not tf.io.gfile.exists(path):
            return config
        with tf.io.gfile.GFile(path, "rb") as file:
            saved_model_config = SavedModelConfig.FromString(file.read())
    except (tf.errors.OpError, DecodeError) as error:
        log.warning("Failed to load saved model config: %s: %s", path, error)
        return config
    if not saved_model_config.HasField("session_overrides"):
        return config
    changed = tf.compat.v1.ConfigProto()
    if config is not None:
        changed.CopyFrom(config)
    overrides = saved_model_config.session_overrides
    changed.graph_options.rewrite_options.disable_meta_optimizer = overrides.disable_meta_optimizer
    return changed
