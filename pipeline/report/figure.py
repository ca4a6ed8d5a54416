"""A page for a figure: its colours, its size, its words in rows, and how it becomes a PNG.

The two colours are the blue and orange of Okabe and Ito (Color Universal Design, 2008), which every kind of colour
blindness tells apart; lines and markers differ, too, so that a grey print will do. Figures are made through
matplotlib's objects, never through pyplot: no display, and nothing left behind in the process.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from data.files.atomic import write_aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI, COLOURS = 150, 64  # of 16, the orange came out as a brown
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#555555"


def new_figure(width: float, height: float, title: str) -> Figure:
    """A white page of inches with a title, which gets smaller where it is long."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=DPI, facecolor="white", layout="constrained")
    size = min(12.0, 105 * width / max(map(len, title.splitlines())))
    figure.suptitle(title, fontsize=size, fontweight="bold", parse_math=False)
    return figure


def save_png(figure: Figure, path: str) -> None:
    """Writes a PNG aside first, so that a reader finds it whole or not at all.

    Few colours make it a fraction of the size, and a few are all that there are: greys and the two of the lines.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas, content = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(content, "PNG", dpi=(DPI, DPI), optimize=True)
    write_aside(path, content.getvalue())


def add_cell(axes: Axes, x: float, row: float, text: str, side: str, color: str = "black") -> None:
    """A word of a table beside the axes: x of their width, y a row."""
    place = axes.get_yaxis_transform()
    axes.text(x, row, text, transform=place, ha=side, va="center", fontsize=9, color=color, parse_math=False)


def shorten(text: str, length: int) -> str:
    """The text, or as much of it as fits into so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
