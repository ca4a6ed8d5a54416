"""The models to serve: TensorFlow Serving's ModelServerConfig, checked in its order and words."""

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
    """One model to serve.

    Attributes:
      base_path: its children named by a number are the versions.
      policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy, which of them to serve.
      labels: version by label.
    """

    name: str
    base_path: str
    policy: Any
    labels: Mapping[str, int]


def single_model_config(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration of `--model_name` and `--model_base_path`."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def read_models(config: model_server_config_pb2.ModelServerConfig, served: Container[str]) -> dict[str, ModelConfig]:
    """The models of a list, by name, in the list's order.

    Args:
      config: with a `model_config_list`.
      served: names of the models that are served now, all of them of the platform `tensorflow`.

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
    """What TensorFlow Serving checks only after it has set the labels.

    Raises:
      Fault: INVALID_ARGUMENT for a model of no platform, of two, or of another than `tensorflow`.
    """
    for model in config.model_config_list.config:
        if (platform := _platform(model)) != PLATFORM:
            raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def read_text(path: str, message: Any, **options: Any) -> Any:
    """A message from a file in protobuf's text format; where it stops parsing is told on stderr, as protobuf does.

    Args:
      path: of the file, or its URI.
      message: an empty one, to be filled.
      options: `text_format.Parse`'s own.

    Raises:
      Fault: NOT_FOUND or another code, the file cannot be read; INVALID_ARGUMENT, it does not parse.
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
    return model.model_platform
