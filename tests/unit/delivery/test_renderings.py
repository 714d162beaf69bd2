"""The line for people."""

from __future__ import annotations

import subprocess

import pytest
from fixtures.event_samples import any_events, make_open, make_process
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podcorder_agent.delivery import renderings
from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import Event

WORDS = st.binary(min_size=0, max_size=60).map(lambda each: each.replace(b"\0", b""))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=30, deadline=None)
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
