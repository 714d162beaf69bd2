"""NodeRecordingConfigs as stored, and what nodes report in them: no more of them than the operator compares."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

from podcorder_crds import CapabilityState
from podcorder_operator.metadata import Metadata, read_conditions, read_count, read_text
from podcorder_operator.policies import PolicyKey, encode_canonical, share_key

logger = logging.getLogger(__name__)

UNCHANGED: Mapping[PolicyKey, Any] = {}
READY = "Ready"
"""The condition by which an agent says whether it records."""
LOSSLESS = "Lossless"
"""The condition by which an agent says whether what it records is kept."""


class Held(NamedTuple):
    """A policy as a stored config holds it."""

    generation: int
    scope: int
    """Stands for the namespaces that the entry is limited to; 0: none are named."""
    content: int
    """Stands for its spec: a policy that was deleted and made anew has the same generation with another one."""
    since: int
    """The config's generation with which this entry, as it is now, came in at the latest."""


class Aspect(NamedTuple):
    """A condition, as far as the operator reads it."""

    status: str = "Unknown"
    reason: str = ""
    message: str = ""


UNREPORTED = Aspect()


@dataclass(frozen=True, slots=True)
class Report:
    """What a node's agent says of it."""

    applied: int = 0
    """The config's generation in force on the node; 0: none yet."""
    namespaces: tuple[str, ...] = ()
    """Present on the node, sorted."""
    full: frozenset[str] = frozenset()
    """Capabilities whose state is Full."""
    unavailable: frozenset[str] = frozenset()
    """Capabilities that the node lacks as a whole."""
    ready: Aspect = UNREPORTED
    lossless: Aspect = UNREPORTED
    losing: frozenset[str] = frozenset()
    """Classes of events that are being lost."""


@dataclass(frozen=True, slots=True)
class Config:
    """A stored NodeRecordingConfig."""

    uid: str
    generation: int
    digest: bytes
    """Of the spec as stored."""
    held: Mapping[PolicyKey, Held]
    report: Report


class Garbled(ValueError):
    """A status that no agent of ours wrote: the text says what is wrong with it."""


def read_config(raw: Mapping[str, Any], metadata: Metadata, known: Config | None, report: Report) -> Config:
    """A config, given what was `known` of it before: entries that did not change keep their `since`."""
    if known is not None and (known.uid, known.generation) == (metadata.uid, metadata.generation) and known.generation:
        return Config(known.uid, known.generation, known.digest, known.held, report)
    spec = raw.get("spec")
    # Of a config not seen before, or after changes not seen, it is not known which of them brought an entry in.
    followed = known is not None and known.uid == metadata.uid and metadata.generation == known.generation + 1
    before = known.held if known is not None and followed else UNCHANGED
    return Config(
        metadata.uid, metadata.generation, digest_spec(spec), _held(spec, metadata.generation, before), report
    )


def digest_spec(spec: Any) -> bytes:
    """Stands for a spec; equal for equal ones."""
    return digest_text(encode_canonical(spec))


def digest_text(text: str) -> bytes:
    """Stands for a spec, given its canonical JSON."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def stand_for(namespaces: tuple[str, ...] | None) -> int:
    """What `Held.scope` is for an entry limited to these namespaces; None: not limited."""
    return 0 if namespaces is None else hash(namespaces) or 1


def stand_for_spec(text: str) -> int:
    """What `Held.content` is for an entry whose spec has this canonical JSON."""
    return hash(text)


def read_report(raw: Mapping[str, Any]) -> Report:
    """Raises Garbled."""
    status = raw.get("status")
    if status is None:
        return Report()
    if not isinstance(status, dict):
        raise Garbled("status is not an object")
    applied = status.get("appliedGeneration", 0)
    if type(applied) is not int or applied < 0:
        raise Garbled("status.appliedGeneration is not a generation")
    namespaces = status.get("namespaces", [])
    if not isinstance(namespaces, list) or not all(isinstance(name, str) for name in namespaces):
        raise Garbled("status.namespaces is not a list of names")
    capabilities = status.get("capabilities", [])
    if not isinstance(capabilities, list) or not all(isinstance(each, dict) for each in capabilities):
        raise Garbled("status.capabilities is not a list of objects")
    losing = status.get("losingClasses", [])
    if not isinstance(losing, list):
        raise Garbled("status.losingClasses is not a list")
    conditions = read_conditions(status)
    return Report(
        applied,
        tuple(sorted({intern(name) for name in namespaces})),
        _names_of(capabilities, CapabilityState.FULL),
        _names_of(capabilities, CapabilityState.UNAVAILABLE),
        _read_aspect(conditions.get(READY)),
        _read_aspect(conditions.get(LOSSLESS)),
        _share_names(frozenset(map(read_text, losing))),
    )


class Reports:
    """Reads what nodes report, and says of each once where it cannot be read."""

    def __init__(self) -> None:
        self._garbled: set[str] = set()

    def read(self, node: str, raw: Mapping[str, Any]) -> Report:
        """What cannot be read counts as not reported."""
        try:
            report = read_report(raw)
        except Garbled as error:
            if node not in self._garbled:
                self._garbled.add(node)
                logger.warning("The config of node %s counts as not reported on: %s.", node, error)
            return Report()
        self._garbled.discard(node)
        return report

    def forget(self, node: str) -> None:
        """Its config is gone."""
        self._garbled.discard(node)


def _names_of(capabilities: list[Mapping[str, Any]], state: CapabilityState) -> frozenset[str]:
    return _share_names(frozenset(read_text(each.get("name")) for each in capabilities if each.get("state") == state))


def _read_aspect(condition: Mapping[str, Any] | None) -> Aspect:
    if condition is None:
        return UNREPORTED
    return _share_aspect(*(read_text(condition.get(name)) for name in ("status", "reason", "message")))


def _held(spec: Any, generation: int, before: Mapping[PolicyKey, Held]) -> dict[PolicyKey, Held]:
    entries = spec.get("policies") if isinstance(spec, dict) else None
    held: dict[PolicyKey, Held] = {}
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        key = share_key(read_text(entry.get("kind")), read_text(entry.get("namespace")), read_text(entry.get("name")))
        now = (
            read_count(entry.get("generation")),
            stand_for(_names(entry.get("namespaces"))),
            stand_for_spec(encode_canonical(entry.get("spec"))),
        )
        known = before.get(key)
        held[key] = known if known is not None and known[:3] == now else _share_held(*now, generation)
    return held


@lru_cache(maxsize=1 << 16)
def _share_held(generation: int, scope: int, content: int, since: int) -> Held:
    return Held(generation, scope, content, since)


@lru_cache(maxsize=256)
def _share_names(names: frozenset[str]) -> frozenset[str]:
    return names


@lru_cache(maxsize=256)
def _share_aspect(status: str, reason: str, message: str) -> Aspect:
    return Aspect(status, reason, message)


def _names(value: Any) -> tuple[str, ...] | None:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else None
