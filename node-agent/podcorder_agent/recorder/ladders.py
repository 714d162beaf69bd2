"""What each capability can be made of: an ordered list of rungs, of which the first that loads and attaches is taken.

A rung counts only if it loads with CAP_BPF and CAP_PERFMON alone. A rung that covers less than the best says so in
`limits`, and the capability then reads Degraded with that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from podcorder_agent.recorder.classes import ENDINGS

_TYPED, _RAW = "tp_btf", "raw_tp"
RAW_OBJECTS = "raw/"
"""Where the objects of plain raw tracepoints are."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to have a capability."""

    name: str
    object: str
    """Path of the object file, without `.bpf.o`."""
    programs: Mapping[str, str | None] = field(default_factory=dict)
    """Programs to attach, and the record class whose runs they are (for runs the kernel skipped); None: they make no
    records."""
    handlers: dict[int, str] = field(default_factory=dict)
    """Programs to put into the array of handlers (`enum syscall_handler` of bpf/maps.bpf.h); not attached."""
    limits: str = ""
    """What it does not cover; empty: all that the capability promises."""
    requires: str = ""
    """A capability `on_demand` that it stands on, by a rung as `raw` as it is: attached before it, detached after."""
    preemptible: bool = False
    """Its programs run where the kernel may preempt them: refused on a kernel that does."""

    @property
    def raw(self) -> bool:
        """Plain raw tracepoints, which need nothing of the kernel's types but where the fields are."""
        return self.object.startswith(RAW_OBJECTS)

    @property
    def source(self) -> str:
        """Name of the source file, without `.bpf.c`: of one source there are two objects."""
        return self.object.removeprefix(RAW_OBJECTS)


@dataclass(frozen=True, slots=True)
class Capability:
    """Something the machine may be able to record."""

    name: str
    classes: frozenset[str]
    """Attached when any of these classes, or ENDINGS, is wanted; empty: when any class is."""
    rungs: tuple[Rung, ...]
    on_demand: bool = False
    """Attached only while a rung that is taken requires it; its classes count for nothing."""

    def serves(self, names: set[str]) -> bool:
        """Whether it is to be attached when these classes are wanted."""
        return bool(names) and not self.on_demand and (not self.classes or not self.classes.isdisjoint(names))


def with_raw(*rungs: Rung) -> tuple[Rung, ...]:
    """After each of tracepoints the same as plain raw ones: they cover as much, on more kernels, and cost more."""
    found = []
    for rung in rungs:
        found.append(rung)
        if rung.name.startswith(_TYPED):
            found.append(replace(rung, name=rung.name.replace(_TYPED, _RAW), object=RAW_OBJECTS + rung.object))
    return tuple(found)


CONTAINERS = Capability(
    "containers",
    frozenset(),
    with_raw(Rung("tp_btf", "containers", {"record_cgroup_mkdir": "cgroup", "record_cgroup_rmdir": "cgroup"})),
)
SYSCALLS = Capability(
    "syscalls",
    frozenset(),
    with_raw(Rung("tp_btf", "syscalls", {"dispatch_syscall": "open"})),
    on_demand=True,
)
"""One program at the exit of every system call: it costs each of them, so a rung that does without comes first."""
PROCESSES = Capability(
    "processes",
    frozenset(),
    with_raw(Rung("tp_btf", "process", {"record_fork": "fork", "record_exec": "exec", "record_exit": "exit"})),
)
"""Always on: forks and exits carry the sessions along, whatever is recorded of them."""
EXEC_FAILURES = Capability(
    "exec_failures",
    frozenset({"exec_failed"}),
    with_raw(Rung("tp_btf", "exec_failures", handlers={0: "record_exec_failed"}, requires="syscalls")),
)
_IO_URING_OPENS = {"record_io_uring_open": "open", "record_io_uring_silent_open": "open"}
_OPEN_FUNCTIONS = {"record_named_open": "open", "record_handle_open": "open"}
_NO_IO_URING_OPENS = "opens through io_uring are not seen"
FILES = Capability(
    "files",
    frozenset({"open", "open_failed"}),
    with_raw(
        Rung("fexit", "files", {**_OPEN_FUNCTIONS, **_IO_URING_OPENS}, preemptible=True),
        Rung("tp_btf", "files", _IO_URING_OPENS, handlers={1: "record_open"}, requires="syscalls"),
        Rung("fexit_calls", "files", _OPEN_FUNCTIONS, limits=_NO_IO_URING_OPENS, preemptible=True),
        Rung("tp_btf_calls", "files", handlers={1: "record_open"}, limits=_NO_IO_URING_OPENS, requires="syscalls"),
    ),
)
NETWORK_TCP = Capability(
    "network_tcp",
    frozenset({"connect", "listen"}),
    with_raw(
        Rung(
            "tp_btf",
            "network_tcp",
            {"record_tcp_state": "connect", "record_io_uring_connect": "connect"},
            handlers={3: "record_connect_call"},
            requires="syscalls",
        ),
        Rung(
            "tp_btf_calls",
            "network_tcp",
            {"record_tcp_state": "connect"},
            handlers={3: "record_connect_call"},
            limits="connects through io_uring that never leave the machine are not seen",
            requires="syscalls",
        ),
    ),
)
NETWORK_ACCEPT = Capability(
    "network_accept",
    frozenset({"accept"}),
    with_raw(
        Rung(
            "tp_btf",
            "network_accept",
            {
                "record_io_uring_accept": "accept",
                "note_io_uring_multishot": "accept",
                "record_io_uring_silent_accept": "accept",
            },
            handlers={2: "record_accept_call"},
            requires="syscalls",
        ),
        Rung(
            "tp_btf_single",
            "network_accept",
            {"record_io_uring_single_accept": "accept", "record_io_uring_silent_accept": "accept"},
            handlers={2: "record_accept_call"},
            limits="of an io_uring accept that goes on, the later connections are not seen",
            requires="syscalls",
        ),
        Rung(
            "tp_btf_calls",
            "network_accept",
            handlers={2: "record_accept_call"},
            limits="accepts through io_uring are not seen",
            requires="syscalls",
        ),
    ),
)
NETWORK_UDP = Capability(
    "network_udp",
    frozenset({"datagram"}),
    with_raw(
        Rung(
            "tp_btf",
            "network_udp",
            {
                "note_route4": "datagram",
                "note_route6": "datagram",
                "note_queued_datagram": "datagram",
                "record_datagram": "datagram",
            },
        ),
        Rung(
            "tp_btf_queue",
            "network_udp",
            {"record_queued_datagram": "datagram"},
            limits="only datagrams that reach a device are seen, and their result is not",
        ),
    ),
)

SESSION_ENDINGS = Capability(
    "endings",
    frozenset({ENDINGS}),
    with_raw(Rung("tp_btf", "endings", {"end_session": None})),
)
"""At the exit of every system call, too: only where a policy asks for it."""

LADDERS: tuple[Capability, ...] = (
    CONTAINERS,
    PROCESSES,
    SYSCALLS,
    EXEC_FAILURES,
    FILES,
    NETWORK_TCP,
    NETWORK_ACCEPT,
    NETWORK_UDP,
    SESSION_ENDINGS,
)
"""In the order in which they are attached, what is on demand aside; they are detached in reverse."""
