"""The judge of the rounds finds each sort of wrong name: a test that could not fail would prove nothing."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.rounds import find_word
from fixtures.verdicts import Record, judge, judge_objects

ALICES, BOBS = "round-10000", "round-10001"
PEOPLE = {ALICES: "alice", BOBS: "bob"}
IDENTIFIED = {"podcorder.identity": "Identified", "user.name": "alice"}


def make_event(session: str = "one", word: str = ALICES, **attributes: Any) -> Record:
    """An exec with a word."""
    known = {"event": "podcorder.process.exec", "time": 1, "podcorder.session.kind": "Exec"}
    known |= {"podcorder.session.id": session, "process.command_args": ["/bin/echo", word]}
    return known | {name.replace("_", "."): value for name, value in attributes.items()}


def test_the_right_name_is_lawful() -> None:
    """So is an honest word where nobody is sure; events without a word are those of their session."""
    events = [
        make_event() | IDENTIFIED,
        make_event() | IDENTIFIED | {"process.command_args": ["sh"]},
        make_event("two", BOBS) | {"podcorder.identity": "Pending"},
        make_event("two", BOBS)
        | {"podcorder.identity": "Ambiguous", "podcorder.session.candidates": ["alice", "bob"], "time": 2},
    ]
    verdict = judge(events, find_word, PEOPLE)
    assert verdict.faults == []
    assert verdict.identities == {ALICES: ["Identified"], BOBS: ["Ambiguous"]}
    assert verdict.events == {"Identified": 2, "Pending": 1, "Ambiguous": 1}


@pytest.mark.parametrize(
    "said",
    [
        IDENTIFIED | {"user.name": "bob"},
        {"podcorder.identity": "Pending", "user.name": "bob"},
        {"podcorder.identity": "Identified"},
        {"podcorder.identity": "Ambiguous", "podcorder.session.candidates": ["bob", "carol"]},
        {"podcorder.identity": "Ambiguous"},
        {"podcorder.identity": "Ambiguous", "podcorder.session.candidates": ["alice", "bob"], "user.name": "alice"},
        {"podcorder.identity": "Unannounced"},
        {"user.name": "alice"},
        {},
    ],
)
def test_each_sort_of_wrong_word_is_found(said: Record) -> None:
    """On any event of a session, with the word or without it."""
    events = [make_event() | IDENTIFIED, make_event() | {"process.command_args": ["ls"]} | said]
    assert len(judge(events, find_word, PEOPLE).faults) == 1


def test_sessions_that_run_into_each_other_are_found() -> None:
    """What two people did is no one session."""
    both = [make_event("one", ALICES) | IDENTIFIED, make_event("one", BOBS) | IDENTIFIED]
    assert len(judge(both, find_word, PEOPLE).faults) == 1


def test_the_last_word_on_a_session_counts() -> None:
    """What was pending, and what somebody contests later, is said by an event of its own."""
    later = make_event() | {"event": "podcorder.session.identified", "time": 9} | IDENTIFIED
    pending = make_event(time=10) | {"podcorder.identity": "Pending"}
    assert judge([later, pending], find_word, PEOPLE).identities == {ALICES: ["Identified"]}


def test_a_record_of_somebody_elses_session_is_found() -> None:
    """Unless it says that it is not sure."""
    verdict = judge([make_event() | IDENTIFIED], find_word, PEOPLE)
    record: dict[str, Any] = {
        "metadata": {"name": "exec-1"},
        "spec": {"user": {"username": "alice"}},
        "status": {"sessionID": "one", "confidence": "Identified"},
    }
    assert judge_objects([record], verdict, PEOPLE) == []
    record["spec"]["user"]["username"] = "bob"
    assert len(judge_objects([record], verdict, PEOPLE)) == 1
    record["status"]["confidence"] = "Ambiguous"
    assert judge_objects([record], verdict, PEOPLE) == []
