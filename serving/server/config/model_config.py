"""The models to serve: TensorFlow Serving's ModelServerConfig, checked in the same order and with the same texts."""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.rpc_error import from_tensorflow, invalid_argument

PLATFORM = "tensorflow"
_URI = re.compile(r"[a-zA-Z][0-9a-zA-Z.]*://")
_TYPE = "ModelServerConfig::model_type (deprecated)"
_PLATFORM = "ModelServerConfig::model_platform"


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
      name: the name that requests ask for.
      base_path: folder whose children with a number as name are the versions.
      policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy, which versions to serve.
      labels: version by label.
    """

    name: str
    base_path: str
    policy: Any
    labels: Mapping[str, int]


def single_model_config(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """Return the configuration for `--model_name` and `--model_base_path`."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def read_models(config: model_server_config_pb2.ModelServerConfig, served: Container[str]) -> dict[str, ModelConfig]:
    """Return the models of a list by name, in the list's order.

    Args:
      config: configuration with a `model_config_list`.
      served: names of the models that are served now, all with the platform `tensorflow`.

    Raises:
      Fault: INVALID_ARGUMENT for a model listed twice, a relative path or a changed platform.
    """
    listed = config.model_config_list.config
    names = set()
    for model in listed:
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in listed:
        if not model.base_path.startswith("/") and not _URI.match(model.base_path):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
    for model in listed:
        if model.name in served and (platform := _platform(model)) != PLATFORM:
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {model.name} platform was {PLATFORM} "
                f"and new platform requested is {platform}"
            )
    return {
        model.name: ModelConfig(model.name, model.base_path, model.model_version_policy, dict(model.version_labels))
        for model in listed
    }


def check_platforms(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Check the platforms, which TensorFlow Serving does only after it has set the labels.

    Raises:
      Fault: INVALID_ARGUMENT for a model without a platform, with two, or with another one than `tensorflow`.
    """
    for model in config.model_config_list.config:
        if (platform := _platform(model)) != PLATFORM:
            raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def read_text_proto(path: str, message: Any, **options: Any) -> Any:
    """Read a message from a file in protobuf's text format, and print a parse error to stderr, as protobuf does.

    Args:
      path: path or URI of the file.
      message: an empty message to fill.
      options: options of `text_format.Parse`.

    Returns:
      The message.

    Raises:
      Fault: NOT_FOUND or another code if the file cannot be read; INVALID_ARGUMENT if it does not parse.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return text_format.Parse(file.read(), message, **options)
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        where = re.sub(r"^(\d+:\d+) : ", r"\1: ", str(error))
        print(f"Error parsing text-format {message.DESCRIPTOR.full_name}: {where}", file=sys.stderr, flush=True)
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error


def _platform(model: model_server_config_pb2.ModelConfig) -> str:
    if model.model_type:
        if model.model_platform:
            raise invalid_argument(f"Illegal setting both {_TYPE} and {_PLATFORM}, model name is {model.name}")
        if model.model_type != model_server_config_pb2.TENSORFLOW:
            raise invalid_argument(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        return PLATFORM
    if not model.model_platform:
        raise invalid_argument(f"Illegal setting neither {_TYPE} nor {_PLATFORM}, model name is {model.name}")
    return str(model.model_platform)
