"""Messages of TensorFlow Serving's configuration files, from `serving/protocol/server_config.proto`."""

from __future__ import annotations

from google.protobuf import any_pb2, wrappers_pb2
from tensorflow.core.protobuf import config_pb2

from serving.protocol.descriptors import load_types

_TYPES = load_types("server_config.proto", imports=(any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR, config_pb2.DESCRIPTOR))

BatchingParameters = _TYPES["BatchingParameters"]
MonitoringConfig = _TYPES["MonitoringConfig"]
PlatformConfigMap = _TYPES["PlatformConfigMap"]
SavedModelConfig = _TYPES["SavedModelConfig"]
SavedModelBundleSourceAdapterConfig = _TYPES["SavedModelBundleSourceAdapterConfig"]
SSLConfig = _TYPES["SSLConfig"]
