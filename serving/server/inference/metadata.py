"""GetModelMetadata: the signatures of a loaded version, as they stand in its SavedModel."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_serving.apis import get_model_metadata_pb2

from serving.server.rpc_error import invalid
from serving.server.saved_model.servable import Servable

FIELD = "signature_def"


def check_metadata_fields(fields: Sequence[str]) -> None:
    """Comes before the model is looked up.

    Raises:
      Fault: INVALID_ARGUMENT, no field or one that is not `signature_def`.
    """
    if not fields:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != FIELD:
            raise invalid(f"Metadata field {field} is not supported")


def model_metadata(model: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Every signature of the MetaGraph, `__saved_model_init_op` too; the model_spec is left empty."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in model.signatures.items():
        signatures.signature_def[key].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata[FIELD].Pack(signatures)
    return response
