"""The training loop for several replicas.

Keras' `fit` cannot do it: with several processes it fails when it reduces the metrics, and on one machine it takes the
mean of the replicas' means, which gives the examples of a smaller last batch a wrong weight. Here the loss of a step is
the mean over all examples of the batch, on any replica, and each evaluation example counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from components.training.replicas import Replicas
from data.input import reader

Step = Callable[[Any, Any], dict[str, tf.Tensor]]


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
    """
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
    called.on_train_end()


def _learning(model: keras.Model, replicas: Replicas) -> Step:
    def one(features: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = _loss(model, features, labels, training=True)
            scaled = model.optimizer.scale_loss(loss)
        weights = model.trainable_weights
        model.optimizer.apply(tape.gradient(scaled, weights), weights)  # sums over the replicas

    return _everywhere(one, model, replicas)


def _judging(model: keras.Model, replicas: Replicas) -> Step:
    return _everywhere(lambda features, labels: _loss(model, features, labels, training=False), model, replicas)


def _everywhere(one: Callable[[Any, Any], Any], model: keras.Model, replicas: Replicas) -> Step:
    """Return a step that runs on every replica and returns the metrics so far of all."""

    def step(features: Any, labels: Any) -> dict[str, tf.Tensor]:
        replicas.strategy.run(one, args=(features, labels))
        return model.get_metrics_result()

    return tf.function(step, reduce_retracing=True, autograph=False)


def _loss(model: keras.Model, features: tf.Tensor, labels: tf.Tensor, training: bool) -> tf.Tensor:
    """Return this replica's share of the loss, and count its examples in the metrics.

    The shares of all replicas sum to the mean over the whole batch, regularization included.
    """
    context = tf.distribute.get_replica_context()
    replicas, mine = float(context.num_replicas_in_sync), tf.shape(labels)[0]
    all_examples = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(mine, tf.float32))
    output = model(features, training=training)[:mine]
    # Keras takes the mean of the weighted losses of this replica and divides it by the number of replicas.
    weights = tf.fill([mine], tf.cast(mine, tf.float32) * replicas / all_examples)
    loss = model.compute_loss(features, labels, output, weights, training=training)
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss * replicas, sample_weight=all_examples / replicas)
    model.compute_metrics(features, labels, output)
    return loss


def _results(model: keras.Model) -> dict[str, float]:
    return {name: float(value) for name, value in model.get_metrics_result().items()}
