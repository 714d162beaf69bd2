"""What a session's report makes of its record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from podcorder_agent.cluster.announcements import read_announcement
from podcorder_agent.cluster.records import (
    Stored,
    digest_status,
    key_of,
    make_end,
    make_fact_status,
    make_record,
    make_status,
    read_stored,
)
from podcorder_agent.interpreter.session_reports import Loss, SessionReport
from podcorder_agent.interpreter.subjects import Identity, Pod, SessionKind
from podcorder_crds.sessions import RecordedSessionSpec, RecordedSessionStatus

SECOND = 10**9
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RECORD = ("shop", "exec-a")
SESSION = "5e" * 16
STORED = Stored("uid", 3)
REPORT = SessionReport(
    SESSION,
    RECORD,
    (),
    SessionKind.EXEC,
    Identity.IDENTIFIED,
    Pod(namespace="shop", name="web", uid="pod", container="main"),
    4711,
    "/bin/sh",
    start=1_700_000_000 * SECOND + 5000,
)
ENDED = replace(REPORT, end=1_700_000_001 * SECOND, exit_code=3, counts=(("exec", 2), ("exec_failed", 0)))
NEVER = replace(REPORT, session_id=None, root_pid=None, executable=None, start=None)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def check(status: dict[str, Any]) -> RecordedSessionStatus:
    return RecordedSessionStatus.model_validate({name: each for name, each in status.items() if each is not None})


def test_a_session_that_runs_and_one_that_has_ended() -> None:
    """Times, the root, what it returned and what was recorded, as the contract has them."""
    running = check(make_status(REPORT, STORED, NOW))
    assert (running.session_id, running.end_time, running.exit_code) == (SESSION, None, None)
    assert running.start_time == datetime(2023, 11, 14, 22, 13, 20, 5, tzinfo=UTC)
    assert running.root_process is not None
    assert (running.root_process.pid, running.root_process.executable) == (4711, "/bin/sh")
    assert running.confidence == "Certain"
    ended = check(make_status(ENDED, STORED, NOW))
    assert (ended.exit_code, [(each.event_class, each.count) for each in ended.counts]) == (3, [("Exec", 2)])
    assert {each.observed_generation for each in ended.conditions} == {3}


@pytest.mark.parametrize(
    ("report", "started", "ended", "complete"),
    [
        (REPORT, ("True", "Observed"), ("False", "Running"), ("False", "Running")),
        (ENDED, ("True", "Observed"), ("True", "Exited"), ("True", "Recorded")),
        (NEVER, ("False", "NeverStarted"), ("True", "NeverStarted"), ("False", "NeverStarted")),
        (
            replace(REPORT, failure="ENOENT"),
            ("False", "CommandFailed"),
            ("True", "NeverStarted"),
            ("True", "Recorded"),
        ),
        (replace(ENDED, partial=True), ("True", "Observed"), ("True", "Exited"), ("False", "Partial")),
        (
            replace(ENDED, losses=(Loss("open", 1, 0, 1),)),
            ("True", "Observed"),
            ("True", "Exited"),
            ("False", "EventsLost"),
        ),
    ],
)
def test_conditions_say_what_became_of_it(
    report: SessionReport, started: tuple[str, str], ended: tuple[str, str], complete: tuple[str, str]
) -> None:
    """Whether it began, whether it has ended, whether all of it was recorded; each with its reason."""
    status = make_status(report, STORED, NOW)
    check(status)
    assert conditions(status) == {"Started": started, "Ended": ended, "Complete": complete}


def test_losses_are_one_gap_for_each_class() -> None:
    """From the first to the last; without a count as soon as nobody knows one."""
    losses = (Loss("open", 1, SECOND, 2 * SECOND), Loss("open", 2, 3 * SECOND, 4 * SECOND), Loss("exit", None, 0, 1))
    found = check(make_status(replace(ENDED, losses=(*losses, Loss("exit", 1, 0, 1))), STORED, NOW)).gaps
    assert [(each.event_class, each.count) for each in found] == [("Exit", None), ("Open", 3)]
    assert (found[1].first_time.timestamp(), found[1].last_time.timestamp()) == (1, 4)


def test_one_of_several_is_ambiguous() -> None:
    """With their names; of several of one user too, for it is as unknown which of the requests it was."""
    several = (("shop", "exec-b"), ("shop", "exec-a"))
    for identity in (Identity.AMBIGUOUS, Identity.IDENTIFIED):
        found = check(make_status(replace(REPORT, record=None, candidates=several, identity=identity), STORED, NOW))
        assert (found.confidence, found.candidates) == ("Ambiguous", ("exec-a", "exec-b"))


def test_a_condition_that_stays_keeps_its_time() -> None:
    """And a status that says the same has the same digest, with what the API server leaves out."""
    first = make_status(REPORT, STORED, NOW)
    raw = {"metadata": {"uid": "uid", "generation": 3}, "status": {key: each for key, each in first.items() if each}}
    stored = read_stored(raw)
    later = NOW.replace(hour=13)
    assert digest_status(make_status(REPORT, stored, later)) == stored.digest
    times = {each["type"]: each["lastTransitionTime"] for each in make_status(ENDED, stored, later)["conditions"]}
    assert times["Started"] == "2026-11-23T12:00:00Z"
    assert times["Ended"] == times["Complete"] == "2026-11-23T13:00:00Z"


def test_a_session_that_had_begun_has_not_never_started() -> None:
    """The node was started anew meanwhile: what was written stays, and nobody can tell of the end."""
    stored = replace(STORED, conditions={"Started": ("True", "2026-11-23T11:00:00Z")})
    status = make_status(NEVER, stored, NOW)
    assert status.keys() == {"conditions"}
    assert conditions(status)["Started"][0] == "True"
    assert conditions(status)["Ended"] == conditions(status)["Complete"] == ("Unknown", "RecordingEnded")
    check(status)


def test_what_is_no_text_is_still_told() -> None:
    """A path with bytes that are part of no character is stored as JSON can have it."""
    root = make_status(replace(REPORT, executable="/bin/\udcff" + "x" * 2000), STORED, NOW)["rootProcess"]
    assert root["executable"].startswith("/bin/\N{REPLACEMENT CHARACTER}x")
    assert len(root["executable"]) == 1024


def test_records_of_what_nobody_asked_for() -> None:
    """Of sessions in pods where the pod is, of logins in Podcorder's own namespace; what may still be announced, or is
    one of several, has none of its own."""
    unannounced = replace(REPORT, record=None, identity=Identity.UNANNOUNCED)
    login = replace(unannounced, kind=SessionKind.HOST, identity=Identity.IDENTIFIED, pod=None)
    debug = replace(unannounced, kind=SessionKind.DEBUG)
    assert key_of(unannounced, "podcorder") == ("shop", f"unannounced-{SESSION}")
    assert key_of(login, "podcorder") == ("podcorder", f"host-{SESSION}")
    assert key_of(REPORT, "podcorder") == key_of(NEVER, "podcorder") == RECORD
    assert key_of(replace(unannounced, identity=Identity.PENDING), "podcorder") is None
    assert key_of(replace(NEVER, record=None), "podcorder") is None
    specs = [make_record(("n", "r"), each, "node-1", "Node")["spec"] for each in (unannounced, login, debug)]
    assert [RecordedSessionSpec.model_validate(each).origin for each in specs] == ["Unannounced", "Host", "Unannounced"]
    assert [each.get("target") for each in specs] == [None, None, "Node"]
    assert specs[0]["container"] == "main"


def test_a_login_is_told_as_the_kernel_has_it() -> None:
    """Who it is of stands in the status, since no agent writes who asked for a session; of others nothing does."""
    login = replace(REPORT, record=None, kind=SessionKind.HOST, pod=None, login=(2**32 - 2, 7))
    told = check(make_status(login, STORED, NOW)).login
    assert told is not None
    assert (told.uid, told.audit_session) == (2**32 - 2, 7)
    assert check(make_status(REPORT, STORED, NOW)).login is None


def test_of_what_begins_no_process_nobody_can_tell_the_end() -> None:
    """That it was asked for is all; of what begins processes their recording tells."""
    for kind, told in (("Attach", True), ("PortForward", True), ("NodeProxy", True), ("Exec", False), ("Debug", False)):
        metadata = {"namespace": "shop", "name": "a", "uid": "uid"}
        announcement = read_announcement({"metadata": metadata, "spec": {"kind": kind, "origin": "Announced"}})
        assert announcement is not None
        status = make_fact_status(announcement, STORED, NOW)
        assert (status is not None) is told
        if status is not None:
            assert conditions(check(status).model_dump()) == dict.fromkeys(
                ("Started", "Ended", "Complete"), ("Unknown", "NotFollowed")
            )


def test_a_record_made_too_early_names_the_one_that_goes_on() -> None:
    """Its end is unknown, and its message says where to look."""
    status = make_end(STORED, RECORD, NOW)
    check(status)
    assert conditions(status)["Ended"] == ("Unknown", "AnnouncedLate")
    assert "exec-a" in status["conditions"][1]["message"]
