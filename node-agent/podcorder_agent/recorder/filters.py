"""From a slot's settings to the values of the kernel's maps (bpf/maps.bpf.h)."""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

from podcorder_agent.control.messages import Message, MessageError
from podcorder_agent.recorder.classes import ENDINGS_BIT, event_bits

SLOT = struct.Struct("=6I" + "HHI" * 16)
_PORTS = 16
_PATH_SIZE = 248
_HAS_PATHS, _PATHS_OUT, _HAS_NETWORKS, _NETWORKS_OUT, _PORTS_OUT, _SKIPS_OWN = 1, 2, 4, 8, 16, 32
_ENDS = {"Exec": 64, "Debug": 128}
"""By kind of session."""
_VERDICTS = {"include": 1, "exclude": 2}
_ACCESS = {"read": 1, "write": 2}
_NUMBER_BITS = 32
_MAPPED = b"\0" * 10 + b"\xff\xff"
"""An IPv4 address stands behind these as ::ffff:a.b.c.d."""

EMPTY_SLOT = bytes(SLOT.size)


class SlotFilters(NamedTuple):
    """What one slot puts into three maps: its value, and entries of the tries by key."""

    slot: bytes
    """`struct slot`."""
    paths: dict[bytes, bytes]
    networks: dict[bytes, bytes]


def compile_settings(number: int, settings: Message | None) -> SlotFilters:
    """The maps' values for checked settings; None wants nothing. Raises MessageError for a bad CIDR.

    `number` tells the filters' entries from those of other slots, and of this slot's other side.
    """
    if settings is None:
        return SlotFilters(EMPTY_SLOT, {}, {})
    paths = {_path_key(number, each["prefix"]): _verdict(each) for each in settings.get("paths", [])}
    networks = {_network_key(number, each["cidr"]): _verdict(each) for each in settings.get("networks", [])}
    ports = settings.get("ports", [])
    flags = _HAS_PATHS * bool(paths) + _HAS_NETWORKS * bool(networks)
    flags += _PATHS_OUT * _includes(settings, "paths") + _NETWORKS_OUT * _includes(settings, "networks")
    flags += _PORTS_OUT * _includes(settings, "ports") + _SKIPS_OWN * (not settings.get("own_session", True))
    flags += sum(_ENDS[kind] for kind in set(settings.get("ends", [])))
    access = sum(_ACCESS[name] for name in set(settings.get("access") or _ACCESS))
    ranges: list[int] = []
    for each in ports:
        ranges += (each["first"], each["last"], _VERDICTS[each["verdict"]])
    ranges += [0] * (3 * _PORTS - len(ranges))
    rate = settings.get("rate_limit", 0)
    events = event_bits(settings.get("events", []))
    return SlotFilters(SLOT.pack(events, access, flags, rate, len(ports), number, *ranges), paths, networks)


def compile_pending(events: int) -> bytes:
    """The value of the pending slot: these classes, without filters."""
    return SLOT.pack(events, sum(_ACCESS.values()), 0, 0, 0, 0, *[0] * (3 * _PORTS))


def slot_needs(value: bytes) -> int:
    """What a slot's value asks for: class bits, and ENDINGS_BIT."""
    events, _, flags, *_ = SLOT.unpack(value)
    return int(events) | (ENDINGS_BIT if flags & sum(_ENDS.values()) else 0)


def filter_of_key(key: bytes) -> int:
    """The number of the filter that a trie's key belongs to."""
    return int.from_bytes(key[4:8], "big")


def _includes(settings: Message, field: str) -> bool:
    return any(each["verdict"] == "include" for each in settings.get(field, []))


def _verdict(entry: Message) -> bytes:
    return _VERDICTS[entry["verdict"]].to_bytes(4, "little")


def _path_key(number: int, prefix: str) -> bytes:
    """With a trailing slash, since the kernel looks `path/` up: /etc is itself and what is below, never /etcetera."""
    path = os.fsencode(prefix).rstrip(b"/") + b"/"
    if len(path) > _PATH_SIZE:
        raise MessageError(f"the prefix {prefix!r} is longer than {_PATH_SIZE - 1} bytes")
    return struct.pack("=I", _NUMBER_BITS + 8 * len(path)) + number.to_bytes(4, "big") + path.ljust(_PATH_SIZE, b"\0")


def _network_key(number: int, cidr: str) -> bytes:
    text, _, length = cidr.partition("/")
    try:
        address, width = socket.inet_pton(socket.AF_INET6, text), 128
    except (OSError, ValueError):
        try:
            address, width = socket.inet_pton(socket.AF_INET, text), 32
        except (OSError, ValueError):
            raise MessageError(f"{cidr!r} is not a network such as 10.0.0.0/8 or fd00::/8") from None
    bits = int(length) if length.isascii() and length.isdigit() else width if not length and "/" not in cidr else -1
    if not 0 <= bits <= width:
        raise MessageError(f"{cidr!r} is not a network: its prefix must be 0 to {width}")
    if width == 32:
        address, bits = _MAPPED + address, bits + 96
    kept = int.from_bytes(address, "big") >> (128 - bits) << (128 - bits)
    return struct.pack("=I", _NUMBER_BITS + bits) + number.to_bytes(4, "big") + kept.to_bytes(16, "big")
