"""TLS with certificates that are exchanged while delivery runs."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from fixtures.receivers import Receiver

from podcorder_agent.delivery.errors import CertificatesUnusable
from podcorder_agent.delivery.http import HttpTransport
from podcorder_agent.delivery.settings import read_settings
from podcorder_agent.delivery.transports import SendFailed, Verdict


def make_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def make_server(certificate: Path, key: Path, clients: Path | None = None) -> Receiver:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return Receiver(context)


def make_transport(receiver: Receiver, **variables: Path) -> HttpTransport:
    environment = {f"OTEL_EXPORTER_OTLP_{name}": str(path) for name, path in variables.items()}
    return HttpTransport(read_settings(environment, receiver.url))


def test_an_exchanged_authority_is_taken_up(tmp_path: Path) -> None:
    """A server that is not trusted is a matter for a person; when the file is mended delivery goes on by itself."""
    mine, other = make_certificate(tmp_path, "mine"), make_certificate(tmp_path, "other")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(other[0].read_bytes())
    with make_server(*mine) as receiver:
        transport = make_transport(receiver, CERTIFICATE=trusted)
        with pytest.raises(SendFailed) as failed:
            transport.send(b"")
        assert failed.value.verdict is Verdict.KEEP
        new = tmp_path / "new.pem"
        new.write_bytes(mine[0].read_bytes())
        new.rename(trusted)
        transport.send(b"")
        transport.close()
        assert len(receiver.seen) == 1


def test_a_client_certificate_is_shown_and_exchanged(tmp_path: Path) -> None:
    """With mTLS the client's certificate is used; half-exchanged files leave the old ones in use."""
    server, client = make_certificate(tmp_path, "server"), make_certificate(tmp_path, "client")
    with make_server(*server, clients=client[0]) as receiver:
        with pytest.raises(SendFailed):
            make_transport(receiver, CERTIFICATE=server[0]).send(b"")
        transport = make_transport(receiver, CERTIFICATE=server[0], CLIENT_CERTIFICATE=client[0], CLIENT_KEY=client[1])
        transport.send(b"")
        client[1].write_text("half a key")
        transport.close()
        transport.send(b"")
        transport.close()
        assert len(receiver.seen) == 2


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path: Path, content: str | None) -> None:
    """A missing or damaged file gives one sentence with its name, and exit code 42."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CertificatesUnusable) as refused:
        HttpTransport(read_settings({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(path)}, "https://localhost:1"))
    assert str(path) in str(refused.value)
    assert refused.value.exit_code == 42
