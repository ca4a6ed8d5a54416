"""The two families of packages, and every place where they differ. Python decides; see `setup.py` for the versions.

The older family (Python 3.10, TFX 1.16, TensorFlow 2.16, protobuf 3) stays for systems whose C library is older than
2.39. Each branch here goes when it goes.
"""

from __future__ import annotations

import sys
from typing import Any

from google.protobuf import json_format, message_factory

IS_NEW = sys.version_info >= (3, 11)

KFP_HEALTH = "healthz_service_get_healthz" if IS_NEW else "get_healthz"
"""The method of `kfp_server_api` that asks for a server's health; waits for kfp 2.16 everywhere."""

MAX_RANK = 64 if IS_NEW else 32
"""Dimensions that a numpy array may have; waits for numpy 2 everywhere."""


def message_class(pool: Any, name: str) -> Any:
    """The class of a message in a descriptor pool; waits for protobuf 4.22 or later everywhere.

    The client takes any protobuf, whichever the Python.

    Args:
      pool: a `descriptor_pool.DescriptorPool`.
      name: full name of the message.
    """
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # type: ignore[attr-defined]


def json_with_defaults(message: Any) -> str:
    """Protobuf's JSON with the fields' own names, absent ones included; waits for protobuf 5.26 or later everywhere."""
    options: Any = {"always_print_fields_with_no_presence" if IS_NEW else "including_default_value_fields": True}
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=1, **options)
