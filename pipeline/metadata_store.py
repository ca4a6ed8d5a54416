"""The connection to ML Metadata: a SQLite file on this machine, or a MySQL database that machines share."""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import unquote, urlsplit

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from data.errors import UsageError, describe_error
from pipeline.paths import Paths, check_path

PASSWORD, PASSWORD_FILE = "SKEWLESS_MYSQL_PASSWORD", "SKEWLESS_MYSQL_PASSWORD_FILE"
_URL = "mysql://USER@HOST:3306/DATABASE"
_WAIT_S = 5.0


def connection_config(paths: Paths, given: str | None) -> pb.ConnectionConfig:
    """Return the configuration with which TFX and ML Metadata connect.

    Args:
      paths: The task's folders; its own file is the default.
      given: `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`, or a SQLite file. If the URL has no password, it comes
        from the environment: SKEWLESS_MYSQL_PASSWORD, or the file that SKEWLESS_MYSQL_PASSWORD_FILE names.

    Raises:
      UsageError: If the URL has another form, or the password's file cannot be read.
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


def _mysql(url: str) -> pb.MySQLDatabaseConfig:
    hint = f"Give {_URL} for MySQL, with the password in ${PASSWORD}, or a file for SQLite."
    try:
        found = urlsplit(url)
        port = found.port or 3306
    except ValueError:  # the port is not a number
        found, port = urlsplit(""), 0
    host, user, password, database = found.hostname, found.username, found.password, found.path.strip("/")
    # The name of the database is used in SQL without quotes.
    if found.scheme != "mysql" or not host or not user or not re.fullmatch(r"\w+", database) or found.query:
        raise UsageError(f"--metadata {_without_password(url)} is not the address of a database", hint=hint)
    return pb.MySQLDatabaseConfig(
        host="127.0.0.1" if host == "localhost" else host,  # for "localhost" MySQL's client ignores the port
        port=port,
        user=unquote(user),
        password=unquote(password) if password is not None else _password(),
        database=database,
        skip_db_creation=True,  # otherwise a misspelt name becomes a new, empty database
    )


def _password() -> str:
    file = os.environ.get(PASSWORD_FILE)
    if PASSWORD in os.environ or not file:
        return os.environ.get(PASSWORD, "")
    try:
        with open(file) as content:
            return content.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot read {file}, which ${PASSWORD_FILE} names: {describe_error(error)}"
        raise UsageError(problem, hint=f"Name the file of the password there, or set ${PASSWORD}.") from None


def _reason(error: Exception) -> str:
    """Return the reason in an error of the system or of ML Metadata, which adds its SQL; may be empty."""
    text = getattr(error, "strerror", None) or str(error).rpartition("error: ")[2].strip()
    return text.splitlines()[0].partition(" query: ")[0] if text else ""


def _without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)


def check_metadata_store(config: pb.ConnectionConfig) -> None:
    """Connect once, and create a SQLite file. ML Metadata itself gives no reason if MySQL rejects the connection.

    Raises:
      UsageError: If the file cannot be written, the server does not answer or rejects the user, or the database does
        not exist.
    """
    if config.HasField("sqlite"):
        _check_sqlite(config)
    else:
        _check_mysql(config)


def _check_sqlite(config: pb.ConnectionConfig) -> None:
    file = config.sqlite.filename_uri
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        metadata_store.MetadataStore(config)
    except Exception as error:  # an OSError, or one of several of ML Metadata's
        raise UsageError(
            f"cannot keep ML Metadata in {file}: {_reason(error)}", hint="Give another file with --metadata FILE."
        ) from None


def _check_mysql(config: pb.ConnectionConfig) -> None:
    server, place = config.mysql, f"{config.mysql.host}:{config.mysql.port}"
    try:
        with socket.create_connection((server.host, server.port), _WAIT_S):
            pass
    except OSError as error:
        raise UsageError(
            f"no MySQL server at {place}: {error.strerror or error}",
            hint="Check that it runs, and that this machine can reach it.",
        ) from None
    try:
        metadata_store.MetadataStore(config)
    except Exception as error:  # ML Metadata's errors differ in their text only
        reason = _reason(error)
        if not reason:
            raise UsageError(
                f"MySQL at {place} rejects the user {server.user}",
                hint=f"Check the password in ${PASSWORD}. The user must be IDENTIFIED WITH mysql_native_password,"
                " the only method that ML Metadata supports.",
            ) from None
        raise UsageError(
            f"MySQL at {place}, database {server.database}: {reason}",
            hint=f"CREATE DATABASE {server.database}; GRANT ALL ON {server.database}.* TO '{server.user}'@'%';",
        ) from None
