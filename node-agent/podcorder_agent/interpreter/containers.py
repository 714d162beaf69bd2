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
_UID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_POD = re.compile(rf"pod({_UID})(?:\.slice)?[/:]")
_ABOVE = re.compile(
    rf"(?:.+-)?kubepods(?:\.slice)?|besteffort|burstable|(?:.+-)?kubepods-(?:besteffort|burstable)\.slice"
    rf"|(?:.+-)?pod(?:{_UID})(?:\.slice)?"
)
"""What the kubelet makes for all pods, those of a class, and one pod."""
_RUNTIMES = {
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
_UNSCOPED = re.compile(rf"(?P<runtime>crio|libpod)-{_ID}")
_UNEXPANDED = re.compile(rf".+\.slice:(?P<runtime>cri-containerd|crio):{_ID}")
"""Of a kubelet with the systemd driver and a runtime without: what was meant for systemd is taken as a name."""
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

    The forms: the kubelet's cgroupfs and systemd drivers with containerd, CRI-O or Docker, on the machine itself or in
    a container that is a node; Docker's and Podman's own; and what runc or crun makes by itself, which only its maker
    tells from any other cgroup. Slices, pods and monitors (`conmon`) are no containers, nor is what a runtime makes in
    the scope of one.
    """
    parent, _, name = path.rpartition("/")
    pods = _POD.findall(path)
    pod = pods[-1].replace("_", "-") if pods else None
    if _SCOPE.fullmatch(parent.rpartition("/")[2]):
        return None
    for form in (_SCOPE, _BARE_SCOPE, _UNSCOPED, _UNEXPANDED):
        if named := form.fullmatch(name):
            return Recognised(named["id"], _RUNTIMES[named["runtime"]], pod)
    if _PLAIN.fullmatch(name) and parent.endswith("/docker"):
        return Recognised(name, "docker", pod)
    maker = _maker(comm)
    if _PLAIN.fullmatch(name) and (pod or maker):
        return Recognised(name, _pod_runtime(maker) if pod else maker, pod)
    if maker and name and _BARE.fullmatch(name) and not _NEVER.fullmatch(name):
        return Recognised(name, maker, pod)
    return None


def is_above_containers(path: str) -> bool:
    """Whether a cgroup is one of those in which the kubelet has containers made."""
    return "kubepods" in path and bool(_ABOVE.fullmatch(path.rpartition("/")[2]))


def _pod_runtime(maker: str | None) -> str | None:
    """With the kubelet's cgroupfs driver a shim says containerd; runc and crun serve several runtimes."""
    return maker if maker == "containerd" else None
