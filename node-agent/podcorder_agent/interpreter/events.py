"""The events Podcorder tells of: one class each, and how each field is called in OTLP.

Every field that leaves the machine carries its attribute's name and meaning in its metadata; the events reference
(docs/reference/events.md), the generic rendering in `attributes` and the encoder's tests are all made from them.
Text that comes from the kernel stays `bytes`: whether it is UTF-8 is the encoder's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from podcorder_agent.classes import RecordClass
from podcorder_agent.interpreter.subjects import AttributeValue, Container, Process, attribute, own_attributes


@dataclass(slots=True, eq=False)
class Event:
    """What every event has. `process` is None only for what no process did (gaps, findings, removed cgroups)."""

    NAME: ClassVar[str] = ""
    MEANING: ClassVar[str] = ""
    RECORD: ClassVar[RecordClass | None] = None
    """The class of records it is made from; None: no single one."""

    id: str = attribute("podcorder.record.id", "Names the record for good: generation.cpu.sequence, or derived.")
    time: int = 0
    """Unix time, ns."""
    process: Process | None = None
    thread: int | None = attribute("thread.id", "The thread, where it is not the process's first.")
    uid: int | None = attribute("process.real_user.id", "Real user id at the time.")
    gid: int | None = attribute("process.real_group.id", "Real group id at the time.")
    comm: bytes | None = attribute("podcorder.process.comm", "The thread's name as the kernel holds it.")
    flags: list[str] | None = attribute(
        "podcorder.flags",
        "What to know about the values: truncated, unreadable, unsettled (read from the caller's memory, which may "
        "have changed), compat (a 32-bit call), io_uring, partial (the session is older than its recording).",
    )


@dataclass(slots=True, eq=False)
class ProcessExec(Event):
    """A program was started."""

    NAME: ClassVar[str] = "podcorder.process.exec"
    RECORD: ClassVar[RecordClass | None] = RecordClass.EXEC
    MEANING: ClassVar[str] = "A program was started: what the kernel really runs."

    arguments: list[bytes] | None = attribute("process.command_args", "The arguments, redacted; bytes where not UTF-8.")
    argc: int | None = attribute("process.args_count", "How many arguments the process has.")
    argv_bytes: int | None = attribute("podcorder.argv.original_length", "Bytes of argv, where it was truncated.")
    redacted: int | None = attribute("podcorder.redacted", "How many values redaction took out.")
    filename: bytes | None = attribute(
        "podcorder.exec.filename", "The name given to execve: the script, where one was run."
    )
    interpreter: bytes | None = attribute(
        "podcorder.exec.interpreter", "The interpreter that the script's first line names."
    )
    cwd: bytes | None = attribute("process.working_directory", "Working directory.")
    effective_uid: int | None = attribute("process.user.id", "Effective user id.")
    effective_gid: int | None = attribute("process.group.id", "Effective group id.")
    login_uid: int | None = attribute("podcorder.audit.login_uid", "Audit login uid, where set.")
    audit_session: int | None = attribute("podcorder.audit.session_id", "Audit session id, where set.")
    sid: int | None = attribute("process.session_leader.pid", "Process id of the POSIX session's leader.")
    tty: str | None = attribute("podcorder.process.tty", "Controlling terminal as major:minor.")
    interactive: bool | None = attribute("process.interactive", "Whether it has a controlling terminal.")
    inode: int | None = attribute("file.inode", "Inode of the executable.")
    device: str | None = attribute("podcorder.file.device", "Device of the executable as major:minor.")
    origin: str | None = attribute(
        "podcorder.exec.origin", "Where the code came from if not a named file: memory, deleted, detached_mount."
    )


@dataclass(slots=True, eq=False)
class ProcessExecFailed(Event):
    """A program could not be started."""

    NAME: ClassVar[str] = "podcorder.process.exec_failed"
    RECORD: ClassVar[RecordClass | None] = RecordClass.EXEC_FAILED
    MEANING: ClassVar[str] = "A program could not be started; the arguments are the caller's word (unsettled)."

    arguments: list[bytes] | None = attribute("process.command_args", "The arguments, redacted; bytes where not UTF-8.")
    argc: int | None = attribute("process.args_count", "How many arguments were seen.")
    redacted: int | None = attribute("podcorder.redacted", "How many values redaction took out.")
    filename: bytes | None = attribute("podcorder.exec.filename", "The name given to execve.")
    error: str | None = attribute("error.type", "The errno's name, such as ENOENT.")


@dataclass(slots=True, eq=False)
class ProcessFork(Event):
    """A process made another."""

    NAME: ClassVar[str] = "podcorder.process.fork"
    RECORD: ClassVar[RecordClass | None] = RecordClass.FORK
    MEANING: ClassVar[str] = "A process made another one; the event is the parent's."

    child_pid: int | None = attribute("podcorder.child.pid", "Process id of the new process.")


@dataclass(slots=True, eq=False)
class ProcessExit(Event):
    """A process ended."""

    NAME: ClassVar[str] = "podcorder.process.exit"
    RECORD: ClassVar[RecordClass | None] = RecordClass.EXIT
    MEANING: ClassVar[str] = "The last thread of a process has gone."

    code: int | None = attribute("process.exit.code", "Exit code, where it ended by itself.")
    signal: str | None = attribute("podcorder.process.signal", "The signal that ended it, such as SIGKILL.")
    duration: int | None = attribute("podcorder.process.duration_ns", "From the process's start to its end, ns.")


@dataclass(slots=True, eq=False)
class FileOpen(Event):
    """A file was opened."""

    NAME: ClassVar[str] = "podcorder.file.open"
    RECORD: ClassVar[RecordClass | None] = RecordClass.OPEN
    MEANING: ClassVar[str] = "A file was opened: the path is that of the file actually opened."

    path: bytes | None = attribute("file.path", "Resolved path; of a failed open the path asked for.")
    access: str | None = attribute("podcorder.file.access", "read, write, read_write or path (O_PATH).")
    open_flags: list[str] | None = attribute("podcorder.file.flags", "The O_ flags besides the access mode.")
    inode: int | None = attribute("file.inode", "Inode.")
    device: str | None = attribute("podcorder.file.device", "Device as major:minor.")
    mode: str | None = attribute("file.mode", "Permissions in octal.")
    file_type: str | None = attribute(
        "podcorder.file.type", "regular, directory, character, block, fifo, socket, link, other."
    )
    descriptor: int | None = attribute(
        "podcorder.file.descriptor", "The descriptor; absent where io_uring did not say."
    )


@dataclass(slots=True, eq=False)
class FileOpenFailed(Event):
    """A file could not be opened."""

    NAME: ClassVar[str] = "podcorder.file.open_failed"
    RECORD: ClassVar[RecordClass | None] = RecordClass.OPEN_FAILED
    MEANING: ClassVar[str] = (
        "A file could not be opened; the path is the caller's word (unsettled), as it was asked for."
    )

    path: bytes | None = attribute("file.path", "The path asked for.")
    access: str | None = attribute("podcorder.file.access", "read, write, read_write or path (O_PATH).")
    open_flags: list[str] | None = attribute("podcorder.file.flags", "The O_ flags besides the access mode.")
    error: str | None = attribute("error.type", "The errno's name, such as EACCES.")


@dataclass(slots=True, eq=False)
class NetworkEvent(Event):
    """What every network event has."""

    transport: str | None = attribute("network.transport", "tcp or udp.")
    family: str | None = attribute("network.type", "ipv4 or ipv6.")
    local_address: str | None = attribute("network.local.address", "Local address.")
    local_port: int | None = attribute("network.local.port", "Local port.")


@dataclass(slots=True, eq=False)
class NetworkConnect(NetworkEvent):
    """A TCP connection was tried."""

    NAME: ClassVar[str] = "podcorder.network.connect"
    RECORD: ClassVar[RecordClass | None] = RecordClass.CONNECT
    MEANING: ClassVar[str] = "A TCP connection was tried, and how that ended."

    peer_address: str | None = attribute("network.peer.address", "Peer's address.")
    peer_port: int | None = attribute("network.peer.port", "Peer's port.")
    outcome: str | None = attribute(
        "podcorder.network.outcome", "established, refused, timed_out, closed (given up by the caller) or failed."
    )
    error: str | None = attribute("error.type", "The errno's name, where it failed.")
    latency: int | None = attribute("podcorder.network.latency_ns", "From the first packet to the outcome, ns.")


@dataclass(slots=True, eq=False)
class NetworkAccept(NetworkEvent):
    """A TCP connection was accepted."""

    NAME: ClassVar[str] = "podcorder.network.accept"
    RECORD: ClassVar[RecordClass | None] = RecordClass.ACCEPT
    MEANING: ClassVar[str] = "A TCP connection was accepted."

    peer_address: str | None = attribute("network.peer.address", "Peer's address.")
    peer_port: int | None = attribute("network.peer.port", "Peer's port.")


@dataclass(slots=True, eq=False)
class NetworkListen(NetworkEvent):
    """A TCP socket began to listen."""

    NAME: ClassVar[str] = "podcorder.network.listen"
    RECORD: ClassVar[RecordClass | None] = RecordClass.LISTEN
    MEANING: ClassVar[str] = "A TCP socket began to listen."


@dataclass(slots=True, eq=False)
class NetworkDatagram(NetworkEvent):
    """The first UDP datagram to a peer."""

    NAME: ClassVar[str] = "podcorder.network.datagram"
    RECORD: ClassVar[RecordClass | None] = RecordClass.DATAGRAM
    MEANING: ClassVar[str] = "The first UDP datagram that a socket sent to a peer."

    peer_address: str | None = attribute("network.peer.address", "Peer's address.")
    peer_port: int | None = attribute("network.peer.port", "Peer's port.")
    error: str | None = attribute("error.type", "The errno's name, where it failed.")


@dataclass(slots=True, eq=False)
class ContainerEvent(Event):
    """What the events of a container have."""

    container: Container | None = None


@dataclass(slots=True, eq=False)
class ContainerStart(ContainerEvent):
    """A container was selected, or its policies changed."""

    NAME: ClassVar[str] = "podcorder.container.start"
    MEANING: ClassVar[str] = "The recording of a container begins: it was made or selected, or its policies changed."


@dataclass(slots=True, eq=False)
class ContainerEnd(ContainerEvent):
    """A container's cgroup was removed, or its policies changed."""

    NAME: ClassVar[str] = "podcorder.container.end"
    MEANING: ClassVar[str] = (
        "The recording of a container ends: it is gone, no policy selects it, or its policies changed."
    )


