"""Compile serving/protocol/*.proto into serving/protocol/descriptors.binpb.

    .venv/bin/python scripts/compile_protos.py [FILE]

Needs the `dev` extra (grpcio-tools), and TensorFlow for its ConfigProto, which one of our messages has as a field. The
result, or FILE, is a serialized FileDescriptorSet of our own files in the order of their names.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc
from tensorflow.core.protobuf import config_pb2

FOLDER = Path(__file__).resolve().parents[1] / "serving" / "protocol"


def compile_protos(output: Path) -> int:
    """Run protoc, which reports errors on stderr.

    Args:
      output: file to write.

    Returns:
      protoc's exit status.
    """
    imports: dict[str, Any] = {}
    _add_with_imports(config_pb2.DESCRIPTOR, imports)
    with tempfile.NamedTemporaryFile() as file:
        for descriptor in imports.values():
            # A FileDescriptorSet is a sequence of files, so that one-element sets can be joined.
            one = FileDescriptorSet()
            one.file.add().ParseFromString(descriptor.serialized_pb)
            file.write(one.SerializeToString())
        file.flush()
        return protoc.main(
            [
                "protoc",
                f"--proto_path={FOLDER}",
                f"--proto_path={resources.files(grpc_tools) / '_proto'}",  # for google/protobuf
                f"--descriptor_set_in={file.name}",
                f"--descriptor_set_out={output}",
                *sorted(path.name for path in FOLDER.glob("*.proto")),
            ]
        )


def _add_with_imports(file: Any, files: dict[str, Any]) -> None:
    for imported in file.dependencies:
        _add_with_imports(imported, files)
    files[file.name] = file


if __name__ == "__main__":
    sys.exit(compile_protos(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER / "descriptors.binpb"))
