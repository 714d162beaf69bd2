"""Log lines of a debug build among whatever else is in the kernel's trace buffer."""

from __future__ import annotations

import json

import pytest

from podcorder_agent.cli.terminals import Style
from podcorder_agent.cli.traces import Line, draw, includes, parse_line, to_json

OURS = b"bpf_trace_printk: podcorder: debug: not selected: class=4 pid=812 cgroup=1"
FIELDS = {"class": "open", "pid": "812", "cgroup": "1"}


def written(comm: bytes, message: bytes = OURS, flags: bytes = b"[001] d..21 ") -> bytes:
    """As the kernel's trace_print_context() does."""
    return comm.rjust(16) + b"-812     " + flags + b"36810.190872: " + message


def test_line_says_when_where_and_what() -> None:
    """The time since the boot, the CPU, the thread that ran the program, and the text with its values."""
    assert parse_line(written(b"cat")) == Line(36810190872000, 1, "cat", 812, "debug", "not selected", FIELDS)


@pytest.mark.parametrize(
    "comm",
    [
        b"Web Content",
        b"kworker/1:0-eve",
        b"(sd-pam)",
        b"a-1 [002] d..1",
        b"a-1 [002] 1.000",
        b"podcorder: debu",
        b"<...>",
        b"-",
        b"",
        b"\xff\xfe\x1b[31m",
    ],
)
def test_name_of_a_task_may_be_anything(comm: bytes) -> None:
    """Spaces, colons and brackets in it are no ends of fields."""
    line = parse_line(written(comm))
    assert line is not None
    assert (line.comm, line.thread, line.cpu) == (comm.decode(errors="replace"), 812, 1)


@pytest.mark.parametrize("flags", [b"[001] ", b"[001] ...21 ", b"(    812) [001] d..2. ", b"(-------) [001] .... "])
def test_options_of_the_trace_buffer_change_nothing(flags: bytes) -> None:
    """Whoever set them for the machine has them in every line: the process's id, or no flags."""
    line = parse_line(written(b"cat", flags=flags))
    assert line is not None
    assert (line.cpu, line.fields) == (1, FIELDS)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        written(b"cat", b"bpf_trace_printk: opened /etc/passwd"),
        written(b"cat", b"bpf_trace_printk: other podcorder: debug: lost: class=4"),
        written(b"cat", b"bpf_trace_printk: podcorder: shout: lost: class=4"),
        written(b"cat", b"tracing_mark_write: podcorder: debug: lost: class=4"),
        written(b"cat", b"sched_switch: prev_comm=cat prev_pid=812 prev_prio=120"),
        b"CPU:1 [LOST 83 EVENTS]",
        b"# tracer: nop",
        OURS,
    ],
)
def test_lines_of_others_are_none_of_ours(line: bytes) -> None:
    """Other programs write to the same buffer, and may even use our name."""
    assert parse_line(line) is None


def test_classes_and_reasons_have_their_names() -> None:
    """A number that has no name stays a number."""
    line = parse_line(written(b"cat", b"bpf_trace_printk: podcorder: error: lost: class=0 reason=2 pid=1"))
    assert line is not None
    assert line.fields == {"class": "exec", "reason": "throttled", "pid": "1"}
    line = parse_line(written(b"cat", b"bpf_trace_printk: podcorder: error: lost: class=99 reason=-1"))
    assert line is not None
    assert line.fields == {"class": "99", "reason": "-1"}


@pytest.mark.parametrize(
    ("chosen", "shown"), [("error", ["error"]), ("info", ["error", "info"]), ("debug", ["error", "info", "debug"])]
)
def test_level_includes_the_graver_ones(chosen: str, shown: list[str]) -> None:
    """As of every log."""
    assert [level for level in ("error", "info", "debug") if includes(chosen, level)] == shown


def test_line_for_people_acts_on_no_terminal() -> None:
    """A task's name is whatever the task says."""
    line = parse_line(written(b"\x1b[2J\x07"))
    assert line is not None
    text = draw(line, 0, Style())
    assert text.isprintable()
    assert text.endswith("not selected: class=open pid=812 cgroup=1")


def test_line_for_machines_is_one_object() -> None:
    """With the time of day, since the machine's own time means nothing elsewhere."""
    line = parse_line(written(b"a b"))
    assert line is not None
    assert json.loads(to_json(line, 10**18)) == {
        "time": "2001-09-09T12:00:10.190872000Z",
        "cpu": 1,
        "comm": "a b",
        "thread": 812,
        "level": "debug",
        "text": "not selected",
        "fields": FIELDS,
    }
