"""Containers are recognised by their cgroup's path and its maker's name."""

from __future__ import annotations

import pytest

from podcorder_agent.interpreter import Recognised, recognise

ID = "0123456789abcdef" * 4
POD = "5d1f4c2a-0f4e-4d62-9d6f-8a2b1c3d4e5f"
BAR = POD.replace("-", "_")


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
