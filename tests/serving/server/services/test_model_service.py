"""ModelService over gRPC, with fake versions: the reload's answer and the counters in it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving.server.lifecycle.manager_threads import ManagerThreads
from serving.server.lifecycle.model_manager import ModelManager
from serving.server.lifecycle.version_manager import LoadRetries
from serving.server.services.model_service import ModelService


class Fake:
    loads = 0

    def __init__(self, folder: str) -> None:
        Fake.loads += 1

    def close(self) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Any]:
    models: ModelManager[Fake] = ModelManager(Fake, LoadRetries(0))
    threads = ManagerThreads(models, 2, 0, 0)
    threads.start(0)
    server = grpc.server(ThreadPoolExecutor(2))
    service = ModelService(models, lambda name: Fake.loads if name == "/loads" else 0)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield model_service_pb2_grpc.ModelServiceStub(channel)
    server.stop(None)
    threads.stop()


def request(*bases: Path, metrics: tuple[str, ...] = ()) -> model_management_pb2.ReloadConfigRequest:
    message = model_management_pb2.ReloadConfigRequest(metric_names=metrics)
    message.config.model_config_list.SetInParent()
    for base in bases:
        message.config.model_config_list.config.add(name=base.name, base_path=str(base), model_platform="tensorflow")
    return message


def test_reload_answers_ok_and_the_increase_of_counters(stub: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
    Fake.loads = 5
    answer = stub.HandleReloadConfigRequest(request(tmp_path / "a", tmp_path / "b", metrics=("/loads", "/none")))
    assert answer.HasField("status") and answer.status.error_code == 0
    assert [(metric.name, metric.int64_value_increase) for metric in answer.metric] == [("/loads", 2), ("/none", 0)]
    spec = get_model_status_pb2.GetModelStatusRequest()
    spec.model_spec.name = "b"
    assert [one.state for one in stub.GetModelStatus(spec).model_version_status] == [30]


def test_reload_is_refused_without_a_list(stub: Any) -> None:
    custom = model_management_pb2.ReloadConfigRequest()
    custom.config.custom_model_config.SetInParent()
    for message in (model_management_pb2.ReloadConfigRequest(), custom):
        with pytest.raises(grpc.RpcError) as caught:
            stub.HandleReloadConfigRequest(message)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details() == (
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )


def test_reload_ends_when_its_caller_is_gone(stub: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "1").mkdir(parents=True)
    with pytest.raises(grpc.RpcError) as caught:
        stub.HandleReloadConfigRequest(request(tmp_path / "empty"), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    stub.HandleReloadConfigRequest(request(tmp_path / "empty", tmp_path / "a"), timeout=10)
