"""What is written down of a request is what the contract takes, whatever the request holds."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_reviews import make_exec, make_pod, make_review

from podcorder_crds import Mode, SessionKind
from podcorder_crds.digests import digest_command, join_arguments
from podcorder_crds.sessions import RecordedSessionSpec
from podcorder_operator.sessions.pods import read_pod
from podcorder_operator.sessions.records import Unrecordable, is_same_user, make_record, name_of, other_name_of
from podcorder_operator.sessions.requests import SessionRequest, read_requests
from podcorder_operator.sessions.reviews import Review

KEY = bytes(32)
DEBUG = SessionRequest(SessionKind.DEBUG, "debugger")


def record(review: Review, **changes: Any) -> RecordedSessionSpec:
    """What is written of its only session, as the contract reads it."""
    (request,) = read_requests(review)
    pod = None if review.source == "nodes/proxy" else read_pod(make_pod())
    given: dict[str, Any] = {"command": request.command, "mode": Mode.BEST_EFFORT, "key": KEY} | changes
    return RecordedSessionSpec.model_validate(make_record("any", review, request, pod, **given)["spec"])


def test_exec() -> None:
    """Everything that the API server says of the user is there; the digest is that of the command as asked for."""
    spec = record(make_exec("ls", "secret", container="main"), command=("ls", "[redacted]"))
    assert spec.user is not None
    assert spec.request is not None
    assert (spec.user.username, spec.user.uid, spec.user.groups) == ("alice", "17", ("developers",))
    assert [(each.key, each.values) for each in spec.user.extra] == [("key", ("value",))]
    assert spec.request.command == ("ls", "[redacted]")
    assert spec.request.command_digest == digest_command(KEY, join_arguments(["ls", "secret"]))
    assert (spec.mode, spec.container, spec.node_name) == (Mode.BEST_EFFORT, "main", "node-1")


def test_every_source() -> None:
    """All of them make records that the contract takes."""
    debugger = [{"name": "debugger", "command": ["sh"]}]
    old, new = make_pod(), make_pod(ephemeralContainers=debugger)
    kinds = [
        record(make_review(source, object, **request)).kind
        for source, object, request in (
            ("pods/attach", {"container": "main"}, {}),
            ("pods/portforward", {"ports": [80, 0, 70000]}, {}),
            ("pods/ephemeralcontainers", new, {"oldObject": old}),
            ("pods", make_pod(hostPID=True), {}),
        )
    ]
    assert kinds == ["Attach", "PortForward", "Debug", "Debug"]
    proxy = record(make_review("nodes/proxy", {"path": "/exec/a/b/c"}, name="https:node-1:10250"), mode=None)
    assert (proxy.kind, proxy.node_name, proxy.pod) == ("NodeProxy", "node-1", None)


def test_bounds() -> None:
    """What the contract has no room for is cut, and groups that are too long are left out."""
    user = {"username": "alice", "groups": ["g" * 2000, *map(str, range(300))]}
    user |= {"extra": {f"{number}": ["v" * 2000, "v"] for number in range(100)} | {"k" * 600: ["v"], "": None}}
    spec = record(make_review("pods/exec", {"command": ["w" * 5000] * 300}, userInfo=user))
    assert spec.user is not None
    assert spec.request is not None
    assert (len(spec.user.groups), len(spec.user.extra), spec.user.groups[0]) == (256, 64, "0")
    assert (len(spec.request.command), len(spec.request.command[0])) == (256, 4096)


@pytest.mark.parametrize("user", [{}, {"username": ""}, {"username": 1}, {"username": "a" * 1025}])
def test_users_without_a_name(user: dict[str, Any]) -> None:
    """Nobody is written down under half a name."""
    with pytest.raises(Unrecordable):
        record(make_review("pods/exec", {}, userInfo=user))


def test_names() -> None:
    """Of a CONNECT the name has the uid of the review; of a container it has not, until that has to be."""
    pod = read_pod(make_pod())
    assert pod is not None
    first, second = make_exec("ls"), make_review("pods/exec", {}, uid="review-2")
    assert name_of(first, SessionRequest(SessionKind.EXEC), pod) == "exec-review-1"
    assert name_of(first, SessionRequest(SessionKind.PORT_FORWARD), pod) == "portforward-review-1"
    assert name_of(first, DEBUG, pod) == name_of(second, DEBUG, pod) != other_name_of(first, DEBUG, pod)
    assert other_name_of(first, DEBUG, pod) != other_name_of(second, DEBUG, pod)
    # sha256sum of pod-1/debugger
    assert name_of(first, DEBUG, pod) == "debug-a4729d5f991a8d12e1cd082ef64785e3"


def test_same_user() -> None:
    """Whoever has the same name and another uid is somebody else."""
    (request,) = read_requests(review := make_exec("ls"))
    pod = read_pod(make_pod())
    stored = make_record("any", review, request, pod, command=(), mode=None, key=KEY)
    assert is_same_user(stored, review)
    assert not is_same_user(stored, make_review("pods/exec", {}, userInfo={"username": "alice"}))
    assert not is_same_user({}, review)
