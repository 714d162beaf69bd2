"""The interpreter: frames in, events out, and a state in between that fits a checkpoint.

Pure: no clock, no I/O; the same frames give the same events, wherever a snapshot was taken in between. No bytes make it
raise: what cannot be read is counted and becomes a gap.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from typing import Any, Self

from podcorder_agent.classes import CLASS_COUNT, CLASS_NAMES, RecordClass
from podcorder_agent.interpreter import state
from podcorder_agent.interpreter.decoding import Decoder, Fields
from podcorder_agent.interpreter.events import ContainerEnd, Event, SessionAttach
from podcorder_agent.interpreter.gaps import Account, Segments
from podcorder_agent.interpreter.pending import Pending, Record, count_classes
from podcorder_agent.interpreter.records import (
    FIXED_SIZES,
    MOST_TIME,
    RING_HEADER_SIZE,
    SLOT,
    TAILS,
    UNPACKERS,
    VERSION,
    RecordFlag,
    inspect_damage,
)
from podcorder_agent.interpreter.reports import (
    end_container,
    report_capabilities,
    report_finding,
    report_given_up,
    report_state,
    report_undecodable,
    start_container,
    turn_container,
)
from podcorder_agent.interpreter.selections import Selection, Selections
from podcorder_agent.interpreter.sequences import CPU_BITS, LEVEL_SHIFT, Sequences
from podcorder_agent.interpreter.session_reports import SessionReport
from podcorder_agent.interpreter.sessions import Cause, Sessions
from podcorder_agent.interpreter.sieves import Sieve
from podcorder_agent.interpreter.slots import Slot
from podcorder_agent.interpreter.subjects import SessionKind
from podcorder_agent.journal.frames import Frame, FrameKind, Position
from podcorder_redaction import Redaction

MOST_GENERATIONS = 4
"""Load generations whose record ids are remembered."""
REMOVAL_DELAY = 10**9
"""A removed cgroup is ended by a frame this much later (ns): the two rings are drained one after the other."""
_PENDING = int(RecordFlag.PENDING)


class Interpreter:
    """Turns frames into events. Feed it every frame once and in order; repeated records are dropped and counted."""

    def __init__(self, redaction: Redaction | None = None) -> None:
        self.redaction = redaction or Redaction()
        self.undecodable = 0
        """Records, requests, notes and counters that could not be read."""
        self.duplicates = 0
        """Records that came more than once."""
        self.boot_id = ""
        self.sequences: dict[int, Sequences] = {}
        self.account = Account(0, closed=True)
        self.segments = Segments()
        self.segment = 0
        """Where the last frame stood."""
        self.slots: dict[int, Slot] = {}
        self.sieve = Sieve(self.slots)
        self.configured: dict[int, int] = {}
        """By slot: boot time of the frame that configured it, ns."""
        self.capabilities: dict[str, str] = {}
        self.pending = Pending()
        self.state_problem: str | None = None
        """Why the state of a checkpoint was dropped; told by the first frame."""
        self.begin_boot(Selections())

    def begin_boot(self, selections: Selections) -> None:
        """Know no process and no session."""
        self.selections = selections
        self.sessions = Sessions(self.boot_id, self._find_selection, self.slots)
        self.decoder = Decoder(self.sessions, self._redaction_of)
        methods = self.decoder.methods | {RecordClass.CGROUP: self._note_cgroup}
        self._methods = tuple(methods[each] for each in RecordClass)

    @property
    def withheld(self) -> list[int]:
        """Records that no policy asks for, by class."""
        return self.sieve.withheld

    def take_reports(self) -> list[SessionReport]:
        """The sessions of which something has changed since this was last called; after a restore, all."""
        return self.sessions.claims.ledger.take_reports()

    @property
    def due(self) -> int | None:
        """Boot time at which something is due though nothing happens, ns: a later frame is wanted then."""
        return self.sessions.claims.due

    def finish(self) -> list[Event]:
        """No frame follows: what was kept back of sessions of which it is not known yet whose they are."""
        return self.sessions.claims.let_go()

    @property
    def holding(self) -> Position | None:
        """The oldest frame still needed, because records of it are held."""
        return self.pending.position

    def snapshot(self) -> dict[str, Any]:
        """All that later frames need, as JSON; the state of a checkpoint."""
        return state.save(self)

    @classmethod
    def restore(cls, saved: object, redaction: Redaction | None = None) -> Self:
        """Go on from a snapshot. One that cannot be read is dropped: the first frame then gives a gap that says so."""
        made = cls(redaction)
        try:
            state.load(made, saved)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error) as error:
            made = cls(redaction)
            made.state_problem = str(error)
        return made

    def interpret(self, frame: Frame) -> list[Event]:
        """The events of one frame, with those it causes by the time that has passed."""
        events: list[Event] = []
        header = frame.segment
        if header.generation != self.account.generation or header.boot_id != self.boot_id:
            self._turn(frame, events)
        account = self.account
        self.segment = frame.position.segment
        account.anchor = header.anchor_ns
        account.last = max(account.last, frame.time)
        claims = self.sessions.claims
        claims.now, claims.anchor = max(claims.now, frame.time), header.anchor_ns
        if self.state_problem is not None:
            events.append(report_state(frame))
            self.state_problem = None
        if frame.kind <= FrameKind.LIFECYCLE:
            self._interpret_records(frame, events)
        elif not self._interpret_json(frame, events):
            self._count_undecodable(frame, {None: 1}, events)
        if self.selections.removed:
            self._end_removed(frame.time - REMOVAL_DELAY, events)
        if self.pending.containers:
            for held in self.pending.expire(frame.time):
                events += report_given_up(held, frame)
        passed = claims.pass_on(self.sieve.sift(events, self.selections.excluded, self.sessions))
        return claims.go_out(passed)

    def _turn(self, frame: Frame, events: list[Event]) -> None:
        """Another load of the programs, maybe on another boot."""
        header, before = frame.segment, self.account
        if not before.closed:
            events.append(before.abandon(header.created_ns))
        if header.boot_id != self.boot_id:
            cause = Cause(f"boot.{self.boot_id}", before.last + before.anchor, before.anchor)
            self.sessions.end_all(cause, events)
            events += self.sessions.claims.let_go()
            for container_id in list(self.pending.containers):
                events += report_given_up(self.pending.release(container_id), frame)
            self.boot_id = header.boot_id
            self.begin_boot(Selections())
        self.account = Account(header.generation)

    def _find_sequences(self, generation: int) -> Sequences:
        found = self.sequences.get(generation)
        if found is None:
            found = self.sequences[generation] = Sequences(generation)
            if len(self.sequences) > MOST_GENERATIONS:
                del self.sequences[next(iter(self.sequences))]
        return found

    def _interpret_records(self, frame: Frame, events: list[Event]) -> None:
        """Walk the ring bytes of a frame. One pass through the loop is what an event costs."""
        payload = frame.payload
        end = len(payload)
        anchor = frame.segment.anchor_ns
        sequences = self._find_sequences(frame.segment.generation)
        methods = self._methods
        seen = [0] * CLASS_COUNT
        damaged: Counter[str | None] = Counter()
        offset = 0
        while offset < end:
            try:
                kind = payload[offset + 9]
                fields = UNPACKERS[kind](payload, offset)
            except (IndexError, struct.error):
                fields = None
            if fields is None or not (
                FIXED_SIZES[kind] <= fields[3] <= fields[0] <= end - offset - RING_HEADER_SIZE
                and fields[1] == VERSION
                and fields[5] < MOST_TIME
            ):
                damage = inspect_damage(payload, offset)
                offset = damage.next
                if damage.counted:
                    damaged[damage.record_class] += 1
                    if damage.record_class is not None:
                        seen[CLASS_NAMES.index(damage.record_class)] += 1
                continue
            here = offset
            offset += RING_HEADER_SIZE + (fields[0] + 7 & -8)
            number = fields[4]
            sequence = sequences[number >> LEVEL_SHIFT << CPU_BITS | fields[11]]
            if number == sequence.high + 1:
                sequence.high = number
            elif not sequence.admit(number):
                self.duplicates += 1
                continue
            seen[kind] += 1
            identity = f"{sequence.prefix}{number}"
            if fields[2] & _PENDING and kind != RecordClass.CGROUP:
                self._route_pending(frame, kind, fields, payload[here:offset], identity, events)
            elif not methods[kind](fields, payload, here, identity, anchor, events):
                damaged[CLASS_NAMES[kind]] += 1
        self.account.add_seen(seen)
        self.segments.add(frame.position.segment, seen)
        if damaged:
            self._count_undecodable(frame, damaged, events)

    def _count_undecodable(self, frame: Frame, damaged: dict[str | None, int], events: list[Event]) -> None:
        self.undecodable += sum(damaged.values())
        events += report_undecodable(frame, damaged)

    # Containers

    def _policy_of(self, slot: int) -> str | None:
        found = self.slots.get(slot)
        return None if found is None else found.policy

    def _settings_of(self, slot: int) -> dict[str, Any] | None:
        found = self.slots.get(slot)
        return None if found is None else found.raw

    def _redaction_of(self, slot: int, kind: SessionKind) -> Redaction:
        found = self.slots.get(slot)
        return self.redaction if found is None else found.redaction_of(kind)

    def _find_selection(self, cgroup_id: int, slot: int) -> Selection:
        return self.selections.find(cgroup_id, slot, self._policy_of)

    def _note_cgroup(
        self, fields: Fields, payload: bytes, offset: int, identity: str, anchor: int, events: list[Event]
    ) -> bool:
        cgroup_id, _, _, removed, length = fields[14:]
        if FIXED_SIZES[RecordClass.CGROUP] + length > fields[3]:
            return False
        start = offset + TAILS[RecordClass.CGROUP]
        if removed:
            self.selections.note_removed(cgroup_id, fields[5])
        else:
            path = payload[start : start + length].decode("utf-8", "backslashreplace")
            comm = self.decoder.comms[fields[13]].decode("utf-8", "backslashreplace")
            self.selections.note_made(cgroup_id, path, comm)
        return True

    def _end_removed(self, before: int, events: list[Event]) -> None:
        """End the containers whose cgroups were removed before this boot time."""
        for cgroup_id, time in list(self.selections.removed.items()):
            if time <= before:
                cause = self._cause(f"container.{cgroup_id}.{time}", time)
                self.sessions.end_container(cgroup_id, cause, events)
                selection = self.selections.forget(cgroup_id)
                if selection is not None and selection.is_container:
                    events.append(ContainerEnd(f"{cause.id}.end", cause.time, container=selection.container))

    def _cause(self, identity: str, time: int) -> Cause:
        return Cause(f"{self.account.generation:016x}.{identity}", time + self.account.anchor, self.account.anchor)

    # Held records

    def _route_pending(
        self, frame: Frame, kind: int, fields: Fields, data: bytes, identity: str, events: list[Event]
    ) -> None:
        """A record of a container nobody knew when it was made: by now it may be known."""
        container_id = int.from_bytes(fields[6][:8], "little")
        record = Record(identity, data, frame.segment.anchor_ns)
        selection = self.selections.chosen.get(container_id)
        if selection is not None:
            self._emit_held(record, selection, frame, events)
        elif container_id in self.selections.excluded:
            self.sieve.withhold(count_classes([record]))
        else:
            for held in self.pending.hold(container_id, frame.time, frame.position, record):
                events += report_given_up(held, frame)

    def _emit_held(self, record: Record, selection: Selection, frame: Frame, events: list[Event]) -> None:
        """Decode a record as if its container had been selected, and leave out what the policy does not want."""
        kind = record.data[9]
        fields = UNPACKERS[kind](record.data, 0)
        fields = (*fields[:SLOT], selection.container.slot, *fields[SLOT + 1 :])
        found: list[Event] = []
        if not self._methods[kind](fields, record.data, 0, record.identity, record.anchor, found):
            self._count_undecodable(frame, {CLASS_NAMES[kind]: 1}, events)
        slot = self.slots.get(selection.container.slot)
        wanted = found if slot is None else [each for each in found if slot.admits(each)]
        if len(wanted) < len(found):
            self.sieve.withhold(count_classes([record]))
        events += wanted

    # Requests, notes and counters

    def _interpret_json(self, frame: Frame, events: list[Event]) -> bool:
        """Whether the payload could be read."""
        try:
            told = json.loads(frame.payload)
        except (ValueError, RecursionError):
            return False
        if not isinstance(told, dict):
            return False
        if frame.kind == FrameKind.COUNTERS:
            gaps = self.account.count(told, frame.time)
            events += gaps or ()
            return gaps is not None
        if frame.kind == FrameKind.REQUEST:
            request = told.get("request")
            return isinstance(request, dict) and self._act_on_request(request, frame, events)
        return self._act_on_note(told, frame, events)

    def _act_on_request(self, request: dict[str, Any], frame: Frame, events: list[Event]) -> bool:
        match request.get("kind"):
            case "configure":
                return self._configure(request, frame, events)
            case "select":
                self._select(request, frame, events)
            case "exclude" if type(request.get("cgroup_id")) is int:
                self._exclude(request["cgroup_id"], frame, events)
            case "ignore" if type(request.get("tgid")) is int and self._knows(request["tgid"], frame.time):
                message = f"The recorder was asked not to record process {request['tgid']} of a session any more."
                events.append(report_finding(frame, f"ignore.{request['tgid']}", "ignore", message))
            case "fact":
                containers = (each.container for each in self.selections.chosen.values())
                told = self.sessions.claims.take_fact(
                    request.get("subject"), request.get("data"), frame.time, containers
                )
                attaches = (each for each in told if isinstance(each, SessionAttach))
                self.sessions.refresh({each.container.cgroup_id for each in attaches if each.container is not None})
                events += told
        return True

    def _knows(self, tgid: int, time: int) -> bool:
        """Whether a process of a session had this pid at that boot time, ns."""
        process = self.sessions.processes.get(self.sessions.keys.get(tgid, b""))
        return process is not None and process.start <= time

    def _configure(self, request: dict[str, Any], frame: Frame, events: list[Event]) -> bool:
        number, settings = request.get("slot"), request.get("settings")
        if type(number) is not int or not 0 <= number < 1 << 16 or not isinstance(settings, dict | None):
            return False
        if frame.time < self.configured.get(number, -1):
            return True
        self.configured[number] = frame.time
        if settings is None:
            return True  # what comes late is still judged by what held
        earlier = self.slots.get(number)
        slot = self.slots[number] = Slot.parse(settings, self.redaction)
        self.sieve.active = self.sieve.active or slot.kinds is not None
        concerned = self.selections.rename_policy(number, slot.policy)
        if earlier is not None and earlier.raw != settings:
            for before, selection in concerned:
                events += turn_container(frame, before, selection)
        logins = self.sessions.rename_policy(number, slot.policy)
        self.sessions.refresh({before.cgroup_id for before, _ in concerned} | logins)
        if slot.redaction is not self.redaction:
            for index, problem in enumerate(slot.redaction.problems):
                events.append(report_finding(frame, f"redaction.{number}.{index}", "redaction", problem))
        return True

    def _select(self, request: dict[str, Any], frame: Frame, events: list[Event]) -> None:
        found = self.selections.select(request, frame.time, self._policy_of)
        if found is None:
            return
        selection, before = found
        container = selection.container
        held = self.pending.release(container.cgroup_id)
        if before is None and selection.is_container:
            events.append(start_container(frame, container, held))
        elif before is not None and self._settings_of(before.slot) != self._settings_of(container.slot):
            events += turn_container(frame, before, selection)
        self.sessions.refresh({container.cgroup_id})
        for record in held.records:
            self._emit_held(record, selection, frame, events)

    def _exclude(self, cgroup_id: int, frame: Frame, events: list[Event]) -> None:
        self.sieve.withhold(count_classes(self.pending.release(cgroup_id).records))
        ended = self.selections.exclude(cgroup_id, frame.time)
        if ended is not None and ended.is_container:
            events.append(end_container(frame, ended.container))

    def _act_on_note(self, note: dict[str, Any], frame: Frame, events: list[Event]) -> bool:
        name = note.get("note")
        if name == "started" and not frame.flags & 1:
            self.account.complete, self.account.counted = True, frame.time
        if name in ("started", "resumed", "capabilities"):
            events += report_capabilities(frame, note.get("capabilities"), self.capabilities)
        elif name == "stopped":
            self._end_removed(frame.time, events)
            if note.get("unpinned") is True and not frame.flags & 1:
                self._stop(frame, events)
        elif name == "dropped":
            gaps = self.segments.report_dropped(note, frame.position.segment, self.account, frame.time)
            events += gaps or ()
            if note.get("requests"):
                message = (
                    "Requests went with a segment nobody had read: containers recorded since may lack their names."
                )
                events.append(report_finding(frame, "requests", "journal", message))
            return gaps is not None
        elif name == "torn":
            message = "A segment ended inside a frame, which was cut off."
            events.append(report_finding(frame, "torn", "journal", message))
        elif name == "full":
            message = "The journal's disk was full: the ring held what it could, and the kernel counted the rest."
            events.append(report_finding(frame, "full", "journal", message))
        return True

    def _stop(self, frame: Frame, events: list[Event]) -> None:
        """The programs are gone: no record follows, and every container's recording has ended."""
        for container_id in list(self.pending.containers):
            events += report_given_up(self.pending.release(container_id), frame)
        events += self.account.settle(frame.time)
        containers = [each.container for each in self.selections.chosen.values() if each.is_container]
        events += [end_container(frame, each) for each in containers]
        self.selections.chosen.clear()
