"""The line for people."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.event_samples import any_events, make_open, make_process
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podcorder_agent.delivery import renderings
from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import Event
from podcorder_agent.interpreter.subjects import Identity, Pod, SessionKind

WORDS = st.binary(min_size=0, max_size=60).map(lambda each: each.replace(b"\0", b""))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(any_events())
def test_a_line_is_printable(event: Event) -> None:
    """Whatever the event's bytes, its line has no control characters and no line breaks."""
    for each in ("error", "outcome", "transport", "signal", "access", "reason", "record_class", "origin"):
        if hasattr(event, each):
            setattr(event, each, "word")  # these come from tables of our own
    for each in ("local_address", "peer_address"):
        if hasattr(event, each):
            setattr(event, each, "::1")
    assert renderings.render(event).isprintable()


@settings(max_examples=30)
@given(st.lists(WORDS, min_size=1, max_size=20))
def test_bash_reads_quoted_words_back(words: list[bytes]) -> None:
    """Quoted words are what a shell makes the same bytes of."""
    script = "printf '%s\\0' " + renderings.quote_all(words)
    done = subprocess.run(["bash", "-c", script], env={"LC_ALL": "C.UTF-8"}, capture_output=True, check=True)
    assert done.stdout == b"".join(each + b"\0" for each in words)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        (b"/etc/passwd", "/etc/passwd"),
        (b"", "''"),
        (b"a b", "'a b'"),
        (b"it's", "'it'\\''s'"),
        (b"two\nlines", "$'two\\nlines'"),
        (b"\xff", "$'\\xff'"),
        ("ÿ".encode(), "'ÿ'"),
        ("\u202e".encode(), "$'\\u202e'"),
        (b"[truncated]", "'[truncated]'"),
        ("…".encode(), "'…'"),
    ],
)
def test_quoting(value: bytes, quoted: str) -> None:
    """A value is shown plainly where it can be, and escaped where it must be."""
    assert renderings.quote(value) == quoted


def test_a_long_command_is_cut_with_a_sign_no_argument_can_be() -> None:
    """The line of a huge command is short and says how many arguments it leaves out."""
    event = events.ProcessExec(id="1.0.1", process=make_process(), arguments=[b"cat"] + ["…".encode()] * 5000)
    line = renderings.render(event)
    assert line.startswith("exec /usr/bin/cat: cat '…' '…'")
    assert len(line) < renderings.LONGEST + 100
    assert line.endswith(" more)")


def test_an_open_reads_plainly() -> None:
    """The commonest line of all."""
    assert renderings.render(make_open(1, make_process())) == "open read /etc/passwd"


@pytest.mark.parametrize(
    ("identity", "user", "candidates", "shown"),
    [
        (None, None, None, ""),
        (Identity.IDENTIFIED, "alice@example.org", None, " by alice@example.org"),
        (Identity.IDENTIFIED, "(Pending)\n", None, r" by $'(Pending)\n'"),
        (Identity.AMBIGUOUS, None, ["alice", "b ob"], " (Ambiguous) alice 'b ob'"),
        (Identity.PENDING, None, None, " (Pending)"),
        (Identity.UNANNOUNCED, None, None, " (Unannounced)"),
    ],
)
def test_a_session_begins_by_somebody(
    identity: Identity | None, user: str | None, candidates: list[str] | None, shown: str
) -> None:
    """The line names the user where that is known, and else says how it stands, in words that no name can be."""
    process = make_process()
    session = process.session
    session.kind, session.identity, session.user_name, session.candidates = SessionKind.EXEC, identity, user, candidates
    assert renderings.render(events.SessionStart(id="1", process=process)) == f"session start Exec {session.id}{shown}"


def test_the_policies_page_shows_lines_as_they_are() -> None:
    """What docs/policies.md shows of a container's log is what the events say."""
    pod = Pod(namespace="shop", name="web-7d4b9-x2x", container="app")
    process = make_process()
    process.session.kind, process.session.id = SessionKind.EXEC, "5f0c3e9ab1d2c3e4f5a6b7c8d9e0f1a2"
    process.session.identity, process.session.user_name = Identity.IDENTIFIED, "alice@example.org"
    container = replace(process.session.container, pod=pod)
    process.executable = b"/usr/bin/mysql"
    connect = events.NetworkConnect(id="1.0.3", transport="tcp", outcome="established", latency=12_300_000)
    connect.peer_address, connect.peer_port = "203.0.113.9", 443
    message = "The capability is Degraded: accepts through io_uring are not seen."
    told: list[Event] = [
        events.ContainerStart(id="1", container=container),
        events.SessionStart(id="2", process=process),
        events.ProcessExec(id="1.0.1", process=process, arguments=[b"mysql", b"--password=[redacted]"]),
        events.FileOpen(id="1.0.2", process=process, access="write", path=b"/etc/passwd"),
        connect,
        events.SessionEnd(id="3", process=process, code=0, duration=1_500_000_000),
        events.RecordingGap(id="4", record_class="open", reason="throttled", count=312),
        events.Finding(id="5", subject="network_accept", message=message),
        events.ContainerEnd(id="6", container=container),
    ]
    shown = "\n".join(["```", *map(renderings.render, told), "```"])
    assert shown in (Path(__file__).parents[3] / "docs" / "policies.md").read_text(encoding="utf-8")
