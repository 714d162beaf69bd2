"""Where records go, as the settings say: a file, or a collector over HTTP or gRPC."""

from __future__ import annotations

from podcorder_agent.delivery.errors import GrpcMissing
from podcorder_agent.delivery.settings import GRPC, Settings
from podcorder_agent.delivery.transports import Transport


def open_transport(settings: Settings) -> Transport:
    """The transport of the settings; each module is loaded only where it is used. Raises a DeliveryError."""
    if settings.file is not None:
        from podcorder_agent.delivery.file import FileTransport

        return FileTransport(settings.file)
    if settings.protocol == GRPC:
        try:
            from podcorder_agent.delivery.grpc import GrpcTransport
        except ImportError as error:
            raise GrpcMissing(
                "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and grpcio is not installed: install podcorder[grpc] or set it "
                "to http/protobuf."
            ) from error
        return GrpcTransport(settings)
    from podcorder_agent.delivery.http import HttpTransport

    return HttpTransport(settings)
