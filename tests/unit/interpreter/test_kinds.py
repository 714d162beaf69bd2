"""Each kind of session gets what its policies ask for, and the rest is withheld and counted."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from fixtures.journals import SECOND, record_cgroup, record_exec, record_exit, record_fork, record_network, record_open

from podcorder_agent.classes import CLASS_NAMES, EVENT_CLASSES
from podcorder_agent.control.messages import MESSAGE_LIMIT, encode_message
from podcorder_agent.interpreter import Event, events
from podcorder_agent.interpreter.subjects import SessionKind
from podcorder_agent.journal import FrameKind

PENDING, PARTIAL, ENTERING, OWN = 1 << 3, 1 << 6, 1 << 8, 1 << 9
ALL = {"events": list(EVENT_CLASSES)}
SCRIPT = 1 << 3


def configure(feed: Any, kinds: dict[str, Any], **settings: Any) -> None:
    feed.request("configure", slot=1, settings={**ALL, "kinds": kinds, **settings})


def begin(feed: Any, **container: Any) -> None:
    """A container whose own session is there already."""
    feed.lifecycle(record_cgroup, id=4242)
    feed.select(slot=1, container={"path": "/c", **container})
    feed.record(record_exec, b"init", slot=1, flags=OWN)


def enter(feed: Any, *argv: bytes, pid: int = 2000, **fields: Any) -> list[Event]:
    """Somebody begins a session from outside."""
    found: list[Event] = feed.record(record_exec, *argv, **{**place(pid), **fields})
    return found


def place(pid: int = 2000) -> dict[str, int]:
    return {"slot": 1, "tgid": pid, "session_root": pid, "session_start": 60 * SECOND, "process_start": 60 * SECOND}


def withheld(feed: Any) -> dict[str, int]:
    return {name: count for name, count in zip(CLASS_NAMES, feed.interpreter.withheld, strict=True) if count}


def test_a_kind_that_nobody_asks_for_is_withheld(feed: Any) -> None:
    """Its events, its start and its end; those of the others are not touched."""
    configure(feed, {"Exec": ALL})
    begin(feed)
    feed.record(record_open, slot=1)
    enter(feed, b"sh")
    feed.record(record_exit, **place())
    feed.record(record_exit, slot=1)
    assert [type(each) for each in feed.events] == [
        events.ContainerStart,
        events.SessionStart,
        events.ProcessExec,
        events.ProcessExit,
        events.SessionEnd,
    ]
    assert {each.process.session.kind for each in feed.events if each.process} == {SessionKind.EXEC}
    assert withheld(feed) == {"exec": 1, "open": 1, "exit": 1}


def test_each_kind_has_filters_of_its_own(feed: Any) -> None:
    """Of what the slot records each kind gets what it asks for."""
    paths = [{"prefix": "/etc/", "verdict": "include"}]
    configure(feed, {"Container": {"events": ["open"], "paths": paths}, "Exec": {"events": ["exec", "connect"]}})
    begin(feed)
    enter(feed, b"sh")
    for fields in ({"slot": 1}, place()):
        feed.record(record_open, b"/etc/passwd", **fields)
        feed.record(record_open, b"/var/log", **fields)
        feed.record(record_network, **fields)
    found = [(type(each), each.process.session.kind) for each in feed.events if each.RECORD is not None]
    assert found == [
        (events.ProcessExec, SessionKind.EXEC),
        (events.FileOpen, SessionKind.CONTAINER),
        (events.NetworkConnect, SessionKind.EXEC),
    ]
    assert withheld(feed) == {"exec": 1, "open": 3, "connect": 1}


def test_a_slot_without_kinds_tells_none_apart(feed: Any) -> None:
    """As `podcorder record` configures it."""
    feed.request("configure", slot=1, settings=ALL)
    begin(feed)
    enter(feed, b"sh")
    assert len(feed.all(events.ProcessExec)) == 2
    assert withheld(feed) == {}


def test_what_was_held_is_filtered_by_kind_as_well(feed: Any) -> None:
    """A new container's own session is withheld where only its execs are asked for."""
    configure(feed, {"Exec": ALL}, own_session=False)
    feed.lifecycle(record_cgroup, id=4242)
    feed.record(record_exec, b"init", flags=PENDING | OWN)
    feed.record(record_exec, b"sh", **{**place(), "flags": PENDING})
    found = feed.select(slot=1)
    assert [type(each) for each in found] == [events.ContainerStart, events.SessionStart, events.ProcessExec]
    assert found[-1].process.session.kind is SessionKind.EXEC
    assert withheld(feed) == {"exec": 1}


