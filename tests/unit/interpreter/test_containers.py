"""Containers are recognised by their cgroup's path and its maker's name.

Where the forms come from: the kubelet (`CgroupName.ToSystemd` and `ToCgroupfs` in Kubernetes 1.37,
pkg/kubelet/cm/cgroup_manager_linux.go), containerd (`getCgroupsPath` in internal/cri/server), CRI-O
(internal/config/cgmgr), crun (`run.oci.systemd.subgroup` in crun(1)), a node that is a container (kubernetes-sigs/kind
issue 3947, kubernetes/minikube issue 11280), drivers that disagree (kubernetes/kubernetes issue 106514).
"""

from __future__ import annotations

import pytest

from podcorder_agent.interpreter.containers import Recognised, is_above_containers, recognise

ID = "0123456789abcdef" * 4
POD = "5d1f4c2a-0f4e-4d62-9d6f-8a2b1c3d4e5f"
BAR = POD.replace("-", "_")
HASH = "0123456789abcdef0123456789abcdef"
NODE = "fedcba9876543210" * 4


@pytest.mark.parametrize(
    ("path", "comm", "expected"),
    [
        (f"/kubepods/besteffort/pod{POD}/{ID}", "runc", Recognised(ID, None, POD)),
        (f"/kubepods/pod{POD}/{ID}", "containerd-shim", Recognised(ID, "containerd", POD)),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{BAR}.slice/cri-containerd-{ID}.scope",
            "systemd",
            Recognised(ID, "containerd", POD),
        ),
        (f"/kubepods.slice/kubepods-pod{BAR}.slice/crio-{ID}.scope", "systemd", Recognised(ID, "cri-o", POD)),
        (f"/kubepods.slice/kubepods-pod{BAR}.slice/docker-{ID}.scope", "systemd", Recognised(ID, "docker", POD)),
        # CRI-O with the cgroupfs driver; with either, the cgroup of a sandbox that has no process
        (f"/kubepods/burstable/pod{POD}/crio-{ID}", "runc", Recognised(ID, "cri-o", POD)),
        (f"/kubepods.slice/kubepods-pod{BAR}.slice/crio-{ID}", "crio", Recognised(ID, "cri-o", POD)),
        # a static pod, whose uid is a hash
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{HASH}.slice/cri-containerd-{ID}.scope",
            "systemd",
            Recognised(ID, "containerd", HASH),
        ),
        (f"/kubepods/pod{HASH}/{ID}", "runc", Recognised(ID, None, HASH)),
        # kind: cgroupRoot is /kubelet; k3d and minikube have none; as the node itself sees it, and as the machine does
        (
            f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{BAR}.slice"
            f"/cri-containerd-{ID}.scope",
            "systemd",
            Recognised(ID, "containerd", POD),
        ),
        (
            f"/system.slice/docker-{NODE}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{BAR}.slice"
            f"/cri-containerd-{ID}.scope",
            "systemd",
            Recognised(ID, "containerd", POD),
        ),
        (f"/docker/{NODE}/kubelet/kubepods/besteffort/pod{POD}/{ID}", "runc", Recognised(ID, None, POD)),
        (
            f"/docker/{NODE}/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{BAR}.slice/crio-{ID}.scope",
            "systemd",
            Recognised(ID, "cri-o", POD),
        ),
        (f"/docker/{NODE}/kubepods/besteffort/pod{POD}/{ID}", "runc", Recognised(ID, None, POD)),
        # a kubelet with the systemd driver and a containerd without
        (
            f"/system.slice/containerd.service/kubepods-burstable-pod{BAR}.slice:cri-containerd:{ID}",
            "runc",
            Recognised(ID, "containerd", POD),
        ),
        (
            f"/system.slice/kubepods-besteffort-pod{HASH}.slice:cri-containerd:{ID}",
            "runc",
            Recognised(ID, "containerd", HASH),
        ),
        (f"/docker/{ID}", "runc", Recognised(ID, "docker")),
        (f"/system.slice/docker-{ID}.scope", "systemd", Recognised(ID, "docker")),
        (f"/machine.slice/libpod-{ID}.scope", "crun", Recognised(ID, "podman")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", "", Recognised(ID, "podman")),
        (f"/libpod_parent/libpod-{ID}", "crun", Recognised(ID, "podman")),
        (f"/system.slice/nerdctl-{ID}.scope", "systemd", Recognised(ID, "containerd")),
        ("/system.slice/runc-web_1.scope", "systemd", Recognised("web_1", "runc")),
        ("/web-1", "runc", Recognised("web-1", "runc")),
        ("/default/web-1", "runc:[2:INIT]", Recognised("web-1", "runc")),
        ("/a/b/web-1", "crun", Recognised("web-1", "crun")),
    ],
)
def test_containers_are_recognised(path: str, comm: str, expected: Recognised) -> None:
    """The forms of containerd, CRI-O, Docker, Podman, runc and crun, under both cgroup drivers."""
    assert recognise(path, comm) == expected


@pytest.mark.parametrize(
    ("path", "comm"),
    [
        ("/", "runc"),
        ("", "runc"),
        ("/kubepods", "runc"),
        ("/kubepods/besteffort", "runc"),
        (f"/kubepods/besteffort/pod{POD}", "runc"),
        (f"/kubepods.slice/kubepods-pod{BAR}.slice", "systemd"),
        (f"/kubepods.slice/kubepods-pod{BAR}.slice/crio-conmon-{ID}.scope", "systemd"),
        (f"/kubepods/besteffort/pod{POD}/crio-conmon-{ID}", "conmon"),
        (f"/kubepods.slice/kubepods-pod{BAR}.slice/crio-{ID}.scope/container", "crun"),
        (f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{BAR}.slice", "systemd"),
        (f"/machine.slice/libpod-conmon-{ID}.scope", "systemd"),
        (f"/machine.slice/libpod-conmon-{ID}.scope", "crun"),
        ("/docker", "dockerd"),
        ("/default", "runc"),
        ("/system.slice/ssh.service", "systemd"),
        ("/system.slice", "runc"),
        (f"/kubepods/besteffort/pod{POD}/{ID}/inner", "systemd"),
        (f"/build/{ID}", "bash"),
        ("/web-1", "bash"),
    ],
)
def test_other_cgroups_are_not(path: str, comm: str) -> None:
    """Pods, slices, services, monitors and what a container makes inside itself are no containers."""
    assert recognise(path, comm) is None


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("/kubepods", True),
        ("/kubepods/burstable", True),
        (f"/kubepods/burstable/pod{POD}", True),
        (f"/kubepods/pod{HASH}", True),
        ("/kubepods.slice", True),
        ("/kubepods.slice/kubepods-besteffort.slice", True),
        (f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{BAR}.slice", True),
        ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice", True),
        (f"/docker/{NODE}/kubelet/kubepods/pod{POD}", True),
        (f"/kubepods/pod{POD}/{ID}", False),
        (f"/kubepods/pod{POD}/crio-conmon-{ID}", False),
        (f"/kubepods.slice/kubepods-pod{BAR}.slice/crio-conmon-{ID}.scope", False),
        ("/system.slice", False),
        ("/burstable", False),
    ],
)
def test_what_the_kubelet_makes_for_pods(path: str, above: bool) -> None:
    """All pods, a class of them, one pod: with both drivers, and in a container that is a node."""
    assert is_above_containers(path) is above
