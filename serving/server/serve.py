"""Run the server from its flags: load the models, open the ports, and answer until told to stop."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from tensorflow_serving.apis.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from tensorflow_serving.apis.prediction_service_pb2_grpc import add_PredictionServiceServicer_to_server
from tensorflow_serving.config import model_server_config_pb2

from serving.server.batching.batching_session import BatchingSessionFactory
from serving.server.batching.options import BatchingOptions
from serving.server.config import protos
from serving.server.config.flags import Flags
from serving.server.config.model_config import read_text_proto, single_model_config
from serving.server.config.platform_config import Platform, platform_from_flags
from serving.server.lifecycle.loader import Loader
from serving.server.lifecycle.manager_threads import ManagerThreads
from serving.server.lifecycle.model_manager import ModelManager
from serving.server.lifecycle.version_manager import LoadRetries
from serving.server.metrics import Metrics, prometheus_path
from serving.server.rest.server import RestServer
from serving.server.rpc import server as transport
from serving.server.rpc_error import Fault
from serving.server.services.model_service import ModelService
from serving.server.services.predictor import PredictionService, Predictor

log = logging.getLogger(__name__)
GRACE_S = 5.0  # time for the requests under way to end after a stop


def _print(line: str) -> None:
    print(line, flush=True)


def serve(flags: Flags, stop: threading.Event, report: Callable[[str], None] = _print) -> None:
    """Serve until `stop` is set.

    Args:
      flags: flags of the command line.
      stop: ends the server; another thread sets it.
      report: called with a line for each open port, in TensorFlow Serving's words.

    Raises:
      Fault: If the server cannot start: a flag or a file that it names is wrong, a first load fails, or a port is
        taken.
    """
    config, platform, ssl, metrics_path = _config(flags), platform_from_flags(flags), _ssl(flags), _metrics_path(flags)
    metrics = Metrics()
    models = _model_manager(flags, platform, metrics)
    threads = ManagerThreads(models, 4 * (os.cpu_count() or 1), flags.num_load_threads, flags.num_unload_threads)
    threads.start(flags.file_system_poll_wait_seconds)
    try:
        models.reload_config(config, lambda: not stop.is_set(), _polls(flags))
        if stop.is_set():
            return
        threads.finish_initial_loads()
        if flags.model_config_file:
            reload_file = partial(_reload_config_file, models, flags, stop)
            threads.run_periodically(flags.model_config_file_poll_wait_seconds, reload_file)
        predictor = Predictor(models, flags.enable_signature_method_name_check, metrics)
        _answer_until_stopped(flags, models, predictor, ssl, metrics_path, stop, report)
    finally:
        threads.stop()


def _config(flags: Flags) -> model_server_config_pb2.ModelServerConfig:
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, model_server_config_pb2.ModelServerConfig())
    return single_model_config(flags.model_name, flags.model_base_path)


def _polls(flags: Flags) -> bool:
    """Return whether the server looks for versions at all."""
    return flags.file_system_poll_wait_seconds >= 0


def _ssl(flags: Flags) -> Any:
    return read_text_proto(flags.ssl_config_file, protos.SSLConfig()) if flags.ssl_config_file else None


def _metrics_path(flags: Flags) -> str | None:
    """Return the path of Prometheus' metrics on the REST port; None if they are not enabled."""
    if not flags.monitoring_config_file:
        return None
    return prometheus_path(read_text_proto(flags.monitoring_config_file, protos.MonitoringConfig()))


def _model_manager(flags: Flags, platform: Platform, metrics: Metrics) -> ModelManager[Any]:
    wrap = None
    if platform.batching is not None:
        options = BatchingOptions.from_proto(platform.batching)
        wrap = BatchingSessionFactory(options, flags.enable_per_model_batching_parameters).wrap
    loader = Loader(platform, wrap, metrics.count_warm_up)
    retries = LoadRetries(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6)
    return ModelManager(loader, retries, flags.allow_version_labels_for_unavailable_models)


def _reload_config_file(models: ModelManager[Any], flags: Flags, stop: threading.Event) -> None:
    """Read the config file again; log what is wrong with it, and keep the old state then."""
    try:
        config = _config(flags)
    except Fault as fault:
        log.error("Failed to read ModelServerConfig file: %s", fault.message)
        return
    try:
        models.reload_config(config, lambda: not stop.is_set(), _polls(flags))
    except Fault as fault:
        log.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", fault.message)


def _answer_until_stopped(
    flags: Flags,
    models: ModelManager[Any],
    predictor: Predictor,
    ssl: Any,
    metrics_path: str | None,
    stop: threading.Event,
    report: Callable[[str], None],
) -> None:
    """Open the ports, answer until `stop` is set, and wait for the requests under way."""
    status = ModelService(models, predictor.metrics.counter_total, _polls(flags))
    prediction = PredictionService(predictor, flags.enable_serialization_as_tensor_content)
    host = f"[{flags.bind}]" if ":" in flags.bind else flags.bind
    server = transport.start_grpc_server(
        [
            partial(add_PredictionServiceServicer_to_server, prediction),
            partial(add_ModelServiceServicer_to_server, status),
        ],
        transport.TransportOptions(
            f"{host}:{flags.port}",
            flags.grpc_socket_path,
            ssl,
            flags.grpc_max_threads,
            flags.grpc_channel_arguments,
            flags.enable_grpc_healthcheck_service,
        ),
    )
    report(f"Running gRPC ModelServer at {server.addresses[0]} ...")
    rest = None
    try:
        rest = _start_rest(flags, models, predictor, metrics_path, report)
        stop.wait()
    finally:
        if rest is not None:
            rest.stop(GRACE_S)
        server.stop(GRACE_S)


def _start_rest(
    flags: Flags,
    models: ModelManager[Any],
    predictor: Predictor,
    metrics_path: str | None,
    report: Callable[[str], None],
) -> RestServer | None:
    if not flags.rest_api_port:
        return None
    if flags.rest_api_port == flags.port:
        log.error(
            "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
            "Skipped exporting HTTP/REST API."
        )
        return None
    rest = RestServer(
        predictor,
        models,
        flags.rest_api_port,
        flags.bind,
        flags.rest_api_num_threads,
        flags.rest_api_timeout_in_ms / 1000 if flags.rest_api_timeout_in_ms > 0 else None,
        flags.rest_api_enable_cors_support,
        predictor.metrics if metrics_path else None,
        metrics_path,
    )
    try:
        port = rest.start()
    except OSError as error:
        raise Fault(grpc.StatusCode.UNKNOWN, str(error)) from error
    report(f"Exporting HTTP/REST API at:{flags.bind}:{port} ...")
    return rest
