"""From the fields of one record to its event: one method for each class.

A method appends the event, behind the start of a session that begins with it, and says whether the record could be
decoded. Opens are nine in ten of all records: what they need is looked up, not made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from podcorder_agent.classes import RecordClass
from podcorder_agent.interpreter.events import (
    Event,
    FileOpen,
    FileOpenFailed,
    NetworkAccept,
    NetworkConnect,
    NetworkDatagram,
    NetworkEvent,
    NetworkListen,
    ProcessExec,
    ProcessExecFailed,
    ProcessExit,
    ProcessFork,
)
from podcorder_agent.interpreter.probes import Program
from podcorder_agent.interpreter.records import (
    FIXED_SIZES,
    KEY,
    RESULT_UNKNOWN,
    SLOT,
    TAILS,
    UNSET,
    ExecFlag,
    RecordFlag,
)
from podcorder_agent.interpreter.sessions import Cause, Sessions
from podcorder_agent.interpreter.subjects import Process, SessionKind
from podcorder_agent.interpreter.vocabulary import (
    Vocabulary,
    describe_address,
    describe_exit,
    describe_mode,
    describe_open,
    name_device,
    name_errno,
    name_flags,
    name_origin,
    trim_comm,
)
from podcorder_redaction import Redaction

Fields = tuple[Any, ...]
Common = tuple[str, int, Process, int | None, int, int, bytes, list[str] | None]
NetworkKind = TypeVar("NetworkKind", bound=NetworkEvent)
Method = Callable[[Fields, bytes, int, str, int, list[Event]], bool]

_EXEC_SIZE, _EXEC_TAIL = FIXED_SIZES[RecordClass.EXEC], TAILS[RecordClass.EXEC]
_EXEC_FAILED_SIZE, _EXEC_FAILED_TAIL = FIXED_SIZES[RecordClass.EXEC_FAILED], TAILS[RecordClass.EXEC_FAILED]
_OPEN_SIZE, _OPEN_TAIL = FIXED_SIZES[RecordClass.OPEN], TAILS[RecordClass.OPEN]

_OUTCOMES = {0: "established", -111: "refused", -110: "timed_out", -103: "closed", RESULT_UNKNOWN: "closed"}
"""Of a connect: ECONNREFUSED, ETIMEDOUT, ECONNABORTED."""
_TRANSPORTS = {6: "tcp", 17: "udp"}
_SCRIPT = int(ExecFlag.SCRIPT)
_UNSETTLED = int(RecordFlag.UNSETTLED)


def split_argv(argv: bytes) -> list[bytes]:
    """NUL-terminated strings one after another; a last one that was cut lacks its NUL."""
    if not argv:
        return []
    arguments = argv.split(b"\0")
    if not arguments[-1]:
        arguments.pop()
    return arguments


class Decoder:
    """Decodes records into a list of events. All methods take (fields, payload, offset of the ring's header, record id,
    clock anchor, events)."""

    def __init__(self, sessions: Sessions, redaction_of: Callable[[int, SessionKind], Redaction]) -> None:
        self.sessions = sessions
        self.processes = sessions.processes
        self.redaction_of = redaction_of
        """By slot and kind of session."""
        self.flags = Vocabulary(name_flags)
        self.comms = Vocabulary(trim_comm)
        self.opens = Vocabulary(describe_open)
        self.modes = Vocabulary(describe_mode)
        self.devices = Vocabulary(name_device)
        self.errors = Vocabulary(name_errno)
        self.origins = Vocabulary(name_origin)
        self.addresses = Vocabulary(describe_address)
        self.methods: dict[RecordClass, Method] = {
            RecordClass.EXEC: self.exec,
            RecordClass.EXEC_FAILED: self.exec_failed,
            RecordClass.FORK: self.fork,
            RecordClass.EXIT: self.exit,
            RecordClass.OPEN: self.open,
            RecordClass.OPEN_FAILED: self.open_failed,
            RecordClass.CONNECT: self.connect,
            RecordClass.ACCEPT: self.accept,
            RecordClass.LISTEN: self.listen,
            RecordClass.DATAGRAM: self.datagram,
        }

    def _meet(
        self, fields: Fields, identity: str, anchor: int, events: list[Event], program: Program | None = None
    ) -> Process:
        _, _, flags, _, _, time, key, _, ppid, _, _, _, slot, _ = fields[:14]
        return self.sessions.meet(key, slot, ppid, flags, Cause(identity, time + anchor, anchor), events, program)

    def open(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        _, _, flags, size, _, time, key, pid, _, uid, gid, _, _, comm, inode, described, result, mode, path_length = (
            fields
        )
        if _OPEN_SIZE + path_length > size:
            return False
        process = self.processes.get(key) or self._meet(fields, identity, anchor, events)
        start = offset + _OPEN_TAIL
        device, access, open_flags = self.opens[described]
        permissions, file_type = self.modes[mode]
        events.append(
            FileOpen(
                identity,
                time + anchor,
                process,
                None if pid == process.tgid else pid,
                uid,
                gid,
                self.comms[comm],
                self.flags[flags],
                payload[start : start + path_length],
                access,
                open_flags,
                inode,
                device,
                permissions,
                file_type,
                None if result == RESULT_UNKNOWN else result,
            )
        )
        return True

    def open_failed(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        described, result, _, path_length = fields[15:]
        if _OPEN_SIZE + path_length > fields[3]:
            return False
        process = self.processes.get(fields[KEY]) or self._meet(fields, identity, anchor, events)
        start = offset + _OPEN_TAIL
        _, access, open_flags = self.opens[described]
        event = FileOpenFailed(*self._common(fields, process, identity, anchor, _UNSETTLED))
        event.path = payload[start : start + path_length]
        event.access, event.open_flags, event.error = access, open_flags, self.errors[result]
        events.append(event)
        return True

    def exec(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        inode, device, exec_flags, euid, egid, loginuid, audit_session, sid, tty, _, argc, *lengths = fields[14:]
        argv_total, argv_length, path_length, filename_length, interpreter_length, cwd_length = lengths
        key = fields[KEY]
        path_end = _EXEC_TAIL + offset + path_length
        filename_end = path_end + filename_length
        interpreter_end = filename_end + interpreter_length
        cwd_end = interpreter_end + cwd_length
        if cwd_end + argv_length - offset - (_EXEC_TAIL - _EXEC_SIZE) > fields[3]:
            return False
        argv = payload[cwd_end : cwd_end + argv_length]
        filename = payload[path_end:filename_end] or None
        process = self.processes.get(key)
        new = process is None
        if process is None:
            program = Program(argv, argv_total, filename or b"", exec_flags & _SCRIPT != 0, tty != 0)
            process = self._meet(fields, identity, anchor, events, program)
            new = key in self.processes and process.revision == 0
        redaction = self.redaction_of(fields[SLOT], process.session.kind)
        arguments, redacted = redaction.apply(argv, split_argv(argv))
        executable = payload[path_end - path_length : path_end] or None
        cwd = payload[interpreter_end:cwd_end] or None
        process = self.sessions.execute(key, process, executable, cwd, arguments, new)
        interpreter = payload[filename_end:interpreter_end] or None
        events.append(
            ProcessExec(
                *self._common(fields, process, identity, anchor, 0),
                arguments,
                argc,
                argv_total if argv_total > argv_length else None,
                redacted or None,
                filename,
                interpreter if exec_flags & _SCRIPT and interpreter != filename else None,
                cwd,
                euid,
                egid,
                None if loginuid == UNSET else loginuid,
                None if audit_session == UNSET else audit_session,
                sid,
                self.devices[tty] if tty else None,
                tty != 0,
                inode,
                self.devices[device],
                self.origins[exec_flags],
            )
        )
        return True

    def exec_failed(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        result, argc, argv_length, filename_length = fields[14:]
        if _EXEC_FAILED_SIZE + filename_length + argv_length > fields[3]:
            return False
        process = self.processes.get(fields[KEY]) or self._meet(fields, identity, anchor, events)
        start = offset + _EXEC_FAILED_TAIL
        filename_end = start + filename_length
        argv = payload[filename_end : filename_end + argv_length]
        event = ProcessExecFailed(*self._common(fields, process, identity, anchor, _UNSETTLED))
        if process.session.kind is SessionKind.SETUP:
            program = Program(argv, len(argv), payload[start:filename_end], False, False)
            self.sessions.claims.fail(process.session.container, program, process.tgid, self.errors[result])
        redaction = self.redaction_of(fields[SLOT], process.session.kind)
        event.arguments, redacted = redaction.apply(argv, split_argv(argv))
        event.argc, event.redacted = argc, redacted or None
        event.filename, event.error = payload[start:filename_end] or None, self.errors[result]
        events.append(event)
        return True

    def fork(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        child_start, child = fields[14:]
        key = fields[KEY]
        process = self.processes.get(key) or self._meet(fields, identity, anchor, events)
        tgid = int.from_bytes(child, "little")
        cause = Cause(identity, fields[5] + anchor, anchor)
        # the key's other parts are the parent's: container and session
        child_key = key[:16] + child_start + key[24:28] + child
        self.sessions.fork(process, child_key, int.from_bytes(child_start, "little"), tgid, cause, events)
        events.append(ProcessFork(*self._common(fields, process, identity, anchor, 0), tgid))
        return True

    def exit(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        exit_code = fields[14]
        key = fields[KEY]
        process = self.processes.get(key) or self._meet(fields, identity, anchor, events)
        code, signal = describe_exit(exit_code)
        duration = max(0, fields[5] - process.start)
        events.append(ProcessExit(*self._common(fields, process, identity, anchor, 0), code, signal, duration))
        self.sessions.exit(key, process, exit_code, Cause(identity, fields[5] + anchor, anchor), events)
        return True

    def connect(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        latency, result, family, protocol, local_port, peer_port, local, peer = fields[14:]
        process = self.processes.get(fields[KEY]) or self._meet(fields, identity, anchor, events)
        kind, address = self.addresses[family + local]
        events.append(
            NetworkConnect(
                *self._common(fields, process, identity, anchor, 0),
                _TRANSPORTS.get(protocol),
                kind,
                address,
                local_port,
                self.addresses[family + peer][1],
                peer_port,
                _OUTCOMES.get(result, "failed"),
                self.errors[result],
                latency or None,
            )
        )
        return True

    def accept(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        event = self._network(NetworkAccept, fields, identity, anchor, events)
        event.peer_address, event.peer_port = self.addresses[fields[16] + fields[21]][1], fields[19]
        events.append(event)
        return True

    def listen(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        events.append(self._network(NetworkListen, fields, identity, anchor, events))
        return True

    def datagram(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        event = self._network(NetworkDatagram, fields, identity, anchor, events)
        event.peer_address, event.peer_port = self.addresses[fields[16] + fields[21]][1], fields[19]
        event.error = self.errors[fields[15]]
        events.append(event)
        return True

    def _network(
        self, kind: type[NetworkKind], fields: Fields, identity: str, anchor: int, events: list[Event]
    ) -> NetworkKind:
        process = self.processes.get(fields[KEY]) or self._meet(fields, identity, anchor, events)
        event = kind(*self._common(fields, process, identity, anchor, 0))
        event.transport = _TRANSPORTS.get(fields[17])
        event.family, event.local_address = self.addresses[fields[16] + fields[20]]
        event.local_port = fields[18]
        return event

    def _common(self, fields: Fields, process: Process, identity: str, anchor: int, more: int) -> Common:
        """What every event begins with; `more` are flags that go without saying."""
        pid = fields[7]
        return (
            identity,
            fields[5] + anchor,
            process,
            None if pid == process.tgid else pid,
            fields[9],
            fields[10],
            self.comms[fields[13]],
            self.flags[fields[2] | more],
        )
