"""TFX image pipelines whose training and serving cannot drift apart: the public names.

    from skewless import Image, ImageFolder, Task, Train

    TASK = Task(name="flowers", source=ImageFolder(), feature=Image(96, 96), model=build_model, train=Train(epochs=5))

A name is imported when it is first used: `import skewless` loads no TensorFlow, and neither does `skewless.Client`.
The packages `data`, `serving`, `components` and `pipeline` hold the code; their layout may change between releases.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from skewless._packages import claim

claim()

if TYPE_CHECKING:
    from components.models.augment_layer import Augment
    from components.models.conv_net import ConvNet
    from components.models.transfer import Transfer
    from components.progress import report
    from components.task.task import Evaluate, Gate, Serving, Task
    from components.task.train_config import FineTune, Train
    from data.augmentation.config import Augmentation
    from data.augmentation.image_data_generator import from_image_data_generator
    from data.errors import DataError, QualityError, ServingError, SkewError, SkewlessError, UsageError
    from data.files.archives import fetch_archives
    from data.files.download import File, fetch
    from data.ingest.shards import Ingest
    from data.sources.arrays import Arrays
    from data.sources.base import Source
    from data.sources.csv import Csv
    from data.sources.first_match import FirstMatch
    from data.sources.idx import Idx
    from data.sources.image_folder import ImageFolder
    from data.sources.image_table import ImageTable
    from data.sources.tfrecord import TFRecords
    from data.spec import Classes, Feature, Image, Label, Labels, Number, Vector
    from pipeline.api import run
    from pipeline.report.record import RunRecord
    from serving.client import Client, MockTransport, Prediction, Tensor, Tls, TransportError
    from serving.client.transport import Transport
    from serving.export.batching import Batching

__version__: str

# Where each public name is defined. A test compares this with the imports above, which only type checkers see.
_HOMES = {
    "Arrays": "data.sources.arrays",
    "Augment": "components.models.augment_layer",
    "Augmentation": "data.augmentation.config",
    "Batching": "serving.export.batching",
    "Classes": "data.spec",
    "Client": "serving.client",
    "ConvNet": "components.models.conv_net",
    "Csv": "data.sources.csv",
    "DataError": "data.errors",
    "Evaluate": "components.task.task",
    "Feature": "data.spec",
    "File": "data.files.download",
    "FineTune": "components.task.train_config",
    "FirstMatch": "data.sources.first_match",
    "Gate": "components.task.task",
    "Idx": "data.sources.idx",
    "Image": "data.spec",
    "ImageFolder": "data.sources.image_folder",
    "ImageTable": "data.sources.image_table",
    "Ingest": "data.ingest.shards",
    "Label": "data.spec",
    "Labels": "data.spec",
    "MockTransport": "serving.client",
    "Number": "data.spec",
    "Prediction": "serving.client",
    "QualityError": "data.errors",
    "RunRecord": "pipeline.report.record",
    "Serving": "components.task.task",
    "ServingError": "data.errors",
    "SkewError": "data.errors",
    "SkewlessError": "data.errors",
    "Source": "data.sources.base",
    "TFRecords": "data.sources.tfrecord",
    "Task": "components.task.task",
    "Tensor": "serving.client",
    "Tls": "serving.client",
    "Train": "components.task.train_config",
    "Transfer": "components.models.transfer",
    "Transport": "serving.client.transport",
    "TransportError": "serving.client",
    "UsageError": "data.errors",
    "Vector": "data.spec",
    "fetch": "data.files.download",
    "fetch_archives": "data.files.archives",
    "from_image_data_generator": "data.augmentation.image_data_generator",
    "report": "components.progress",
    "run": "pipeline.api",
}

__all__ = [
    "Arrays",
    "Augment",
    "Augmentation",
    "Batching",
    "Classes",
    "Client",
    "ConvNet",
    "Csv",
    "DataError",
    "Evaluate",
    "Feature",
    "File",
    "FineTune",
    "FirstMatch",
    "Gate",
    "Idx",
    "Image",
    "ImageFolder",
    "ImageTable",
    "Ingest",
    "Label",
    "Labels",
    "MockTransport",
    "Number",
    "Prediction",
    "QualityError",
    "RunRecord",
    "Serving",
    "ServingError",
    "SkewError",
    "SkewlessError",
    "Source",
    "TFRecords",
    "Task",
    "Tensor",
    "Tls",
    "Train",
    "Transfer",
    "Transport",
    "TransportError",
    "UsageError",
    "Vector",
    "fetch",
    "fetch_archives",
    "from_image_data_generator",
    "report",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("skewless")
    if name not in _HOMES:
        raise AttributeError(f"module 'skewless' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
