"""From the text of a proto3 file to its message classes, without protoc.

Generated `_pb2` modules are tied to the protobuf release that made them, and register their names in the default
pool, where tensorflow-serving-api's own lie. Classes that are made at import, in a pool of their own, do neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

from data.families import message_class

PACKAGE = "skewless"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_FIELD, f"TYPE_{name.upper()}")
    for name in ("double", "float", "int64", "uint64", "int32", "bool", "string", "bytes", "uint32")
}
_COMMENT = re.compile(r"//.*")
_STATEMENT = re.compile(
    r"""\s*(?: (?P<block>message|enum|oneof)\s+(?P<title>\w+)\s*\{
           | map<(?P<key>\w+),\s*(?P<value>\w+)>\s+(?P<map>\w+)\s*=\s*(?P<map_number>\d+)\s*;
           | (?:(?P<repeated>repeated)\s+)?(?P<type>\w+)\s+(?P<name>\w+)\s*=\s*(?P<number>\d+)\s*;
           | (?P<constant>\w+)\s*=\s*(?P<constant_number>\d+)\s*;
           | (?P<end>\})
           )\s*""",
    re.VERBOSE,
)


def message_classes(proto: str) -> Mapping[str, Any]:
    """Message classes and enums by name.

    Args:
      proto: messages and enums on the top level, with scalar, message, enum, `repeated`, `map` and `oneof` fields.

    Raises:
      ValueError: anything else is in the text.
    """
    file = _parsed(proto)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    messages = {one.name: message_class(pool, f"{PACKAGE}.{one.name}") for one in file.message_type}
    return messages | {one.name: pool.FindEnumTypeByName(f"{PACKAGE}.{one.name}") for one in file.enum_type}


def _parsed(proto: str) -> Any:
    text = _COMMENT.sub("", proto).strip()
    file = descriptor_pb2.FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    enums = set(re.findall(r"\benum\s+(\w+)", text))
    block: Any = None
    in_oneof = False
    at = 0
    while at < len(text):
        found = _STATEMENT.match(text, at)
        if not found:
            raise ValueError(f"not a statement of the protocol: {text[at : at + 60]!r}")
        at = found.end()
        if found["block"] == "oneof":
            block.oneof_decl.add(name=found["title"])
            in_oneof = True
        elif found["block"]:
            block = (file.message_type if found["block"] == "message" else file.enum_type).add(name=found["title"])
        elif found["map"]:
            entry = _entry(block, found)
            _add_field(entry, "key", 1, found["key"], enums)
            _add_field(entry, "value", 2, found["value"], enums)
        elif found["name"]:
            field = _add_field(block, found["name"], int(found["number"]), found["type"], enums)
            if found["repeated"]:
                field.label = _FIELD.LABEL_REPEATED
            if in_oneof:
                field.oneof_index = len(block.oneof_decl) - 1
        elif found["constant"]:
            block.value.add(name=found["constant"], number=int(found["constant_number"]))
        else:
            in_oneof = False  # a oneof ends, or a message, which ends after its oneofs
    return file


def _add_field(message: Any, name: str, number: int, kind: str, enums: set[str]) -> Any:
    field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FIELD.TYPE_ENUM if kind in enums else _FIELD.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    return field


def _entry(message: Any, found: re.Match[str]) -> Any:
    """A map is, on the wire, a repeated message of key and value, named as protoc does."""
    name = "".join(part.capitalize() for part in found["map"].split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    message.field.add(
        name=found["map"],
        number=int(found["map_number"]),
        label=_FIELD.LABEL_REPEATED,
        type=_FIELD.TYPE_MESSAGE,
        type_name=f".{PACKAGE}.{message.name}.{name}",
    )
    return entry