@dataclass(slots=True, eq=False)
class SessionStart(Event):
    """A session began; `process` is its root."""

    NAME: ClassVar[str] = "podcorder.session.start"
    MEANING: ClassVar[str] = "A session began: the first event of a process whose parent stands outside."


@dataclass(slots=True, eq=False)
class SessionEnd(Event):
    """A session's last process ended; `process` is its root."""

    NAME: ClassVar[str] = "podcorder.session.end"
    MEANING: ClassVar[str] = "The last process of a session has gone."

    code: int | None = attribute("process.exit.code", "Exit code of the root, where it ended by itself.")
    signal: str | None = attribute("podcorder.process.signal", "The signal that ended the root.")
    duration: int | None = attribute("podcorder.session.duration_ns", "From the root's start to the end, ns.")


@dataclass(slots=True, eq=False)
class SessionIdentified(Event):
    """It was found out whose a session is, after events of it went out; `process` is its root."""

    NAME: ClassVar[str] = "podcorder.session.identified"
    MEANING: ClassVar[str] = (
        "What is known of whose a session is has changed after its start: it holds for all of the session's events."
    )


@dataclass(slots=True, eq=False)
class RequestEvent(ContainerEvent):
    """What the events of requests have that begin no process."""

    user_name: str | None = attribute("user.name", "The user of the API server who asked.")
    user_id: str | None = attribute("user.id", "That user's uid, where it is known.")
    user_groups: list[str] | None = attribute("podcorder.user.groups", "The groups that the user was in.")
    record: str | None = attribute(
        "podcorder.session.record", "Namespace and name of the RecordedSession, with / between."
    )
    request_id: str | None = attribute("podcorder.request.id", "The admission request.")


