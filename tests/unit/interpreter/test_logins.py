"""Logins on the node, which stand in a container's place."""

from __future__ import annotations

from typing import Any

from fixtures.journals import SECOND, record_exec, record_exit, record_fork, record_open

from podcorder_agent.interpreter import Interpreter, events
from podcorder_agent.interpreter.subjects import Identity, SessionKind

SESSIONLESS, DOUBTED = 1 << 7, 1 << 10
HOSTS, OTHERS = {"policy": "hosts"}, {"policy": "hosts, others"}


def login(uid: int, audit_session: int) -> int:
    """What stands for it."""
    return 1 << 63 | uid << 31 | audit_session


def test_a_login_is_of_its_login_uid(feed: Any) -> None:
    """Whichever user its process is; a cgroup may hold several, and none of it is a container."""
    feed.request("configure", slot=62, settings=HOSTS)
    feed.record(record_exec, b"sh", container_id=login(1000, 7), uid=0, slot=62)
    feed.record(record_open, container_id=login(2000000000, 8), tgid=7, session_root=7, slot=62)
    first, second = map(events.attributes, feed.all(events.SessionStart))
    assert (first["user.id"], first["user.name"], first["podcorder.identity"]) == ("1000", "1000", "Identified")
    assert second["user.id"] == "2000000000"
    assert {first["podcorder.session.kind"], second["podcorder.session.kind"]} == {SessionKind.HOST}
    assert first["podcorder.policy"] == "hosts"
    assert not [name for name in first if name.startswith(("container.", "k8s."))]
    assert not feed.all(events.ContainerStart)


def test_a_login_in_doubt_names_its_user_as_a_candidate_alone(feed: Any) -> None:
    """The kernel half has seen that somebody else's process began it."""
    feed.record(record_exec, b"sh", container_id=login(1000, 7), flags=DOUBTED)
    begun = events.attributes(feed.all(events.SessionStart)[0])
    assert (begun["podcorder.identity"], begun["podcorder.session.candidates"]) == ("Ambiguous", ["1000"])
    assert begun.keys().isdisjoint({"user.id", "user.name"})


def test_without_a_session_nobody_is_named(feed: Any) -> None:
    """Where the kernel's map was full nothing tells whose it is: least of all is it root's."""
    feed.record(record_exec, b"sh", container_id=1 << 63, flags=SESSIONLESS)
    begun = events.attributes(feed.all(events.SessionStart)[0])
    assert begun.keys().isdisjoint({"user.id", "user.name", "podcorder.identity"})


def test_a_login_ends_with_its_last_process(feed: Any) -> None:
    """The first one seen is its root, which may be older than the login."""
    place = login(1000, 7)
    feed.record(record_exec, b"sh", container_id=place, process_start=40 * SECOND)
    feed.record(record_fork, container_id=place, process_start=40 * SECOND, child_tgid=1001, child_start=70 * SECOND)
    feed.record(record_exit, container_id=place, process_start=40 * SECOND, exit_code=3 << 8)
    assert feed.all(events.SessionEnd) == []
    child = {"tgid": 1001, "process_start": 70 * SECOND}
    *_, ended = feed.record(record_exit, container_id=place, time=90 * SECOND, **child)
    assert (ended.code, ended.duration) == (3, 40 * SECOND)
    assert feed.interpreter.sessions.trees == {}


def test_a_login_follows_its_slot_and_a_snapshot_keeps_it(feed: Any) -> None:
    """No selection holds it, so that any number of logins leaves those of containers alone."""
    place = login(1000, 7)
    feed.request("configure", slot=62, settings=HOSTS)
    feed.record(record_exec, b"sh", container_id=place, slot=62)
    feed.request("configure", slot=62, settings=OTHERS)
    feed.record(record_open, container_id=place, slot=62)
    assert events.attributes(feed.all(events.FileOpen)[0])["podcorder.policy"] == "hosts, others"
    assert not feed.interpreter.selections.chosen
    (kept,) = Interpreter.restore(feed.interpreter.snapshot()).sessions.processes.values()
    assert (kept.session.user_id, kept.session.identity) == ("1000", "Identified")


def test_a_login_is_reported_with_its_user(feed: Any) -> None:
    """Whether or not sessions are announced, in doubt as ambiguous, and with what was delivered of it."""
    feed.record(record_exec, b"sh", container_id=login(1000, 7))
    feed.record(record_exec, b"sh", container_id=login(1001, 8), tgid=7, session_root=7, flags=DOUBTED)
    first, second = feed.interpreter.take_reports()
    assert (first.kind, first.identity, first.login) == (SessionKind.HOST, Identity.IDENTIFIED, (1000, 7))
    assert (second.identity, second.login) == (Identity.AMBIGUOUS, (1001, 8))
    assert first.counts == (("exec", 1),)
    assert first.record is None
    assert first.pod is None
