"""Trainer: streams the raw records through the TransformGraph into the task's model, and exports both as one."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tfx import types
from tfx.components import Trainer as TfxTrainer
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.proto import trainer_pb2

from components.models.build import build_for_training, without_augmentation
from components.models.summary import describe_layers
from components.prepare.schema import classes_of, read_schema
from components.prepare.transform import Preprocessing
from components.progress import report
from components.task.reference import task_of
from components.task.task import Task
from components.training import multi_worker
from components.training.checkpoints import Checkpoints
from components.training.fit import fit, phases
from components.training.replicas import Replicas
from components.training.trained_model import keep_weights
from data.files.atomic import write_aside
from data.ingest import manifest
from data.ingest.shards import shard_paths
from data.input import reader, service
from data.input.profile import stage_shares
from serving.export import saved_model, warmup

REPORT = "training.json"  # in the ModelRun artifact
WORTH_A_LOOK = 0.05  # share of waiting from which on the report says what for


def run_fn(fn_args: FnArgs) -> None:
    """TFX's entry point: trains and exports, here or together with processes on other machines.

    Args:
      fn_args: patterns of the shards, the TransformGraph, the schema, and the reference to the task.

    Raises:
      UsageError: there is no TF_CONFIG for `train.strategy=multi_worker`, or no service for `train.data_service`.
    """
    strategy = task_of(fn_args.custom_config).train.strategy
    if strategy == "multi_worker":
        multi_worker.lead(fn_args)
    else:
        train(fn_args, Replicas.local(strategy))


def train(fn_args: FnArgs, replicas: Replicas) -> None:
    """Trains on the replicas; their chief exports."""
    task = task_of(fn_args.custom_config)
    classes = classes_of(read_schema(fn_args.schema_path))
    transform = Preprocessing(fn_args.transform_output)
    keras.utils.set_random_seed(task.train.seed)
    examples = posixpath.dirname(posixpath.dirname(fn_args.train_files[0]))
    readings = _readings(task, examples, transform, replicas.shard)
    batches, evaluation = _batches(task, readings)
    if replicas.strategy:
        report(f"{replicas.strategy.num_replicas_in_sync} replicas share each batch of {task.train.batch_size}")
    with replicas.scope():
        model = build_for_training(task, len(classes))
    with tempfile.TemporaryDirectory() as elsewhere:
        checkpoints = Checkpoints(_checkpoint_folder(fn_args), "" if replicas.is_chief else elsewhere)
        results = fit(model, task, batches, evaluation, checkpoints, fn_args.model_run_dir, replicas)
    if replicas.is_chief:
        if results["waiting_share"] > WORTH_A_LOOK:
            results["input_stages"] = stage_shares(readings["train"])
        _write(without_augmentation(model), task, transform, classes, readings["eval"], results, fn_args)
    replicas.wait()
    if replicas.is_chief:
        checkpoints.clear()


def _write(
    model: keras.Model,
    task: Task,
    transform: Preprocessing,
    classes: Sequence[str],
    held_out: reader.ReadConfig,
    results: dict[str, Any],
    fn_args: FnArgs,
) -> None:
    """The SavedModel with its warm-up requests, the weights, and the report."""
    results["layers"] = describe_layers(model)
    exported = saved_model.Exported(model, transform, task.feature, task.label, classes, task.serving.batching)
    saved_model.write(exported, fn_args.serving_model_dir)
    records = tf.data.TFRecordDataset(list(held_out.files)).as_numpy_iterator()
    warmup.write(fn_args.serving_model_dir, task.name, task.feature, task.is_classification, records)
    keep_weights(model, fn_args.model_run_dir)
    write_aside(posixpath.join(fn_args.model_run_dir, REPORT), json.dumps(results, indent=1))


def _checkpoint_folder(fn_args: FnArgs) -> str:
    """A folder beside the runs of the Trainer that another run with the same data, code and settings finds again."""
    depends = [fn_args.custom_config, sorted(fn_args.train_files), fn_args.transform_output]
    key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
    return posixpath.join(posixpath.dirname(posixpath.dirname(fn_args.model_run_dir)), "checkpoints", key)


def _readings(
    task: Task, examples: str, transform: reader.Transform, shard: reader.InputShard
) -> dict[str, reader.ReadConfig]:
    """How training and evaluation records of a folder of shards are read."""
    shards = manifest.Manifest.load(examples)
    return {
        split: reader.ReadConfig(
            shard_paths(examples, shards.splits[split]),
            shards.examples(split),
            task.feature,
            task.label,
            transform,
            task.train.batch_size,
            shard,
        )
        for split in ("train", "eval")
    }


def _batches(task: Task, readings: dict[str, reader.ReadConfig]) -> tuple[reader.Batches, reader.Batches]:
    """Training and evaluation batches."""
    limit, settings = task.train.cache_mb * 1_000_000, task.train
    for split, reading in readings.items():
        where = "kept in memory" if reading.fits(limit) else "streamed from disk"
        if split == "train" and settings.data_service:
            where = f"from the tf.data service at {settings.data_service}"
        report(f"{split}: {reading.examples:,} examples, {reading.memory / 1e6:,.1f} MB decoded, {where}")
    order = {"seed": settings.seed, "shuffle_buffer": settings.shuffle_buffer}
    if settings.data_service:
        epochs = sum(phase.epochs for phase in phases(settings))
        train = service.service_batches(readings["train"], settings.data_service, epochs, **order)
    else:
        train = reader.read_batches(readings["train"], cache_bytes=limit, **order)
    return train, reader.read_batches(readings["eval"], cache_bytes=limit)


def trainer(
    examples: types.Channel, transform_graph: types.Channel, schema: types.Channel, config: dict[str, Any]
) -> TfxTrainer:
    """The component; `config` is from `TaskReference.config`."""
    return TfxTrainer(
        run_fn=f"{__name__}.run_fn",
        examples=examples,
        transform_graph=transform_graph,
        schema=schema,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=config,
    )
