"""RecordedSessions as the journal is told of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cluster.announcements import has_ended, read_announcement
from podcorder_agent.control.messages import Message
from podcorder_crds.sessions import RecordedSessionSpec

LONGEST_FACT = 64 << 10


def make_session(*conditions: dict[str, str], **spec: Any) -> Message:
    request = {
        "id": "request",
        "time": "2026-11-23T10:00:00Z",
        "source": "pods/exec",
        "command": ["rm", "-rf", "/srv"],
        "commandDigest": "d" * 64,
        "stdin": "Attached",
        "tty": "NotAllocated",
    }
    whole = {
        "kind": "Exec",
        "origin": "Announced",
        "user": {"username": "alice", "groups": ["staff"]},
        "request": request,
        "nodeName": "node-1",
        "pod": {"name": "web", "uid": "pod"},
        "container": "main",
    }
    metadata = {"namespace": "shop", "name": "exec-request", "uid": "session"}
    return {"metadata": metadata, "spec": whole | spec, "status": {"conditions": list(conditions)}}


def test_a_session_is_told_as_it_was_asked_for() -> None:
    """Whose it is, where, and what the command is recognised by; what does not apply is null."""
    told = read_announcement(make_session())
    assert told is not None
    assert (told.key, told.uid) == (("shop", "exec-request"), "session")
    assert told.fact == {
        "namespace": "shop",
        "name": "exec-request",
        "uid": "session",
        "kind": "Exec",
        "target": None,
        "pod": {"name": "web", "uid": "pod"},
        "container": "main",
        "digest": "d" * 64,
        "tty": False,
        "stdin": True,
        "user": {"name": "alice", "uid": None, "groups": ["staff"]},
        "request": {
            "id": "request",
            "time": "2026-11-23T10:00:00Z",
            "source": "pods/exec",
            "command": ["rm", "-rf", "/srv"],
            "ports": [],
            "path": None,
        },
    }


def test_only_what_was_asked_for_and_goes_on_is_told() -> None:
    """Not what began unasked, nor what has ended, never started, or nobody can tell of any more."""
    assert read_announcement(make_session(origin="Unannounced")) is None
    for kind, status in (("Ended", "True"), ("Ended", "Unknown"), ("Started", "False")):
        assert read_announcement(make_session({"type": kind, "status": status})) is None
    for kind, status in (("Ended", "False"), ("Started", "True"), ("Complete", "False")):
        assert read_announcement(make_session({"type": kind, "status": status})) is not None


def test_the_largest_session_makes_a_fact_of_a_bounded_size() -> None:
    """Of the longest command and the most groups that the contract takes, the first words and names are told."""
    word, group = "\N{SNOWMAN}" * 4096, "\N{SNOWMAN}" * 1000
    request = make_session()["spec"]["request"] | {"command": ["sh", *[word] * 255], "ports": [65535] * 64}
    user = {"username": group, "uid": group, "groups": [*["staff"] * 100, *[group] * 156]}
    session = make_session(user=user, request=request | {"path": group})
    RecordedSessionSpec.model_validate(session["spec"])
    told = read_announcement(session)
    assert told is not None
    assert len(json.dumps(told.fact)) < LONGEST_FACT
    assert told.fact["request"]["command"][0] == "sh"
    assert told.fact["user"]["groups"][:100] == ["staff"] * 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(make_session()["spec"])), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"metadata": JSON, "spec": JSON, "status": JSON}), JSON)
def test_no_object_makes_it_raise(raw: Message, part: Any) -> None:
    """Whatever stands where something else was meant."""
    has_ended(raw)
    read_announcement(raw)
    for field in ("user", "request", "pod", "container", "kind"):
        read_announcement(make_session(**{field: part}))
