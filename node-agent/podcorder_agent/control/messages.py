"""What goes over the control socket: frames of a u32 length (big-endian) and one JSON object, and the rules for each.

Pure: bytes and dictionaries in, checked dictionaries out. docs/control.md is the contract.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from podcorder_agent.classes import EVENT_CLASSES

VERSION = 1
VERSIONS = (VERSION,)
"""Versions of requests this code understands."""

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Longest message, in bytes, without its length."""

LENGTH_SIZE = 4
SOCKET_NAME = "control.sock"
"""In the directory of the journal."""

NAME_LIMIT = 128
TEXT_LIMIT = 4096
SLOT_COUNT = 64
SLOT_PENDING = 63
PENDING_SECONDS_LIMIT = 60
KINDS_LIMIT = 16
ENDED_KINDS = ("Exec", "Debug")
"""Kinds of session that can be ended when the recorder fails."""

JOURNALED = frozenset({"configure", "select", "exclude", "logins", "pending", "ignore", "fact", "unload", "stop"})
"""Kinds of request that are written to the journal before they are acted on."""

Message = dict[str, Any]


class MessageError(ValueError):
    """A message that breaks the contract; `str()` is one sentence for its sender."""


def encode_message(message: Message) -> bytes:
    """Length and JSON of one message; raises MessageError where it is too long."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    if len(payload) > MESSAGE_LIMIT:
        raise MessageError(f"the message has {len(payload)} bytes, and at most {MESSAGE_LIMIT} are allowed")
    return len(payload).to_bytes(LENGTH_SIZE, "big") + payload


class Decoder:
    """Cuts a stream of bytes into messages; holds at most one unfinished message."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def held(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._held)

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> Message | None:
        """The next whole message, or None; raises MessageError where the stream cannot be trusted any more."""
        if len(self._held) < LENGTH_SIZE:
            return None
        length = int.from_bytes(self._held[:LENGTH_SIZE], "big")
        if length > MESSAGE_LIMIT:
            raise MessageError(f"a message of {length} bytes was announced, and at most {MESSAGE_LIMIT} are allowed")
        if len(self._held) < LENGTH_SIZE + length:
            return None
        payload = bytes(self._held[LENGTH_SIZE : LENGTH_SIZE + length])
        del self._held[: LENGTH_SIZE + length]
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise MessageError(f"the message is not JSON: {error}") from None
        if not isinstance(message, dict):
            raise MessageError("the message is not a JSON object")
        return message


def _integer(message: Message, field: str, low: int, high: int, default: int | None = None) -> int:
    value = message.get(field, default)
    if type(value) is not int or not low <= value <= high:
        raise MessageError(f"`{field}` must be an integer from {low} to {high}")
    return value


def _text(message: Message, field: str, limit: int = TEXT_LIMIT) -> str:
    value = message.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise MessageError(f"`{field}` must be a text of 1 to {limit} characters")
    return value


def _object_or_none(message: Message, field: str) -> None:
    if message.get(field) is not None and not isinstance(message[field], dict):
        raise MessageError(f"`{field}` must be an object or null")


def _objects(message: Message, field: str, limit: int) -> list[Message]:
    value = message.get(field, [])
    if not isinstance(value, list) or len(value) > limit or not all(isinstance(each, dict) for each in value):
        raise MessageError(f"`{field}` must be a list of at most {limit} objects")
    return value


def _names(message: Message, field: str, allowed: tuple[str, ...]) -> None:
    value = message.get(field, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and each in allowed for each in value):
        raise MessageError(f"`{field}` must be a list out of {', '.join(allowed)}")


def _verdict(entry: Message) -> None:
    if entry.get("verdict") not in ("include", "exclude"):
        raise MessageError("`verdict` must be include or exclude")


