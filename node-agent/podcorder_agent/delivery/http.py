"""OTLP/HTTP with binary protobuf over one connection that is kept open."""

from __future__ import annotations

import gzip
import logging
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlunsplit

from podcorder_agent import __version__
from podcorder_agent.delivery.errors import CertificatesUnusable
from podcorder_agent.delivery.protobuf import MalformedMessage, Protobuf, read_partial_success, read_status
from podcorder_agent.delivery.retries import parse_retry_after
from podcorder_agent.delivery.settings import Settings
from podcorder_agent.delivery.tls import TlsFiles
from podcorder_agent.delivery.transports import Reply, SendFailed, Verdict

logger = logging.getLogger(__name__)

MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read."""
_RETRYABLE = frozenset({429, 502, 503, 504})
"""The specification's list (protocol/otlp, failures)."""
_REFUSED = frozenset({400, 413})


class HttpTransport:
    """Sends requests to the settings' URL."""

    def __init__(self, settings: Settings) -> None:
        """Raises CertificatesUnusable."""
        self.codec = Protobuf()
        self._url = settings.url
        self._target = urlunsplit(("", "", settings.url.path, settings.url.query, "")) or "/"
        self._timeout = settings.timeout
        self._gzip = settings.compression == "gzip"
        self._headers = {"User-Agent": f"podcorder/{__version__}", **settings.headers}
        self._headers["Content-Type"] = self.codec.content_type
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"
        self._connection: HTTPConnection | None = None
        self._tls = TlsFiles(settings) if settings.url.scheme == "https" else None
        self._context = self._tls.make_context() if self._tls is not None else None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, request: bytes) -> Reply:
        """Send one request. Raises SendFailed."""
        body = gzip.compress(request, 6, mtime=0) if self._gzip else request
        self._reload()
        while True:
            reused = self._connection is not None
            try:
                if self._connection is None:
                    self._connection = self._connect()
                return self._exchange(self._connection, body)
            except (OSError, HTTPException) as error:
                self.close()
                # A server may close a connection that was idle: that says nothing about the request.
                if not reused or not isinstance(error, ConnectionError | HTTPException | ssl.SSLEOFError):
                    verdict = Verdict.KEEP if _is_distrust(error) else Verdict.RETRY
                    raise SendFailed(verdict, f"{self._url.netloc}: {_describe(error)}") from error

    def _connect(self) -> HTTPConnection:
        host = self._url.hostname or ""
        if self._context is not None:
            return HTTPSConnection(host, self._url.port, timeout=self._timeout, context=self._context)
        return HTTPConnection(host, self._url.port, timeout=self._timeout)

    def _reload(self) -> None:
        """Take up TLS files that were exchanged; while they do not fit together the old ones serve on."""
        if self._tls is None or not self._tls.changed():
            return
        try:
            self._context = self._tls.make_context()
        except CertificatesUnusable as error:
            logger.warning("%s Going on with the ones read before.", error)
            return
        self.close()

    def _exchange(self, connection: HTTPConnection, body: bytes) -> Reply:
        """Raises OSError, HTTPException, or SendFailed for an answer that is none of success."""
        connection.request("POST", self._target, body, self._headers)
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER)
        if response.length:
            self.close()
            if len(answer) < MAX_ANSWER:
                raise HTTPException("the answer was cut short")
        if response.will_close:
            self.close()
        return _judge(response, answer)


def _judge(response: HTTPResponse, answer: bytes) -> Reply:
    kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if 200 <= response.status < 300:
        if kind == "text/html":
            raise SendFailed(Verdict.KEEP, f"{response.status} with a web page: that is no OTLP receiver's URL")
        return _read_reply(answer) if kind == Protobuf.content_type else Reply()
    message, after = "", parse_retry_after(response.getheader("Retry-After"))
    try:
        message = read_status(answer)[0] if kind == Protobuf.content_type else answer[:200].decode(errors="replace")
    except MalformedMessage:
        pass
    reason = f"{response.status} {response.reason}" + (f": {message!r}" if message else "")
    if response.status in _REFUSED:
        raise SendFailed(Verdict.SPLIT, reason)
    raise SendFailed(Verdict.RETRY if response.status in _RETRYABLE else Verdict.KEEP, reason, after)


def _read_reply(answer: bytes) -> Reply:
    try:
        return Reply(*read_partial_success(answer))
    except MalformedMessage:
        # It said success: sending the same again would help nobody.
        return Reply()


def _is_distrust(error: Exception) -> bool:
    """Whether one side refuses the other's certificate, which waiting does not mend."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _describe(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
