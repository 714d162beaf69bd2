"""What a checkpoint keeps of the interpreter: JSON with a version of its own.

Bytes become text by Latin-1, which keeps each byte. Processes and containers that several places share are kept once,
so that they are shared again.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from podcorder_agent.classes import CLASS_COUNT
from podcorder_agent.interpreter.claim_states import load_claims, save_claims
from podcorder_agent.interpreter.gaps import Account, read_counts
from podcorder_agent.interpreter.pending import Pending, Record, pack_records
from podcorder_agent.interpreter.selections import Selections
from podcorder_agent.interpreter.sequences import Sequences
from podcorder_agent.interpreter.sessions import Sessions, Tree
from podcorder_agent.interpreter.slots import Slot
from podcorder_agent.interpreter.subjects import Container, Identity, Pod, Process, Session, SessionKind

if TYPE_CHECKING:
    from podcorder_agent.interpreter.interpreter import Interpreter

VERSION = 4
_IDENTITY = ("user_name", "user_id", "user_groups", "candidates", "record", "request_id", "identity")
"""Fields of a session that say whose it is."""


def save(interpreter: Interpreter) -> dict[str, Any]:
    """The state of an interpreter."""
    containers = _Shared()
    saved = {
        "version": VERSION,
        "boot_id": interpreter.boot_id,
        "sequences": [[generation, each.snapshot()] for generation, each in interpreter.sequences.items()],
        "account": interpreter.account.snapshot(),
        "segments": [
            [index, each[:]] for index, each in interpreter.segments.known.items() if index != interpreter.segment
        ],
        "segment": interpreter.segment,
        "slots": [[number, each.raw] for number, each in interpreter.slots.items()],
        "configured": list(map(list, interpreter.configured.items())),
        "capabilities": dict(interpreter.capabilities),
        "pending": interpreter.pending.snapshot(),
        "selections": interpreter.selections.snapshot(containers.number),
        "sessions": _save_sessions(interpreter.sessions, containers),
        "counters": [interpreter.undecodable, interpreter.duplicates],
        "sieve": [interpreter.sieve.active, interpreter.sieve.withheld[:]],
        "problem": interpreter.state_problem,
    }
    saved["containers"] = [_save_container(each) for each in containers.objects]
    return saved | {"digest": _digest(saved)}


def load(interpreter: Interpreter, saved: Any) -> None:
    """Give a new interpreter that state; ValueError, TypeError, LookupError and their like where it is none."""
    if not isinstance(saved, dict) or saved.get("version") not in (1, 2, 3, VERSION):
        raise ValueError("the state is of another version")
    if saved.get("digest") != _digest({key: value for key, value in saved.items() if key != "digest"}):
        raise ValueError("the state is damaged")
    if saved["version"] == 1:
        saved = upgrade(saved)
    if saved["version"] == 2:
        saved = add_identities(saved)
    if saved["version"] == 3:
        saved = add_times(saved)
    containers = [_load_container(each) for each in saved["containers"]]
    interpreter.boot_id = str(saved["boot_id"])
    interpreter.begin_boot(Selections.restore(saved["selections"], containers))
    interpreter.sequences = {
        int(generation): Sequences.restore(int(generation), each) for generation, each in saved["sequences"]
    }
    interpreter.account = Account.restore(saved["account"])
    interpreter.segments.known = {
        int(index): counts
        for index, each in saved["segments"]
        if (counts := read_counts(each, CLASS_COUNT)) is not None
    }
    interpreter.segment = int(saved["segment"])
    interpreter.slots.update((int(number), Slot.parse(raw, interpreter.redaction)) for number, raw in saved["slots"])
    interpreter.configured = {int(number): int(time) for number, time in saved["configured"]}
    interpreter.capabilities = dict(saved["capabilities"])
    interpreter.pending = Pending.restore(saved["pending"])
    _load_sessions(interpreter.sessions, containers, saved["sessions"])
    interpreter.undecodable, interpreter.duplicates = map(int, saved["counters"])
    interpreter.sieve.active, withheld = bool(saved["sieve"][0]), read_counts(saved["sieve"][1], CLASS_COUNT)
    if withheld is None:
        raise ValueError("the counts of withheld records cannot be read")
    interpreter.sieve.withhold(withheld)
    interpreter.state_problem = saved["problem"]


def upgrade(saved: dict[str, Any]) -> dict[str, Any]:
    """The state as version 1 kept it, which knew neither pods nor kinds of session that want less than their slot."""
    containers: list[list[Any]] = []
    numbers: dict[int, int] = {}
    chosen = []
    for cgroup_id, path, identity, runtime, name, policy, slot, kind, decided, *_ in saved["selections"]["chosen"]:
        numbers[cgroup_id] = len(containers)
        chosen.append([len(containers), kind, decided, []])
        containers.append([cgroup_id, path, identity, runtime, name, None, policy, None, slot])
    places = []
    for cgroup_id, path, identity, runtime, name, policy, is_chosen in saved["sessions"]["containers"]:
        places.append(numbers[cgroup_id] if is_chosen else len(containers))
        if not is_chosen:
            containers.append([cgroup_id, path, identity, runtime, name, None, policy, None, 0])
    sessions = [
        [places[number], *head, None, partial, processes, False]
        for number, *head, partial, processes in saved["sessions"]["sessions"]
    ]
    excluded = [[cgroup_id, time, None] for cgroup_id, time in saved["selections"]["excluded"]]
    pending = [
        [*head, pack_records(Record(identity, b64decode(data), anchor) for identity, data, anchor in records)]
        for *head, records in saved["pending"]
    ]
    return saved | {
        "version": 2,
        "selections": saved["selections"] | {"chosen": chosen, "excluded": excluded},
        "sessions": saved["sessions"] | {"sessions": sessions},
        "containers": containers,
        "pending": pending,
        "counters": saved["counters"][:2],
        "sieve": [False, [0]],
    }


def add_identities(saved: dict[str, Any]) -> dict[str, Any]:
    """The state as version 2 kept it, which knew nobody by name."""
    sessions = [[*each[:9], [None] * len(_IDENTITY), None] for each in saved["sessions"]["sessions"]]
    return saved | {
        "version": 3,
        "containers": [[*each, None] for each in saved["containers"]],
        "sessions": saved["sessions"] | {"sessions": sessions, "claims": None},
    }


def add_times(saved: dict[str, Any]) -> dict[str, Any]:
    """The state as version 3 kept it, which did not know until when, and since which announcing, it had been told."""
    claims = saved["sessions"]["claims"]
    told = None if claims is None else claims | {"now": 0, "begun": -1}
    return saved | {"version": 4, "sessions": saved["sessions"] | {"claims": told}}


def _digest(saved: dict[str, Any]) -> str:
    """Of the state as JSON, so that nothing that was changed on its way is ever taken for the state."""
    return blake2b(json.dumps(saved, sort_keys=True).encode(), digest_size=16).hexdigest()


def _to_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _to_bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode("latin-1")


class _Shared:
    """Numbers for objects that several places share, in the order they are met."""

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def number(self, each: Any) -> int:
        found = self._numbers.get(id(each))
        if found is None:
            found = self._numbers[id(each)] = len(self.objects)
            self.objects.append(each)
        return found


def _save_container(container: Container) -> list[Any]:
    pod = container.pod
    return [
        *(container.cgroup_id, container.path, container.id, container.runtime, container.name, container.image),
        *(container.policy, None if pod is None else [getattr(pod, each.name) for each in fields(Pod)], container.slot),
        container.attach_users,
    ]


def _load_container(saved: list[Any]) -> Container:
    cgroup_id, path, identity, runtime, name, image, policy, pod, slot, attach_users = saved
    known = None if pod is None else Pod(*pod)
    return Container(
        *(int(cgroup_id), str(path), identity, runtime, name, image, policy, attach_users, known, int(slot))
    )


def _save_sessions(sessions: Sessions, containers: _Shared) -> dict[str, Any]:
    holders, processes = _Shared(), _Shared()
    saved: dict[str, Any] = {
        "alive": [[key.hex(), processes.number(each)] for key, each in sessions.processes.items()],
        "ended": [[key.hex(), processes.number(each)] for key, each in sessions.ended.items()],
        "keys": [[tgid, key.hex()] for tgid, key in sessions.keys.items()],
    }
    for name, trees in (("trees", sessions.trees), ("past", sessions.past)):
        saved[name] = [
            [holders.number(each.session), processes.number(each.root), each.exit_code] for each in trees.values()
        ]
    saved["claims"] = save_claims(sessions.claims, holders.number, processes.number)
    saved["processes"] = [
        [
            *(holders.number(each.session), each.start, each.tgid, each.ppid, _to_text(each.executable), each.span_id),
            *([_to_text(argument) for argument in each.arguments], _to_text(each.cwd), each.revision),
        ]
        for each in processes.objects
    ]
    saved["sessions"] = [
        [
            *(containers.number(each.container), each.root_tgid, each.root_start, each.id, each.kind.value),
            *(each.labels, each.partial, each.processes, each.withheld),
            *([getattr(each, name) for name in _IDENTITY], None if each.counts is None else each.counts[:]),
        ]
        for each in holders.objects
    ]
    return saved


def _load_sessions(sessions: Sessions, containers: list[Container], saved: dict[str, Any]) -> None:
    holders = [_load_session(each, containers) for each in saved["sessions"]]
    processes = [
        Process(
            *(holders[number], int(start), int(tgid), int(ppid), _to_bytes(executable), str(span_id)),
            *([argument.encode("latin-1") for argument in arguments], _to_bytes(cwd), int(revision)),
        )
        for number, start, tgid, ppid, executable, span_id, arguments, cwd, revision in saved["processes"]
    ]
    for key, number in saved["alive"]:
        sessions.processes[_to_key(key)] = processes[number]
    for key, number in saved["ended"]:
        sessions.ended[_to_key(key)] = processes[number]
    sessions.keys.update({int(tgid): _to_key(key) for tgid, key in saved["keys"]})
    for name, trees in (("trees", sessions.trees), ("past", sessions.past)):
        for holder, root, exit_code in saved[name]:
            tree = Tree(holders[holder], processes[root], None if exit_code is None else int(exit_code))
            trees[tree.session.root_tgid, tree.session.root_start] = tree
    if saved["claims"] is not None:
        load_claims(sessions.claims, saved["claims"], holders, processes)


def _load_session(saved: list[Any], containers: list[Container]) -> Session:
    number, root, start, identity, kind, labels, partial, processes, withheld, known, counts = saved
    found = Session(containers[number], int(root), int(start), identity, SessionKind(kind), labels)
    found.partial, found.processes, found.withheld = bool(partial), int(processes), bool(withheld)
    for name, value in zip(_IDENTITY, known, strict=True):
        setattr(found, name, value)
    found.identity = None if found.identity is None else Identity(found.identity)
    found.counts = None if counts is None else read_counts(counts, CLASS_COUNT)
    return found


def _to_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError("a process's key has 32 bytes")
    return key
