"""Google's credentials, and Google's errors as one line each."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

from data.errors import ServingError
from pipeline.runners.remote.backend import FILE_REFUSED, Unreachable, error_of_status, shorten_to_line

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOGIN = "Log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."
_HINTS = {
    400: FILE_REFUSED,
    401: _LOGIN,
    403: "Runs need roles/aiplatform.user in the project, roles/iam.serviceAccountUser on the service account, and the"
    " API aiplatform.googleapis.com enabled.",
    404: "Look at --project and --region, or at the address of the run.",
    409: "Give another --name.",
    429: "The project's quota is used up; ask for more in the console, or wait.",
}


def credentials() -> tuple[Any, str]:
    """The user's or the machine's credentials, seen to be valid, and the project that they name; it may be empty.

    Raises:
      ServingError: there are none, or they have expired or were revoked.
    """
    import google.auth
    import google.auth.transport.requests

    # A thread of google-auth asks for access boundaries in the background, and complains at any time where it cannot.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    with translate_errors("Google's token service"):
        found, project = google.auth.default(scopes=[_SCOPE])
        found.refresh(google.auth.transport.requests.Request())
    return found, project or ""


@contextlib.contextmanager
def translate_errors(service: str) -> Iterator[None]:
    """Turns what Google's libraries raise into one line that names the service.

    Raises:
      Unreachable: no answer, or an error of the service itself (5xx).
      ServingError: no credentials, expired ones, or a request that is refused.
    """
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except auth.DefaultCredentialsError as error:
        raise ServingError(f"no Google credentials: {shorten_to_line(str(error.args[0]))}", hint=_LOGIN) from None
    except auth.TransportError as error:
        raise Unreachable(f"cannot reach {service}: {_cause(error)}") from None
    except auth.GoogleAuthError as error:
        words = shorten_to_line(str(error.args[0] if error.args else error))
        raise ServingError(f"the Google credentials have expired or were revoked: {words}", hint=_LOGIN) from None
    except requests.RequestException as error:
        raise Unreachable(f"cannot reach {service}: {_cause(error)}") from None
    except api.RetryError as error:
        raise Unreachable(f"cannot reach {service}: {_cause(error)}") from None
    except api.GoogleAPICallError as error:
        raise _refusal(service, error) from None


def _refusal(service: str, error: Any) -> ServingError:
    code = int(error.code or 0)
    words = shorten_to_line(re.sub(r"^[A-Z]+ \S+: ", "", error.message)) or "no reason given"
    return error_of_status(service, code, words, "credentials", _HINTS)


def _cause(error: BaseException) -> str:
    """The innermost reason: libraries wrap "Connection refused" in three layers of their own."""
    text = str(error)
    for pattern in (r"\[Errno -?\d+\] [^'\")\]]+", r"timed out", r"CERTIFICATE_VERIFY_FAILED[^'\")]*"):
        found = re.search(pattern, text)
        if found:
            return found[0].strip()
    return shorten_to_line(text)
