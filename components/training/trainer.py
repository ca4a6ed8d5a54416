"""Train the task's model on records from the TransformGraph, and export both as one SavedModel."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tfx import types
from tfx.components import Trainer as TfxTrainer
from tfx.components.trainer.executor import GenericExecutor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.components.base import executor_spec
from tfx.proto import trainer_pb2

from components.executor import ComponentExecutor
from components.models.augmentation import augmenter_of
from components.models.build import build_for_training, without_augmentation
from components.models.outputs import with_probabilities
from components.models.precision import in_float32
from components.models.summary import describe_layers
from components.prepare.schema import classes_of, read_schema
from components.prepare.transform import Preprocessing
from components.progress import report
from components.task.reference import task_of
from components.task.task import Task
from components.training import multi_worker
from components.training.augmentation_samples import write_samples
from components.training.batches import Splits, count_passes, prepare_batches
from components.training.checkpoints import Checkpoints
from components.training.fit import fit_task, training_phases
from components.training.replicas import Replicas
from components.training.thresholds import choose_thresholds
from components.training.trained_model import REPORT, THRESHOLDS, keep_weights
from data.augmentation.layers import LayerAugmentation
from data.files.atomic import write_aside
from data.ingest import manifest
from data.ingest.shards import shard_paths
from data.input import reader, service
from data.input.profile import stage_shares
from serving.export import saved_model, warmup

LONG_WAIT = 0.05  # share of the time; above it the report names the slow stages of the input


def run_fn(fn_args: FnArgs) -> None:
    """Train and export, in this process or together with processes on other machines; TFX's entry point.

    Args:
      fn_args: Patterns of the shards, the TransformGraph, the schema, and the reference to the task.

    Raises:
      UsageError: If TF_CONFIG is missing for `train.strategy=multi_worker`, or the service of `train.data_service` does
        not answer.
    """
    strategy = task_of(fn_args.custom_config).train.strategy
    if strategy == "multi_worker":
        multi_worker.lead_training(fn_args)
    else:
        train_on(Replicas.local(strategy), fn_args)


def train_on(replicas: Replicas, fn_args: FnArgs) -> None:
    """Train on the replicas; their chief exports the model."""
    task = task_of(fn_args.custom_config)
    with tempfile.TemporaryDirectory() as unused:  # the other processes save, too, but only the chief's files count
        checkpoints = Checkpoints(_checkpoint_folder(fn_args), "" if replicas.is_chief else unused)
        model, inputs, results = train_model(task, fn_args, replicas, checkpoints)
    if replicas.is_chief:
        _export(without_augmentation(model), task, inputs, results, fn_args)
    replicas.wait()
    if replicas.is_chief:
        checkpoints.clear()


def train_model(
    task: Task,
    fn_args: Any,
    replicas: Replicas,
    checkpoints: Checkpoints,
    read: Callable[[Task, Any, Replicas], TrainingInputs] | None = None,
) -> tuple[keras.Model, TrainingInputs, dict[str, Any]]:
    """Train the task's model, as the Trainer and each trial of a tuning do.

    Args:
      task: The task with its settings.
      fn_args: `train_files`, `transform_output`, `schema_path`, and `model_run_dir` for TensorBoard's logs.
      replicas: The replicas of the model.
      checkpoints: Where to continue from, and where to save to.
      read: Returns the data for these arguments; None: `read_inputs`.

    Returns:
      The trained model, its data, and the report of `fit_task`.
    """
    keras.utils.set_random_seed(task.train.seed)
    inputs = (read or read_inputs)(task, fn_args, replicas)
    model = _build_model(task, len(inputs.classes), replicas)
    train, evaluation = prepare_batches(inputs, task, model.output_shape[-1], inputs.augmenter)
    return model, inputs, fit_task(model, task, train, evaluation, checkpoints, fn_args.model_run_dir, replicas)


@dataclass(frozen=True)
class TrainingInputs(Splits):
    """The data of a training, and how they are read.

    Attributes:
      transform: The TransformGraph.
      configs: How to read the splits "train" and "eval".
      augmenter: Layers that change the batches of training; None if there are none.
    """

    transform: Preprocessing
    configs: dict[str, reader.ReadConfig]
    augmenter: LayerAugmentation | None


def read_inputs(task: Task, fn_args: Any, replicas: Replicas, *, fill: bool = False) -> TrainingInputs:
    """Open the shards, and report how they are read.

    Args:
      task: The task with its settings.
      fn_args: `train_files`, `transform_output` and `schema_path`.
      replicas: The replicas of the model, which share the batches.
      fill: Whether to decode a split that fits into memory before the training, for several trainings.
    """
    classes = classes_of(read_schema(fn_args.schema_path))
    transform = Preprocessing(fn_args.transform_output)
    examples = posixpath.dirname(posixpath.dirname(fn_args.train_files[0]))
    shards = manifest.Manifest.load(examples)
    configs = _read_configs(task, len(classes), examples, shards, transform, replicas.shard)
    settings, limit = task.train, task.train.cache_mb * 1_000_000
    for split, config in configs.items():
        where = "kept in memory" if config.fits(limit) else "streamed from disk"
        if split == "train" and settings.data_service:
            where = f"from the tf.data service at {settings.data_service}"
        report(f"{split}: {config.examples:,} examples, {config.memory / 1e6:,.1f} MB decoded, {where}")
    order = {"seed": settings.seed, "shuffle_buffer": settings.shuffle_buffer}
    if settings.data_service:
        epochs = sum(phase.epochs for phase in training_phases(settings))
        passes = count_passes(settings, epochs, configs["train"].steps)
        train = service.service_batches(configs["train"], settings.data_service, passes, **order)
    else:
        train = reader.read_batches(configs["train"], cache_bytes=limit, fill=fill, **order)
    evaluation = reader.read_batches(configs["eval"], cache_bytes=limit)
    augmenter = augmenter_of(task, replicas.shard.index)
    return TrainingInputs(train, evaluation, classes, shards.labels("train"), transform, configs, augmenter)


def _read_configs(
    task: Task,
    classes: int,
    examples: str,
    shards: manifest.Manifest,
    transform: reader.Transform,
    shard: reader.InputShard,
) -> dict[str, reader.ReadConfig]:
    """Return how to read the training and evaluation records of a folder of shards."""
    return {
        split: reader.ReadConfig(
            shard_paths(examples, shards.splits[split]),
            shards.examples(split),
            task.feature,
            task.label,
            transform,
            task.train.batch_size,
            shard,
            (classes,) if task.is_multi_label else (),
        )
        for split in ("train", "eval")
    }


def _build_model(task: Task, classes: int, replicas: Replicas) -> keras.Model:
    if replicas.strategy:
        report(f"{replicas.strategy.num_replicas_in_sync} replicas share each batch of {task.train.batch_size}")
    with replicas.scope():
        return build_for_training(task, classes)


def _checkpoint_folder(fn_args: FnArgs) -> str:
    """Return a folder next to the Trainer's runs that another run with the same data, code and settings finds again."""
    depends = [fn_args.custom_config, sorted(fn_args.train_files), fn_args.transform_output]
    key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
    return posixpath.join(posixpath.dirname(posixpath.dirname(fn_args.model_run_dir)), "checkpoints", key)


