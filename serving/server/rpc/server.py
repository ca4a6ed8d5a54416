"""The gRPC server around the services: where it listens, how it is secured, how much it takes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import grpc

from serving.server.rpc import health
from serving.server.rpc.call_threads import CallThreads, Refusal
from serving.server.rpc_error import Fault, invalid_argument

_ARGUMENTS: dict[str, int | str] = {
    "grpc.max_send_message_length": 2**31 - 1,
    "grpc.max_receive_message_length": 2**31 - 1,
    "grpc.so_reuseport": 0,  # else a second server on the port takes half of the requests unnoticed
}


class SSLConfig(Protocol):
    """The message of `--ssl_config_file`; the texts are PEM, not paths.

    Attributes:
      server_key: private key.
      server_cert: certificate chain.
      custom_ca: who signs the clients' certificates; empty for the system's own.
      client_verify: whether a client must show one.
    """

    server_key: str
    server_cert: str
    custom_ca: str
    client_verify: bool


@dataclass(frozen=True)
class TransportOptions:
    """What the flags say of the gRPC server.

    Attributes:
      address: host:port to listen at; port 0 takes a free one.
      socket_path: a Unix socket to listen at as well, never encrypted; empty for none.
      ssl: keys and certificates; None does not encrypt.
      max_threads: calls under way at a time; one more is refused.
      channel_arguments: gRPC's own, as `k=v,k=v`; whole numbers are passed as such.
      health: whether to serve grpc.health.v1.
    """

    address: str
    socket_path: str = ""
    ssl: SSLConfig | None = None
    max_threads: int = 4 * (os.cpu_count() or 1)
    channel_arguments: str = ""
    health: bool = False


class RunningServer:
    """A server that listens.

    Attributes:
      addresses: where, as `host:port` and, for a Unix socket, `unix:path`.
    """

    def __init__(self, server: grpc.Server, threads: CallThreads, addresses: list[str]) -> None:
        self.addresses = addresses
        self._server = server
        self._threads = threads

    def stop(self, grace: float) -> None:
        """Takes no more calls, waits for those under way, at most `grace` seconds, and ends."""
        self._server.stop(grace).wait()
        self._threads.shutdown()


def start_grpc_server(services: Iterable[Callable[[grpc.Server], None]], options: TransportOptions) -> RunningServer:
    """Starts a server.

    Args:
      services: each adds a service to the server it is given.
      options: where and how.

    Raises:
      Fault: UNKNOWN, an address is taken or not one; INVALID_ARGUMENT, the keys or arguments make no sense.
    """
    threads = CallThreads(options.max_threads)
    server = grpc.server(
        threads,
        interceptors=[Refusal(threads)],
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
    """The pairs in `k=v,k=v`.

    Raises:
      Fault: INVALID_ARGUMENT, a part is no pair.
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
