"""What was asked of the API server, as `announcement` facts tell it (docs/agent.md). Nothing a fact holds raises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from podcorder_agent.interpreter.session_reports import Record
from podcorder_agent.interpreter.subjects import SessionKind

MOST_TEXT = 1024
MOST_GROUPS, MOST_GROUP_BYTES = 64, 4096
"""Of a user, which every event of the session carries."""
_NS = 10**9


@dataclass(frozen=True, slots=True)
class User:
    """A user of the API server."""

    name: str
    uid: str | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """One request that the operator has written down as a RecordedSession."""

    raw: dict[str, Any]
    """The fact's data."""
    arrived: int
    """Boot time of the fact's frame, ns."""
    uid: str
    record: Record
    kind: str
    user: User
    request_id: str
    time: int | None
    """Unix time of the request by the operator's clock, ns."""
    pod_uid: str
    pod_name: str
    container: str
    digest: str
    tty: bool
    ports: tuple[int, ...]
    path: str

    @property
    def key(self) -> tuple[str, ...]:
        """What a root must have in common with it. An ephemeral container has one session of its own."""
        if self.kind == SessionKind.DEBUG:
            return make_debug_key(self.pod_uid, self.container)
        return make_exec_key(self.pod_uid, self.container, self.digest, self.tty)


def make_debug_key(pod_uid: str, container: str) -> tuple[str, ...]:
    return SessionKind.DEBUG, pod_uid, container


def make_exec_key(pod_uid: str, container: str, digest: str, terminal: bool) -> tuple[str, ...]:
    return SessionKind.EXEC, pod_uid, container, digest, "terminal" if terminal else ""


def read_announcement(data: object, arrived: int) -> Announcement | None:
    """None of what names no record, or nobody."""
    told = data if isinstance(data, dict) else {}
    user, request, pod = _mapping(told, "user"), _mapping(told, "request"), _mapping(told, "pod")
    record = _text(told, "namespace"), _text(told, "name")
    name, uid = _text(user, "name"), _text(told, "uid")
    if not (all(record) and name and uid):
        return None
    ports = request.get("ports")
    return Announcement(
        told,
        arrived,
        uid,
        record,
        _text(told, "kind"),
        User(name, _text(user, "uid") or None, _read_groups(user.get("groups"))),
        _text(request, "id"),
        _read_time(_text(request, "time")),
        _text(pod, "uid"),
        _text(pod, "name"),
        _text(told, "container"),
        _text(told, "digest"),
        told.get("tty") is True,
        tuple(each for each in ports if type(each) is int)[:64] if isinstance(ports, list) else (),
        _text(request, "path"),
    )


def _mapping(holder: dict[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _text(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    return value[:MOST_TEXT] if isinstance(value, str) else ""


def _read_groups(told: object) -> tuple[str, ...]:
    """As many as every event can carry."""
    found: list[str] = []
    room = MOST_GROUP_BYTES
    for each in told[:MOST_GROUPS] if isinstance(told, list) else ():
        if isinstance(each, str) and len(each) <= room:
            room -= len(each)
            found.append(each)
    return tuple(found)


def _read_time(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp() * _NS) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
