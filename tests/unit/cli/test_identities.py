"""Whose sessions are, as the command line tells it of rows that came before and after it was known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podcorder_agent.cli import main, tables, trees
from podcorder_agent.cli.rows import Row, Value
from podcorder_agent.cli.terminals import Style
from podcorder_agent.cli.timelines import Timeline

SECOND = 10**9
EXEC, OTHER = "5f0c" * 8, "a1b2" * 8
ALICE: dict[str, Value] = {"user.name": "alice@example.org", "podcorder.identity": "Identified"}
EITHER: dict[str, Value] = {
    "podcorder.identity": "Ambiguous",
    "podcorder.session.candidates": ["alice@example.org", "bob"],
}
PENDING: dict[str, Value] = {"podcorder.identity": "Pending"}
UNANNOUNCED: dict[str, Value] = {"podcorder.identity": "Unannounced"}
ATTACHED: dict[str, Value] = {"podcorder.attach.users": ["alice@example.org"]}


def row(name: str, time: int, *parts: dict[str, Value], session: str = EXEC, kind: str = "Exec", pid: int = 7) -> Row:
    found: dict[str, Value] = {
        "podcorder.record.id": f"{session[:4]}.{time}.{name}",
        "podcorder.session.id": session,
        "podcorder.session.kind": kind,
        "process.pid": pid,
    }
    for each in parts:
        found |= each
    return Row(f"podcorder.{name}", time * SECOND, "", found)


def told(*rows: Row) -> str:
    """Whose the first session is."""
    return Timeline(rows).identities.show(EXEC)


def write(path: Path, *rows: Row) -> list[str]:
    """An OTLP file, and the options that read it."""
    with path.open("a", encoding="utf-8") as file:
        for each in rows:
            attributes = [{"key": name, "value": wrap(value)} for name, value in each.attributes.items()]
            record = {"eventName": each.name, "timeUnixNano": str(each.time), "attributes": attributes}
            file.write(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}) + "\n")
    return ["--otlp", str(path), "--output", "json"]


def wrap(value: Value) -> dict[str, object]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [wrap(each) for each in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        (ALICE, "alice@example.org"),
        (EITHER, "(Ambiguous) alice@example.org bob"),
        (PENDING, "(Pending)"),
        (UNANNOUNCED, "(Unannounced)"),
        ({}, ""),
        ({**ALICE, "user.name": "(Pending)"}, "'(Pending)'"),
        ({**EITHER, "podcorder.session.candidates": ["a b", "\x1b[31m"]}, r"(Ambiguous) 'a b' $'\e[31m'"),
        ({"podcorder.identity": "Identified"}, "?"),
        ({"podcorder.identity": "\n"}, r"($'\n')"),
    ],
)
def test_whose_a_session_is_in_words(attributes: dict[str, Value], shown: str) -> None:
    """A user's name is quoted where it could pass for a word of ours or for two names, or move the cursor."""
    assert told(row("process.exec", 1, attributes)) == shown


def test_an_identification_holds_for_the_whole_session() -> None:
    """Whatever events say that came before it, or that a collector wrote after it, in any order of arrival."""
    early, late = row("process.exec", 1, PENDING), row("session.identified", 5, ALICE)
    assert told(early, late, row("process.exit", 3, PENDING)) == told(late, early) == "alice@example.org"


def test_the_last_identification_holds() -> None:
    """A claim that another one contests is in doubt from then on, for the events before it as well."""
    first, contested = row("session.identified", 2, ALICE), row("session.identified", 4, EITHER)
    assert told(row("process.exec", 1, ALICE), first, contested) == "(Ambiguous) alice@example.org bob"
    assert told(contested, first) == "(Ambiguous) alice@example.org bob"


def test_without_an_identification_the_last_event_tells() -> None:
    """What was pending may come to be of nobody who asked."""
    assert told(row("file.open", 9, UNANNOUNCED), row("process.exec", 1, PENDING)) == "(Unannounced)"


def test_who_is_attached_is_told_of_the_containers_own_session_alone() -> None:
    """Who sits at a container's terminal has nothing to do with what is exec'd beside it."""
    assert told(row("file.open", 1, ATTACHED, kind="Container")) == "(attached) alice@example.org"
    assert told(row("file.open", 1, ATTACHED)) == ""
    assert told(row("process.exec", 1, PENDING, ATTACHED)) == "(Pending)"


def test_what_is_told_of_a_session_is_no_process_of_it() -> None:
    """It is identified, or found to be unannounced, with its root's pid, when the root may have gone."""
    timeline = Timeline(
        [
            row("process.exec", 1, PENDING),
            row("process.exit", 2, PENDING),
            row("session.end", 2, PENDING),
            row("session.identified", 3, ALICE),
            row("finding", 4, ALICE, {"podcorder.finding.subject": "session"}),
        ]
    )
    assert timeline.sessions[EXEC].processes == 1
    assert tables.session_object(timeline, timeline.sessions[EXEC])["gaps"] == 0


