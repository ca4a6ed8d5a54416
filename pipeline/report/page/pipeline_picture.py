"""The pipeline of a run as a picture: a box for each component with its time and state, and what feeds it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.report.page.markup import element, join_elements
from pipeline.report.page.text import format_duration
from pipeline.report.record import ComponentRun, RunRecord

INPUTS: dict[str, tuple[str, ...]] = {
    "ExampleGen": (),
    "StatisticsGen": ("ExampleGen",),
    "SchemaGen": ("ExampleGen", "StatisticsGen"),
    "ExampleValidator": ("ExampleGen", "StatisticsGen", "SchemaGen"),
    "Transform": ("ExampleGen", "SchemaGen"),
    "Trainer": ("ExampleGen", "SchemaGen", "ExampleValidator", "Transform"),
    "Baseline": ("Trainer",),
    "Evaluator": ("ExampleGen", "SchemaGen", "Trainer", "Baseline"),
    "SkewGate": ("ExampleGen", "SchemaGen", "Transform", "Trainer", "Evaluator"),
    "Pusher": ("Trainer", "Evaluator", "SkewGate"),
    "ReportGen": (
        "ExampleGen",
        "StatisticsGen",
        "SchemaGen",
        "ExampleValidator",
        "Trainer",
        "Evaluator",
        "SkewGate",
        "Pusher",
    ),
}
"""The components of a run in their order, with those that they wait for, as `pipeline.graph` connects them."""

NOT_RUN = "not run"
_WORDS = {"executed": "executed", "cached": "from the cache", "failed": "failed", NOT_RUN: "not run"}
_ENDED_WELL = ("pushed", "unchanged")
_HEIGHT, _GAP = 70, 28  # of a box and between boxes


@dataclass(frozen=True)
class Step:
    """A component of the picture.

    Attributes:
      name: Of the component.
      state: "executed", "cached", "failed" or "not run".
      word: The state in words.
      time: Its duration; "" if it did not run.
      why: What has changed since the last run, or that nothing has.
      inputs: The components of this picture that feed it.
    """

    name: str
    state: str
    word: str
    time: str
    why: str
    inputs: list[str]


@dataclass(frozen=True)
class PipelinePicture:
    """The pipeline.

    Attributes:
      steps: The components in their order.
      wide: Drawing for wide screens.
      tall: Drawing for narrow ones.
      seconds: Time of all components.
      cached: Number of components that were taken from the cache.
    """

    steps: list[Step]
    wide: Markup
    tall: Markup
    seconds: float
    cached: int

    @property
    def rows(self) -> list[list[str]]:
        """The table behind the picture: component, state, time, why, inputs."""
        return [[one.name, one.word, one.time, one.why, ", ".join(one.inputs)] for one in self.steps]


@dataclass(frozen=True)
class _BoxLayout:
    """Where the boxes are: column and row of each, in boxes; `spans` has the columns of boxes that are wider."""

    width: int
    places: Mapping[str, tuple[float, float]]
    spans: Mapping[str, float]
    letters: int  # of a line of text in a box of one column

    def box(self, name: str) -> tuple[float, float, float]:
        """Return left, top and width of a box."""
        column, row = self.places[name]
        gap = _GAP * 1.2
        one = (self.width - 2 - gap * (self._columns - 1)) / self._columns
        span = self.spans.get(name, 1.0)
        return 1 + column * (one + gap), 1 + row * (_HEIGHT + _GAP), one * span + gap * (span - 1)

    @property
    def _columns(self) -> int:
        return int(max(column for column, _ in self.places.values())) + 1

    @property
    def height(self) -> float:
        """The height of the drawing."""
        return max(row for _, row in self.places.values()) * (_HEIGHT + _GAP) + _HEIGHT + 2


_WIDE = _BoxLayout(
    1060,
    {
        "ExampleGen": (0, 0),
        "StatisticsGen": (1, 0),
        "SchemaGen": (2, 0),
        "ExampleValidator": (3, 0),
        "Transform": (3, 1),
        "Trainer": (4, 0.5),
        "Baseline": (4, 1.5),
        "Evaluator": (4, 2.5),
        "SkewGate": (3, 2.5),
        "Pusher": (2, 2.5),
        "ReportGen": (1, 2.5),
    },
    {},
    28,
)
_TALL = _BoxLayout(
    360,
    {
        "ExampleGen": (0, 0),
        "StatisticsGen": (0, 1),
        "SchemaGen": (0, 2),
        "ExampleValidator": (0, 3),
        "Transform": (1, 3),
        "Trainer": (0, 4),
        "Baseline": (0, 5),
        "Evaluator": (0, 6),
        "SkewGate": (0, 7),
        "Pusher": (0, 8),
        "ReportGen": (0, 9),
    },
    dict.fromkeys((name for name in INPUTS if name not in ("ExampleValidator", "Transform")), 2),
    25,
)


def draw_pipeline(record: RunRecord) -> PipelinePicture | None:
    """Return the picture of the pipeline of a run; None if the record has no components."""
    if not record.components:
        return None
    ran = {one.name: one for one in record.components}
    names = [name for name in INPUTS if name in ran or record.status not in _ENDED_WELL]
    steps = [_step(name, ran.get(name), names) for name in names]
    cached = sum(step.state == "cached" for step in steps)
    seconds = sum(one.seconds for one in record.components)
    return PipelinePicture(steps, _draw(steps, _WIDE), _draw(steps, _TALL), seconds, cached)


def _step(name: str, run: ComponentRun | None, names: Sequence[str]) -> Step:
    inputs = [one for one in INPUTS[name] if one in names]
    if run is None:
        return Step(name, NOT_RUN, _WORDS[NOT_RUN], "", "", inputs)
    return Step(name, run.state, _WORDS.get(run.state, run.state), format_duration(run.seconds), run.why, inputs)


def _draw(steps: Sequence[Step], layout: _BoxLayout) -> Markup:
    """Return the boxes and arrows; the table beside them has the same text for screen readers."""
    arrows = [_arrow(layout.box(start), layout.box(end)) for start, end in _arrows(steps)]
    boxes = [_box(step, layout) for step in steps]
    return element(
        "svg",
        join_elements([*arrows, *boxes]),
        viewBox=f"0 0 {layout.width} {layout.height:g}",
        role="img",
        aria_label=f"The pipeline: {len(steps)} components in their order; the table below lists them",
        class_="pipeline",
    )


def _arrows(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Yield start and end of the arrows; one that follows from others is left out, so that the others can be seen."""
    inputs = {step.name: step.inputs for step in steps}

    def before(name: str) -> set[str]:
        return set(inputs[name]).union(*map(before, inputs[name]))

    for step in steps:
        for start in step.inputs:
            if not any(start in before(other) for other in step.inputs):
                yield start, step.name


