"""What can go wrong: for people, one sentence with the remedy and an exit code; of the API server, by kind."""

from __future__ import annotations

from http import HTTPStatus


class OperatorError(Exception):
    """Base of what ends the operator; `str()` is one sentence that names the remedy."""

    exit_code = 1


class SettingInvalid(OperatorError):
    exit_code = 2


class CredentialsMissing(OperatorError):
    exit_code = 3


class PortTaken(OperatorError):
    exit_code = 4


class UnloadFailed(OperatorError):
    exit_code = 5


class ApiError(Exception):
    """A request that failed. `str()` is what the API server said, or what happened on the way."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message or reason or f"HTTP {status}")
        self.status = status
        """HTTP status; 0: no answer came."""
        self.reason = reason
        """One word, as in a Status object: `AlreadyExists`, `Expired`, ..."""
        self.message = message
        self.retry_after = retry_after
        """Seconds that the API server asks to wait."""


class NotFound(ApiError):
    """404: the object, or its whole collection, is not there."""


class Conflict(ApiError):
    """409: somebody else was first."""


class Gone(ApiError):
    """410: the resource version or the continue token is too old; list anew."""


class TooManyRequests(ApiError):
    """429: wait for `retry_after` seconds."""


class Refused(ApiError):
    """Any other 4xx, such as 403 and 422: the same request will be refused until something else changes."""


class Unavailable(ApiError):
    """5xx, an answer that cannot be read, a connection lost, a time-out: try again later."""


_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Gone,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyRequests,
}


def make_api_error(status: int, reason: str, message: str, retry_after: float | None = None) -> ApiError:
    """The error of the class that an HTTP status belongs to."""
    kind = _BY_STATUS.get(status) or (Refused if 400 <= status < 500 else Unavailable)
    return kind(status, reason, message, retry_after)
