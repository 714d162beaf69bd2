"""RecordedSessions as they are told to the journal: what the interpreter needs to know of who asked for what.

Nothing an object holds makes this raise, and everything is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from podcorder_agent.cluster.objects import read_list, read_mapping, read_mappings, read_text
from podcorder_agent.cluster.streams import Key
from podcorder_crds import ConditionStatus, Origin, Stdin, Tty

ANNOUNCING = "announcing"
"""Subject of the fact that announcements are told from here on, and by which key their digests are made."""
ANNOUNCEMENT = "announcement"
"""Subject of the fact that a session was asked for."""
CURRENT = "current"
"""Subject of the fact that nobody has asked for any other session until now."""

MOST_LIST = 8 << 10
"""Bytes of JSON that a command, or a user's groups, may take of a fact: what is beyond is left out."""
_MOST_PORTS = 64


@dataclass(frozen=True, slots=True)
class Announcement:
    """A session that was asked for, and has not ended."""

    key: Key
    uid: str
    fact: dict[str, Any]
    """As the journal is to have it (docs/agent.md)."""


def read_announcement(raw: dict[str, Any]) -> Announcement | None:
    """None of what nobody asked for, and of what has ended."""
    metadata, spec = read_mapping(raw, "metadata"), read_mapping(raw, "spec")
    key, uid = (read_text(metadata, "namespace"), read_text(metadata, "name")), read_text(metadata, "uid")
    if not uid or spec.get("origin") != Origin.ANNOUNCED or has_ended(raw):
        return None
    request = read_mapping(spec, "request")
    fact = {
        "namespace": key[0],
        "name": key[1],
        "uid": uid,
        "kind": read_text(spec, "kind"),
        "target": read_text(spec, "target") or None,
        "pod": _read_pod(spec),
        "container": read_text(spec, "container") or None,
        "digest": read_text(request, "commandDigest") or None,
        "tty": request.get("tty") == Tty.ALLOCATED,
        "stdin": request.get("stdin") == Stdin.ATTACHED,
        "user": _read_user(read_mapping(spec, "user")),
        "request": {
            "id": read_text(request, "id"),
            "time": read_text(request, "time"),
            "source": read_text(request, "source"),
            "command": _read_texts(request, "command"),
            "ports": _read_ports(request),
            "path": read_text(request, "path") or None,
        },
    }
    return Announcement(key, uid, fact)


def has_ended(raw: dict[str, Any]) -> bool:
    """Whether nothing more will come of a RecordedSession: it has ended, or nobody can tell, or it never started."""
    return any(
        (each.get("type"), each.get("status")) in _ENDINGS
        for each in read_mappings(read_mapping(raw, "status"), "conditions")
    )


_ENDINGS = (
    ("Ended", ConditionStatus.TRUE),
    ("Ended", ConditionStatus.UNKNOWN),
    ("Started", ConditionStatus.FALSE),
)


def _read_user(user: dict[str, Any]) -> dict[str, Any]:
    name, uid = read_text(user, "username"), read_text(user, "uid")
    return {"name": name, "uid": uid or None, "groups": _read_texts(user, "groups")}


def _read_pod(spec: dict[str, Any]) -> dict[str, str] | None:
    pod = read_mapping(spec, "pod")
    return {"name": read_text(pod, "name"), "uid": read_text(pod, "uid")} if pod else None


def _read_texts(raw: dict[str, Any], field: str) -> list[str]:
    return list(_cut(each for each in read_list(raw, field) if isinstance(each, str)))


def _cut(texts: Iterable[str]) -> Iterable[str]:
    """The first of them, as many as may be."""
    size = 0
    for each in texts:
        size += len(json.dumps(each)) + 1
        if size > MOST_LIST:
            return
        yield each


def _read_ports(request: dict[str, Any]) -> list[int]:
    return [each for each in read_list(request, "ports") if type(each) is int][:_MOST_PORTS]
