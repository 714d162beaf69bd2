"""What can be set, each with its meaning and default. The command line and the environment give the values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from podcorder_operator.errors import SettingInvalid

DIGEST_KEY_BYTES = 32


@dataclass(frozen=True)
class Settings:
    """Raises SettingInvalid where the values contradict each other or name files that cannot be read."""

    namespace: str = "podcorder"
    """Where the operator's Lease is."""
    lease_name: str = "podcorder-operator"
    """The Lease that the replicas elect their leader with."""
    probe_port: int = 8080
    """For /healthz, /readyz and /metrics; 0 takes any free port."""
    webhook_port: int = 9443
    """For the API server's admission reviews; open only with a certificate."""
    webhook_certificate: Path | None = None
    """PEM file with the certificate of the admission webhook; read again when it changes. None: no webhook."""
    webhook_key: Path | None = None
    """PEM file with the key of the certificate."""
    sessions_port: int = 9444
    """For the API server's reviews of requests that begin sessions; open only with a digest key."""
    digest_key: Path | None = None
    """File with the key of the commands' digests, 32 bytes. None: sessions are not announced."""
    sessions_token: Path | None = None
    """File with the last word of the path that the API server asks at, which others do not know."""
    log_level: str = "info"
    """debug, info, warning or error."""
    retention_days: int = 30
    """How long records of sessions are kept after the sessions' end."""
    retention_count: int = 10_000
    """How many records of ended sessions are kept, in the whole cluster."""

    def __post_init__(self) -> None:
        if (self.webhook_certificate is None) != (self.webhook_key is None):
            raise SettingInvalid("Only one of --webhook-certificate and --webhook-key is given: give both, or neither.")
        for file in (self.webhook_certificate, self.webhook_key):
            if file is not None:
                _check_readable(file)
        if (self.digest_key is None) != (self.sessions_token is None):
            raise SettingInvalid("Only one of --digest-key and --sessions-token is given: give both, or neither.")
        if self.digest_key is not None and self.webhook_certificate is None:
            raise SettingInvalid(
                "--digest-key is given without --webhook-certificate: sessions are asked about by TLS."
            )

    def read_digest_key(self) -> bytes:
        """Raises SettingInvalid."""
        assert self.digest_key is not None
        key = _read(self.digest_key)
        if len(key) != DIGEST_KEY_BYTES:
            raise SettingInvalid(f"{self.digest_key} has {len(key)} bytes: give a key of {DIGEST_KEY_BYTES}.")
        return key

    def read_sessions_token(self) -> str:
        """Raises SettingInvalid."""
        assert self.sessions_token is not None
        token = _read(self.sessions_token).decode(errors="replace").strip()
        if not re.fullmatch(r"[a-z0-9]{32,}", token):
            raise SettingInvalid(
                f"{self.sessions_token} holds no token: give 32 or more lower-case letters and digits."
            )
        return token


def _check_readable(file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise SettingInvalid(f"{file} cannot be read ({error.strerror}): give a PEM file.") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingInvalid(f"{file} cannot be read ({error.strerror}): give another file.") from error
