"""Building blocks of the plots: page, colours, table cells, PNG.

The two colours are the blue and orange of Okabe and Ito (Color Universal Design, 2008), which people with any kind of
colour blindness can distinguish; lines and markers differ, too, so that a grey print works. Figures are made from
matplotlib's objects, never through pyplot: that needs a display and keeps state in the process.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from data.files.atomic import write_aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI, COLOURS = 150, 64  # with 16 colours, the orange became brown
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#555555"


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty white figure with a title.

    Args:
      width: In inches.
      height: In inches.
      title: Becomes smaller if a line of it is too long for the width.
    """
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=DPI, facecolor="white", layout="constrained")
    size = min(12.0, 105 * width / max(map(len, title.splitlines())))
    figure.suptitle(title, fontsize=size, fontweight="bold", parse_math=False)
    return figure


def save_png(figure: Figure, path: str) -> None:
    """Write a figure as PNG; a reader finds the file complete or not at all.

    64 colours are enough for greys and the two colours of the lines, and make the file a fraction of the size.

    Args:
      figure: The figure.
      path: Local or remote.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas, content = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(content, "PNG", dpi=(DPI, DPI), optimize=True)
    write_aside(path, content.getvalue())


def add_cell(axes: Axes, x: float, row: float, text: str, side: str, color: str = "black") -> None:
    """Add a cell of a table that continues next to the axes.

    Args:
      axes: The axes.
      x: Position as a share of the axes' width; may be outside 0..1.
      row: Position on the y axis.
      text: Of the cell.
      side: Of the text that is at `x`: "left" or "right".
      color: Of the text.
    """
    place = axes.get_yaxis_transform()
    axes.text(x, row, text, transform=place, ha=side, va="center", fontsize=9, color=color, parse_math=False)


def shorten(text: str, length: int) -> str:
    """Return the text, cut to at most `length` characters with an ellipsis at the end."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