def test_an_ephemeral_container_is_a_debug_session(feed: Any) -> None:
    """What it was started with; who enters it later is an exec."""
    configure(feed, {"Debug": ALL})
    feed.lifecycle(record_cgroup, id=4242)
    feed.select(kind="Debug", slot=1)
    feed.record(record_exec, b"sh", slot=1, flags=OWN)
    enter(feed, b"ps")
    assert [each.process.session.kind for each in feed.all(events.ProcessExec)] == [SessionKind.DEBUG]
    assert withheld(feed) == {"exec": 1}


PROBES = [["cat", "/ready"], ["check.sh", "--fast", ""], ["/bin/sh", "-c", "true"]]


@pytest.mark.parametrize(
    ("argv", "fields", "kind"),
    [
        ((b"cat", b"/ready"), {}, SessionKind.PROBE),
        ((b"/bin/sh", b"-c", b"true"), {}, SessionKind.PROBE),
        ((b"cat", b"/read"), {}, SessionKind.EXEC),
        ((b"cat", b"/ready", b""), {}, SessionKind.EXEC),
        ((b"cat",), {}, SessionKind.EXEC),
        ((b"/bin/sh", b"-c", b"true"), {"tty": 1 << 20}, SessionKind.EXEC),
        ((b"/bin/sh", b"-c"), {"argv_total": 16}, SessionKind.PROBE),
        ((b"/bin/sh", b"-c"), {"argv_total": 17}, SessionKind.EXEC),
        (
            (b"/bin/sh", b"/bin/check.sh", b"--fast", b""),
            {"filename": b"/bin/check.sh", "interpreter": b"/bin/sh", "exec_flags": SCRIPT},
            SessionKind.PROBE,
        ),
        (
            (b"/bin/sh", b"-e", b"/bin/check.sh", b"--fast", b""),
            {"filename": b"/bin/check.sh", "interpreter": b"/bin/sh", "exec_flags": SCRIPT},
            SessionKind.PROBE,
        ),
        (
            (b"/bin/sh", b"/bin/check.sh", b"--slow", b""),
            {"filename": b"/bin/check.sh", "interpreter": b"/bin/sh", "exec_flags": SCRIPT},
            SessionKind.EXEC,
        ),
        (
            (b"/bin/sh", b"/bin/check.sh", b"/bin/check.sh", b"--fast", b""),
            {"filename": b"/bin/check.sh", "interpreter": b"/bin/sh", "exec_flags": SCRIPT},
            SessionKind.EXEC,
        ),
        (
            (b"/bin/sh", b"/bin/other.sh", b"--fast", b""),
            {"filename": b"/bin/other.sh", "interpreter": b"/bin/sh", "exec_flags": SCRIPT},
            SessionKind.EXEC,
        ),
    ],
)
def test_what_the_kubelet_runs_is_a_probe(
    feed: Any, argv: tuple[bytes, ...], fields: dict[str, Any], kind: SessionKind
) -> None:
    """Word for word as the pod's spec has it, and without a terminal; whatever else is begun from outside is an exec.
    The kind is known before the session's start is told."""
    begin(feed, probes=PROBES)
    found = enter(feed, *argv, **fields)
    assert [type(each) for each in found] == [events.SessionStart, events.ProcessExec]
    assert found[0].process is not None
    assert found[0].process.session.kind is kind


def test_a_probe_is_known_though_its_secret_is_redacted(feed: Any) -> None:
    """The command is compared as it was run, not as it is exported."""
    begin(feed, probes=[["app", "--token=abc"]])
    *_, execution = enter(feed, b"app", b"--token=abc")
    assert execution.process is not None
    assert execution.process.session.kind is SessionKind.PROBE
    assert isinstance(execution, events.ProcessExec)
    assert execution.arguments == [b"app", b"--token=[redacted]"]


