"""What the control socket takes and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.control.messages import (
    LENGTH_SIZE,
    MESSAGE_LIMIT,
    Decoder,
    MessageError,
    check_request,
    encode_message,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ["version", "number", "kind", "slot", "settings", "cgroup_id", "container", "events", "seconds", "position"]


def request(kind: str, **fields: Any) -> dict[str, Any]:
    return {"version": 1, "number": 7, "kind": kind, **fields}


@given(st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=3), max_size=4), st.integers(1, 9))
def test_decoder_gives_back_what_was_encoded(messages: list[dict[str, Any]], size: int) -> None:
    """Messages come out as they went in, however the stream is cut."""
    stream = b"".join(encode_message(message) for message in messages)
    decoder, found = Decoder(), []
    for at in range(0, len(stream), size):
        decoder.feed(stream[at : at + size])
        while (message := decoder.next()) is not None:
            found.append(message)
    assert found == messages


def test_announced_length_is_bounded() -> None:
    """A message longer than the limit is refused by its length, before it arrives."""
    decoder = Decoder()
    decoder.feed((MESSAGE_LIMIT + 1).to_bytes(LENGTH_SIZE, "big"))
    with pytest.raises(MessageError, match="at most"):
        decoder.next()


@pytest.mark.parametrize("payload", [b"{", b"[]", b"1", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    """Only JSON objects are messages."""
    decoder = Decoder()
    decoder.feed(len(payload).to_bytes(LENGTH_SIZE, "big") + payload)
    with pytest.raises(MessageError):
        decoder.next()


@pytest.mark.parametrize(
    "message",
    [
        request("hello", name="exporter"),
        request("configure", slot=0, settings=None),
        request(
            "configure",
            slot=62,
            settings={"events": ["exec"], "ports": [{"first": 1, "last": 1, "verdict": "include"}]},
        ),
        request("configure", slot=1, settings={"ends": []}),
        request("configure", slot=1, settings={"ends": ["Exec", "Debug"]}),
        request("select", cgroup_id=1, slot=0, session_kind="Container", container={"path": "/a"}),
        request("exclude", cgroup_id=2**63),
        request("exclude", cgroup_id=1, outside=True),
        request("logins", slot=62),
        request("logins", slot=None),
        request("pending", events=[], seconds=0, bytes=0),
        request("ignore", tgid=1),
        request("fact", subject="pod", data={"name": "a"}),
        request("acknowledge", position="1:64", checkpoint=None),
        request("flush"),
        request("health"),
        request("stop", unpin=True),
    ],
    ids=lambda message: message["kind"],
)
def test_requests_of_the_contract_are_taken(message: dict[str, Any]) -> None:
    """Every kind that docs/control.md names is known."""
    assert check_request(message) == (7, message["kind"])


@pytest.mark.parametrize(
    ("message", "about"),
    [
        ({"number": 1, "kind": "flush"}, "version"),
        ({"version": 2, "number": 1, "kind": "flush"}, "version"),
        ({"version": 1, "kind": "flush"}, "number"),
        ({"version": 1, "number": True, "kind": "flush"}, "number"),
        (request("sing"), "kind"),
        (request("hello", name=""), "name"),
        (request("configure", slot=63, settings=None), "slot"),
        (request("configure", slot=0, settings={"events": ["sneeze"]}), "events"),
        (request("configure", slot=0, settings={"paths": [{"prefix": "etc", "verdict": "include"}]}), "prefix"),
        (request("configure", slot=0, settings={"paths": [{"prefix": "/etc", "verdict": "maybe"}]}), "verdict"),
        (request("configure", slot=0, settings={"ports": [{"first": 2, "last": 1, "verdict": "include"}]}), "first"),
        (
            request("configure", slot=0, settings={"ports": [{"first": 1, "last": 1, "verdict": "include"}] * 17}),
            "ports",
        ),
        (request("configure", slot=0, settings={"rate_limit": -1}), "rate_limit"),
        (request("configure", slot=0, settings={"ends": ["Container"]}), "ends"),
        (request("configure", slot=0, settings={"ends": "Exec"}), "ends"),
        (request("exclude", cgroup_id=1, outside=1), "outside"),
        (request("logins", slot=63), "slot"),
        (request("configure", slot=0, settings={"kinds": []}), "kinds"),
        (request("configure", slot=0, settings={"kinds": {"Exec": 7}}), "kinds"),
        (request("configure", slot=0, settings={"kinds": {"Exec": {"kinds": {}}}}), "kinds"),
        (request("configure", slot=0, settings={"kinds": {"Exec": {"events": ["sneeze"]}}}), "events"),
        (request("select", cgroup_id=0, slot=0, session_kind="Command", container={"path": "/"}), "cgroup_id"),
        (request("select", cgroup_id=1, slot=0, session_kind="Command", container={}), "path"),
        (request("pending", events=["exec"], seconds=61, bytes=1), "seconds"),
        (request("fact", subject="pod"), "data"),
        (request("acknowledge", position="1:64", checkpoint=[]), "checkpoint"),
        (request("stop", unpin="yes"), "unpin"),
    ],
)
def test_requests_outside_the_contract_name_the_field(message: dict[str, Any], about: str) -> None:
    """What is refused says which field is wrong."""
    with pytest.raises(MessageError, match=about):
        check_request(message)


@given(
    st.fixed_dictionaries({"version": st.just(1), "number": st.just(1)}, optional={"kind": json_values})
    | st.dictionaries(st.sampled_from(FIELDS), json_values)
)
def test_no_object_breaks_the_check(message: dict[str, Any]) -> None:
    """Whatever JSON comes: taken or refused with a ValueError, nothing else."""
    try:
        check_request(message)
    except ValueError:
        pass
