"""What can go wrong with the cluster: for people, one sentence with the remedy; of the API server, by kind."""

from __future__ import annotations

from http import HTTPStatus

from podcorder_agent.errors import PodcorderError


class CredentialsMissing(PodcorderError):
    """There is neither a service account's token nor a kubeconfig that can be used."""

    exit_code = 50


class DigestKeyMissing(PodcorderError):
    """The key by which the commands of sessions are recognised cannot be read."""

    exit_code = 53


class ApiError(Exception):
    """A request that failed. `str()` is what the API server said, or what happened on the way."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message or f"HTTP {status}")
        self.status = status
        """HTTP status; 0: no answer came."""
        self.retry_after = retry_after
        """Seconds that the API server asks to wait."""


class NotFound(ApiError):
    """404: the object, or its whole collection, is not there."""


class Conflict(ApiError):
    """409: somebody else was first."""


class Gone(ApiError):
    """410: the resource version is too old; list anew."""


class Refused(ApiError):
    """Any other 4xx, such as 403 and 422: the same request will be refused until something else changes."""


class Unavailable(ApiError):
    """429, 5xx, an answer that cannot be read, a connection lost, a time-out: try again later."""


_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Gone,
    HTTPStatus.TOO_MANY_REQUESTS: Unavailable,
}


def make_api_error(status: int, message: str, retry_after: float | None = None) -> ApiError:
    """The error of the class that an HTTP status belongs to."""
    kind = _BY_STATUS.get(status) or (Refused if 400 <= status < 500 else Unavailable)
    return kind(status, message, retry_after)
