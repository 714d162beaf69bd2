"""A policy slot as a `configure` request filled it: its filters, as the kernel applies them, and its redaction.

The kernel filters before it copies; here the same rules (docs/control.md) are applied to what was held for a container
nobody knew yet, and to kinds of session that want less than the slot. Settings that do not fit are left out, never
guessed: the recorder has refused such requests already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from podcorder_agent.classes import CLASS_COUNT, CLASS_NAMES, RecordClass
from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import Event
from podcorder_agent.interpreter.subjects import SessionKind
from podcorder_redaction import Redaction

Verdicts = tuple[bool | None, ...]
"""By class: whether all is wanted, nothing, or what `Slot.admits` says."""
_FILES = (RecordClass.OPEN, RecordClass.OPEN_FAILED)
_NETWORK = (RecordClass.CONNECT, RecordClass.ACCEPT, RecordClass.LISTEN, RecordClass.DATAGRAM)
_BOTH = frozenset({"read", "write"})


def _items(settings: dict[str, Any], name: str) -> list[Any]:
    value = settings.get(name)
    return value if isinstance(value, list) else []


def _dicts(settings: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [each for each in _items(settings, name) if isinstance(each, dict)]


def _included(entry: dict[str, Any]) -> bool:
    return entry.get("verdict") == "include"


def _is_uncertain(event: events.FileOpen | events.FileOpenFailed) -> bool:
    """A path that no prefix can be held against: without its front, relative, or not known at all."""
    if event.flags and ("truncated" in event.flags or "unreadable" in event.flags):
        return True
    return isinstance(event, events.FileOpenFailed) and not (event.path or b"").startswith(b"/")


def _as_ipv6(address: str) -> IPv6Address:
    parsed = ip_address(address)
    return IPv6Address(f"::ffff:{parsed}") if isinstance(parsed, IPv4Address) else parsed


def _as_network(text: str) -> IPv6Network | None:
    """IPv4 networks become networks of mapped addresses, as in the kernel's trie."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network):
        return network
    return IPv6Network((f"::ffff:{network.network_address}", 96 + network.prefixlen))