def test_a_tree_begins_with_whose_it_is() -> None:
    """In the header, behind the kind."""
    for attributes, shown in ((ALICE, "by alice@example.org"), (EITHER, "(Ambiguous) alice@example.org bob")):
        timeline = Timeline([row("process.exec", 1, attributes)])
        header = next(trees.draw(timeline, timeline.sessions[EXEC], Style()))
        assert header.startswith(f"session {EXEC}  Exec  {shown}  ")


def test_a_table_has_a_column_for_users_where_there_are_any() -> None:
    """Of a machine without a cluster there is nothing to say."""
    own = row("process.exec", 1, session=OTHER, kind="Command")
    timeline = Timeline([own, row("process.exec", 2, ALICE)])
    head, first, second = tables.session_table(timeline, list(timeline.sessions.values()), Style())
    assert head.split()[:4] == ["SESSION", "KIND", "USER", "CONTAINER"]
    assert first.split()[:3] == [OTHER[:12], "Command", "-"]
    assert second.split()[:3] == [EXEC[:12], "Exec", "alice@example.org"]
    alone = Timeline([own])
    assert "USER" not in next(tables.session_table(alone, list(alone.sessions.values()), Style()))


def test_a_long_name_leaves_room_on_a_terminal() -> None:
    """Cut with a sign on a terminal; whole for whoever reads the output further."""
    name = "system:serviceaccount:" + "n" * 300
    timeline = Timeline([row("process.exec", 1, {**ALICE, "user.name": name})])
    found = list(timeline.sessions.values())
    _, on_terminal = tables.session_table(timeline, found, Style(width=200))
    assert f"  {name[: tables.USER_WIDTH - 1]}…  -  " in on_terminal
    _, elsewhere = tables.session_table(timeline, found, Style())
    assert f"  {name}  " in elsewhere


def test_json_of_sessions_has_the_attributes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the names that events have them under, of a login on the node as well."""
    more: dict[str, Value] = {"podcorder.user.groups": ["dev"], "podcorder.session.record": "shop/exec-1"}
    login: dict[str, Value] = {"user.name": "1000", "user.id": "1000", "podcorder.identity": "Identified"}
    options = write(
        tmp_path / "e.jsonl",
        row("process.exec", 1, PENDING),
        row("session.identified", 2, ALICE, more),
        row("process.exec", 3, login, session=OTHER, kind="Host"),
    )
    assert main(["sessions", *options]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert {name: first[name] for name in (*ALICE, *more)} == {**ALICE, **more}
    assert {name: second[name] for name in login} == login


def test_sessions_of_a_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are theirs, those that may be, and containers they are attached to; the whole name counts."""
    of = {"1": ALICE, "2": EITHER, "3": PENDING, "4": {**ALICE, "user.name": "alice@example.org.uk"}}
    rows = [row("process.exec", 1, each, session=digit * 32) for digit, each in of.items()]
    rows.append(row("file.open", 1, ATTACHED, session="5" * 32, kind="Container"))
    options = write(tmp_path / "e.jsonl", *rows)

    def found(*more: str) -> list[str]:
        assert main(["sessions", *options, *more]) == 0
        return [json.loads(line)["podcorder.session.id"][0] for line in capsys.readouterr().out.splitlines()]

    assert found("--user", "alice@example.org") == ["1", "2", "5"]
    assert found("--user", "alice@example.org", "--kind", "file") == ["5"]
    assert found("--user", "bob") == ["2"]
    assert found("--user", "nobody") == []
    assert found("--user", "") == ["1", "2", "3", "4", "5"]


def test_events_of_a_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of their sessions from the beginning, even where it was told later, and requests that began no session."""
    forward = Row("podcorder.session.port_forward", 5 * SECOND, "", {"user.name": "alice@example.org"})
    options = write(
        tmp_path / "e.jsonl",
        row("process.exec", 1, PENDING),
        row("process.exec", 2, {"user.name": "bob", "podcorder.identity": "Identified"}, session=OTHER),
        row("session.identified", 3, ALICE),
        row("process.exit", 4, ALICE),
        forward,
    )

    def found(*more: str) -> list[str]:
        assert main(["events", *options, *more]) == 0
        return [
            json.loads(line)["event_name"].removeprefix("podcorder.") for line in capsys.readouterr().out.splitlines()
        ]

    assert found("--user", "alice@example.org") == [
        "process.exec", "session.identified", "process.exit", "session.port_forward"
    ]  # fmt: skip
    assert found("--user", "alice@example.org", "--kind", "process") == ["process.exec", "process.exit"]
    assert found("--user", "bob") == ["process.exec"]


def test_show_says_what_was_told_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where a filter leaves out the event that tells it."""
    write(tmp_path / "e.jsonl", row("process.exec", 1, PENDING), row("file.open", 2, UNANNOUNCED))
    assert main(["show", EXEC[:4], "--otlp", str(tmp_path / "e.jsonl"), "--kind", "network"]) == 0
    assert capsys.readouterr().out.startswith(f"session {EXEC}  Exec  (Unannounced)  ")
