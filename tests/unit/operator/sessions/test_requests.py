"""Each request begins the sessions that Kubernetes would begin for it."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_reviews import make_pod, make_review

from podcorder_crds import SessionKind
from podcorder_operator.sessions.requests import SessionRequest, read_node_name, read_requests

DEBUGGER: dict[str, Any] = {"name": "debugger", "image": "none", "command": ["sh"], "args": ["-c", "id"], "tty": True}


def test_connects() -> None:
    """Exec and attach have a container and streams, exec a command, a port-forward perhaps ports."""
    options = {"container": "main", "command": ["ls", "-l"], "stdin": True}
    assert read_requests(make_review("pods/exec", options)) == (
        SessionRequest(SessionKind.EXEC, "main", ("ls", "-l"), True, False),
    )
    assert read_requests(make_review("pods/attach", {"tty": True})) == (
        SessionRequest(SessionKind.ATTACH, "", (), False, True),
    )
    assert read_requests(make_review("pods/portforward", {"ports": [80, True, "x"]})) == (
        SessionRequest(SessionKind.PORT_FORWARD, ports=(80,)),
    )


def test_added_containers() -> None:
    """Of an update those ephemeral containers are debug sessions that were not there before."""
    old = make_pod(ephemeralContainers=[{"name": "before"}])
    new = make_pod(ephemeralContainers=[{"name": "before"}, DEBUGGER])
    (request,) = read_requests(make_review("pods/ephemeralcontainers", new, oldObject=old))
    assert request == SessionRequest(SessionKind.DEBUG, "debugger", ("sh", "-c", "id"), False, True)
    assert read_requests(make_review("pods/ephemeralcontainers", old, oldObject=old)) == ()


@pytest.mark.parametrize(
    ("spec", "labels", "debugs"),
    [
        ({"hostPID": True}, {}, True),
        ({}, {"app.kubernetes.io/managed-by": "kubectl-debug"}, True),
        ({"hostPID": True, "nodeName": ""}, {}, False),
        ({}, {}, False),
        ({"hostPID": False}, {"app.kubernetes.io/managed-by": "Helm"}, False),
    ],
)
def test_pods(spec: dict[str, Any], labels: dict[str, str], debugs: bool) -> None:
    """A pod is a debug session of its node where it is put there by name and looks into it."""
    pod = make_pod(**spec)
    pod["metadata"]["labels"] = labels
    assert [each.container for each in read_requests(make_review("pods", pod))] == (["main"] if debugs else [])


@pytest.mark.parametrize("path", ["/exec/a/b/c", "/run/a/b/c", "attach/a/b/c", "/portForward/a/b", "/x/../exec/a/b/c"])
def test_paths_into_containers(path: str) -> None:
    """However a path is spelt that the API server cleans: what the kubelet gets is what counts."""
    (request,) = read_requests(make_review("nodes/proxy", {"path": path}))
    assert request.path.split("/")[1] in ("exec", "run", "attach", "portForward")


@pytest.mark.parametrize(
    "path", ["", "/", "/metrics", "/containerLogs/exec/x/y", "/exec/../metrics", "/execs", "/EXEC/a"]
)
def test_other_paths(path: str) -> None:
    """What leads into no container is no session."""
    assert read_requests(make_review("nodes/proxy", {"path": path})) == ()


@pytest.mark.parametrize("name", ["node-1", "node-1:10250", "https:node-1:10250"])
def test_node_names(name: str) -> None:
    """A node is itself by whatever scheme and port it is asked."""
    assert read_node_name(name) == "node-1"


def test_whatever_it_holds() -> None:
    """Options of no sense make no request of it, and break nothing."""
    for value in (None, 1, "x", [1, None], {"a": []}):
        make = {"container": value, "command": value, "ports": value, "path": value, "spec": value, "metadata": value}
        for source in ("pods/exec", "pods/portforward", "pods/ephemeralcontainers", "pods", "nodes/proxy"):
            read_requests(make_review(source, make, oldObject=make))
