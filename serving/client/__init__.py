"""Client of a model server, Skewless or TensorFlow Serving, over gRPC or REST.

    with Client("localhost:8500", model="digits") as client:
        print(client.predict_images(["seven.png"])[0].label)

Needs only grpcio, protobuf, urllib3 and Pillow (`pip install skewless[client]`), and imports each of them when it is
first used. Loads neither TensorFlow nor numpy. `MockTransport` answers without a server, for tests of your code.
"""

from serving.client.address import Tls
from serving.client.client import Client
from serving.client.errors import (
    DeadlineExceeded,
    InvalidPicture,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServerFailure,
    TransportError,
    Unavailable,
    UnreadablePicture,
)
from serving.client.mock_transport import MockRequest, MockTransport
from serving.client.results import Prediction, VersionStatus
from serving.client.tensor import Tensor
from serving.client.transport import ModelSpec, Transport

__all__ = [
    "Client",
    "DeadlineExceeded",
    "InvalidPicture",
    "InvalidRequest",
    "MockRequest",
    "MockTransport",
    "ModelSpec",
    "NotFound",
    "Overloaded",
    "Prediction",
    "ServerFailure",
    "Tensor",
    "Tls",
    "Transport",
    "TransportError",
    "Unavailable",
    "UnreadablePicture",
    "VersionStatus",
]
