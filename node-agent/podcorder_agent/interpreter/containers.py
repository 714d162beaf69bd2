"""Containers by the path of their cgroup and the name of the process that made it: what needs no runtime to be asked.

A pod's sandbox looks exactly like a container here, unless its runtime gives it a scope of its own: whoever knows the
pod (the runtime, the kubelet) has to tell the two apart.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Recognised(NamedTuple):
    """A container as its cgroup shows it."""

    id: str
    runtime: str | None
    """containerd, docker, cri-o, podman, runc or crun; None where the path alone does not say."""
    pod: str | None = None
    """The pod's uid, where the path names one."""


_ID = r"(?P<id>[0-9a-f]{64})"
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?/")
_SCOPE_RUNTIMES = {
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "docker": "docker",
    "crio": "cri-o",
    "libpod": "podman",
    "runc": "runc",
    "crun": "crun",
}
_SCOPE = re.compile(rf"(?P<runtime>cri-containerd|nerdctl|docker|crio|libpod)-{_ID}\.scope")
_BARE_SCOPE = re.compile(r"(?P<runtime>runc|crun)-(?P<id>[\w.+:@-]+)\.scope")
_LIBPOD = re.compile(rf"libpod-{_ID}")
_PLAIN = re.compile(_ID)
_BARE = re.compile(r"[A-Za-z0-9_][\w.+:@-]{0,1023}")
_NEVER = re.compile(
    r".*\.(?:slice|service|mount|socket|swap)|kubepods|besteffort|burstable|guaranteed|pod[0-9a-f-]{32,36}"
    r"|docker|buildkit|default|k8s\.io|moby|libpod_parent|conmon|.*-?conmon-.*|init\.scope"
)
_MAKERS = {"runc": "runc", "crun": "crun", "youki": "youki", "containerd-shim": "containerd", "conmon": "podman"}


def _maker(comm: str) -> str | None:
    """The runtime behind a comm, which the kernel cuts at 15 characters: `runc:[2:INIT]`, `containerd-shim`."""
    return _MAKERS.get(comm.partition(":")[0])


def recognise(path: str, comm: str = "") -> Recognised | None:
    """The container whose cgroup is at `path`, made by a process of the name `comm`; None for every other cgroup.

    The forms: the kubelet's cgroupfs and systemd drivers with containerd, CRI-O or Docker; Docker's and Podman's own;
    and what runc or crun makes by itself, which only its maker tells from any other cgroup. Slices, pods and monitors
    (`conmon`) are no containers.
    """
    parent, _, name = path.rpartition("/")
    pods = _POD.findall(path)
    pod = pods[-1].replace("_", "-") if pods else None
    scope = _SCOPE.fullmatch(name) or _BARE_SCOPE.fullmatch(name)
    if scope:
        return Recognised(scope["id"], _SCOPE_RUNTIMES[scope["runtime"]], pod)
    if libpod := _LIBPOD.fullmatch(name):
        return Recognised(libpod["id"], "podman", pod)
    if _PLAIN.fullmatch(name) and parent.endswith("/docker"):
        return Recognised(name, "docker", pod)
    maker = _maker(comm)
    if _PLAIN.fullmatch(name) and (pod or maker):
        return Recognised(name, _pod_runtime(maker) if pod else maker, pod)
    if maker and name and _BARE.fullmatch(name) and not _NEVER.fullmatch(name):
        return Recognised(name, maker, pod)
    return None


def _pod_runtime(maker: str | None) -> str | None:
    """With the kubelet's cgroupfs driver a shim says containerd; runc and crun serve several runtimes."""
    return maker if maker == "containerd" else None
