"""OTLP/gRPC: the same bytes as over HTTP, handed to grpcio as they are. Loaded only where gRPC was chosen."""

from __future__ import annotations

import logging
from typing import Any

import grpc

from podcorder_agent import __version__
from podcorder_agent.delivery.errors import CertificatesUnusable
from podcorder_agent.delivery.protobuf import MalformedMessage, Protobuf, read_partial_success, read_status
from podcorder_agent.delivery.settings import Settings
from podcorder_agent.delivery.tls import TlsFiles
from podcorder_agent.delivery.transports import Reply, SendFailed, Verdict

logger = logging.getLogger(__name__)

METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""The specification's list (protocol/otlp, failures); RESOURCE_EXHAUSTED joins it where the server says when."""


class GrpcTransport:
    """Sends requests to the settings' host and port."""

    def __init__(self, settings: Settings) -> None:
        """Raises CertificatesUnusable."""
        self.codec = Protobuf()
        self._target = settings.url.netloc
        self._timeout = settings.timeout
        self._metadata = [(name.lower(), value) for name, value in settings.headers.items()]
        self._compression = grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
        self._tls = TlsFiles(settings) if settings.url.scheme == "https" else None
        self._channel: Any = None
        self._export: Any = None
        self._connect()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def send(self, request: bytes) -> Reply:
        """Send one request. Raises SendFailed."""
        self._reload()
        try:
            answer: bytes = self._export(
                request, timeout=self._timeout, metadata=self._metadata, compression=self._compression
            )
        except grpc.RpcError as error:
            raise _judge(error) from error
        try:
            return Reply(*read_partial_success(answer))
        except MalformedMessage:
            # It said success: sending the same again would help nobody.
            return Reply()

    def _connect(self) -> None:
        options = [("grpc.primary_user_agent", f"podcorder/{__version__}")]
        if self._tls is None:
            self._channel = grpc.insecure_channel(self._target, options)
        else:
            credentials = grpc.ssl_channel_credentials(*self._tls.read())
            self._channel = grpc.secure_channel(self._target, credentials, options)
        # No serializers: bytes go out and come in.
        self._export = self._channel.unary_unary(METHOD)

    def _reload(self) -> None:
        """Take up TLS files that were exchanged; while they cannot be read the old ones serve on."""
        if self._tls is None or not self._tls.changed():
            return
        old = self._channel
        try:
            self._connect()
        except CertificatesUnusable as error:
            logger.warning("%s Going on with the ones read before.", error)
            return
        old.close()


def _judge(error: Any) -> SendFailed:
    """What an RpcError, which is also the call, says."""
    code = error.code()
    message, after = "", None
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            try:
                message, after = read_status(value)
            except MalformedMessage:
                pass
    reason = f"{code.name}: {(error.details() or message)[:200]!r}"
    if code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and after is not None):
        return SendFailed(Verdict.RETRY, reason, after)
    too_large = code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or "")
    if code is grpc.StatusCode.INVALID_ARGUMENT or too_large:
        return SendFailed(Verdict.SPLIT, reason)
    return SendFailed(Verdict.KEEP, reason, after)
