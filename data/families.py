"""The two families of packages, and every place where they differ. Python's version decides; see `setup.py`.

The older family (Python 3.10, TFX 1.16, TensorFlow 2.16, protobuf 3) stays for systems with a C library older than
2.39. Remove the branches here together with that family.
"""

from __future__ import annotations

import sys
from typing import Any

from google.protobuf import json_format, message_factory

IS_NEW = sys.version_info >= (3, 11)

KFP_HEALTH = "healthz_service_get_healthz" if IS_NEW else "get_healthz"
"""The method of `kfp_server_api` that reads a server's health. Needed until both families have kfp 2.16."""

MAX_RANK = 64 if IS_NEW else 32
"""Largest number of dimensions of a numpy array. Needed until both families have numpy 2."""

HAS_ELASTIC_TRANSFORM = IS_NEW
"""Whether `keras.layers.RandomElasticTransform` works: TensorFlow 2.16 ends the process with a `std::length_error`."""


def message_class(pool: Any, name: str) -> Any:
    """Return the class of a message in a descriptor pool. Needed until both families have protobuf 4.22 or later.

    The version of Python does not decide here: the client works with any protobuf.

    Args:
      pool: a `descriptor_pool.DescriptorPool`.
      name: full name of the message.
    """
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # type: ignore[attr-defined]


def json_with_defaults(message: Any) -> str:
    """Return a message as JSON with the original field names and with unset fields.

    Needed until both families have protobuf 5.26 or later.
    """
    options: Any = {"always_print_fields_with_no_presence" if IS_NEW else "including_default_value_fields": True}
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=1, **options)
