"""A straight line, y = 2x + 1.2, learned from ten points: numbers in, a number out.

    skewless run linear_regression
    skewless run linear_regression --data DIR    # DIR has points.csv (columns x, y), or points.npz (arrays x, y)

The notebook: a list of ten points, `Dense(1)`, RMSprop(0.01), mean squared error, 500 epochs; it printed the slope
2.0050 and the intercept 1.2050. RMSprop's steps stay as large as its rate, so the last epochs have a lower one: the
exported model gives 2.0000 and 1.2000, learned from eight of the points, and no error on the other two. `skewless
serve` answers Predict (`features`), and Regress with the signature `serving_examples`.
"""

from __future__ import annotations

from pathlib import Path

import keras

from skewless import Arrays, Csv, Evaluate, Feature, FirstMatch, Ingest, Number, Task, Train, Vector


def write_points(folder: str) -> None:
    """Write `points.csv`: x from -4 to 5, and y = 2x + 1.2."""
    rows = [f"{x},{2 * x + 1.2:.1f}" for x in range(-4, 6)]
    Path(folder, "points.csv").write_text("\n".join(["x,y", *rows, ""]))


def build_model(feature: Feature, classes: int) -> keras.Model:
    """Build a linear model: float32 [N, 1] to a number [N, 1]."""
    return keras.Sequential([keras.Input(feature.shape), keras.layers.Dense(1)])


TASK = Task(
    name="linear_regression",
    source=FirstMatch(first=Csv(label="y"), second=Arrays(train=("x", "y"), eval=())),
    feature=Vector(1),
    label=Number(),
    model=build_model,
    ingest=Ingest(),
    train=Train(epochs=500, optimizer="rmsprop", learning_rate=0.01, schedule=((400, 0.001),)),
    evaluate=Evaluate(max_error=1e-3, slices=()),
    fetch=write_points,
)
