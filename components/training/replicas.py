"""The replicas of a model: one, one per device, or those of several processes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from components.models.build import flat_layers
from data.input.reader import InputShard


@dataclass(frozen=True)
class Replicas:
    """The replicas that train together.

    Attributes:
      strategy: A `tf.distribute.Strategy`; None for one replica, which Keras' `fit` trains.
      shard: The share of each batch that this process takes.
    """

    strategy: Any = None
    shard: InputShard = InputShard()

    @classmethod
    def local(cls, strategy: str) -> Replicas:
        """Return the replicas of `train.strategy` in this process: on all its GPUs, or on its (logical) CPUs."""
        return cls(_mirrored()) if strategy == "mirrored" else cls()

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the results of the training."""
        return self.shard.index == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the scope in which to create the model's variables."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def shares(self, features: tf.Tensor, *others: tf.Tensor) -> tuple[Any, ...]:
        """Divide this process' share of a batch (features [B, ...], labels [B, ...], ...) among its replicas.

        A replica without an example gets one blank picture and no label, because layers such as BatchNormalization
        cannot handle an empty batch.
        """
        here = self.strategy.extended.worker_devices
        first = self.shard.index * len(here)

        def dealt(tensor: tf.Tensor, least: int) -> Any:
            def mine(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
                rows = InputShard(context.replica_id_in_sync_group - first, len(here)).rows(tensor)
                return rows if len(rows) >= least else tf.zeros((least, *rows.shape[1:]), rows.dtype)

            return self.strategy.experimental_distribute_values_from_function(mine)

        return (dealt(features, 1), *(dealt(one, 0) for one in others))

    def agree(self, wish: bool) -> bool:
        """Return the chief's value of `wish`; all processes must call this, and wait for each other."""
        if self.shard.count == 1:
            return wish

        def mine(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            return tf.constant(float(wish and context.replica_id_in_sync_group == 0))

        wishes = self.strategy.experimental_distribute_values_from_function(mine)
        return bool(self.strategy.reduce(tf.distribute.ReduceOp.SUM, wishes, axis=None))

    def wait(self) -> None:
        """Wait until every process calls this."""
        self.agree(True)

    def averaging(self, model: keras.Model) -> Callable[[], None]:
        """Return a function that averages what each replica collects: BatchNormalization's statistics.

        The statistics are linear in the batches, so the result does not depend on when and how often it is called.
        """
        layers = [layer for layer in flat_layers(model) if layer.trainable]
        found = [one.value for layer in layers for one in layer.non_trainable_variables if one.dtype == "float32"]
        if self.strategy is None or not found:
            return lambda: None

        def mean() -> None:
            context = tf.distribute.get_replica_context()
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(one) for one in found])
            for one, value in zip(found, means, strict=True):
                one.assign(value)

        return tf.function(lambda: self.strategy.run(mean), autograph=False)


@functools.cache  # a second one in a process would use the collective keys of the first, and both would fail
def _mirrored() -> Any:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])
