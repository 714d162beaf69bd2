"""How the API server is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.cluster.credentials import read_credentials, read_digest_key
from podcorder_agent.cluster.errors import CredentialsMissing, DigestKeyMissing

KUBECONFIG = """\
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://host:6443/", certificate-authority: ca.crt}}]
users: [{name: u, user: {token: secret}}]
"""


def test_a_pod_has_its_service_account(tmp_path: Path) -> None:
    """Address from the environment, certificate and token from the mounted files; IPv6 in brackets."""
    (tmp_path / "token").write_text("secret\n")
    found = read_credentials({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, tmp_path)
    assert found.url == "https://[fd00::1]:443"
    assert found.authority == tmp_path / "ca.crt"
    assert found.token() == "secret"
    (tmp_path / "token").unlink()
    assert found.token() == ""


def test_a_kubeconfig_wins(tmp_path: Path) -> None:
    """KUBECONFIG names server, certificate and token, files beside it by their names alone."""
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    found = read_credentials({"KUBECONFIG": str(path), "KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert (found.url, found.authority, found.token()) == ("https://host:6443", tmp_path / "ca.crt", "secret")


@pytest.mark.parametrize("text", ["", "[]", "current-context: none\ncontexts: []\n", "{", "current-context: 1"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    """The sentence names the file."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CredentialsMissing) as refused:
        read_credentials({"KUBECONFIG": str(path)})
    assert str(path) in str(refused.value)


def test_outside_of_a_cluster_there_are_none(tmp_path: Path) -> None:
    """The sentence names both ways."""
    with pytest.raises(CredentialsMissing) as refused:
        read_credentials({}, tmp_path)
    assert "KUBECONFIG" in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    """The sentence names the file."""
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(CredentialsMissing) as refused:
        read_credentials({"KUBECONFIG": str(path)}).tls()
    assert "ca.crt" in str(refused.value)


def test_the_digest_key_is_read_as_it_is(tmp_path: Path) -> None:
    """Bytes, no text; where there is none, the sentence names the file and the Secret."""
    file = tmp_path / "key"
    for content in (None, b""):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(DigestKeyMissing, match=f"{file}.*podcorder-digest"):
            read_digest_key(file)
    file.write_bytes(b"\xff\n")
    assert read_digest_key(file) == b"\xff\n"