def check_settings(settings: Message) -> None:
    """The settings of a slot; raises MessageError. CIDRs are parsed where they are put into the kernel's map."""
    _names(settings, "events", EVENT_CLASSES)
    _names(settings, "access", ("read", "write"))
    for path in _objects(settings, "paths", 256):
        prefix = _text(path, "prefix", 247)
        if not prefix.startswith("/") or "\0" in prefix or len(prefix.encode(errors="surrogateescape")) > 247:
            raise MessageError("`prefix` must be an absolute path of at most 247 bytes")
        _verdict(path)
    for network in _objects(settings, "networks", 256):
        _text(network, "cidr", 64)
        _verdict(network)
    for port in _objects(settings, "ports", 16):
        if _integer(port, "first", 0, 65535) > _integer(port, "last", 0, 65535):
            raise MessageError("`first` must not be greater than `last`")
        _verdict(port)
    _integer(settings, "rate_limit", 0, 2**32 - 1, 0)
    if not isinstance(settings.get("own_session", True), bool):
        raise MessageError("`own_session` must be true or false")
    _names(settings, "ends", ENDED_KINDS)
    kinds = settings.get("kinds", {})
    if not isinstance(kinds, dict) or len(kinds) > KINDS_LIMIT:
        raise MessageError(f"`kinds` must be an object of at most {KINDS_LIMIT} session kinds")
    for each in kinds.values():
        if not isinstance(each, dict) or "kinds" in each:
            raise MessageError("each of `kinds` must be an object without `kinds`")
        check_settings(each)


def _check_hello(message: Message) -> None:
    _text(message, "name", NAME_LIMIT)


def _check_configure(message: Message) -> None:
    _integer(message, "slot", 0, SLOT_PENDING - 1)
    _object_or_none(message, "settings")
    if message.get("settings") is not None:
        check_settings(message["settings"])


def _check_select(message: Message) -> None:
    _integer(message, "cgroup_id", 1, 2**64 - 1)
    _integer(message, "slot", 0, SLOT_PENDING - 1)
    _text(message, "session_kind", 32)
    if not isinstance(message.get("container"), dict):
        raise MessageError("`container` must be an object")
    _text(message["container"], "path")


def _check_exclude(message: Message) -> None:
    _integer(message, "cgroup_id", 1, 2**64 - 1)
    if not isinstance(message.get("outside", False), bool):
        raise MessageError("`outside` must be true or false")


def _check_logins(message: Message) -> None:
    if message.get("slot") is not None:
        _integer(message, "slot", 0, SLOT_PENDING - 1)


def _check_pending(message: Message) -> None:
    _names(message, "events", EVENT_CLASSES)
    _integer(message, "seconds", 0, PENDING_SECONDS_LIMIT, 0)
    _integer(message, "bytes", 0, 2**63 - 1, 0)


def _check_ignore(message: Message) -> None:
    _integer(message, "tgid", 1, 2**22)


def _check_fact(message: Message) -> None:
    _text(message, "subject", 256)
    if "data" not in message:
        raise MessageError("`data` is missing")


def _check_acknowledge(message: Message) -> None:
    _text(message, "position", 64)
    _object_or_none(message, "checkpoint")


def _check_stop(message: Message) -> None:
    if not isinstance(message.get("unpin", False), bool):
        raise MessageError("`unpin` must be true or false")


def _check_nothing(message: Message) -> None:
    """Kinds without fields."""


_CHECKS: dict[str, Callable[[Message], None]] = {
    "hello": _check_hello,
    "configure": _check_configure,
    "select": _check_select,
    "exclude": _check_exclude,
    "logins": _check_logins,
    "pending": _check_pending,
    "ignore": _check_ignore,
    "fact": _check_fact,
    "acknowledge": _check_acknowledge,
    "flush": _check_nothing,
    "health": _check_nothing,
    "unload": _check_nothing,
    "stop": _check_stop,
}


def check_request(message: Message) -> tuple[int, str]:
    """Number and kind of a request that follows the contract; raises MessageError for any other."""
    number = _integer(message, "number", 0, 2**63 - 1)
    if message.get("version") not in VERSIONS:
        raise MessageError(f"version {message.get('version')!r} is not understood here, only {VERSIONS}")
    kind = message.get("kind")
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise MessageError(f"kind {kind!r} is not known")
    check(message)
    return number, str(kind)
