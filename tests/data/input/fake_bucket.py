"""Cloud Storage's download of objects, as TensorFlow's own file system asks for them.

TensorFlow only speaks to Google's addresses: this is a proxy on this machine with a certificate for them.
"""

from __future__ import annotations

import datetime
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

HOSTS = ("storage.googleapis.com", "www.googleapis.com")
PATIENCE = 10.0
_METADATA = "/storage/v1/b/"


class FakeBucket:
    """A bucket whose objects are the files of a folder; to be used in a `with` block.

    Attributes:
      together: downloads are answered once so many ran at the same time, or after `PATIENCE` seconds.
      most: largest number of downloads at the same time.
      environment: variables that lead TensorFlow here.
    """

    def __init__(self, objects: Path, scratch: Path, latency: float = 0.0) -> None:
        """Write the certificate.

        Args:
          objects: the folder.
          scratch: a folder for the certificate.
          latency: seconds before each answer.
        """
        self.objects = objects
        self.latency = latency
        self.most = self._now = self.together = 0
        self._changed = threading.Condition()
        _write_certificate(scratch)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(scratch / "certificate.pem", scratch / "key.pem")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Proxy", (_Proxy,), {"bucket": self}))
        proxy = f"http://127.0.0.1:{self._server.server_port}"
        self.environment = {
            **{"https_proxy": proxy, "HTTPS_PROXY": proxy, "no_proxy": "", "NO_PROXY": ""},
            **{"CURL_CA_BUNDLE": str(scratch / "certificate.pem"), "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token"},
        }

    def __enter__(self) -> FakeBucket:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def download(self, name: str, first: int, last: int) -> bytes:
        """Return bytes of an object, once enough downloads ran at the same time."""
        with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.together, PATIENCE)
            self._now -= 1
        with open(self.objects / name, "rb") as file:
            file.seek(first)
            return file.read(last - first + 1)


class _Objects(BaseHTTPRequestHandler):
    """Answers inside of the encrypted connection."""

    protocol_version = "HTTP/1.1"
    bucket: FakeBucket

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802
        time.sleep(self.bucket.latency)
        path = unquote(urlsplit(self.path).path)
        name = path.partition("/o/")[2] if path.startswith(_METADATA) else path.split("/", 2)[2]
        if not (self.bucket.objects / name).is_file():
            return self._answer(404, b"{}")
        size = (self.bucket.objects / name).stat().st_size
        if path.startswith(_METADATA):
            found = {"size": str(size), "generation": "1", "updated": "2026-01-02T03:04:05.678Z"}
            return self._answer(200, json.dumps(found).encode())
        first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
        return self._answer(206, self.bucket.download(name, first, last))

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Proxy(BaseHTTPRequestHandler):
    """Takes the place of the host that a client wants to connect to."""

    bucket: FakeBucket

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_CONNECT(self) -> None:  # noqa: N802
        self.send_response(200)
        self.end_headers()
        with self.bucket.context.wrap_socket(self.connection, server_side=True) as encrypted:
            type("Objects", (_Objects,), {"bucket": self.bucket})(encrypted, self.client_address, self.server)
        self.close_connection = True


def _write_certificate(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTS[0])])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
