"""The driver of ExampleGen in a compiled pipeline: TFX's own, with our resolution of span, version and fingerprint.

TFX's looks only at what matches one pattern, here the folders of the classes: a picture replaced inside of one would
go unnoticed, and Vertex would take stale shards from its cache.

    python -m components.prepare.example_gen_driver --json_serialized_invocation_args '{{$}}' ...
"""

from __future__ import annotations

import argparse

from absl import app
from tfx.components.example_gen import input_processor
from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver

from components.prepare.example_gen import InputProcessor
from components.process_errors import printing_errors


def main(arguments: argparse.Namespace) -> None:
    """Writes span, version, fingerprint and the pattern they give into the executor's output file."""
    input_processor.FileBasedInputProcessor = InputProcessor  # the driver has no other way to be told
    with printing_errors():
        driver.main(arguments)


if __name__ == "__main__":
    app.run(main, flags_parser=driver._parse_flags)
