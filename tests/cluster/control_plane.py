"""etcd, kube-apiserver and, where a test needs it, kube-controller-manager: a cluster without nodes."""

from __future__ import annotations

import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cluster.access import PORT, Access, write_kubeconfig
from cluster.certificates import Authority, Pair
from cluster.guards import start_guard
from cluster.sandboxes import ClusterFailed, Sandbox, wait_until

AUDIT_POLICY = Path(__file__).parent / "audit_policy.yaml"
BUILD = Path(__file__).parent / "commands" / "build.sh"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
NODE = "node-1"
NODE_ADDRESS = "10.88.0.1"
# user: groups. The first three are for people, the others are what the cluster's own parts are called.
USERS = {
    "admin": "system:masters",
    "alice": "developers",
    "bob": "developers",
    "system:kube-controller-manager": "",
    "system:kube-proxy": "",
    "system:kube-scheduler": "",
    f"system:node:{NODE}": "system:nodes",
}
PEOPLE = ("admin", "alice", "bob")
ISSUER = "https://kubernetes.default.svc"
ETCD = "http://127.0.0.1:2379"


def find_commands(which: str = "all") -> Path:
    """The directory of the built commands ("control-plane": those that need no nodes), built where they are not."""
    done = subprocess.run([BUILD, which], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ClusterFailed("the commands of the test cluster could not be built, see above")
    return Path(done.stdout.strip())


class ControlPlane(Access):
    """A control plane of its own: `start`, use it as an `Access`, `stop`.

    Without `start_controllers` nothing looks after objects: a deleted namespace stays Terminating, owned objects
    outlive their owners, new namespaces get neither a `default` service account nor the authority's ConfigMap.
    """

    def __init__(self, directory: Path, sandbox: Sandbox, commands: Path) -> None:
        self.directory = directory
        self.sandbox = sandbox
        self.commands = commands
        directory.chmod(0o700)
        for name in ("certificates", "logs", "kubeconfigs", "etcd"):
            (directory / name).mkdir()
        self._authority = Authority(directory / "certificates")
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
        addresses = (sandbox.address, NODE_ADDRESS, "127.0.0.1", API_SERVICE)
        self._serving = self._authority.issue("kube-apiserver", "/CN=kube-apiserver", addresses=addresses, names=names)
        # The kubelet lets its masters in by certificate only.
        self._client = self._authority.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        self._signing = self._authority.issue("service-accounts", "/CN=service-accounts")
        tokens = {user: secrets.token_hex(16) for user in USERS}
        rows = (f'{token},{user},{user},"{USERS[user]}"\n' for user, token in tokens.items())
        (directory / "tokens.csv").write_text("".join(rows))
        self._internal = tokens
        self._api_server: subprocess.Popen[bytes] | None = None
        self._controllers: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        super().__init__(
            directory / "kubeconfigs",
            f"https://{sandbox.address}:{PORT}",
            self._authority.certificate,
            {user: tokens[user] for user in PEOPLE},
            commands / "kubectl",
        )

    @classmethod
    def create(cls, directory: Path, *, outlives_us: bool = False) -> Self:
        """A new one in a new sandbox, with its files in this directory, which must be empty.

        It ends with this process, however that ends, unless it is to outlive it.
        """
        sandbox = Sandbox.create()
        try:
            made = cls(directory, sandbox, find_commands("control-plane"))
            if not outlives_us:
                made._guard = start_guard(sandbox, directory)
            return made
        except BaseException:
            sandbox.close()
            raise

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """A new one, started, in a temporary directory; it is gone at the end."""
        with tempfile.TemporaryDirectory(prefix="podcorder-cluster-") as directory:
            made = cls.create(Path(directory))
            try:
                made.start()
                yield made
            finally:
                made.stop()

    @property
    def host_address(self) -> str:
        """Where the API server reaches this machine, say to call a webhook: listen here."""
        return self.sandbox.host_address

    @property
    def audit_log(self) -> Path:
        """JSON lines of the requests that begin sessions, and of others that the audit policy names."""
        return self.directory / "logs" / "audit.log"

    def start(self) -> None:
        """Start etcd and the API server, and wait until that is ready."""
        self.start_daemon(
            *("etcd", "--data-dir", self.directory / "etcd", "--unsafe-no-fsync", "--log-level", "error"),
            *("--quota-backend-bytes", str(4 << 30)),
        )
        self.start_api_server()

    def start_api_server(self) -> None:
        """Start the API server, and wait until it is ready."""
        self._api_server = self.start_daemon(*self._api_server_command())
        server = self._api_server

        def is_ready() -> bool:
            if server.poll() is not None:
                raise ClusterFailed(f"kube-apiserver has ended: {self.log('kube-apiserver').read_text()[-2000:]}")
            return self.is_ready()

        wait_until(is_ready, 60, "the start of kube-apiserver")

    def kill_api_server(self) -> None:
        """End the API server at once, as a crash does; etcd keeps what it has acknowledged."""
        self._end_api_server(signal.SIGKILL)

    def restart_api_server(self) -> None:
        """End the API server as an upgrade does and start it on the same port."""
        self._end_api_server(signal.SIGTERM)
        self.start_api_server()

    def start_controllers(self) -> None:
        """Start kube-controller-manager, once: it deletes namespaces, collects garbage, makes service accounts."""
        if self._controllers is not None:
            return
        user = "system:kube-controller-manager"
        self.commands = find_commands()
        self._controllers = self.start_daemon(
            self.commands / "kube-controller-manager",
            f"--kubeconfig={self.internal_kubeconfig(user)}",
            f"--service-account-private-key-file={self._signing.key}",
            f"--root-ca-file={self.authority}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            f"--flex-volume-plugin-dir={self.directory / 'plugins'}",  # or it makes one under /usr
        )

    def stop(self) -> None:
        """End all of it at once; what it wrote stays in its directory. More than once is fine."""
        self.sandbox.close()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def log(self, daemon: str) -> Path:
        """What this daemon wrote."""
        return self.directory / "logs" / f"{daemon}.log"

    def start_daemon(self, command: str | Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a daemon in the cluster's namespaces."""
        return self.sandbox.start([command, *arguments], self.log(Path(command).name))

    def internal_kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one of the cluster's own parts."""
        path = self.directory / "kubeconfigs" / f"{user.replace(':', '-')}.kubeconfig"
        tokens = {user: self._internal[user]}
        return write_kubeconfig(path, f"https://127.0.0.1:{PORT}", self.authority, tokens, user)

    def _end_api_server(self, how: signal.Signals) -> None:
        assert self._api_server is not None, "the API server does not run"
        self._api_server.send_signal(how)
        self._api_server.wait(70)
        self._api_server = None

    def _api_server_command(self) -> Sequence[str | Path]:
        return [
            self.commands / "kube-apiserver",
            f"--etcd-servers={ETCD}",
            f"--secure-port={PORT}",
            f"--advertise-address={NODE_ADDRESS}",
            f"--service-cluster-ip-range={SERVICES}",
            *_use_pair("tls-cert-file", "tls-private-key-file", self._serving),
            f"--client-ca-file={self.authority}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-account-issuer={ISSUER}",
            *_use_pair("service-account-key-file", "service-account-signing-key-file", self._signing),
            *_use_pair("kubelet-client-certificate", "kubelet-client-key", self._client),
            "--kubelet-preferred-address-types=InternalIP",
            f"--audit-policy-file={AUDIT_POLICY}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking-strict",  # what a request left in it is there once it is answered
            "--allow-privileged",
        ]


def _use_pair(certificate: str, key: str, pair: Pair) -> tuple[str, str]:
    return f"--{certificate}={pair.certificate}", f"--{key}={pair.key}"