def test_a_session_whose_first_exec_was_lost_is_an_exec(feed: Any) -> None:
    """Nobody can know that it was a probe: it is recorded, and its start is told."""
    configure(feed, {"Exec": ALL})
    begin(feed, probes=PROBES)
    found = feed.record(record_open, **place())
    assert [type(each) for each in found] == [events.SessionStart, events.FileOpen]
    enter(feed, b"cat", b"/ready")
    assert {each.process.session.kind for each in feed.all(events.ProcessExec)} == {SessionKind.EXEC}


def test_a_nodes_probes_fit_into_a_checkpoint(feed: Any) -> None:
    """However long pods' authors make them, of a hundred containers: what is too long is not kept."""
    word = "\N{LATIN SMALL LETTER E WITH ACUTE}" * 1000
    for number in range(100):
        probes = [["short"], [f"{number}", *[word] * 3], [f"{number}", *[word] * 30]]
        feed.select(number + 1, container={"path": "/c", "probes": probes})
    saved = feed.interpreter.snapshot()
    assert len(encode_message({"checkpoint": saved})) < MESSAGE_LIMIT
    assert all("short\0" in each[3] for each in saved["selections"]["chosen"])


def test_a_child_that_runs_what_the_kubelet_runs_makes_no_probe(feed: Any) -> None:
    """Only the first program of a session's root decides."""
    begin(feed, probes=PROBES)
    enter(feed, b"sh")
    feed.record(record_fork, child_tgid=2001, child_start=61 * SECOND, **place())
    *_, execution = feed.record(
        record_exec, b"cat", b"/ready", **{**place(), "tgid": 2001, "process_start": 61 * SECOND}
    )
    assert execution.process.session.kind is SessionKind.EXEC


def test_a_runtimes_work_is_of_no_kind_that_policies_name(feed: Any) -> None:
    """What happens before the first exec inside is withheld with the others that nobody asked for."""
    configure(feed, {"Exec": ALL, "Container": ALL})
    begin(feed)
    feed.record(record_open, **{**place(), "flags": ENTERING})
    assert withheld(feed) == {"open": 1}


def test_a_kind_that_is_asked_for_later_begins_as_a_partial_session(feed: Any) -> None:
    """Every session that is told of has a start, and one end."""
    configure(feed, {"Exec": ALL})
    begin(feed)
    feed.record(record_fork, child_tgid=1001, child_start=70 * SECOND, slot=1)
    configure(feed, {"Container": ALL})
    child = {"slot": 1, "tgid": 1001, "process_start": 70 * SECOND}
    started, opened = feed.record(record_open, **child)
    assert isinstance(started, events.SessionStart)
    assert (started.flags, started.process.tgid, opened.process.tgid) == (["partial"], 1000, 1001)
    assert len(feed.record(record_open, **child)) == 1
    feed.record(record_exit, **child)
    configure(feed, {"Exec": ALL})
    (ended,) = feed.record(record_exit, slot=1)
    assert isinstance(ended, events.SessionEnd)
    assert ended.process.session is started.process.session


def test_an_excluded_container_is_told_of_no_more(feed: Any) -> None:
    """Records that come late are withheld; selected again, its sessions are what they were."""
    configure(feed, {"Container": ALL, "Exec": ALL})
    begin(feed)
    enter(feed, b"sh")
    assert [type(each) for each in feed.request("exclude", cgroup_id=4242)] == [events.ContainerEnd]
    assert feed.record(record_open, slot=1) == []
    assert enter(feed, b"ps", pid=3000) == []
    assert withheld(feed) == {"open": 1, "exec": 1}
    assert [type(each) for each in feed.select(slot=1)] == [events.ContainerStart]
    assert [each.process.session.kind for each in feed.record(record_open, slot=1)] == [SessionKind.CONTAINER]
    *_, execution = enter(feed, b"id", pid=4000)
    assert execution.process is not None
    assert execution.process.session.kind is SessionKind.EXEC


