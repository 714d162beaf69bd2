"""TLS files that may be exchanged while we run: certificates are short-lived where they matter."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from podcorder_agent.delivery.errors import CertificatesUnusable
from podcorder_agent.delivery.settings import Settings

Stamp = tuple[tuple[int, int, int] | None, ...]


class TlsFiles:
    """The authorities, certificate and key of the settings; `changed()` says when they are others than last read."""

    def __init__(self, settings: Settings) -> None:
        self._certificate = settings.certificate
        self._client_certificate = settings.client_certificate
        self._client_key = settings.client_key
        self._stamp: Stamp = ()

    def changed(self) -> bool:
        """Whether a file is another one than at the last reading; also before the first."""
        return self._stamp != self._look()

    def _look(self) -> Stamp:
        return tuple(_stamp(path) for path in (self._certificate, self._client_certificate, self._client_key))

    def make_context(self) -> ssl.SSLContext:
        """A context of the files as they are now. Raises CertificatesUnusable."""
        self._stamp = self._look()
        try:
            context = ssl.create_default_context(cafile=self._certificate)
            if self._client_certificate is not None:
                context.load_cert_chain(self._client_certificate, self._client_key)
        except (OSError, ValueError) as error:
            raise self._explain(error) from error
        return context

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Authorities, key and certificate as PEM, in the order gRPC wants them. Raises CertificatesUnusable."""
        self._stamp = self._look()
        try:
            return _read(self._certificate), _read(self._client_key), _read(self._client_certificate)
        except OSError as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> CertificatesUnusable:
        names = ", ".join(str(each) for each in (self._certificate, self._client_certificate, self._client_key) if each)
        return CertificatesUnusable(
            f"The TLS files {names} cannot be used ({error}): set OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE "
            "and _CLIENT_KEY to readable PEM files that belong together."
        )


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
