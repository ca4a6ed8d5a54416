"""Messages of TensorFlow Serving's configuration files that tensorflow-serving-api leaves out."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, wrappers_pb2
from tensorflow.core.protobuf import config_pb2

from data.families import message_class

# As in TensorFlow Serving's .proto files, without what this server has no use for; a map is written as its entries.
_SOURCE = """
message PrometheusConfig { bool enable = 1; string path = 2; }
message MonitoringConfig { PrometheusConfig prometheus_config = 1; }

message SSLConfig { string server_key = 1; string server_cert = 2; string custom_ca = 3; bool client_verify = 4; }

message BatchingParameters {
  google.protobuf.Int64Value max_batch_size = 1;
  google.protobuf.Int64Value batch_timeout_micros = 2;
  google.protobuf.Int64Value max_enqueued_batches = 3;
  google.protobuf.Int64Value num_batch_threads = 4;
  google.protobuf.StringValue thread_pool_name = 5;
  repeated int64 allowed_batch_sizes = 6;
  bool pad_variable_length_inputs = 7;
  google.protobuf.BoolValue enable_large_batch_splitting = 8;
  google.protobuf.Int64Value max_execution_batch_size = 9;
}
message ModelWarmupOptions { google.protobuf.Int32Value num_request_iterations = 1; }
message SessionBundleConfig {
  string session_target = 1;
  tensorflow.ConfigProto session_config = 2;
  BatchingParameters batching_parameters = 3;
  repeated string saved_model_tags = 780;
  bool enable_model_warmup = 779;
  ModelWarmupOptions model_warmup_options = 782;
}
message SavedModelBundleSourceAdapterConfig { SessionBundleConfig legacy_config = 1000; }
message SessionOverrides { bool disable_meta_optimizer = 3; }
message SavedModelConfig { SessionOverrides session_overrides = 1; }
message PlatformConfig { google.protobuf.Any source_adapter_config = 1; }
message PlatformConfigsEntry { string key = 1; PlatformConfig value = 2; }
message PlatformConfigMap { repeated PlatformConfigsEntry platform_configs = 1; }
"""
_MESSAGE = re.compile(r"message (\w+) \{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"(repeated )?([\w.]+) (\w+) = (\d+);")


def _pool() -> Any:
    """A pool of its own, so that another package may bring the real files into the default one."""
    file = descriptor_pb2.FileDescriptorProto(
        name="skewless/tensorflow_serving_config.proto", package="tensorflow.serving", syntax="proto3"
    )
    field = descriptor_pb2.FieldDescriptorProto
    for message, body in _MESSAGE.findall(_SOURCE):
        added = file.message_type.add(name=message)
        for repeated, kind, name, number in _FIELD.findall(body):
            one = added.field.add(name=name, number=int(number))
            one.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in ("bool", "string", "int64"):
                one.type = field.Type.Value(f"TYPE_{kind.upper()}")
            else:
                one.type = field.TYPE_MESSAGE
                one.type_name = f".{kind}" if "." in kind else f".tensorflow.serving.{kind}"
    pool = descriptor_pool.DescriptorPool()
    for needed in (any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR, config_pb2.DESCRIPTOR):
        _add(pool, needed, set())
        file.dependency.append(needed.name)
    pool.Add(file)
    return pool


def _add(pool: Any, file: Any, added: set[str]) -> None:
    """A file after those that it needs."""
    for needed in file.dependencies:
        _add(pool, needed, added)
    if file.name not in added:
        added.add(file.name)
        pool.AddSerializedFile(file.serialized_pb)


POOL = _pool()


def _message(name: str) -> Any:
    return message_class(POOL, f"tensorflow.serving.{name}")


BatchingParameters = _message("BatchingParameters")
MonitoringConfig = _message("MonitoringConfig")
PlatformConfigMap = _message("PlatformConfigMap")
SavedModelConfig = _message("SavedModelConfig")
SavedModelBundleSourceAdapterConfig = _message("SavedModelBundleSourceAdapterConfig")
SSLConfig = _message("SSLConfig")