@dataclass(slots=True, eq=False)
class SessionAttach(RequestEvent):
    """Somebody asked to attach to a container."""

    NAME: ClassVar[str] = "podcorder.session.attach"
    MEANING: ClassVar[str] = "A user asked to attach to a container; when that ended nobody can tell."


@dataclass(slots=True, eq=False)
class SessionPortForward(RequestEvent):
    """Somebody asked for a port of a pod."""

    NAME: ClassVar[str] = "podcorder.session.port_forward"
    MEANING: ClassVar[str] = (
        "A user asked to have ports of a pod forwarded; which connections are theirs nobody can tell."
    )

    ports: list[str] | None = attribute("podcorder.port_forward.ports", "The ports, where the request named them.")


@dataclass(slots=True, eq=False)
class NodeProxy(RequestEvent):
    """Somebody asked a kubelet for something that can begin a session."""

    NAME: ClassVar[str] = "podcorder.finding.node_proxy"
    MEANING: ClassVar[str] = (
        "A user reached this node's kubelet through the API server with a request that can begin a session past what "
        "asks for the pod."
    )

    path: str | None = attribute("url.path", "The path that was asked for.")


@dataclass(slots=True, eq=False)
class RecordingGap(Event):
    """Something was lost."""

    NAME: ClassVar[str] = "podcorder.recording.gap"
    MEANING: ClassVar[str] = "Records were lost; how many is known unless the count is absent."

    record_class: str | None = attribute("podcorder.gap.class", "Class of the records lost, or unknown.")
    reason: str | None = attribute(
        "podcorder.gap.reason",
        "Why: ring_full, no_recorder, throttled, pending, scratch_busy, map_full, skipped (the kernel ran no program), "
        "journal_dropped, journal_damaged, power_loss, undecodable, state_unreadable or unexplained.",
    )
    count: int | None = attribute("podcorder.gap.count", "How many records; absent where it cannot be known.")
    first: int | None = attribute("podcorder.gap.first", "Unix time of the earliest possible loss, ns.")
    last: int | None = attribute("podcorder.gap.last", "Unix time of the latest possible loss, ns.")


