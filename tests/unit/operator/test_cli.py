"""The command line's errors: one sentence with the remedy, and an exit code of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from podcorder_operator.errors import SettingInvalid
from podcorder_operator.settings import Settings

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
users: [{name: me, user: {token: secret}}]
"""


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-c", "from podcorder_operator.cli import main; main()", *arguments]
    done = subprocess.run(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stderr


def test_certificate_without_key(tmp_path: Path) -> None:
    """A certificate without its key ends the operator before it begins, also where the environment gives it."""
    file = tmp_path / "tls.crt"
    file.touch()
    expected = (2, "Only one of --webhook-certificate and --webhook-key is given: give both, or neither.")
    for code, text in (run("--webhook-certificate", str(file)), run(PODCORDER_WEBHOOK_CERTIFICATE=str(file))):
        assert (code, text.strip()) == (expected[0], f"podcorder-operator: {expected[1]}")


def test_unreadable_certificate(tmp_path: Path) -> None:
    """A certificate that cannot be read is named."""
    missing = tmp_path / "missing.pem"
    with pytest.raises(SettingInvalid, match=f"{missing} cannot be read"):
        Settings(webhook_certificate=missing, webhook_key=missing)


def test_no_cluster(tmp_path: Path) -> None:
    """Without a way to the API server the operator says what to set."""
    code, text = run(KUBECONFIG=str(tmp_path / "none"))
    assert code == 3
    assert "set KUBECONFIG" in text


def test_port_taken(tmp_path: Path) -> None:
    """A probe port that another has is named, with the option."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        code, text = run("--probe-port", str(taken.getsockname()[1]), KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert code == 4
    assert "--probe-port" in text