def _box(step: Step, layout: _BoxLayout) -> Markup:
    """Return a component's box: its name and time, its state, and why in at most two lines."""
    left, top, width = layout.box(step.name)
    letters = int(layout.letters * layout.spans.get(step.name, 1.0))
    lines = [step.word, *textwrap.wrap(step.why, letters)]
    if len(lines) > 3:
        lines = [*lines[:2], textwrap.shorten(" ".join(lines[2:]), letters, placeholder=" …")]
    parts = [
        element("rect", x=left, y=top, width=width, height=_HEIGHT, rx=7, class_="step-box"),
        element("text", step.name, x=left + 11, y=top + 19, class_="step-name"),
        element("text", step.time, x=left + width - 11, y=top + 36, class_="step-time"),
    ]
    parts += [
        element("text", line, x=left + 11, y=top + 36 + 12.5 * place, class_="step-state" if not place else "step-why")
        for place, line in enumerate(lines)
    ]
    about = element("title", f"{step.name}: {step.word}. {step.why}")
    return element("g", about + join_elements(parts), class_=f"step {step.state.replace(' ', '-')}")


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> Markup:
    """Return a line from a box to another one: to the right, to the left, or down."""
    (left, top, width), (to_left, to_top, to_width) = start, end
    if to_left >= left + width or to_left + to_width <= left:
        side = 1 if to_left >= left + width else -1
        x, y = (left + width if side > 0 else left), top + _HEIGHT / 2
        to_x, to_y = (to_left if side > 0 else to_left + to_width), to_top + _HEIGHT / 2
        bend = (x + to_x) / 2
        path = f"M{x:g},{y:g}C{bend:g},{y:g} {bend:g},{to_y:g} {to_x - 6 * side:g},{to_y:g}"
        head = f"{to_x:g},{to_y:g} {to_x - 8 * side:g},{to_y - 4:g} {to_x - 8 * side:g},{to_y + 4:g}"
    else:
        overlap = max(left, to_left) + min(left + width, to_left + to_width)
        x, y, to_y = overlap / 2, top + _HEIGHT, to_top
        path = f"M{x:g},{y:g}V{to_y - 6:g}"
        head = f"{x:g},{to_y:g} {x - 4:g},{to_y - 8:g} {x + 4:g},{to_y - 8:g}"
    return element("path", d=path, class_="feeds") + element("polygon", points=head, class_="feeds-head")
