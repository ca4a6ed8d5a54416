"""The training loop for several replicas.

Keras' `fit` cannot do it: with several processes it fails when it reduces the metrics, and on one machine it takes the
mean of the replicas' means, which gives the examples of a smaller last batch a wrong weight. Here the loss of a step is
the mean over all examples of the batch, on any replica, and each evaluation example counts once.

The optimizer is applied outside of the replicas, to the sum of their gradients: it clips, accumulates and scales the
gradients of the whole batch, as on one replica. Within a replica, Keras would clip each replica's share by itself, and
could neither accumulate gradients nor average weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from components.training.ema import end_phase
from components.training.replicas import Replicas
from data.errors import UsageError
from data.input import reader

Step = Callable[..., dict[str, tf.Tensor]]
_MEANS = ("sum_over_batch_size", "mean")  # two names of Keras for the same


def fit_replicas(
    model: keras.Model,
    replicas: Replicas,
    train: tf.data.Dataset,
    evaluation: reader.Batches,
    average: Callable[[], None],
    *,
    steps: int,
    start: tuple[int, int],
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Train like Keras' `fit`: call the same callbacks at the same places, with the logs of all replicas.

    Args:
      model: Compiled, with all variables created in the scope of the replicas.
      replicas: The replicas of the model.
      train: Endless batches from `start` on; this process' share of each.
      evaluation: Evaluation batches; this process' share of each.
      average: The function of `Replicas.averaging`.
      steps: Steps per epoch.
      start: Epoch and step to begin with, from 0.
      epochs: Number of the last epoch, from 1.
      callbacks: Callbacks; one that stops the training must decide the same in all processes.

    Raises:
      UsageError: If the loss is no mean or sum over the examples.
    """
    _check_reduction(model)
    called = keras.callbacks.CallbackList(callbacks, model=model, epochs=epochs, steps=steps)
    learn, judge = _learning(model, replicas), _judging(model, replicas)
    batches = iter(train)
    first, skipped = start
    model.stop_training = False
    called.on_train_begin()
    for epoch in range(first, epochs):
        model.reset_metrics()
        called.on_epoch_begin(epoch)
        for step in range(skipped if epoch == first else 0, steps):
            called.on_train_batch_begin(step)
            logs = learn(*replicas.shares(*next(batches)))
            called.on_train_batch_end(step, logs)
        logs = _results(model)
        average()
        called.on_test_begin()
        model.reset_metrics()
        for batch in evaluation.one_pass():
            judge(*replicas.shares(*batch))
        judged = _results(model)
        called.on_test_end(judged)
        called.on_epoch_end(epoch, logs | {f"val_{name}": value for name, value in judged.items()})
        if model.stop_training:
            break
    end_phase(model)
    called.on_train_end()


def _learning(model: keras.Model, replicas: Replicas) -> Step:
    """Return a training step; it returns the metrics so far of all replicas."""

    def gradients(*batch: tf.Tensor) -> dict[int, tf.Tensor]:
        """Return the gradients of the whole batch, by the number of the weight; none for one without influence."""
        with tf.GradientTape() as tape:
            scaled = model.optimizer.scale_loss(_loss(model, *batch, training=True))
        found = enumerate(tape.gradient(scaled, model.trainable_weights))
        mine = {number: gradient for number, gradient in found if gradient is not None}
        if not mine:  # every layer is frozen
            return {}
        sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(mine.values()))
        return dict(zip(mine, sums, strict=True))

    def step(*batch: Any) -> dict[str, tf.Tensor]:
        everywhere = replicas.strategy.run(gradients, args=batch)
        local = {number: replicas.strategy.experimental_local_results(one)[0] for number, one in everywhere.items()}
        model.optimizer.apply(list(local.values()), [model.trainable_weights[number] for number in local])
        return model.get_metrics_result()

    return tf.function(step, reduce_retracing=True, autograph=False)


def _judging(model: keras.Model, replicas: Replicas) -> Step:
    """Return an evaluation step; it returns the metrics so far of all replicas."""

    def step(*batch: Any) -> dict[str, tf.Tensor]:
        replicas.strategy.run(lambda *share: _loss(model, *share, training=False), args=batch)
        return model.get_metrics_result()

    return tf.function(step, reduce_retracing=True, autograph=False)


def _loss(model: keras.Model, features: tf.Tensor, labels: tf.Tensor, *weights: tf.Tensor, training: bool) -> tf.Tensor:
    """Return this replica's share of the loss, and count its examples in the metrics.

    The shares of all replicas sum to the loss of the whole batch, regularization included.
    """
    context = tf.distribute.get_replica_context()
    replicas, mine = float(context.num_replicas_in_sync), tf.shape(labels)[0]
    all_examples = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(mine, tf.float32))
    output = model(features, training=training)[:mine]
    # Keras takes the mean of the weighted losses of this replica and divides it by the number of replicas.
    share = tf.cast(mine, tf.float32) * replicas / all_examples if _reduction(model) in _MEANS else 1.0
    of_example = tf.fill([mine], share) * (weights[0] if weights else 1.0)
    loss = model.compute_loss(features, labels, output, of_example, training=training)
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss * replicas, sample_weight=all_examples / replicas)
    model.compute_metrics(features, labels, output)
    return loss


def _reduction(model: keras.Model) -> str:
    """Return how the compiled loss combines the examples; Keras takes the mean of what a function returns."""
    return str(getattr(model.loss, "reduction", _MEANS[0]))


def _check_reduction(model: keras.Model) -> None:
    """Check that the shares of the replicas sum to the loss of the batch.

    Raises:
      UsageError: If they do not.
    """
    if _reduction(model) not in (*_MEANS, "sum"):
        raise UsageError(
            f"train.loss: the reduction '{_reduction(model)}' cannot be computed on several replicas",
            hint="Use the reduction 'sum_over_batch_size' or 'sum', or train without train.strategy.",
        )


def _results(model: keras.Model) -> dict[str, float]:
    return {name: float(value) for name, value in model.get_metrics_result().items()}
