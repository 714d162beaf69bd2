"""Each class of records becomes its event."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.journals import (
    ANCHOR,
    SECOND,
    record_exec,
    record_exec_failed,
    record_exit,
    record_fork,
    record_network,
    record_open,
)

from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import attributes
from podcorder_agent.interpreter.records import RESULT_UNKNOWN


def test_an_open_tells_what_was_opened(feed: Any) -> None:
    """Path, access, flags, inode, device, mode and descriptor, at the record's own time."""
    *_, event = feed.record(
        record_open,
        b"/etc/ho\nsts\xff",
        open_flags=0o2102001,
        mode=0o104755,
        device=259 << 20 | 5,
        time=7 * SECOND,
        tgid=1000,
        pid=1003,
        uid=5,
        gid=6,
        comm=b"sixteen-letters!",
    )
    assert event.time == ANCHOR + 7 * SECOND
    found = attributes(event)
    assert found["podcorder.record.id"] == "1122334455667788.0.1"
    expected = {
        "file.path": b"/etc/ho\nsts\xff",
        "podcorder.file.access": "write",
        "podcorder.file.flags": ["O_APPEND", "O_CLOEXEC"],
        "file.inode": 78,
        "podcorder.file.device": "259:5",
        "file.mode": "4755",
        "podcorder.file.type": "regular",
        "podcorder.file.descriptor": 3,
        "thread.id": 1003,
        "process.pid": 1000,
        "process.parent_pid": 999,
        "process.real_user.id": 5,
        "process.real_group.id": 6,
        "podcorder.process.comm": b"sixteen-letters!",
    }
    assert expected.items() <= found.items()
    assert "process.executable.path" not in found
    assert "podcorder.flags" not in found


@pytest.mark.parametrize(
    ("open_flags", "access", "names"),
    [
        (0, "read", None),
        (0o100002, "read_write", None),
        (0o10000000, "path", ["O_PATH"]),
        (0o1101, "write", ["O_CREAT", "O_TRUNC"]),
        (0o4010000, "read", ["O_SYNC"]),
        (0o10000, "read", ["O_DSYNC"]),
    ],
)
def test_open_flags_are_named(feed: Any, open_flags: int, access: str, names: list[str] | None) -> None:
    """O_LARGEFILE goes without saying; O_SYNC is not O_DSYNC."""
    *_, event = feed.record(record_open, open_flags=open_flags)
    assert (event.access, event.open_flags) == (access, names)


def test_a_descriptor_that_is_not_known_is_left_out(feed: Any) -> None:
    """io_uring may be told not to say it."""
    *_, event = feed.record(record_open, result=RESULT_UNKNOWN, flags=1 << 5)
    assert (event.descriptor, event.flags) == (None, ["io_uring"])


def test_a_failed_open_is_unsettled(feed: Any) -> None:
    """Its path is the caller's word."""
    *_, event = feed.record(record_open, b"secret", result=-13, open_flags=1, flags=0)
    assert isinstance(event, events.FileOpenFailed)
    assert (event.path, event.error, event.access, event.flags) == (b"secret", "EACCES", "write", ["unsettled"])


def test_an_exec_tells_what_runs(feed: Any) -> None:
    """The resolved executable, the script, arguments byte for byte, identity and terminal."""
    argv = (b"./run", b"", b"[truncated]", b"a\nb\x1b", b"\xff\xfe", b"[redacted]")
    *_, event = feed.record(
        record_exec,
        *argv,
        path=b"/usr/bin/dash",
        filename=b"./run",
        interpreter=b"/bin/sh",
        cwd=b"/srv",
        exec_flags=8,
        euid=1,
        egid=2,
        loginuid=1000,
        audit_session=3,
        tty=136 << 20 | 2,
    )
    assert event.arguments == list(argv)
    assert event.redacted is None
    found = attributes(event)
    expected = {
        "process.executable.path": b"/usr/bin/dash",
        "podcorder.exec.filename": b"./run",
        "podcorder.exec.interpreter": b"/bin/sh",
        "process.working_directory": b"/srv",
        "process.user.id": 1,
        "process.group.id": 2,
        "podcorder.audit.login_uid": 1000,
        "podcorder.audit.session_id": 3,
        "podcorder.process.tty": "136:2",
        "process.interactive": True,
        "process.args_count": 6,
    }
    assert expected.items() <= found.items()


def test_an_exec_without_terminal_nor_login_says_so(feed: Any) -> None:
    """Unset ids are left out."""
    *_, event = feed.record(record_exec, b"ls")
    assert (event.login_uid, event.audit_session, event.tty, event.interactive) == (None, None, None, False)
    assert event.interpreter is None


