"""The network programs alone on a real kernel: loaded, attached, and what stands in their ring afterwards."""

from __future__ import annotations

import ipaddress
import os
import struct
import sys
import textwrap
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fixtures.recordings import LOADER, Cgroup, mount_bpffs

from podcorder_agent.classes import CLASS_NAMES
from podcorder_agent.recorder.attachments import Attachments
from podcorder_agent.recorder.choice import choose_loader
from podcorder_agent.recorder.classes import NUMBERS
from podcorder_agent.recorder.identities import Identities
from podcorder_agent.recorder.kernel_maps import KernelMaps, make_skipped_map
from podcorder_agent.recorder.ladders import NETWORK_ACCEPT, NETWORK_TCP, NETWORK_UDP, SYSCALLS, Capability
from podcorder_agent.recorder.pins import Pins
from podcorder_agent.recorder.rings import Ring

HEADER = struct.Struct("=BBHI6Q6IHHI16s")
ENDS = struct.Struct("=Qi4HI16s16s")
RING_HEADER = 8
LOSSES = 6
NETWORK_CLASSES = ("connect", "accept", "listen", "datagram")
UNSETTLED, UNREADABLE, COMPAT, IO_URING = 1, 2, 16, 32
OWN = 512
RESULT_UNKNOWN = 0x7FFFFFFF

TCP, ACCEPTS, UDP = NETWORK_TCP, NETWORK_ACCEPT, NETWORK_UDP
UDP_BY_PACKET = replace(UDP, rungs=tuple(each for each in UDP.rungs if each.name.endswith("_queue")))


class NetworkRecord(NamedTuple):
    """One record, decoded from bpf/record.h without the interpreter's help."""

    kind: str
    flags: int
    """Without whose session it was."""
    tgid: int
    pid: int
    ppid: int
    comm: str
    latency: int
    result: int
    family: int
    protocol: int
    local: str
    local_port: int
    peer: str
    peer_port: int


def decode(data: memoryview) -> NetworkRecord:
    _, number, flags, size, *rest = HEADER.unpack_from(data)
    assert size == len(data) == HEADER.size + ENDS.size
    _, tgid, pid, ppid = rest[6:10]
    comm = rest[-1].rstrip(b"\0").decode()
    latency, result, family, protocol, local_port, peer_port, _, local, peer = ENDS.unpack_from(data, HEADER.size)
    length = 4 if family == 2 else 16
    ends = [str(ipaddress.ip_address(bytes(each[:length]))) for each in (local, peer)]
    return NetworkRecord(
        CLASS_NAMES[number], flags & ~OWN, tgid, pid, ppid, comm, latency, result, family, protocol,
        ends[0], local_port, ends[1], peer_port,
    )  # fmt: skip


class NetworkPrograms:
    """Programs attached for a cgroup and a network namespace of their own; nothing leaves this machine."""

    def __init__(self, *capabilities: Capability, ring_bytes: int = 4 * 1024 * 1024, **settings: Any) -> None:
        mount_bpffs()
        name = f"podcorder-network-{uuid.uuid4().hex[:8]}"
        self.pins = Pins(Path("/sys/fs/bpf") / name)
        self.pins.prepare()
        loader = choose_loader(LOADER).loader
        loader.make_maps(self.pins, ring_bytes)
        make_skipped_map(self.pins)
        self.maps = KernelMaps(self.pins)
        self.maps.begin(1)
        self.maps.set_slot(0, {"events": list(NETWORK_CLASSES)} | settings)
        self.attachments = Attachments(loader, self.pins, self.maps, Identities(loader), (SYSCALLS, *capabilities))
        self.attachments.apply(-1 & 0x7FF)
        failed = {key: state["reason"] for key, state in self.attachments.states.items() if state["state"] == "Failed"}
        assert not failed, failed
        self.ring = Ring(self.maps.events)
        self.cgroup = Cgroup(name)
        self.maps.select(self.cgroup.id, self.cgroup.id, 0, runtime=False)

    def close(self) -> None:
        self.attachments.detach_all()
        self.pins.remove()
        self.pins.close()
        self.cgroup.remove()

    def run(self, *command: str | Path) -> list[str]:
        """Words that a command printed, run in the cgroup and with a loopback device that is its alone."""
        shell = 'ip link set lo up && exec "$@"'
        return self.cgroup.run("unshare", "-n", "sh", "-c", shell, "sh", *command).split()

    def run_python(self, script: str, *arguments: str) -> list[str]:
        preamble = "import errno, os, select, socket, struct, subprocess, sys, threading, time\nfrom socket import *\n"
        return self.run(sys.executable, "-c", preamble + textwrap.dedent(script), *arguments)

    def records(self, kind: str | None = None) -> list[NetworkRecord]:
        """All records waiting in the ring, of one class if told; they stay there."""
        found: list[NetworkRecord] = []
        piece = self.ring.next_piece(self.ring.size)
        data = piece.data if piece else memoryview(b"")
        while data:
            length = int.from_bytes(data[:4], "little") & 0x3FFFFFFF
            found.append(decode(data[RING_HEADER : RING_HEADER + length]))
            data = data[RING_HEADER + ((length + 7) & ~7) :]
        return [each for each in found if kind in (None, each.kind)]

    def counted(self, kind: str) -> tuple[int, int]:
        """Generated and lost records of a class; what the kernel skipped counts as both."""
        counters = self.maps.counters()
        skipped = self.attachments.skipped()[NUMBERS[kind]]
        return counters.generated[NUMBERS[kind]] + skipped, sum(counters.lost[NUMBERS[kind]]) + skipped


def assert_root() -> None:
    assert os.geteuid() == 0, "these tests load BPF programs: run them as root"


def wait_until(condition: Any, what: str) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
