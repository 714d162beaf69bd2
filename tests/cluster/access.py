"""How tests reach an API server: kubeconfigs, kubectl, plain requests, tokens of service accounts, plain nodes."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PORT = 6443
JSON = "application/json"


class Refused(Exception):
    """The API server's answer was an error: its status code and its Status object."""

    def __init__(self, code: int, status: dict[str, Any]) -> None:
        super().__init__(f"{code} {status.get('reason')}: {status.get('message')}")
        self.code = code
        self.status = status


class Access:
    """One API server and the tokens of its users."""

    def __init__(self, directory: Path, url: str, authority: Path, tokens: Mapping[str, str], kubectl: Path) -> None:
        self.url = url
        self.authority = authority
        """The certificate that the API server's own is signed with."""
        self.tokens = dict(tokens)
        self._directory = directory
        self._kubectl = kubectl
        self._tls = ssl.create_default_context(cafile=str(authority))

    def kubeconfig(self, user: str = "admin") -> Path:
        """A kubeconfig with a context for every user, this one's being current."""
        path = self._directory / f"{user}.kubeconfig"
        if not path.exists():
            self._write_kubeconfig(path, self.tokens, user)
        return path

    def kubeconfig_for_token(self, token: str) -> Path:
        """A kubeconfig whose only user holds this token."""
        path = self._directory / f"token-{len(list(self._directory.glob('token-*')))}.kubeconfig"
        self._write_kubeconfig(path, {"token": token}, "token")
        return path

    def kubectl(
        self, *arguments: str, user: str = "admin", input: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as this user; a failure fails the test with kubectl's own words, unless check is off."""
        done = subprocess.run(
            self.kubectl_command(*arguments, user=user),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done

    def kubectl_command(self, *arguments: str, user: str = "admin") -> list[str]:
        """The command line that runs kubectl as this user."""
        cache = f"--cache-dir={self._directory / 'discovery'}"
        return [str(self._kubectl), f"--kubeconfig={self.kubeconfig(user)}", cache, *arguments]

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str = "admin",
        token: str = "",
        content: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request for the JSON at this path, as a user or with a token; raises Refused and OSError."""
        known = {"Authorization": f"Bearer {token or self.tokens[user]}", "Content-Type": content}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, known | dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as response:
                found: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _read_status(error.read())) from None
        return found

    def is_ready(self) -> bool:
        """Whether the API server says that it is."""
        request = urllib.request.Request(self.url + "/readyz")
        try:
            with urllib.request.urlopen(request, timeout=2, context=self._tls) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def add_service_account(self, namespace: str, name: str) -> None:
        """Have this service account, its namespace too; both may be there already."""
        self._create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        self._create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})

    def service_account_token(self, namespace: str, name: str, *, bound_to: Mapping[str, str] | None = None) -> str:
        """A token of this service account for an hour, bound to an object where one is given."""
        self.add_service_account(namespace, name)
        spec: dict[str, Any] = {"expirationSeconds": 3600}
        if bound_to:
            spec["boundObjectRef"] = dict(bound_to)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.request("POST", path, {"spec": spec})["status"]["token"])

    def pod_bound_token(self, namespace: str, service_account: str, node: str) -> str:
        """A token as a pod of this service account on this node holds it: it names the pod and the node.

        The pod is a plain object that nothing runs; its node must be there (`add_node`), or the token names none.
        """
        self.add_service_account(namespace, service_account)
        spec = {
            "nodeName": node,
            "serviceAccountName": service_account,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,  # no kubelet would ever say that it has ended
            "containers": [{"name": "main", "image": "none"}],
        }
        name = f"{service_account}-{node}"
        pods = f"/api/v1/namespaces/{namespace}/pods"
        self._create(pods, {"metadata": {"name": name}, "spec": spec})
        uid = self.request("GET", f"{pods}/{name}")["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        return self.service_account_token(namespace, service_account, bound_to=reference)

    def add_node(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """A plain Node object that no machine stands behind."""
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
        self.request("POST", "/api/v1/nodes", {"metadata": metadata})

    def remove_node(self, name: str) -> None:
        self.request("DELETE", f"/api/v1/nodes/{name}")

    def _create(self, path: str, body: object) -> None:
        try:
            self.request("POST", path, body)
        except Refused as refused:
            if refused.code != 409:
                raise

    def _write_kubeconfig(self, path: Path, tokens: Mapping[str, str], current: str) -> None:
        write_kubeconfig(path, self.url, self.authority, tokens, current)


def write_kubeconfig(path: Path, url: str, authority: Path, tokens: Mapping[str, str], current: str) -> Path:
    """A kubeconfig with one context for each user."""
    cluster = {"server": url, "certificate-authority": str(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}} for user, token in tokens.items()],
        "contexts": [{"name": user, "context": {"cluster": "test", "user": user}} for user in tokens],
        "current-context": current,
    }
    path.touch(0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def _read_status(answer: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        return {"reason": "Unknown", "message": answer.decode(errors="replace")}
    return found
