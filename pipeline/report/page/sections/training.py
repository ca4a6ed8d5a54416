"""The section `training` of the page: the curves, what the time went to, the augmentation, the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.review.record import Review
from pipeline.report.page.charts import Chart
from pipeline.report.page.text import count_noun, format_number
from pipeline.report.page.training_charts import RATE, draw_history, draw_waiting
from pipeline.report.record import LayerSummary, RunRecord, TrainingSummary

SHOWN_LAYERS = 40


@dataclass(frozen=True)
class LayerRow:
    """A layer of the model.

    Attributes:
      name: Of the layer.
      kind: Its class.
      detail: Its settings; may be empty.
      output: Shape without the batch: "8 x 8 x 16"; may be empty.
      params: Number of its values.
      share: Of all parameters, 0..1.
      is_frozen: Whether it has values and none of them trains.
      inputs: Layers that feed it, unless it is only the one above; may be empty.
    """

    name: str
    kind: str
    detail: str
    output: str
    params: int
    share: float
    is_frozen: bool
    inputs: str


@dataclass(frozen=True)
class TrainingView:
    """What the template `training.html.j2` shows.

    Attributes:
      facts: Names and values.
      curves: A chart for each metric and a learning rate that changes.
      waiting: Where the time went; None if it is unknown.
      augmentation: Data URI of the picture of the augmentation; may be empty.
      layers: The model from its input to its output.
      shown_layers: Number of layers that are shown at first.
      model: The model in one sentence.
    """

    facts: list[tuple[str, str]]
    curves: list[Chart]
    waiting: Chart | None
    augmentation: str
    layers: list[LayerRow]
    shown_layers: int
    model: str


def build_training(record: RunRecord, review: Review) -> TrainingView | None:
    """Return the view; None if the run did not train.

    Args:
      record: Of the run.
      review: The pictures.
    """
    training = record.training
    if training is None:
        return None
    return TrainingView(
        list(_facts(training)),
        draw_history(training),
        draw_waiting(training),
        review.augmentation,
        list(_layers(training.layers)),
        SHOWN_LAYERS,
        _describe(training.layers),
    )


def _facts(training: TrainingSummary) -> Iterator[tuple[str, str]]:
    """Yield how the training went."""
    last, best = training.epochs, training.best_epoch
    if last:
        kept = "" if not best else f"; epoch {best}, {'the last one' if best == last else 'the best one'}, was exported"
        yield "epochs", f"{last:,}{kept}"
    if len(training.phases) > 1:
        yield "phases", ", ".join(f"{phase.name} from epoch {phase.epoch}" for phase in training.phases)
    if training.stopped:
        yield "stopped early", training.stopped
    if training.resumed_at:
        yield "interrupted", f"it continued at {training.resumed_at}"
    rates = set(training.history.get(RATE, ()))
    if len(rates) == 1:
        yield "learning rate", format_number(rates.pop())
    if training.images_per_second:
        memory = "; the examples were kept in memory" if training.in_memory else ""
        yield "throughput", f"{training.images_per_second:,.0f} examples/s{memory}"
        yield "waiting", f"{training.waiting_share:.0%} of the time for input"


def _describe(layers: list[LayerSummary]) -> str:
    """Return the size of a model in a sentence; empty without layers."""
    if not layers:
        return ""
    params = sum(layer.params for layer in layers)
    trained = sum(map(_trained, layers))
    of_them = "all of them" if trained == params else f"{trained:,} of them"
    suffix = f", {of_them} trainable" if params else ""
    return f"{count_noun(len(layers), 'layer')}, {count_noun(params, 'parameter')}{suffix}."


def _layers(layers: list[LayerSummary]) -> Iterator[LayerRow]:
    total = sum(layer.params for layer in layers) or 1
    above = ""
    for layer in layers:
        output = "" if layer.output is None else " x ".join("?" if size is None else f"{size}" for size in layer.output)
        inputs = "" if layer.inputs in (None, [], [above]) else ", ".join(layer.inputs or ())
        is_frozen = bool(layer.params) and not _trained(layer)
        yield LayerRow(
            layer.name, layer.kind, layer.detail, output, layer.params, layer.params / total, is_frozen, inputs
        )
        above = layer.name


def _trained(layer: LayerSummary) -> int:
    return layer.params * layer.trainable if layer.trainable_params is None else layer.trainable_params
