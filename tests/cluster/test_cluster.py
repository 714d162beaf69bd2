"""The test cluster itself: it starts in time, is what it says, and leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path

from cluster.control_plane import ControlPlane


def test_a_control_plane_is_ready_in_under_20_seconds(tmp_path: Path) -> None:
    """Starting a control plane takes less than 20 s until it says that it is ready."""
    began = time.monotonic()
    control_plane = ControlPlane.create(tmp_path)
    try:
        control_plane.start()
        took = time.monotonic() - began
    finally:
        control_plane.stop()
    print(f"control plane ready in {took:.1f} s")
    assert took < 20


def test_alice_is_alice(control_plane: ControlPlane) -> None:
    """Whoever uses alice's kubeconfig is alice to the API server."""
    assert (
        control_plane.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", user="alice").stdout
        == "alice"
    )


def test_a_pods_token_names_its_node(control_plane: ControlPlane) -> None:
    """A token that is bound to a pod carries the name of the pod's node in the user's extra fields."""
    control_plane.add_node("named-by-token")
    token = control_plane.pod_bound_token("bound", "agent", "named-by-token")
    review = control_plane.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
    assert review["status"]["userInfo"]["extra"]["authentication.kubernetes.io/node-name"] == ["named-by-token"]
