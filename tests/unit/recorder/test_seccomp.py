"""The recorder's filter, run as the kernel would run it, and for real in a child."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest

from podcorder_agent.recorder.privileges import prctl
from podcorder_agent.recorder.seccomp import build_filter, install_filter

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def run(program: bytes, number: int, architecture: int, first: int = 0) -> int:
    """Classic BPF over struct seccomp_data, the four instructions the filter uses."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, first, 0, 0, 0, 0, 0)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code == 0x15:
            at += if_true if accumulator == value else if_false
        elif code == 0x35:
            at += if_true if accumulator >= value else if_false
        elif code == 0x06:
            return int(value)
        else:
            raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize(
    ("machine", "calls"),
    [
        ("x86_64", {"ptrace": 101, "mount": 165, "init_module": 175, "kexec_load": 246, "io_uring_setup": 425}),
        ("aarch64", {"ptrace": 117, "mount": 40, "init_module": 105, "kexec_load": 104, "io_uring_setup": 425}),
    ],
)
def test_dangerous_calls_are_refused(machine: str, calls: dict[str, int]) -> None:
    """What the recorder never needs returns EPERM; all else goes through."""
    program = build_filter(machine)
    assert {run(program, number, ARCHITECTURES[machine]) for number in calls.values()} == {REFUSE}
    assert run(program, 280 if machine == "aarch64" else 321, ARCHITECTURES[machine]) == ALLOW  # bpf()


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 41), ("aarch64", 198)])
def test_sockets_are_unix_alone(machine: str, number: int) -> None:
    """socket() makes AF_UNIX sockets and no others, whatever stands in the upper half of its argument."""
    program = build_filter(machine)
    assert run(program, number, ARCHITECTURES[machine], socket.AF_UNIX) == ALLOW
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET):
        assert run(program, number, ARCHITECTURES[machine], family) == REFUSE


def test_other_tables_are_closed() -> None:
    """A call through the 32-bit table kills, and one of x32 is refused: neither is a way around."""
    program = build_filter("x86_64")
    assert run(program, 102, 0x40000003) == KILL
    assert run(program, 0x40000000 | 41, ARCHITECTURES["x86_64"], socket.AF_UNIX) == REFUSE


def test_filter_holds_in_the_kernel() -> None:
    """The kernel takes the filter, and it does what it says."""
    child = os.fork()
    if not child:
        try:
            prctl(38, 1)  # no_new_privs
            install_filter()
            socket.socket(socket.AF_UNIX).close()
            try:
                socket.socket(socket.AF_INET)
            except PermissionError:
                os._exit(0)
            os._exit(1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