def _export(trained: keras.Model, task: Task, inputs: TrainingInputs, results: dict[str, Any], fn_args: FnArgs) -> None:
    """Write the SavedModel with its warm-up requests, the weights, and the report.

    Args:
      trained: The task's own model, whose outputs may be logits, and which may compute in mixed precision.
      task: The task.
      inputs: The data of the training.
      results: The report of `fit_task`.
      fn_args: The folders.
    """
    model = with_probabilities(in_float32(trained, task, len(inputs.classes)), task)
    results["layers"] = describe_layers(model)
    thresholds = {}
    if task.is_multi_label:
        report(f"choosing the thresholds of {len(inputs.classes)} labels on the evaluation split")
        thresholds = choose_thresholds(model, inputs.classes, inputs.evaluation, inputs.configs["eval"])
        results[THRESHOLDS] = thresholds
    if results["waiting_share"] > LONG_WAIT:
        results["input_stages"] = stage_shares(inputs.configs["train"])
    exported = saved_model.ModelExport(
        model,
        inputs.transform,
        task.feature,
        task.label,
        inputs.classes,
        task.serving.batching,
        tuple(thresholds.values()),
    )
    saved_model.write(exported, fn_args.serving_model_dir)
    records = tf.data.TFRecordDataset(list(inputs.configs["eval"].files)).as_numpy_iterator()
    warmup.write(fn_args.serving_model_dir, task.name, task.feature, bool(inputs.classes), records)
    write_samples(task, inputs.configs["train"], inputs.classes, inputs.augmenter, fn_args.model_run_dir)
    keep_weights(trained, fn_args.model_run_dir)
    write_aside(posixpath.join(fn_args.model_run_dir, REPORT), json.dumps(results, indent=1))


class TrainerExecutor(ComponentExecutor, GenericExecutor):
    """TFX's executor, which calls `run_fn`."""


class Trainer(TfxTrainer):
    """TFX's component with that executor."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TrainerExecutor)


def trainer(
    examples: types.Channel, transform_graph: types.Channel, schema: types.Channel, config: dict[str, Any]
) -> Trainer:
    """Return the component; `config` is from `TaskReference.config`."""
    return Trainer(
        run_fn=f"{__name__}.run_fn",
        examples=examples,
        transform_graph=transform_graph,
        schema=schema,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=config,
    )
