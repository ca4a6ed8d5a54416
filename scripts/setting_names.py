"""Write pipeline/setting_names.py: the names of all settings, for the completion of shells.

    .venv/bin/python -m scripts.setting_names

Completion answers in a moment, so it cannot load a task, which loads TensorFlow. A test compares
the file with the types.
"""

from __future__ import annotations

from pathlib import Path

from components.models.conv_net import ConvNet
from components.models.transfer import Transfer
from components.task.overrides import setting_names
from components.task.task import Task
from components.task.train_config import Train
from data.sources import Arrays, Csv, Idx, ImageFolder, ImageTable, Source, TFRecords
from data.spec import Classes, Feature, Image, Label, Labels, Number, Vector

FILE = Path(__file__).resolve().parents[1] / "pipeline" / "setting_names.py"
SOURCES: tuple[Source, ...] = (
    Arrays(),
    Csv(label="y"),
    Idx(),
    ImageFolder(),
    ImageTable(path="p", label="y"),
    TFRecords(feature="image"),
)
FEATURES: tuple[Feature, ...] = (Image(8, 8), Vector(2))
LABELS: tuple[Label, ...] = (Classes(), Labels(), Number())
MODELS = (ConvNet(), Transfer("MobileNetV2"))


def all_setting_names() -> list[str]:
    """Return the names of the settings of tasks with each source, feature, label and model."""
    parts = [("source", SOURCES), ("feature", FEATURES), ("label", LABELS), ("model", MODELS)]
    task = Task(name="any", source=ImageFolder(), feature=Image(8, 8), model=ConvNet(), train=Train())
    found = set(setting_names(task))
    for prefix, values in parts:
        for value in values:
            found |= set(setting_names(value, f"{prefix}."))
    return sorted(found)


def render() -> str:
    """Return the text of the module."""
    lines = "".join(f'    "{name}",\n' for name in all_setting_names())
    about = '"""Names of all settings, for the completion of shells; `scripts/setting_names.py` writes this file."""'
    return f"{about}\n\nfrom __future__ import annotations\n\nSETTING_NAMES = (\n{lines})\n"


if __name__ == "__main__":
    FILE.write_text(render())
