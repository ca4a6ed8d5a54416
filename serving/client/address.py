"""Where the server is, and how to speak to it: told by the form of its address."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from data.errors import UsageError

_FORMS = "Legal: HOST:PORT, grpc://HOST:PORT, grpcs://HOST:PORT, unix:PATH, http://HOST:PORT, https://HOST:PORT"


@dataclass(frozen=True)
class Tls:
    """What a TLS connection trusts, and shows.

    Attributes:
      ca: file of the certificates (PEM) to trust; none for the system's.
      certificate, key: files of the client's own, for a server with `client_verify`.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a client's certificate and its key go together", hint="Give Tls both, or neither.")

    def context(self) -> ssl.SSLContext:
        """For the standard library's connections.

        Raises:
          UsageError: a file cannot be read, or holds no certificate or key.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            files = ", ".join(file for file in (self.ca, self.certificate, self.key) if file)
            raise UsageError(f"no TLS with {files}: {error.strerror or error}", hint="PEM files.") from error
        return context

    def roots(self) -> bytes | None:
        """The certificates to trust, PEM, for gRPC; None for those that come with it, where the system has none."""
        found = self.context().get_ca_certs(binary_form=True)
        return "".join(ssl.DER_cert_to_PEM_cert(one) for one in found).encode() or None


@dataclass(frozen=True)
class Address:
    """An address, taken apart.

    Attributes:
      text: as the user gave it.
      rest: HTTP and JSON, else gRPC.
      target: `host:port`, or `unix:path`.
      secure: over TLS.
      prefix: of the paths of REST, behind a proxy; no slash at its end.
    """

    text: str
    rest: bool
    target: str
    secure: bool
    prefix: str = ""


def parse(text: str, tls: bool) -> Address:
    """Takes an address apart.

    Args:
      text: in one of the forms of `Address`.
      tls: wanted for an address that does not tell.

    Raises:
      UsageError: another form, or one at odds with `tls`.
    """
    if text.startswith("unix:"):
        if tls:
            raise UsageError(f"no TLS over a socket's file: {text}", hint="Leave tls out.")
        return Address(text, rest=False, target=text, secure=False)
    scheme, mark, rest = text.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        legal = bool(parts.hostname) and parts.port is not None
        parts.netloc.encode("idna")  # as the system looks it up
    except ValueError:  # a port that is no number, or too large; brackets that do not close; no name
        legal = False
    if not legal or scheme not in (("grpc", "grpcs", "http", "https") if mark else ("",)):
        raise UsageError(f"'{text}' is no server's address", hint=_FORMS)
    if tls and scheme in ("grpc", "http"):
        raise UsageError(f"{text} is not a TLS address", hint=f"With tls: {scheme}s://{rest}")
    prefix = parts.path.rstrip("/")
    if prefix and not scheme.startswith("http"):
        raise UsageError(f"'{text}' is no server's address", hint=_FORMS)
    return Address(text, scheme.startswith("http"), parts.netloc, tls or scheme.endswith("s"), prefix)