def test_sessions_of_an_excluded_container_end_with_it(feed: Any) -> None:
    """Nothing is left of them, and those that were told of have an end."""
    configure(feed, {"Exec": ALL})
    begin(feed)
    enter(feed, b"sh")
    feed.request("exclude", cgroup_id=4242)
    feed.lifecycle(record_cgroup, id=4242, removed=True)
    feed.time += 2 * SECOND
    (ended,) = feed.count()
    assert isinstance(ended, events.SessionEnd)
    assert ended.process.session.kind is SessionKind.EXEC
    assert feed.interpreter.sessions.trees == {}


def test_a_kinds_redaction_is_its_own(feed: Any) -> None:
    """What one policy asks for another kind takes nothing out of this one."""
    plain = {**ALL, "redaction": {"defaults": False, "patterns": []}}
    configure(feed, {"Container": plain, "Exec": {**ALL, "redaction": {"defaults": True, "patterns": []}}})
    begin(feed)
    *_, own = feed.record(record_exec, b"app", b"--token=x", slot=1)
    *_, entered = enter(feed, b"app", b"--token=x")
    assert own.arguments == [b"app", b"--token=x"]
    assert isinstance(entered, events.ProcessExec)
    assert entered.arguments == [b"app", b"--token=[redacted]"]


def test_routing_labels_go_with_the_sessions_they_are_for(feed: Any) -> None:
    """Each kind carries those of its own policies, and new ones as soon as they are configured."""
    configure(feed, {"Container": ALL, "Exec": {**ALL, "labels": ["audit", "pci"]}})
    begin(feed)
    *_, entered = enter(feed, b"sh")
    assert entered.process is not None
    assert events.attributes(entered)["podcorder.routing.labels"] == ["audit", "pci"]
    assert "podcorder.routing.labels" not in events.attributes(feed.all(events.ProcessExec)[0])
    entered.process.encoded = b"stale"
    configure(feed, {"Exec": {**ALL, "labels": ["pci"]}})
    (opened,) = feed.record(record_open, **place())
    assert opened.process.session.labels == ["pci"]
    assert opened.process.encoded is None


def test_settings_of_kinds_that_do_not_fit_are_left_out(feed: Any) -> None:
    """As those of a slot."""
    configure(feed, {"Exec": 7, "Nonsense": ALL, "Container": {"events": ["open", 7], "labels": "x"}})
    begin(feed)
    feed.record(record_open, slot=1)
    assert len(feed.all(events.FileOpen)) == 1
    configure(feed, "nonsense")  # type: ignore[arg-type]
    feed.record(record_exec, b"app", slot=1)
    assert len(feed.all(events.ProcessExec)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_what_was_recorded_is_delivered_withheld_or_lost(feed: Any, seed: int) -> None:
    """By class, whatever is selected, excluded, held and configured in between."""
    chance = random.Random(seed)
    makers = (record_open, record_exec, record_exit, record_network)
    recorded: Counter[str] = Counter()
    for _ in range(200):
        draw = chance.random()
        cgroup_id = chance.randrange(1, 4)
        if draw < 0.7:
            make = chance.choice(makers)
            pid = chance.randrange(100, 104)
            flags = chance.choice((0, OWN, PENDING, PARTIAL, ENTERING))
            payload = make(
                sequence=next(feed.sequences),
                **{**place(pid), "container_id": cgroup_id, "flags": flags, "slot": chance.randrange(2)},
            )
            recorded[CLASS_NAMES[payload[1]]] += 1
            feed.records(b"\x09" + payload[1:] if chance.random() < 0.05 else payload)
        elif draw < 0.8:
            feed.select(cgroup_id, slot=chance.randrange(2), container={"path": "/c", "probes": [["x"]]})
        elif draw < 0.9:
            feed.request("exclude", cgroup_id=cgroup_id)
        else:
            kinds = {each: {"events": chance.sample(EVENT_CLASSES, 6)} for each in chance.sample(list(SessionKind), 3)}
            configure(feed, kinds)
    feed.time += 61 * SECOND
    feed.told(FrameKind.COUNTERS, {"generated": [0], "lost": [[0]], "skipped": [0]})
    delivered = Counter(CLASS_NAMES[each.RECORD] for each in feed.events if each.RECORD is not None)
    lost: Counter[str] = Counter()
    for gap in feed.all(events.RecordingGap):
        lost[gap.record_class] += gap.count
    assert delivered + lost + Counter(withheld(feed)) == recorded
