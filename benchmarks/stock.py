"""The digits in a stock pipeline: TFX's own components, wired as in its templates and the penguin example."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from tfx import v1 as tfx
from tfx_bsl.public import tfxio

from benchmarks import stock_examples
from pipeline.tasks.digits import TASK, build_model

BEAM_ARGS = ["--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
IMAGE, LABEL = "image", "label"


def transformed_name(key: str) -> str:
    """Return the name of a feature after the transform."""
    return f"{key}_xf"


def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Decode and resize the pictures, float32 0..255, and map the labels by a vocabulary.

    Args:
      inputs: `image` and `label`, string [N, 1], as in the inferred schema.
    """
    feature = TASK.feature

    def decode(contents: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(contents, channels=feature.shape[-1], expand_animations=False)
        image.set_shape([None, None, feature.shape[-1]])
        return tf.image.resize(image, feature.shape[:2])

    images = tf.map_fn(decode, inputs[IMAGE][:, 0], fn_output_signature=tf.float32)
    labels = tft.compute_and_apply_vocabulary(inputs[LABEL], vocab_filename=LABEL)
    return {
        transformed_name(IMAGE): tf.ensure_shape(images, (None, *feature.shape)),
        transformed_name(LABEL): labels,
    }


def _input_fn(
    files: list[str], data_accessor: tfx.components.DataAccessor, output: tft.TFTransformOutput, batch_size: int
) -> tf.data.Dataset:
    """Return one pass over the materialised examples: (features, label)."""
    options = tfxio.TensorFlowDatasetOptions(
        batch_size=batch_size, num_epochs=1, label_key=transformed_name(LABEL), shuffle=True
    )
    dataset = data_accessor.tf_dataset_factory(files, options, output.transformed_metadata.schema)
    return dataset.map(lambda features, label: (features[transformed_name(IMAGE)], label))


def _signatures(model: keras.Model, output: tft.TFTransformOutput) -> dict[str, tf.types.experimental.GenericFunction]:
    """Return `serving_default` and, for the Evaluator, `transform_features`; both take serialized examples."""
    model.tft_layer = output.transform_features_layer()
    examples = [tf.TensorSpec([None], tf.string, name="examples")]

    @tf.function(input_signature=examples)
    def serve(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = output.raw_feature_spec()
        spec.pop(LABEL)
        transformed = model.tft_layer(tf.io.parse_example(serialized, spec))
        return {"outputs": model(transformed[transformed_name(IMAGE)], training=False)}

    @tf.function(input_signature=examples)
    def transform_features(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(model.tft_layer(tf.io.parse_example(serialized, output.raw_feature_spec())))

    return {"serving_default": serve, "transform_features": transform_features}


def run_fn(fn_args: tfx.components.FnArgs) -> None:
    """Train the task's own model, epochs and batch size on the materialised examples (TFX's entry point)."""
    settings = TASK.train
    output = tft.TFTransformOutput(fn_args.transform_output)
    keras.utils.set_random_seed(settings.seed)
    train = _input_fn(fn_args.train_files, fn_args.data_accessor, output, settings.batch_size)
    evaluation = _input_fn(fn_args.eval_files, fn_args.data_accessor, output, settings.batch_size)
    model = build_model(TASK.feature, output.vocabulary_size_by_name(LABEL))
    model.compile(
        keras.optimizers.Adam(settings.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    model.fit(train, validation_data=evaluation, epochs=settings.epochs, verbose=0)
    tf.saved_model.save(model, fn_args.serving_model_dir, signatures=_signatures(model, output))


def eval_config(min_accuracy: float) -> tfma.EvalConfig:
    """Return the metrics, slices and limits of the task, as TFMA's configuration."""
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": min_accuracy}),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -1e-10}
        ),
    )
    accuracy = tfma.MetricConfig(
        class_name="SparseCategoricalAccuracy",
        per_slice_thresholds=[tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)],
    )
    others = [tfma.MetricConfig(class_name=name) for name in ("SparseCategoricalCrossentropy", "ExampleCount")]
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default",
                label_key=transformed_name(LABEL),
                preprocessing_function_names=["transform_features"],
            )
        ],
        metrics_specs=[tfma.MetricsSpec(metrics=[accuracy, *others])],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=[LABEL])],
    )


def create_pipeline(data: str, depth: int, root: str, min_accuracy: float) -> tfx.dsl.Pipeline:
    """Return the pipeline.

    Args:
      data: Folder that contains one folder of pictures per class.
      depth: Folders between `data` and a picture.
      root: Folder for all that the pipeline writes.
      min_accuracy: The Evaluator's lower limit.
    """
    examples = stock_examples.example_gen(data, depth).with_id("ExampleGen")
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"])
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    transform = tfx.components.Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn=f"{__name__}.preprocessing_fn",
        materialize=True,
    )
    trainer = tfx.components.Trainer(
        run_fn=f"{__name__}.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(),
        eval_args=tfx.proto.EvalArgs(),
    )
    baseline = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("Baseline")
    evaluator = tfx.components.Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        eval_config=eval_config(min_accuracy),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=f"{root}/serving")
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name="stock",
        pipeline_root=f"{root}/artifacts",
        components=[examples, statistics, schema, validator, transform, trainer, baseline, evaluator, pusher],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(f"{root}/metadata.db"),
        enable_cache=True,
        beam_pipeline_args=BEAM_ARGS,
    )
