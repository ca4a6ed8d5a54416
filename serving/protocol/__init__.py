"""Message classes that a client of TensorFlow Serving needs, from `inference.proto`.

They need protobuf alone, 3.20.3 or newer, and work next to tensorflow-serving-api in one process.
"""

from __future__ import annotations

from serving.protocol.descriptors import load_types

MESSAGES = load_types("inference.proto")

PredictRequest = MESSAGES["PredictRequest"]
PredictResponse = MESSAGES["PredictResponse"]
Tensor = MESSAGES["Tensor"]
ClassificationRequest = MESSAGES["ClassificationRequest"]
ClassificationResponse = MESSAGES["ClassificationResponse"]
RegressionRequest = MESSAGES["RegressionRequest"]
RegressionResponse = MESSAGES["RegressionResponse"]
GetModelStatusRequest = MESSAGES["GetModelStatusRequest"]
GetModelStatusResponse = MESSAGES["GetModelStatusResponse"]
State = MESSAGES["State"]
"""The enum descriptor of the states of a version."""
