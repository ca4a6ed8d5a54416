"""The driver of ExampleGen in a compiled pipeline: TFX's driver with Skewless's resolution of span and version.

TFX's own fingerprint covers only what matches one pattern, here the folders of the classes: a picture replaced in one
of them would be missed, and Vertex would take stale shards from its cache.

    python -m components.prepare.example_gen_driver --json_serialized_invocation_args '{{$}}' ...
"""

from __future__ import annotations

import argparse

from absl import app
from tfx.components.example_gen import input_processor
from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver

from components.prepare.resolve_input import InputProcessor
from components.process_errors import printing_errors


def main(arguments: argparse.Namespace) -> None:
    """Write span, version, fingerprint and the resolved pattern into the executor's output file.

    Args:
      arguments: Parsed by TFX's driver.
    """
    input_processor.FileBasedInputProcessor = InputProcessor  # the driver has no parameter for it
    with printing_errors():
        driver.main(arguments)


if __name__ == "__main__":
    app.run(main, flags_parser=driver._parse_flags)
