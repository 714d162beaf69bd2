"""The certificates of one cluster, made anew at its start with openssl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.sandboxes import run

# Without a configuration of ours openssl takes the machine's, whose extensions make every certificate an authority.
CONFIGURATION = "[req]\ndistinguished_name = name\n[name]\n"
EC_KEY = ("-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority whose certificates last two days."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._configuration = directory / "openssl.cnf"
        self._configuration.write_text(CONFIGURATION)
        uses = ("basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign, cRLSign")
        self._pair = self._make("ca", "/CN=test cluster", uses)
        self.certificate = self._pair.certificate

    def issue(self, name: str, subject: str, *, addresses: Sequence[str] = (), names: Sequence[str] = ()) -> Pair:
        """A certificate of `<name>.crt` and `<name>.key`, with these as the addresses and names of a server."""
        extensions = ["keyUsage = critical, digitalSignature", "extendedKeyUsage = serverAuth, clientAuth"]
        alternatives = [f"IP:{each}" for each in addresses] + [f"DNS:{each}" for each in names]
        if alternatives:
            extensions.append(f"subjectAltName = {', '.join(alternatives)}")
        issuer = ("-CA", str(self.certificate), "-CAkey", str(self._pair.key))
        return self._make(name, subject, ["basicConstraints = critical, CA:FALSE", *extensions], issuer)

    def _make(self, name: str, subject: str, extensions: Sequence[str], issuer: Sequence[str] = ()) -> Pair:
        made = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        added = [word for each in extensions for word in ("-addext", each)]
        run(
            *("openssl", "req", "-x509", "-config", self._configuration, "-days", "2", "-subj", subject),
            *("-newkey", "ec", *EC_KEY, "-nodes", "-keyout", made.key, "-out", made.certificate),
            *(*added, *issuer),
        )
        return made
