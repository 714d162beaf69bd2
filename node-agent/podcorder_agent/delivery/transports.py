"""What every way out has in common: a request goes out, and either it is answered or there is a verdict on why not."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, Protocol

from podcorder_agent.delivery.records import Codec


class Reply(NamedTuple):
    """The receiver took the request, but for `rejected` records (partial success), which are not to be sent again."""

    rejected: int = 0
    message: str = ""


class Verdict(Enum):
    """What a failure says about trying again."""

    RETRY = "try the same again: the receiver or the way to it is out for a while"
    KEEP = "try the same again, and tell a person: something is set wrongly"
    SPLIT = "do not try the same again: the request itself is refused"


class SendFailed(Exception):
    """A request was not taken; `after` is how many seconds the receiver asked to wait."""

    def __init__(self, verdict: Verdict, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.after = after


class Transport(Protocol):
    """`http.HttpTransport`, `grpc.GrpcTransport` or `file.FileTransport`."""

    @property
    def codec(self) -> Codec[Any]:
        """The form of the requests."""

    def send(self, request: bytes) -> Reply:
        """Send one ExportLogsServiceRequest. Raises SendFailed."""

    def close(self) -> None:
        """Let go of connections and files."""
