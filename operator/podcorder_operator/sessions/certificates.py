"""The certificate of a server, read again when its files change: it is renewed while the server runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import NoReturn

from podcorder_operator.errors import SettingInvalid

logger = logging.getLogger(__name__)

_SECONDS = 10.0
"""Between two looks at the files."""


def read_certificate(certificate: Path, key: Path) -> Certificate:
    """Raises SettingInvalid."""
    try:
        return Certificate(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise SettingInvalid(
            f"{certificate} and {key} cannot be used ({error}): give a certificate and its key."
        ) from error


class Certificate:
    """Raises OSError where the files cannot be used at the start."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._texts = self._read()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(certificate, key)

    async def follow(self) -> NoReturn:
        """Until it is cancelled. New connections get the new certificate; where it cannot be used they get the old."""
        while True:
            await asyncio.sleep(_SECONDS)
            self.refresh()

    def refresh(self) -> None:
        """Takes the files as they are now. Never raises."""
        try:
            texts = self._read()
            if texts != self._texts:
                # Between two writes certificate and key may not belong together, which a context that takes the first
                # of them does not survive: then they are looked at again.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
                self.context.load_cert_chain(*self._files)
                self._texts = texts
                logger.info("The certificate of %s is served.", self._files[0])
        except OSError as error:  # ssl.SSLError is one
            logger.warning("%s cannot be used (%s): the certificate before it is served.", self._files[0], error)

    def _read(self) -> tuple[bytes, ...]:
        return tuple(file.read_bytes() for file in self._files)
