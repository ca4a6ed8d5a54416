"""The files that flags name take effect: keys, the platform with batching and warm-up, health, tags."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc

from serving.server.config.protos import SSLConfig

PLATFORM = """
platform_configs {
  key: "tensorflow"
  value { source_adapter_config {
    [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] { legacy_config {
      session_config { intra_op_parallelism_threads: 1 }
      batching_parameters { max_batch_size { value: 4 } num_batch_threads { value: 2 } }
      saved_model_tags: "serve"
      enable_model_warmup: true
    } }
  } }
}
"""


def request(rows: int) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest(output_filter=["y"])
    message.model_spec.name = "m"
    message.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0] * rows))
    return message


def key_and_certificate() -> tuple[bytes, bytes]:
    """Return PEM texts for localhost, self-signed and valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, form, serialization.NoEncryption()), certificate.public_bytes(pem)


@pytest.fixture(scope="module")
def secured(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, grpc.Channel]]:
    """The address of a server with keys, and a channel that trusts them."""
    root = tmp_path_factory.mktemp("secured")
    shutil.copytree(numbers(1.0), root / "base" / "1")
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request(2))
    (root / "base" / "1" / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(f"{root}/base/1/assets.extra/tf_serving_warmup_requests") as writer:
        writer.write(log.SerializeToString())
    key, certificate = key_and_certificate()
    config = SSLConfig(server_key=key.decode(), server_cert=certificate.decode())
    (root / "ssl").write_text(text_format.MessageToString(config))
    (root / "platform").write_text(PLATFORM)
    server = serve(
        root / "base",
        "m",
        f"--ssl_config_file={root}/ssl",
        f"--platform_config_file={root}/platform",
        "--enable_grpc_healthcheck_service",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=600000",
    )
    options = [("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(server.address(), grpc.ssl_channel_credentials(certificate), options) as channel:
        yield server.address(), channel


def test_a_port_with_keys_takes_only_encrypted_calls(secured: tuple[str, grpc.Channel]) -> None:
    address, channel = secured
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request(1), timeout=20)
    assert list(answer.outputs["y"].float_val) == [3.0]
    with grpc.insecure_channel(address) as bare, pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(bare).Predict(request(1), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_platform_file_sets_batching(secured: tuple[str, grpc.Channel]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(secured[1]).Predict(request(5), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "Task size 5 is larger than maximum input batch size 4"


def test_health_is_answered(secured: tuple[str, grpc.Channel]) -> None:
    check = secured[1].unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"", timeout=20) == b"\x08\x01"  # status: SERVING
