"""Where ML Metadata lies: in a file of sqlite on this machine, or in a MySQL database that machines share."""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import unquote, urlsplit

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from data.errors import UsageError
from pipeline.paths import Paths, check_path

PASSWORD, PASSWORD_FILE = "SKEWLESS_MYSQL_PASSWORD", "SKEWLESS_MYSQL_PASSWORD_FILE"
_URL = "mysql://USER@HOST:3306/DATABASE"
_WAIT_S = 5.0


def connection_config(paths: Paths, given: str | None) -> pb.ConnectionConfig:
    """The configuration that TFX and ML Metadata connect with.

    Args:
      paths: of the task; its own file is the default.
      given: `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`, or a file of sqlite. A password that the URL lacks comes
        from the environment: SKEWLESS_MYSQL_PASSWORD, or the file that SKEWLESS_MYSQL_PASSWORD_FILE names.

    Raises:
      UsageError: the URL is of another form, or the file of the password cannot be read.
    """
    config = pb.ConnectionConfig()
    if given is not None:
        check_path("--metadata", given)
    if given and "://" in given:
        config.mysql.CopyFrom(_mysql(given))
        return config
    config.sqlite.filename_uri = os.path.abspath(os.path.expanduser(given or paths.metadata))
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return config


def _words(error: Exception) -> str:
    words = getattr(error, "strerror", None) or str(error).rpartition("error: ")[2].strip()
    return words.splitlines()[0].partition(" query: ")[0] if words else ""


def _mysql(url: str) -> pb.MySQLDatabaseConfig:
    hint = f"MySQL is named by {_URL}, the password in ${PASSWORD}; sqlite by its file."
    try:
        found = urlsplit(url)
        port = found.port or 3306
    except ValueError:  # a port that is no number
        found, port = urlsplit(""), 0
    host, user, password, database = found.hostname, found.username, found.password, found.path.strip("/")
    # The database's name goes into SQL as it is.
    if found.scheme != "mysql" or not host or not user or not re.fullmatch(r"\w+", database) or found.query:
        raise UsageError(f"--metadata {_without_password(url)} is no address of a database", hint=hint)
    return pb.MySQLDatabaseConfig(
        host="127.0.0.1" if host == "localhost" else host,  # which MySQL's client takes for a socket, whatever the port
        port=port,
        user=unquote(user),
        password=unquote(password) if password is not None else _password(),
        database=database,
        skip_db_creation=True,  # a misspelt name would else be a new, empty one
    )


def _password() -> str:
    file = os.environ.get(PASSWORD_FILE)
    if PASSWORD in os.environ or not file:
        return os.environ.get(PASSWORD, "")
    try:
        with open(file) as content:
            return content.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {file}, which ${PASSWORD_FILE} names: {told}") from None


def _without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)


def check_metadata_store(config: pb.ConnectionConfig) -> None:
    """Connects once, and makes what sqlite needs; ML Metadata itself tells no reason why MySQL would not have it.

    Raises:
      UsageError: the server is not there, refuses the user, or has no such database.
    """
    if config.HasField("sqlite"):
        file = config.sqlite.filename_uri
        try:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            metadata_store.MetadataStore(config)
        except Exception as error:  # an OSError, or whatever ML Metadata raises: a folder, another file, no right
            raise UsageError(
                f"cannot keep ML Metadata in {file}: {_words(error)}", hint="Name another file with --metadata FILE."
            ) from None
        return
    at, place = config.mysql, f"{config.mysql.host}:{config.mysql.port}"
    try:
        with socket.create_connection((at.host, at.port), _WAIT_S):
            pass
    except OSError as error:
        raise UsageError(
            f"no MySQL server at {place}: {error.strerror or error}", hint="Is it running, and reachable from here?"
        ) from None
    try:
        metadata_store.MetadataStore(config)
    except Exception as error:  # whatever ML Metadata raises has no more than these words
        words = _words(error)
        if not words:
            raise UsageError(
                f"MySQL at {place} refuses the user {at.user}",
                hint=f"Is the password in ${PASSWORD} right? The user must be IDENTIFIED WITH mysql_native_password,"
                " the only way that ML Metadata knows.",
            ) from None
        raise UsageError(
            f"MySQL at {place}, database {at.database}: {words}",
            hint=f"CREATE DATABASE {at.database}; GRANT ALL ON {at.database}.* TO '{at.user}'@'%';",
        ) from None
