"""A kernel that does not describe its types (BTF): its headers do, for bcc, and are held against the types here."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fixtures.loader_comparisons import compared, covered, record_twice
from fixtures.recordings import Recording, temporary_directory

from podcorder_agent.interpreter.events import EVENTS
from podcorder_agent.recorder.bcc.header_types import HeaderTypes
from podcorder_agent.recorder.bcc.headers import find_headers
from podcorder_agent.recorder.bcc.kernel_header import list_fields
from podcorder_agent.recorder.hooks import SOURCES
from podcorder_agent.recorder.kernel_types import KernelTypes

NEWNS, PRIVATE = 0x20000, 1 << 18 | 1 << 14
"""clone(2); MS_PRIVATE and MS_REC of mount(2)."""
IN_NO_HEADER = {"bpf_iter_meta.seq", "bpf_iter__task.meta", "bpf_iter__task.task", "io_rsrc_data.nr"}
"""Iterators need the types themselves, and 6.1 keeps the table of an io_uring's files in its own sources."""
SCRIPT = """
cd "$1"
/bin/true; /bin/true 1 "two words" ""; (/nonexistent/program) 2>/dev/null
sh -c "exit 7"; sh -c "kill -9 \\$\\$"
read line <target; echo more >>target; (read line <missing) 2>/dev/null
exec "$2" -ISB -c "$3" "$4" "$5"
"""
TALK = """
import socket, sys
listening, closed = map(int, sys.argv[1:])
socket.create_connection(("127.0.0.1", listening)).close()
try:
    socket.create_connection(("127.0.0.1", closed))
except ConnectionRefusedError:
    pass
with socket.create_server(("::1", closed), family=socket.AF_INET6) as server:
    with socket.create_connection(("::1", closed)) as client, server.accept()[0] as accepted:
        client.sendall(b"1")
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1", (address, closed))
"""


class RecordingWithoutTypes(Recording):
    """Its recorder finds no BTF, as on a kernel built without."""

    def launch(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, preexec_fn=hide_types)


def hide_types() -> None:
    """From this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    for failed in (
        libc.unshare(NEWNS),
        libc.mount(None, b"/", None, PRIVATE, None),
        libc.mount(b"none", b"/sys/kernel/btf", b"tmpfs", 0, None),
    ):
        if failed:
            raise OSError(ctypes.get_errno(), "the kernel's types cannot be hidden")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "target").write_text("a line\n")
    return tmp_path


def test_headers_tell_where_fields_are() -> None:
    """All that they know is where the kernel's own types have it, and they know all but what is in no header."""
    types = KernelTypes()
    fields = list_fields((SOURCES / "kernel.h").read_text())
    told = HeaderTypes(find_headers(), (SOURCES / "kernel_headers.h").read_text(), fields)
    expected = {f"{structure}.{field}": types.offset_of(structure, field) for structure, field in fields}
    found = {f"{structure}.{field}": told.offset_of(structure, field) for structure, field in fields}
    assert {name for name in found if found[name] != expected[name]} <= IN_NO_HEADER
    assert not [name for name in IN_NO_HEADER if found[name] is not None]
    assert (told.has_helper("task_pt_regs"), told.has_helper("none")) == (types.has_helper("task_pt_regs"), False)
    for tracepoint in ("sched_process_exec", "task_newtask", "sys_exit", "cgroup_mkdir", "net_dev_queue"):
        assert told.pointees(tracepoint) == types.pointees(tracepoint)
    assert told.pointees("no_such_tracepoint") is None


def test_events_are_the_same(directory: Path) -> None:
    """Processes, files and peers: with headers and bcc no event, no field and no limit differs from types and CO-RE."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        closed = other.getsockname()[1]
    words = [directory, sys.executable, TALK, listener.getsockname()[1], closed]

    def talk(recording: Recording) -> None:
        recording.cgroup.run("/bin/sh", "-c", SCRIPT, "talk", *map(str, words))

    with temporary_directory() as journals:
        made = [Path(journals) / name for name in ("types", "headers")]
        for each in made:
            each.mkdir()
        by_types, states = record_twice(Recording(made[0], loader="core"), talk)
        without = RecordingWithoutTypes(made[1], loader="auto")
        assert without.ready["loader"]["name"] == "bcc"
        assert f"linux-headers-{os.uname().release}" in without.ready["loader"]["reason"]
        by_headers, headers_states = record_twice(without, talk)
    assert covered(headers_states) == covered(states)
    told = {event.NAME for event in by_types}
    assert told >= {each.NAME for each in EVENTS if each.RECORD is not None and each.RECORD.name != "CGROUP"}
    expected, found = compared(by_types), compared(by_headers)
    assert sorted(expected - found) == sorted(found - expected)


def accept(listener: socket.socket) -> None:
    while True:
        listener.accept()[0].close()
