"""What a checkpoint keeps of claims: requests, roots, ledger entries, and the events that are kept back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from podcorder_agent.classes import CLASS_COUNT
from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.announcements import Announcement, read_announcement
from podcorder_agent.interpreter.claims import Claims
from podcorder_agent.interpreter.events import Event
from podcorder_agent.interpreter.gaps import read_counts
from podcorder_agent.interpreter.ledgers import Entry
from podcorder_agent.interpreter.pools import Failure, Pool, Root
from podcorder_agent.interpreter.session_reports import Loss, SessionReport
from podcorder_agent.interpreter.subjects import Identity, Pod, Process, Session, SessionKind

Number = Callable[[Any], int]
"""Keeps an object that several places share, and says where."""
_EVENTS = {each.__name__: each for each in events.EVENTS}


def save_claims(claims: Claims, session: Number, process: Number) -> dict[str, Any]:
    """As JSON."""
    return {
        "active": claims.active,
        "now": claims.now,
        "begun": claims.begun,
        "key": claims.key.hex(),
        "times": [claims.hold, claims.unannounced],
        "settled": list(claims.settled),
        "pools": [
            [[key for key, each in claims.pools.items() if each is pool], *_save_pool(pool, session)]
            for pool in dict.fromkeys(claims.pools.values())
        ],
        "entries": [_save_entry(each, session) for each in claims.ledger.entries.values()],
        "unstarted": [_save_unstarted(each) for each in claims.ledger.unstarted],
        "waiting": [
            [identity, [_save_event(each, process) for each in held]]
            for identity, held in claims.waiting.sessions.items()
        ],
        "due": claims.due,
    }


def load_claims(claims: Claims, saved: dict[str, Any], sessions: list[Session], processes: list[Process]) -> None:
    """Give new claims that state; everything in it is reported anew. Raises as `state.load` does."""
    claims.active, claims.key = bool(saved["active"]), bytes.fromhex(saved["key"])
    claims.now, claims.begun = int(saved["now"]), int(saved["begun"])
    claims.hold, claims.unannounced = map(int, saved["times"])
    claims.settled = dict.fromkeys(map(str, saved["settled"]))
    for keys, *rest in saved["pools"]:
        pool = _load_pool(rest, sessions, claims.hold)
        claims.pools |= {tuple(map(str, key)): pool for key in keys}
    for each in saved["entries"]:
        entry = _load_entry(each, sessions)
        claims.ledger.entries[entry.session.id] = entry
    claims.ledger.changed = dict.fromkeys(claims.ledger.entries)
    claims.ledger.unstarted = [_load_unstarted(each) for each in saved["unstarted"]]
    for identity, held in saved["waiting"]:
        claims.waiting.sessions[str(identity)] = [_load_event(each, processes) for each in held]
        claims.waiting.count += len(held)
    claims.due = None if saved["due"] is None else int(saved["due"])


def _save_pool(pool: Pool, session: Number) -> list[Any]:
    return [
        [[each.raw, each.arrived] for each in pool.open],
        pool.taken,
        [_save_root(each, session) for each in pool.roots],
        [[_save_root(root, session), request.raw, request.arrived] for root, request in pool.decided],
        pool.latest,
        [[tgid, each.seen, each.error] for tgid, each in pool.failures.items()],
    ]


def _load_pool(saved: list[Any], sessions: list[Session], hold: int) -> Pool:
    requests, taken, roots, decided, latest, failures = saved
    pool = Pool(hold, [_load_request(*each) for each in requests], int(taken))
    pool.roots = [_load_root(each, sessions) for each in roots]
    pool.decided = [(_load_root(root, sessions), _load_request(raw, arrived)) for root, raw, arrived in decided]
    pool.latest = int(latest)
    pool.failures = {int(tgid): Failure(int(seen), error) for tgid, seen, error in failures}
    return pool


def _load_request(raw: object, arrived: int) -> Announcement:
    request = read_announcement(raw, int(arrived))
    if request is None:
        raise ValueError("an announcement cannot be read")
    return request


def _save_root(root: Root, session: Number) -> list[Any]:
    return [session(root.session), root.seen, root.start, root.also_probe, root.told, root.reported]


def _load_root(saved: list[Any], sessions: list[Session]) -> Root:
    number, seen, start, *marks = saved
    return Root(sessions[number], int(seen), int(start), *map(bool, marks))


def _save_entry(entry: Entry, session: Number) -> list[Any]:
    losses = [[each.record_class, each.count, each.first, each.last] for each in entry.losses.values()]
    return [
        *(session(entry.session), entry.start, entry.end, entry.exit_code),
        *(entry.record, entry.candidates, losses, entry.told),
    ]


def _load_entry(saved: list[Any], sessions: list[Session]) -> Entry:
    number, start, end, exit_code, record, candidates, losses, told = saved
    entry = Entry(sessions[number], int(start), end, exit_code)
    entry.record = None if record is None else _load_record(record)
    entry.candidates = tuple(map(_load_record, candidates))
    entry.losses = {str(name): Loss(str(name), count, first, last) for name, count, first, last in losses}
    entry.told = int(told)
    if entry.session.counts is None or read_counts(entry.session.counts, CLASS_COUNT) is None:
        raise ValueError("the counts of a session cannot be read")
    return entry


def _load_record(saved: list[Any]) -> tuple[str, str]:
    namespace, name = saved
    return str(namespace), str(name)


def _save_unstarted(report: SessionReport) -> list[Any]:
    return [report.record, report.kind.value, None if report.pod is None else asdict(report.pod), report.failure]


def _load_unstarted(saved: list[Any]) -> SessionReport:
    record, kind, pod, failure = saved
    place = None if pod is None else Pod(**pod)
    return SessionReport(None, _load_record(record), (), SessionKind(kind), Identity.IDENTIFIED, place, failure=failure)


def _save_event(event: Event, process: Number) -> list[Any]:
    values = {each.name: getattr(event, each.name) for each in fields(event) if each.name != "process"}
    kept = {name: _save_value(value) for name, value in values.items() if value is not None}
    return [type(event).__name__, process(event.process), kept]


def _load_event(saved: list[Any], processes: list[Process]) -> Event:
    name, number, kept = saved
    event = _EVENTS[name]("", 0, processes[number])
    for field, value in kept.items():
        setattr(event, field, _load_value(value))
    return event


def _save_value(value: Any) -> Any:
    """Bytes become text by Latin-1, which keeps each byte, below a name that tells them from text."""
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    if isinstance(value, list):
        return [_save_value(each) for each in value]
    return value


def _load_value(value: Any) -> Any:
    if isinstance(value, dict):
        return str(value["bytes"]).encode("latin-1")
    if isinstance(value, list):
        return [_load_value(each) for each in value]
    return value