@pytest.mark.parametrize(
    ("exec_flags", "origin"), [(0, None), (1, "memory"), (3, "memory"), (2, "deleted"), (4, "detached_mount")]
)
def test_code_without_a_file_is_named(feed: Any, exec_flags: int, origin: str | None) -> None:
    """Where code came from, if not from a file with a name."""
    *_, event = feed.record(record_exec, b"x", path=b"", filename=b"/proc/self/fd/3", exec_flags=exec_flags)
    assert event.origin == origin
    assert event.process.executable is None


def test_truncated_arguments_show_their_original_length(feed: Any) -> None:
    """The last argument is what was there of it, and the numbers are the process's own."""
    *_, event = feed.record(record_exec, b"a", b"bc", argc=900, argv_total=200_000, flags=1 << 2)
    assert (event.arguments, event.argc, event.argv_bytes, event.flags) == (
        [b"a", b"bc"],
        900,
        200_000,
        ["truncated"],
    )


def test_a_failed_exec_is_unsettled_and_redacted(feed: Any) -> None:
    """Its arguments are the caller's word; secrets are taken out of them as well."""
    *_, event = feed.record(record_exec_failed, b"app", b"--token", b"x", filename=b"/no", error=-2)
    assert isinstance(event, events.ProcessExecFailed)
    assert (event.error, event.filename, event.flags) == ("ENOENT", b"/no", ["unsettled"])
    assert (event.arguments, event.redacted) == ([b"app", b"--token", b"[redacted]"], 1)
    assert event.process is not None
    assert event.process.executable is None


@pytest.mark.parametrize(
    ("exit_code", "code", "signal"),
    [(0, 0, None), (3 << 8, 3, None), (9, None, "SIGKILL"), (0x80 | 11, None, "SIGSEGV"), (40, None, "SIGRTMIN+6")],
)
def test_an_exit_is_a_code_or_a_signal(feed: Any, exit_code: int, code: int | None, signal: str | None) -> None:
    """As wait(2) tells it, with the time since the process's start."""
    feed.record(record_exit, exit_code=exit_code, time=60 * SECOND, process_start=50 * SECOND)
    (event,) = feed.all(events.ProcessExit)
    assert (event.code, event.signal, event.duration) == (code, signal, 10 * SECOND)


def test_a_fork_is_its_parents_event(feed: Any) -> None:
    """The child is named."""
    *_, event = feed.record(record_fork, child_tgid=1234)
    assert (event.process.tgid, event.child_pid) == (1000, 1234)


@pytest.mark.parametrize(
    ("result", "outcome", "error"),
    [
        (0, "established", None),
        (-111, "refused", "ECONNREFUSED"),
        (-110, "timed_out", "ETIMEDOUT"),
        (-101, "failed", "ENETUNREACH"),
        (-103, "closed", "ECONNABORTED"),
        (RESULT_UNKNOWN, "closed", None),
    ],
)
def test_a_connect_has_an_outcome(feed: Any, result: int, outcome: str, error: str | None) -> None:
    """Established, refused, timed out, given up, or what went wrong."""
    *_, event = feed.record(record_network, result=result, latency=123)
    assert (event.outcome, event.error, event.latency, event.transport) == (outcome, error, 123, "tcp")
    assert (event.peer_address, event.peer_port, event.local_address) == ("10.0.0.2", 443, "10.0.0.1")


@pytest.mark.parametrize(
    ("address", "family", "text"),
    [
        (bytes((192, 0, 2, 1)), "ipv4", "192.0.2.1"),
        (bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1)), "ipv4", "192.0.2.1"),
        (b"\x20\x01\x0d\xb8" + bytes(11) + b"\1", "ipv6", "2001:db8::1"),
        (bytes(16), "ipv6", "::"),
    ],
)
def test_addresses_are_written_as_people_do(feed: Any, address: bytes, family: str, text: str) -> None:
    """An IPv4 address mapped into IPv6 is the IPv4 address."""
    *_, event = feed.record(record_network, local=address, peer=address, record_class="accept")
    assert (event.family, event.local_address, event.peer_address) == (family, text, text)


def test_listen_and_datagram(feed: Any) -> None:
    """A listener has no peer; a datagram's error is named."""
    *_, listening = feed.record(record_network, record_class="listen", local_port=80)
    *_, sent = feed.record(record_network, record_class="datagram", protocol=17, peer_port=53, result=-1)
    assert (listening.local_port, attributes(listening).get("network.peer.address")) == (80, None)
    assert (sent.transport, sent.peer_port, sent.error) == ("udp", 53, "EPERM")