@dataclass(slots=True, eq=False)
class Finding(Event):
    """Something an auditor should look at."""

    NAME: ClassVar[str] = "podcorder.finding"
    MEANING: ClassVar[str] = "Something an auditor should look at, such as a degraded capability."

    subject: str | None = attribute("podcorder.finding.subject", "What it is about.")
    message: str | None = attribute("podcorder.finding.message", "One sentence.")


EVENTS: tuple[type[Event], ...] = (
    ProcessExec,
    ProcessExecFailed,
    ProcessFork,
    ProcessExit,
    FileOpen,
    FileOpenFailed,
    NetworkConnect,
    NetworkAccept,
    NetworkListen,
    NetworkDatagram,
    ContainerStart,
    ContainerEnd,
    SessionStart,
    SessionEnd,
    SessionIdentified,
    SessionAttach,
    SessionPortForward,
    NodeProxy,
    RecordingGap,
    Finding,
)


def attributes(event: Event) -> dict[str, AttributeValue]:
    """All attributes of an event as exported: its own, its process's, its session's, its container's and its pod's.

    The plain way, for people and for tests; the OTLP encoder does the same faster.
    """
    found = own_attributes(event)
    container = event.container if isinstance(event, ContainerEvent) else None
    if event.process is not None:
        found |= own_attributes(event.process) | own_attributes(event.process.session)
        container = event.process.session.container
    if container is not None:
        found |= own_attributes(container)
        if container.pod is not None:
            found |= own_attributes(container.pod)
    return found
