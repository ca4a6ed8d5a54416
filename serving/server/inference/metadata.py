"""GetModelMetadata: the signatures of a loaded version, exactly as in its SavedModel."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_serving.apis import get_model_metadata_pb2

from serving.server.rpc_error import invalid_argument
from serving.server.saved_model.servable import Servable

FIELD = "signature_def"


def check_metadata_fields(fields: Sequence[str]) -> None:
    """Check the requested fields; TensorFlow Serving does this before it looks up the model.

    Raises:
      Fault: INVALID_ARGUMENT for no field, or for another field than `signature_def`.
    """
    if not fields:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != FIELD:
            raise invalid_argument(f"Metadata field {field} is not supported")


def model_metadata(model: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Return every signature of the MetaGraph, including `__saved_model_init_op`; the model_spec stays empty."""
    signature_map = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in model.signatures.items():
        signature_map.signature_def[key].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata[FIELD].Pack(signature_map)
    return response
