"""The gRPC server around the services: its addresses, its certificates and its limit of calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import grpc

from serving.server.rpc import health
from serving.server.rpc.call_threads import CallThreads, OverloadInterceptor
from serving.server.rpc_error import Fault, invalid_argument

_ARGUMENTS: dict[str, int | str] = {
    "grpc.max_send_message_length": 2**31 - 1,
    "grpc.max_receive_message_length": 2**31 - 1,
    "grpc.so_reuseport": 0,  # or a second server on the port would silently take half of the requests
}


class SSLConfig(Protocol):
    """The message of `--ssl_config_file`; the texts are PEM, not paths.

    Attributes:
      server_key: private key.
      server_cert: certificate chain.
      custom_ca: certificate authority of the clients' certificates; empty for the system's.
      client_verify: whether a client must present a certificate.
    """

    server_key: str
    server_cert: str
    custom_ca: str
    client_verify: bool


@dataclass(frozen=True)
class TransportOptions:
    """Options of the gRPC server, as the flags give them.

    Attributes:
      address: host:port to listen on; port 0 takes a free one.
      socket_path: a Unix socket to listen on as well, never encrypted; empty for none.
      ssl: keys and certificates; None for no encryption.
      max_threads: calls in progress at a time; the next one is refused.
      channel_arguments: gRPC's channel arguments as `k=v,k=v`; whole numbers are passed as integers.
      health: whether to serve grpc.health.v1.
    """

    address: str
    socket_path: str = ""
    ssl: SSLConfig | None = None
    max_threads: int = 4 * (os.cpu_count() or 1)
    channel_arguments: str = ""
    health: bool = False


class RunningServer:
    """A server that accepts calls.

    Attributes:
      addresses: `host:port` and, for a Unix socket, `unix:path`.
    """

    def __init__(self, server: grpc.Server, threads: CallThreads, addresses: list[str]) -> None:
        self.addresses = addresses
        self._server = server
        self._threads = threads

    def stop(self, grace: float) -> None:
        """Refuse new calls, wait up to `grace` seconds for those in progress, and stop."""
        self._server.stop(grace).wait()
        self._threads.shutdown()


def start_grpc_server(services: Iterable[Callable[[grpc.Server], None]], options: TransportOptions) -> RunningServer:
    """Start a gRPC server.

    Args:
      services: functions that each add a service to the server.
      options: addresses, certificates and limits.

    Raises:
      Fault: UNKNOWN if an address is in use or invalid; INVALID_ARGUMENT if the keys or channel arguments are.
    """
    threads = CallThreads(options.max_threads)
    server = grpc.server(
        threads,
        interceptors=[OverloadInterceptor(threads)],
        options=list((_ARGUMENTS | dict(parse_channel_arguments(options.channel_arguments))).items()),
    )
    for add in services:
        add(server)
    if options.health:
        health.add_to_server(server)
    try:
        addresses = _listen(server, options)
    except BaseException:
        threads.shutdown()
        raise
    server.start()
    return RunningServer(server, threads, addresses)


def parse_channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Parse the pairs in `k=v,k=v`; whole numbers become integers.

    Raises:
      Fault: INVALID_ARGUMENT if a part is not a pair.
    """
    pairs: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise invalid_argument(f"grpc_channel_arguments: expected key=value, got {part}")
        try:
            pairs.append((key, int(value)))
        except ValueError:
            pairs.append((key, value))
    return pairs


def _listen(server: grpc.Server, options: TransportOptions) -> list[str]:
    addresses = []
    try:
        if options.ssl is None:
            port = server.add_insecure_port(options.address)
        else:
            port = server.add_secure_port(options.address, _credentials(options.ssl))
        addresses.append(f"{options.address.rpartition(':')[0]}:{port}")
        if options.socket_path:
            addresses.append(f"unix:{options.socket_path}")
            server.add_insecure_port(addresses[-1])
    except RuntimeError as error:
        raise Fault(grpc.StatusCode.UNKNOWN, str(error)) from error
    return addresses


def _credentials(ssl: SSLConfig) -> grpc.ServerCredentials:
    try:
        return grpc.ssl_server_credentials(
            [(ssl.server_key.encode(), ssl.server_cert.encode())],
            root_certificates=ssl.custom_ca.encode() or None,
            require_client_auth=ssl.client_verify,
        )
    except ValueError as error:
        raise invalid_argument(f"ssl_config_file: {error}") from error
