"""Network calls that syscall tracepoints do not see: 32-bit ones and io_uring."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bpf.network_programs import (
    ACCEPTS,
    COMPAT,
    IO_URING,
    RESULT_UNKNOWN,
    TCP,
    UDP,
    UNREADABLE,
    UNSETTLED,
    NetworkPrograms,
    assert_root,
)
from fixtures.recordings import build_workloads

COUNT = 101
NO_ACCEPTS = "accepts through io_uring are not seen"
NO_LATER_ACCEPTS = "of an io_uring accept that goes on, the later connections are not seen"
ABIS = [("network_calls", "libc", 0)]
if os.uname().machine == "x86_64":
    ABIS += [("network_calls", "direct", COMPAT), ("network_calls", "socketcall", COMPAT)]
    ABIS += [("network_calls32", "libc", COMPAT)]


@pytest.fixture(scope="module")
def workloads() -> Path:
    return build_workloads()


@pytest.fixture
def programs() -> Iterator[NetworkPrograms]:
    assert_root()
    attached = NetworkPrograms(TCP, ACCEPTS, UDP)
    yield attached
    attached.close()


@pytest.mark.parametrize(("program", "how", "compat"), ABIS)
def test_calls_of_any_abi_are_recorded(
    programs: NetworkPrograms, workloads: Path, program: str, how: str, compat: int
) -> None:
    """Connects, accepts and refusals are recorded alike through int 0x80, socketcall and by 32-bit programs."""
    assert programs.run(workloads / program, how, str(COUNT)) == [str(4 * COUNT)]
    seen = Counter((each.kind, each.result, each.peer_port == 7, each.flags) for each in programs.records())
    assert seen == {
        ("listen", 0, False, 0): 1,
        ("connect", 0, False, 0): COUNT,
        ("accept", 0, False, compat): COUNT,
        ("connect", -errno.ECONNREFUSED, False, 0): COUNT,
        ("connect", -errno.ENETUNREACH, True, UNSETTLED | compat): COUNT,
    }


@pytest.mark.beyond("connects through io_uring that never leave the machine are not seen")
def test_io_uring_connects_are_recorded(programs: NetworkPrograms, workloads: Path) -> None:
    """Established, refused and unreachable connects made through io_uring: one record each."""
    assert programs.run(workloads / "network_uring", "connect", str(COUNT)) == [str(3 * COUNT)]
    assert Counter((each.result, each.flags) for each in programs.records("connect")) == {
        (0, 0): COUNT,
        (-errno.ECONNREFUSED, 0): COUNT,
        (-errno.ENETUNREACH, UNSETTLED | IO_URING): COUNT,
    }


@pytest.mark.beyond(NO_ACCEPTS)
@pytest.mark.parametrize(
    "mode", ["accept", "direct", pytest.param("multishot", marks=pytest.mark.beyond(NO_LATER_ACCEPTS))]
)
def test_io_uring_accepts_are_recorded(programs: NetworkPrograms, workloads: Path, mode: str) -> None:
    """Each connection taken through io_uring is recorded with the client's address."""
    assert programs.run(workloads / "network_uring", mode, str(COUNT)) == [str(COUNT)]
    records = programs.records("accept")
    assert Counter((each.peer, each.flags) for each in records) == {("127.0.0.1", IO_URING): COUNT}
    connects = {each.local_port for each in programs.records("connect")}
    assert {each.peer_port for each in records} == connects


@pytest.mark.beyond(NO_ACCEPTS)
def test_silent_io_uring_accept_is_recorded_as_unknown(programs: NetworkPrograms, workloads: Path) -> None:
    """An accept that asks for no completion is recorded by its listener, and never as if its peer were known."""
    assert programs.run(workloads / "network_uring", "silent", str(COUNT)) == [str(COUNT)]
    (listen,) = programs.records("listen")
    assert Counter(
        (each.result, each.flags, each.local_port, each.peer_port) for each in programs.records("accept")
    ) == {(RESULT_UNKNOWN, UNSETTLED | UNREADABLE | IO_URING, listen.local_port, 0): COUNT}


def test_io_uring_datagrams_are_recorded(programs: NetworkPrograms, workloads: Path) -> None:
    """Each peer sent to through io_uring is recorded."""
    assert programs.run(workloads / "network_uring", "send", str(COUNT)) == [str(COUNT)]
    assert [each.peer_port for each in programs.records("datagram")] == list(range(7000, 7000 + COUNT))
