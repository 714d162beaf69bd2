"""What a cluster runs in: network and mount namespaces of its own, and a cgroup by which all that it started is found.

The cgroup's name is the cluster's number: whoever makes the directory has the number, so clusters never meet. Ending
the cgroup ends the cluster's processes, containers too, and no others; with the last of them the namespaces go, and
with these every mount and every network device.

The cluster's network namespace is joined to the caller's by a pair of devices with addresses of 127.0.0.0/8: from both
sides the other is one plain TCP connection away, no other machine can be reached or reaches in, and no proxy setting
applies.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CGROUP = "podcorder-cluster-{}"
NUMBERS = range(1, 255)
DEVICE = "podcorder{}"


class ClusterFailed(Exception):
    """The cluster could not be started; the sentence says why."""


class Sandbox:
    """The namespaces and the cgroup of one cluster. As root only."""

    def __init__(self, number: int, holder: int) -> None:
        self.number = number
        self._holder = holder
        self._closed = False
        self._children: list[subprocess.Popen[bytes]] = []

    @classmethod
    def create(cls) -> Sandbox:
        """A new one with a number that nobody has."""
        if os.geteuid() != 0:
            raise ClusterFailed("a test cluster needs namespaces and cgroups of its own: run as root")
        sandbox = cls(_take_number(), 0)
        try:
            holder = sandbox._spawn(["unshare", "--net", "--mount", "sleep", "infinity"], log=Path(os.devnull))
            sandbox._holder = holder.pid
            command_name = Path(f"/proc/{holder.pid}/comm")
            wait_until(lambda: command_name.read_text() == "sleep\n", 5, "the making of namespaces")
            sandbox._connect()
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    @property
    def address(self) -> str:
        """The cluster, as its callers reach it."""
        return f"127.77.{self.number}.2"

    @property
    def host_address(self) -> str:
        """The caller's side, as the cluster reaches it, say to call a webhook."""
        return f"127.77.{self.number}.1"

    @property
    def cgroup(self) -> str:
        """The cgroup's path in each hierarchy."""
        return "/" + CGROUP.format(self.number)

    @property
    def identity(self) -> str:
        """What tells this sandbox from a later one of the same number."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{self.number} {_unified(self.number).stat().st_ino} {boot}"

    @classmethod
    def find(cls, identity: str) -> Sandbox | None:
        """The sandbox of this identity, None where it is gone; it can be closed, nothing more."""
        found = cls(int(identity.split()[0]), 0)
        return found if _unified(found.number).exists() and found.identity == identity else None

    def enter(self, *command: str | Path) -> list[str]:
        """The command line that runs this command in the namespaces."""
        return ["nsenter", "--target", str(self._holder), "--net", "--mount", "--", *map(str, command)]

    def run(self, *command: str | Path) -> str:
        """Run a command in the namespaces to its end; its output."""
        return run(*self.enter(*command))

    def start(self, command: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
        """Start a daemon in the namespaces and the cgroup, which writes to this log."""
        return self._spawn(self.enter(*command), log)

    def close(self) -> None:
        """End every process of it and remove what it had of the machine. More than once is fine."""
        if self._closed:
            return
        self._closed = True
        top = _unified(self.number)
        (top / "cgroup.kill").write_text("1")
        wait_until(lambda: "populated 0" in (top / "cgroup.events").read_text(), 20, "the end of the processes")
        for child in self._children:
            child.wait()
        # The kernel removes the pair with the namespace, but some time after its last process.
        subprocess.run(["ip", "link", "delete", DEVICE.format(self.number)], stderr=subprocess.DEVNULL)
        # The unified one last: with it the number is free for the next.
        for hierarchy in hierarchies():
            _remove_cgroup(hierarchy / CGROUP.format(self.number))

    def _spawn(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        into = ["sh", "-c", 'echo $$ >"$0/daemons/cgroup.procs" && exec "$@"', str(_unified(self.number))]
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*into, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is for its owner
            )
        self._children.append(child)
        return child

    def _connect(self) -> None:
        device = DEVICE.format(self.number)
        run("ip", "link", "add", device, "type", "veth", "peer", "name", "host", "netns", str(self._holder))
        self.run("ip", "link", "set", "lo", "up")
        here: Sequence[str] = ()
        for enter, name, own, other in (
            (here, device, self.host_address, self.address),
            (self.enter(), "host", self.address, self.host_address),
        ):
            run(*enter, "ip", "address", "add", own, "peer", other, "dev", name)
            run(*enter, "ip", "link", "set", name, "up")
            run(*enter, "sysctl", "-q", "-w", f"net.ipv4.conf.{name}.route_localnet=1")
            # In the local table, or loopback's route is asked first on machines with routing rules of their own.
            run(*enter, "ip", "route", "add", other, "dev", name, "src", own, "table", "local")


def run(*command: str | Path) -> str:
    """Run a command to its end; its output. A failure names the command and what it said."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterFailed(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Ask again until the condition holds; fails with a sentence when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterFailed(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


def hierarchies() -> list[Path]:
    """The mounted cgroup hierarchies; the unified one (cgroup2) is the last."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    kinds = ("cgroup", "cgroup2")
    return [Path(where) for kind in kinds for _, where, found, *_ in mounts if found == kind]


def _take_number() -> int:
    for number in NUMBERS:
        try:
            _unified(number).mkdir()
        except FileExistsError:
            continue
        # Processes and containers apart, as cgroup2 wants it.
        (_unified(number) / "daemons").mkdir()
        return number
    raise ClusterFailed(f"{len(NUMBERS)} test clusters run already: end some")


def _unified(number: int) -> Path:
    return hierarchies()[-1] / CGROUP.format(number)


def _remove_cgroup(top: Path) -> None:
    # Deepest first; where no container ran, only the unified hierarchy has it.
    for each in sorted(top.rglob("*/"), reverse=True):
        each.rmdir()
    if top.exists():
        top.rmdir()
