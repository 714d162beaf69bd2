"""What can be set, each with its meaning and default. The command line and the environment give the values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from podcorder_operator.errors import SettingInvalid


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
    log_level: str = "info"
    """debug, info, warning or error."""

    def __post_init__(self) -> None:
        if (self.webhook_certificate is None) != (self.webhook_key is None):
            raise SettingInvalid("Only one of --webhook-certificate and --webhook-key is given: give both, or neither.")
        for file in (self.webhook_certificate, self.webhook_key):
            if file is not None:
                _check_readable(file)


def _check_readable(file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise SettingInvalid(f"{file} cannot be read ({error.strerror}): give a PEM file.") from error