@dataclass(slots=True)
class Slot:
    """One slot; `raw` are the settings as requested, which is also how it is kept in a snapshot."""

    raw: dict[str, Any]
    policy: str | None
    redaction: Redaction
    classes: frozenset[str]
    access: frozenset[str]
    paths: list[tuple[bytes, bool]] = field(default_factory=list)
    networks: list[tuple[IPv6Network, bool]] = field(default_factory=list)
    ports: list[tuple[int, int, bool]] = field(default_factory=list)
    labels: list[str] | None = None
    verdicts: Verdicts = (None,) * CLASS_COUNT
    """Of a kind of session: what it wants of what the slot records."""
    kinds: dict[SessionKind, Slot] | None = None
    """What each kind of session wants of what the slot records, a kind that is absent nothing; None: all want all."""

    @classmethod
    def parse(cls, settings: dict[str, Any], base: Redaction) -> Slot:
        """Read the settings of a `configure` request; without `redaction` the slot has the base's."""
        slot = cls._parse_filters(settings, base)
        kinds = settings.get("kinds")
        if isinstance(kinds, dict):
            slot.kinds = {
                kind: cls._parse_filters(kinds[kind], slot.redaction)
                for kind in SessionKind
                if isinstance(kinds.get(kind), dict)
            }
            for each in slot.kinds.values():
                each.verdicts = each.judge_classes(slot)
        return slot

    @classmethod
    def _parse_filters(cls, settings: dict[str, Any], base: Redaction) -> Slot:
        rules = settings.get("redaction")
        redaction = base
        if isinstance(rules, dict):
            patterns = [each for each in _items(rules, "patterns") if isinstance(each, str)]
            redaction = Redaction(rules.get("defaults") is not False, patterns)
        policy = settings.get("policy")
        slot = cls(
            raw=settings,
            policy=policy if isinstance(policy, str) else None,
            redaction=redaction,
            classes=frozenset(each for each in _items(settings, "events") if isinstance(each, str)),
            access=frozenset(each for each in _items(settings, "access") if isinstance(each, str)),
        )
        for entry in _dicts(settings, "paths"):
            if isinstance(entry.get("prefix"), str):
                prefix = entry["prefix"].encode("utf-8", "surrogateescape").rstrip(b"/") + b"/"
                slot.paths.append((prefix, _included(entry)))
        slot.paths.sort(key=lambda each: -len(each[0]))
        for entry in _dicts(settings, "networks"):
            network = _as_network(entry["cidr"]) if isinstance(entry.get("cidr"), str) else None
            if network is not None:
                slot.networks.append((network, _included(entry)))
        slot.networks.sort(key=lambda each: -each[0].prefixlen)
        for entry in _dicts(settings, "ports"):
            first, last = entry.get("first"), entry.get("last")
            if isinstance(first, int) and isinstance(last, int):
                slot.ports.append((first, last, _included(entry)))
        slot.labels = [each for each in _items(settings, "labels") if isinstance(each, str)] or None
        return slot

    def judge_classes(self, whole: Slot) -> Verdicts:
        """Where all that the slot records passes or nothing does, no event has to be looked at."""
        files = self.paths == whole.paths and self.access in (whole.access, _BOTH)
        network = self.networks == whole.networks and self.ports == whole.ports
        alike = dict.fromkeys(_FILES, files) | dict.fromkeys(_NETWORK, network)
        return tuple(
            (True if alike.get(each, True) else None) if CLASS_NAMES[each] in self.classes else False
            for each in RecordClass
        )

    def find(self, kind: SessionKind) -> Slot | None:
        """What sessions of a kind want; None: nothing."""
        return self if self.kinds is None else self.kinds.get(kind)

    def labels_of(self, kind: SessionKind) -> list[str] | None:
        found = self.find(kind)
        return None if found is None else found.labels

    def redaction_of(self, kind: SessionKind) -> Redaction:
        return (self.find(kind) or self).redaction

    def admits(self, event: Event) -> bool:
        """Whether the slot's policy wants an event; what no record class stands behind always passes."""
        if event.RECORD is None:
            return True
        if CLASS_NAMES[event.RECORD] not in self.classes:
            return False
        if isinstance(event, events.FileOpen | events.FileOpenFailed):
            return self._admits_access(event.access) and (_is_uncertain(event) or self._admits_path(event.path or b""))
        if isinstance(event, events.NetworkConnect | events.NetworkDatagram):
            return self._admits_address(event.peer_address) and self._admits_port(event.peer_port)
        if isinstance(event, events.NetworkAccept):
            return self._admits_address(event.peer_address) and self._admits_port(event.local_port)
        if isinstance(event, events.NetworkListen):
            return self._admits_port(event.local_port)
        return True

    def _admits_access(self, access: str | None) -> bool:
        """`read_write` is both; an O_PATH descriptor counts as reading."""
        if not self.access or access is None:
            return True
        wanted = {"path": {"read"}, "read_write": {"read", "write"}}.get(access, {access})
        return not self.access.isdisjoint(wanted)

    def _admits_path(self, path: bytes) -> bool:
        """/etc/ means /etc and what is below, not /etcetera."""
        for prefix, included in self.paths:
            if (path + b"/").startswith(prefix):
                return included
        return not any(included for _, included in self.paths)

    def _admits_address(self, address: str | None) -> bool:
        if not self.networks or address is None:
            return True
        parsed = _as_ipv6(address)
        for network, included in self.networks:
            if parsed in network:
                return included
        return not any(included for _, included in self.networks)

    def _admits_port(self, port: int | None) -> bool:
        for first, last, included in self.ports:
            if port is not None and first <= port <= last:
                return included
        return not any(included for _, _, included in self.ports)
