"""Message classes of the .proto files in this folder, made at import from their compiled descriptors.

`descriptors.binpb` is the FileDescriptorSet that `scripts/compile_protos.py` writes. Generated `_pb2` modules would not
do: they need the protobuf release that generated them or a newer one, and they register their names in the default
pool, where they collide with those of tensorflow-serving-api or grpcio-health-checking in the same process. Classes
from a private pool work with protobuf 3.20.3 and every later release, next to those packages.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

from data.families import message_class

POOL = descriptor_pool.DescriptorPool()
"""The private pool that holds every message; text format needs it to read an `Any`."""


def load_types(proto: str, imports: Iterable[Any] = ()) -> dict[str, Any]:
    """Return the top-level message classes and enum descriptors of a .proto file by name.

    Args:
      proto: name of the file in this folder.
      imports: descriptors of the files that it imports; those that they import in turn are added, too.

    Raises:
      KeyError: If the file is not among the compiled ones.
    """
    for imported in imports:
        _add_with_imports(imported)
    file = _FILES[proto]
    POOL.AddSerializedFile(file.SerializeToString())
    messages = {one.name: message_class(POOL, f"{file.package}.{one.name}") for one in file.message_type}
    return messages | {one.name: POOL.FindEnumTypeByName(f"{file.package}.{one.name}") for one in file.enum_type}


def _read() -> dict[str, Any]:
    compiled = resources.files(__package__).joinpath("descriptors.binpb").read_bytes()
    return {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file}


def _add_with_imports(file: Any) -> None:
    for imported in file.dependencies:
        _add_with_imports(imported)
    POOL.AddSerializedFile(file.serialized_pb)


_FILES = _read()
