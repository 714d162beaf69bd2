"""How the API server is reached: a pod's service account, or a kubeconfig."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from podcorder_agent.cluster.errors import CredentialsMissing, DigestKeyMissing

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the API server is, and who we are to it."""

    url: str
    authority: Path | None = None
    """Certificates that the API server's own is checked against; None: the system's."""
    token_file: Path | None = None
    """Read anew for each request: the kubelet replaces a pod's token before it expires."""
    fixed_token: str = ""

    def token(self) -> str:
        """The bearer token of this moment, empty where there is none."""
        if self.token_file is None:
            return self.fixed_token
        try:
            return self.token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""  # the API server then says what is missing

    def tls(self) -> ssl.SSLContext:
        """Raises CredentialsMissing."""
        try:
            return ssl.create_default_context(cafile=self.authority and str(self.authority))
        except (OSError, ssl.SSLError) as error:
            raise CredentialsMissing(
                f"{self.authority} holds no certificates ({error}): mount the cluster's CA there."
            ) from None


def read_credentials(environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Credentials:
    """From KUBECONFIG where it is set, else of the pod's service account. Raises CredentialsMissing."""
    if kubeconfig := environment.get("KUBECONFIG"):
        return _read_kubeconfig(Path(kubeconfig))
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (account / "token").exists():
        raise CredentialsMissing(
            f"There is no cluster here: run in a pod with a service account's token in {account}, or set KUBECONFIG."
        )
    address = f"[{host}]" if ":" in host else host
    return Credentials(f"https://{address}:{port}", account / "ca.crt", account / "token")


def read_digest_key(path: Path) -> bytes:
    """The key of the digests of commands, which the operator has too. Raises DigestKeyMissing."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise DigestKeyMissing(
            f"{path} cannot be read ({error.strerror}): mount the Secret podcorder-digest there."
        ) from None
    if not key:
        raise DigestKeyMissing(f"{path} is empty: mount the Secret podcorder-digest there.")
    return key


def _read_kubeconfig(path: Path) -> Credentials:
    """Of the current context: server, certificate-authority, and token or tokenFile."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"])["user"]
        authority, token_file = cluster.get("certificate-authority"), user.get("tokenFile")
        return Credentials(
            cluster["server"].rstrip("/"),
            path.parent / authority if authority else None,
            path.parent / token_file if token_file else None,
            user.get("token", ""),
        )
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise CredentialsMissing(
            f"{path} is no kubeconfig that can be used here ({error}): name one whose current context has a server and "
            "a token."
        ) from None


def _named(document: Any, collection: str, name: str) -> Any:
    return next(each for each in document[collection] if each["name"] == name)
