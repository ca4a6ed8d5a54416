"""Warm-up of a loaded model: which requests are run, and how they make the load fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.config.platform_config import Platform
from serving.server.inference.warmup import REQUESTS_FILE
from serving.server.lifecycle.loader import CONFIG_FILE, Loader, session_config
from serving.server.metrics import Metrics
from serving.server.rpc_error import Fault
from serving.server.saved_model.saved_model_bundle import SavedModelBundle

Log = prediction_log_pb2.PredictionLog


class Counted:
    """A Servable that records its runs."""

    def __init__(self, servable: SavedModelBundle, folder: str) -> None:
        self._servable = servable
        self.signatures, self.dtype = servable.signatures, servable.dtype
        self.fetched: list[list[str]] = []
        self.closed = False

    def run(self, feeds: Any, fetches: Any, timeout: float | None = None) -> list[Any]:
        self.fetched.append(list(fetches))
        return self._servable.run(feeds, fetches, timeout)

    def close(self) -> None:
        self.closed = True
        self._servable.close()


@pytest.fixture
def folder(tmp_path: Path, numbers: Callable[[float], Path]) -> Path:
    shutil.copytree(numbers(1.0), tmp_path / "1")
    return tmp_path / "1"


def load(folder: Path, times: int = 1) -> Counted:
    loader = Loader(Platform(("serve",), None, None, times), Counted)
    model: Counted = loader(str(folder))
    return model


def write(folder: Path, *records: bytes) -> None:
    (folder / REQUESTS_FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / REQUESTS_FILE)) as writer:
        for record in records:
            writer.write(record)


def predict_log(signature: str = "", alias: str = "x") -> bytes:
    log = Log()
    log.predict_log.request.model_spec.name = "no such model"
    log.predict_log.request.model_spec.version.value = 99
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs[alias].CopyFrom(tf.make_tensor_proto([1.0]))
    return bytes(log.SerializeToString())


def examples_log(kind: str, signature: str) -> bytes:
    log = Log()
    request = getattr(log, kind).request
    request.model_spec.signature_name = signature
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(3.0)
    return bytes(log.SerializeToString())


def fault(folder: Path) -> str:
    with pytest.raises(Fault) as caught:
        load(folder)
    return str(caught.value)


def test_requests_are_run_in_order_and_repeated(folder: Path) -> None:
    write(folder, predict_log(), b"", predict_log("typed"))
    model = load(folder, 2)
    default, typed = (
        min(output.name for output in model.signatures[name].outputs.values()) for name in ("serving_default", "typed")
    )
    ran = [min(names) for names in model.fetched]
    assert ran == [default] * 2 + [typed] * 2


def test_nothing_to_run(folder: Path) -> None:
    assert load(folder).fetched == []
    write(folder, predict_log("no such signature"))
    assert load(folder, times=0).fetched == []


def test_classify_and_regress_read_examples(folder: Path) -> None:
    # The model has no such signatures. The different errors show that each request ran its own checks.
    write(folder, examples_log("classify_log", "parse"))
    assert fault(folder).startswith("INVALID_ARGUMENT: Expected classification signature outputs to contain")
    write(folder, examples_log("regress_log", "parse"))
    assert fault(folder).startswith("INVALID_ARGUMENT: No regression outputs found in SignatureDef")


def test_every_kind_with_examples_is_run_by_its_own_signatures(tmp_path: Path, half_plus_two: Path) -> None:
    folder = tmp_path / "123"
    shutil.copytree(half_plus_two / "123", folder)
    log = Log()
    request = log.multi_inference_log.request
    for method, signature in (("classify", "classify_x_to_y"), ("regress", "regress_x_to_y")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "any", signature
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(3.0)
    kinds = (examples_log("classify_log", "classify_both"), examples_log("regress_log", "regress_flat"))
    write(folder, *kinds, log.SerializeToString())
    model = load(folder)
    assert [len(names) for names in model.fetched] == [2, 1, 1]
    log.multi_inference_log.request.tasks[0].model_spec.signature_name = "no"
    write(folder, log.SerializeToString())
    assert fault(folder) == "INVALID_ARGUMENT: Requested signature not found in model graph: no"


def test_failed_request_fails_the_load_and_frees_the_model(folder: Path) -> None:
    write(folder, predict_log(), predict_log("no"), predict_log())
    wrapped: list[Counted] = []

    def wrap(servable: SavedModelBundle, path: str) -> Counted:
        wrapped.append(Counted(servable, path))
        return wrapped[0]

    with pytest.raises(Fault, match='Serving signature key "no" not found.'):
        Loader(Platform(("serve",), None, None, 1), wrap)(str(folder))
    assert len(wrapped[0].fetched) == 1
    assert wrapped[0].closed


@pytest.mark.parametrize(("kind", "number"), [("session_run_log", 5), ("predict_streamed_log", 7)])
def test_kinds_that_are_not_run(folder: Path, kind: str, number: int) -> None:
    log = Log()
    getattr(log, kind).SetInParent()
    write(folder, log.SerializeToString())
    assert fault(folder) == f"UNIMPLEMENTED: Unsupported log_type for warmup: {number}"


def test_too_many(folder: Path) -> None:
    write(folder, *[b""] * 1000)
    load(folder)
    write(folder, *[b""] * 1001)
    assert (
        fault(folder)
        == f"INVALID_ARGUMENT: Number of warmup records exceeds the maximum (1000) at {folder}/{REQUESTS_FILE}"
    )


def test_what_is_no_record_and_what_is_no_log(folder: Path) -> None:
    write(folder, b"no log")
    assert fault(folder) == f"INVALID_ARGUMENT: Failed to parse warmup record: no log from {folder}/{REQUESTS_FILE}"
    (folder / REQUESTS_FILE).write_bytes(b"surely no TFRecord")
    text = fault(folder)
    assert text.startswith("DATA_LOSS: corrupted record at 0")
    assert text.endswith(". Please verify your warmup data is in TFRecord format.")


def test_warm_up_is_timed_and_its_requests_are_counted(folder: Path) -> None:
    """model_warmup_records_read of tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc."""
    calls: list[tuple[str, str, int, int]] = []
    metrics = Metrics()

    def on_warm_up(*what: Any) -> None:
        calls.append(what)
        metrics.count_warm_up(*what)

    loader = Loader(Platform(("serve",), None, None, 3), on_warm_up=on_warm_up)
    loader(str(folder)).close()
    assert calls == []
    write(folder, predict_log(), b"")
    loader(str(folder)).close()
    assert [(path, status, records) for path, status, _, records in calls] == [(str(folder), "OK", 2)]
    assert calls[0][2] > 0
    labels = f'model_path="{folder}",status="OK"'
    assert metrics.model_warmup_records_read.lines() == [f":tensorflow:serving:model_warmup_records_read{{{labels}}} 2"]
    assert metrics.model_warmup_latency.lines()[-1] == f":tensorflow:serving:model_warmup_latency_count{{{labels}}} 1"


def test_tags_choose_the_graph(folder: Path) -> None:
    with pytest.raises(Fault) as caught:
        Loader(Platform(("serve", "gpu"), None, None, 0))(str(folder))
    assert str(caught.value).startswith(
        "NOT_FOUND: Could not find meta graph def matching supplied tags: { serve gpu }. To inspect available tag-sets"
    )


def test_a_version_s_own_session_overrides(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As InternalCreateSavedModelBundle of tensorflow_serving/servables/tensorflow/saved_model_bundle_factory.cc."""
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
    assert session_config(str(folder), config) is config
    (folder / CONFIG_FILE).parent.mkdir(exist_ok=True)
    for content, disabled in ((b"", False), (b"\x0a\x02\x18\x01", True), (b"\x0a\x00\x18\x01", False)):
        (folder / CONFIG_FILE).write_bytes(content)
        changed = session_config(str(folder), config)
        assert changed.intra_op_parallelism_threads == 1
        assert changed.graph_options.rewrite_options.disable_meta_optimizer is disabled
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    assert not session_config(str(folder), config).graph_options.rewrite_options.disable_meta_optimizer
    assert session_config(str(folder), None) == tf.compat.v1.ConfigProto(graph_options={"rewrite_options": {}})
    Loader(Platform(("serve",), config, None, 0))(str(folder)).close()
    # TensorFlow logs a deprecation with the first load of a process.
    assert [record.message for record in caplog.records if record.name.startswith("serving.")] == []
    caplog.clear()
    (folder / CONFIG_FILE).write_bytes(b"no config")
    assert session_config(str(folder), config) is config
    assert caplog.messages[0].startswith(f"Failed to load saved model config: {folder}/{CONFIG_FILE}: ")
