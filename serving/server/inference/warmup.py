"""Warm-up: run the requests that a version brings along before the version serves."""

from __future__ import annotations

import itertools
import logging
import posixpath
import time

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving import signatures
from serving.server.inference.examples import classify, regress
from serving.server.inference.multi_inference import multi_inference
from serving.server.inference.predict import predict
from serving.server.rpc_error import Fault, from_tensorflow, invalid_argument
from serving.server.saved_model.servable import Servable

log = logging.getLogger(__name__)
REQUESTS_FILE = "assets.extra/tf_serving_warmup_requests"  # in a version's folder: a TFRecord of PredictionLogs
MAX_RECORDS = 1000


def has_requests(folder: str) -> bool:
    """Return whether a version has warm-up requests."""
    return bool(tf.io.gfile.exists(posixpath.join(folder, REQUESTS_FILE)))


def warm_up(model: Servable, folder: str, times: int = 1) -> int:
    """Run the requests in a version's folder, in order.

    Args:
      model: the model loaded from that folder.
      folder: folder of the version.
      times: number of runs of each request.

    Returns:
      The number of requests.

    Raises:
      Fault: If a request fails. UNIMPLEMENTED for a request of a kind that is not run; INVALID_ARGUMENT for too many
        requests, or for one that does not parse; DATA_LOSS if the file is no TFRecord.
    """
    path = posixpath.join(folder, REQUESTS_FILE)
    start = time.monotonic()
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(path):
            request = _parse(record, path)
            for _ in itertools.repeat(None, times):
                _run(model, request)
            count += 1
            if count > MAX_RECORDS:
                raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
    except tf.errors.DataLossError as error:
        text = f"{error.message}. Please verify your warmup data is in TFRecord format."
        raise Fault(grpc.StatusCode.DATA_LOSS, text) from error
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    seconds = time.monotonic() - start
    log.info("Finished reading warmup data for model at %s: %d records in %.3f s", path, count, seconds)
    return count


def _parse(record: bytes, path: str) -> prediction_log_pb2.PredictionLog:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        text = record.decode("utf-8", "replace")
        raise invalid_argument(f"Failed to parse warmup record: {text} from {path}") from error


def _run(model: Servable, log_entry: prediction_log_pb2.PredictionLog) -> None:
    """Run one request with its own signature; ignore the model name and version in its spec."""
    kind = log_entry.WhichOneof("log_type")
    if kind is None:
        return
    request = getattr(log_entry, kind).request
    if kind == "predict_log":
        predict(model, request, None)
    elif kind in ("classify_log", "regress_log"):
        answer = classify if kind == "classify_log" else regress
        answer(model, request.model_spec.signature_name or signatures.DEFAULT, request.input, None)
    elif kind == "multi_inference_log":
        multi_inference(model, request.tasks, request.input, None)
    else:
        number = log_entry.DESCRIPTOR.fields_by_name[kind].number
        raise Fault(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
