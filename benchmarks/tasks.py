"""The tasks whose input the benchmarks measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.pictures import FEATURE
from components.task.task import Task
from data.sources import Idx, ImageFolder
from data.spec import Feature

if TYPE_CHECKING:
    import keras


def _no_model(feature: Feature, classes: int) -> keras.Model:
    raise NotImplementedError("the benchmarks only ingest the data of these tasks")


FOLDER = Task(name="folder", source=ImageFolder(), feature=FEATURE, model=_no_model)
IDX = Task(name="idx", source=Idx(), feature=FEATURE, model=_no_model)
