"""Google's credentials, and Google's errors translated into one line each."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

from data.errors import ServingError
from pipeline.runners.remote.backend import FILE_REJECTED, connection_error, error_of_status, shorten_to_line

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOGIN = "Log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."
_HINTS = {
    400: FILE_REJECTED,
    401: _LOGIN,
    403: "Runs need roles/aiplatform.user in the project, roles/iam.serviceAccountUser on the service account, and the"
    " API aiplatform.googleapis.com enabled.",
    404: "Check --project and --region, or the address of the run.",
    409: "Give another --name.",
    429: "The project's quota is exhausted: request more in the console, or wait.",
}


def credentials() -> tuple[Any, str]:
    """Return valid credentials of the user or the machine, and their project, which may be empty.

    Raises:
      ServingError: If there are none, or they have expired or were revoked.
    """
    import google.auth
    import google.auth.transport.requests

    # A background thread of google-auth requests access boundaries, and logs a warning whenever that fails.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    with translate_errors("Google's token service"):
        found, project = google.auth.default(scopes=[_SCOPE])
        found.refresh(google.auth.transport.requests.Request())
    return found, project or ""


@contextlib.contextmanager
def translate_errors(service: str) -> Iterator[None]:
    """Translate the exceptions of Google's libraries into one line that names the service.

    Raises:
      Unreachable: If the service does not answer, or has an internal error (5xx).
      ServingError: If there are no credentials, they have expired, or the service rejects the request.
    """
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except auth.DefaultCredentialsError as error:
        raise ServingError(f"no Google credentials: {shorten_to_line(str(error.args[0]))}", hint=_LOGIN) from None
    except auth.TransportError as error:
        raise connection_error(service, error) from None
    except auth.GoogleAuthError as error:
        reason = shorten_to_line(str(error.args[0] if error.args else error))
        raise ServingError(f"the Google credentials have expired or were revoked: {reason}", hint=_LOGIN) from None
    except (requests.RequestException, api.RetryError) as error:
        raise connection_error(service, error) from None
    except api.GoogleAPICallError as error:
        raise _rejection(service, error) from None


def _rejection(service: str, error: Any) -> ServingError:
    code = int(error.code or 0)
    reason = shorten_to_line(re.sub(r"^[A-Z]+ \S+: ", "", error.message)) or "no reason given"
    return error_of_status(service, code, reason, "credentials", _HINTS)
