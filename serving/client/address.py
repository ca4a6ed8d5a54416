"""Address of a server. Its form selects gRPC or REST, with or without TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from data.errors import UsageError, describe_error

_FORMS = "Legal: HOST:PORT, grpc://HOST:PORT, grpcs://HOST:PORT, unix:PATH, http://HOST:PORT, https://HOST:PORT"


@dataclass(frozen=True)
class Tls:
    """Certificates for TLS, as PEM files.

    Attributes:
      ca: File with the certificates to trust; those of the system by default.
      certificate: File with the client's certificate, for a server with `client_verify`.
      key: File with the key of that certificate.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a client certificate needs its key, and a key its certificate", hint="Give both or none.")

    def ssl_context(self) -> ssl.SSLContext:
        """Return the settings for Python's `ssl`.

        Raises:
          UsageError: If a file cannot be read, or holds no certificate or key.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            files = ", ".join(file for file in (self.ca, self.certificate, self.key) if file)
            raise UsageError(
                f"cannot use the TLS files {files}: {describe_error(error)}", hint="They must be PEM files."
            ) from error
        return context

    def root_certificates(self) -> bytes | None:
        """Return the certificates to trust for gRPC, as PEM. None, if the system has none, selects gRPC's own."""
        found = self.ssl_context().get_ca_certs(binary_form=True)
        return "".join(ssl.DER_cert_to_PEM_cert(one) for one in found).encode() or None


@dataclass(frozen=True)
class Address:
    """A parsed address.

    Attributes:
      text: The address as the user gave it.
      is_rest: Whether the server is called over REST; otherwise over gRPC.
      target: `host:port`, or `unix:path`.
      secure: Whether to use TLS.
      prefix: Prefix of all REST paths, for a server behind a proxy; does not end in a slash.
    """

    text: str
    is_rest: bool
    target: str
    secure: bool
    prefix: str = ""


def parse_address(text: str, tls: bool) -> Address:
    """Parse the address of a server.

    Args:
      text: The address, e.g. `host:port`; see `Client` for all forms.
      tls: Whether to use TLS if the address does not decide it.

    Raises:
      UsageError: If the address has another form, or contradicts `tls`.
    """
    if text.startswith("unix:"):
        if tls:
            raise UsageError(f"no TLS over a Unix socket: {text}", hint="Leave out tls.")
        return Address(text, is_rest=False, target=text, secure=False)
    scheme, mark, rest = text.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        is_legal = bool(parts.hostname) and parts.port is not None
        parts.netloc.encode("idna")  # the resolver does this later
    except ValueError:  # the port is not a number or too large, a bracket is open, or the name is illegal
        is_legal = False
    if not is_legal or scheme not in (("grpc", "grpcs", "http", "https") if mark else ("",)):
        raise UsageError(f"'{text}' is not a server's address", hint=_FORMS)
    if tls and scheme in ("grpc", "http"):
        raise UsageError(f"{text} is not a TLS address", hint=f"With TLS: {scheme}s://{rest}")
    prefix = parts.path.rstrip("/")
    if prefix and not scheme.startswith("http"):
        raise UsageError(f"'{text}' is not a server's address", hint=_FORMS)
    return Address(text, scheme.startswith("http"), parts.netloc, tls or scheme.endswith("s"), prefix)
