"""RecordedSessions as the operator announces them: their names and all that the API server said. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from podcorder_crds import Mode, Origin, SessionKind, Source, Stdin, Target, Tty
from podcorder_crds.digests import digest_command, join_arguments
from podcorder_operator.metadata import read_mapping, read_text
from podcorder_operator.sessions.pods import Pod
from podcorder_operator.sessions.requests import SessionRequest, read_node_name
from podcorder_operator.sessions.reviews import Review

MAX_TEXT = 1024
MAX_GROUPS = 256
MAX_EXTRA = 64
MAX_KEY = 512
MAX_VALUES = 64
MAX_WORDS = 256
MAX_WORD = 4096
MAX_PORTS = 64


class Unrecordable(Exception):
    """`str()` says why no record can be made of a request."""


def name_of(review: Review, request: SessionRequest, pod: Pod | None) -> str:
    """The same however often the API server asks. Of a container that is added it asks again where updates conflict,
    and each time with another uid."""
    if request.kind is SessionKind.DEBUG and pod is not None:
        return _debug_name(pod.uid, request.container)
    return f"{request.kind.lower()}-{review.uid}"


def other_name_of(review: Review, request: SessionRequest, pod: Pod) -> str:
    """Of a container that is added, where the first name is that of an attempt that came to nothing, or of somebody
    else: who of them it was then, the node's agent tells or says that it cannot."""
    return _debug_name(pod.uid, request.container, review.uid)


def make_record(
    name: str,
    review: Review,
    request: SessionRequest,
    pod: Pod | None,
    *,
    command: Sequence[str],
    mode: Mode | None,
    key: bytes,
) -> dict[str, Any]:
    """The body of a RecordedSession. `command`: redacted; `mode`: None where no policy was asked. What is longer than
    the contract takes is cut, but for the user's name: raises Unrecordable."""
    spec: dict[str, Any] = {
        "kind": request.kind,
        "origin": Origin.ANNOUNCED,
        "user": _write_user(review.user),
        "request": _write_request(review, request, command, key),
        "nodeName": pod.node if pod else read_node_name(review.name),
    }
    if pod is not None:
        spec["pod"] = {"name": pod.name, "uid": pod.uid}
    if request.container:
        spec["container"] = request.container
    if mode is not None:
        spec["mode"] = mode
    if request.kind is SessionKind.DEBUG:
        spec["target"] = Target.NODE if review.source is Source.POD else Target.POD
    return {"metadata": {"name": name}, "spec": spec}


def is_same_user(record: Mapping[str, Any], review: Review) -> bool:
    """Whether it was announced for who asks now."""
    told = read_mapping(read_mapping(record.get("spec")).get("user"))
    return (told.get("username"), told.get("uid")) == _identity(review.user)


def _identity(user: Mapping[str, Any]) -> tuple[str, str | None]:
    return read_text(user.get("username")), read_text(user.get("uid")) or None


def _debug_name(*parts: str) -> str:
    return f"debug-{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:32]}"


def _write_user(user: Mapping[str, Any]) -> dict[str, Any]:
    name, uid = _identity(user)
    if not 0 < len(name) <= MAX_TEXT or len(uid or "") > MAX_TEXT:
        raise Unrecordable(f"the user's name or uid is not of 1 to {MAX_TEXT} characters")
    told: dict[str, Any] = {"username": name}
    if uid:
        told["uid"] = uid
    if groups := _texts(user.get("groups"))[:MAX_GROUPS]:
        told["groups"] = groups
    extra = sorted((key, _texts(values)) for key, values in read_mapping(user.get("extra")).items())
    if values := [{"key": key, "values": each[:MAX_VALUES]} for key, each in extra if 0 < len(key) <= MAX_KEY]:
        told["extra"] = values[:MAX_EXTRA]
    return told


def _write_request(review: Review, request: SessionRequest, command: Sequence[str], key: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": review.uid,
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "source": review.source,
    }
    if command:
        told["command"] = [word[:MAX_WORD] for word in command[:MAX_WORDS]]
    if request.kind is SessionKind.EXEC:
        told["commandDigest"] = digest_command(key, join_arguments(request.command))
    if request.stdin is not None:
        told["stdin"] = Stdin.ATTACHED if request.stdin else Stdin.NOT_ATTACHED
    if request.tty is not None:
        told["tty"] = Tty.ALLOCATED if request.tty else Tty.NOT_ALLOCATED
    if ports := [port for port in request.ports if 0 < port < 1 << 16][:MAX_PORTS]:
        told["ports"] = ports
    if request.path:
        told["path"] = request.path[:MAX_TEXT]
    return told


def _texts(value: Any) -> list[str]:
    """Those that are not too long, for one that is cut is another group."""
    return (
        [each for each in value if isinstance(each, str) and len(each) <= MAX_TEXT] if isinstance(value, list) else []
    )
