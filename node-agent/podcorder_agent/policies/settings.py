"""The settings of a slot (docs/control.md), compiled from a policy's spec."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Network
from typing import Literal, TypedDict

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.policies.files import Policy
from podcorder_crds import (
    Access,
    AddressFilter,
    Direction,
    EventSelection,
    Mode,
    OnRecorderFailure,
    Outcome,
    PortRange,
    RedactionRule,
    Rules,
    SessionKind,
    SessionRecordingPolicySpec,
)
from podcorder_crds.combination import Combination

Verdict = Literal["include", "exclude"]


class PathEntry(TypedDict):
    prefix: str
    verdict: Verdict


class NetworkEntry(TypedDict):
    cidr: str
    verdict: Verdict


class PortEntry(TypedDict):
    first: int
    last: int
    verdict: Verdict


class RedactionSettings(TypedDict):
    defaults: bool
    patterns: list[str]


class Settings(TypedDict):
    """What `configure` takes."""

    policy: str
    events: list[str]
    paths: list[PathEntry]
    access: list[str]
    networks: list[NetworkEntry]
    ports: list[PortEntry]
    rate_limit: int
    redaction: RedactionSettings


_MAPPED = IPv6Network("::ffff:0:0/96")
ACCESS = {Access.READ: "read", Access.WRITE: "write"}


def compile_settings(policy: Policy) -> Settings:
    """The one slot that a policy needs on a machine."""
    spec = policy.spec
    redaction, rate = spec.redaction, spec.rate_limits.records_per_second
    return _compile(policy.name, spec.events, redaction.defaults, redaction.rules, rate)


def compile_combination(name: str, combination: Combination) -> Settings:
    """What several policies ask for together; `name` is how events call them."""
    redaction = combination.redaction_defaults, combination.redaction_rules
    return _compile(name, combination.events, *redaction, combination.records_per_second)


def _compile(
    name: str, selected: EventSelection, defaults: Rules, rules: Iterable[RedactionRule], rate: int | None
) -> Settings:
    files, network = selected.files, selected.network
    settings: Settings = {
        "policy": name,
        "events": events(selected),
        "paths": [],
        "access": ["read", "write"],
        "networks": [],
        "ports": [],
        "rate_limit": rate or 0,
        "redaction": {
            "defaults": defaults is Rules.ENABLED,
            "patterns": list(dict.fromkeys(each.pattern for each in rules)),
        },
    }
    if files is not None:
        settings["access"] = [ACCESS[each] for each in Access if each in files.access]
        settings["paths"] = [
            *(PathEntry(prefix=each, verdict="include") for each in files.paths.include),
            *(PathEntry(prefix=each, verdict="exclude") for each in files.paths.exclude),
        ]
    if network is not None:
        settings["networks"] = network_entries(network.peers)
        # Of ports the first match decides, and what is excluded stays out.
        settings["ports"] = [
            *(port_entry(each, "exclude") for each in network.ports.exclude),
            *(port_entry(each, "include") for each in network.ports.include),
        ]
    return settings


def events(selected: EventSelection) -> list[str]:
    """The classes of records that are asked for, in the order of their numbers."""
    # A session's end is its last process's exit: without it no session would ever end.
    wanted = {"exit"}
    if selected.commands is not None:
        if Outcome.SUCCEEDED in selected.commands.outcomes:
            wanted |= {"exec", "fork"}
        if Outcome.FAILED in selected.commands.outcomes:
            wanted.add("exec_failed")
    if selected.files is not None:
        if Outcome.SUCCEEDED in selected.files.outcomes:
            wanted.add("open")
        if Outcome.FAILED in selected.files.outcomes:
            wanted.add("open_failed")
    if selected.network is not None:
        if Direction.OUTBOUND in selected.network.directions:
            wanted |= {"connect", "datagram"}
        if Direction.INBOUND in selected.network.directions:
            wanted |= {"accept", "listen"}
    return [each for each in EVENT_CLASSES if each in wanted]


def network_entries(peers: AddressFilter) -> list[NetworkEntry]:
    """To the kernel IPv4 addresses are mapped IPv6 ones (::ffff:a.b.c.d): a network around these, such as ::/0, would
    decide about them as well. Where there is one, what holds for the rest of IPv4 and of IPv6 is said, too."""
    entries: dict[str, Verdict] = dict.fromkeys(peers.include, "include")
    entries |= dict.fromkeys(peers.exclude, "exclude")
    if any(IPv6Network(each).supernet_of(_MAPPED) for each in entries if ":" in each):
        rest: Verdict = "exclude" if peers.include else "include"
        entries = {"0.0.0.0/0": rest, "::/0": rest} | entries
    return [NetworkEntry(cidr=cidr, verdict=verdict) for cidr, verdict in entries.items()]


def port_entry(ports: PortRange, verdict: Verdict) -> PortEntry:
    return {"first": ports.port, "last": ports.last, "verdict": verdict}


def without_effect(spec: SessionRecordingPolicySpec) -> list[str]:
    """What a spec asks for that one plain machine cannot give: a sentence each."""
    found = []
    if spec.pod_selector.match_labels or spec.pod_selector.match_expressions:
        found.append("podSelector has no effect here: without Kubernetes containers have no pod labels")
    if spec.routing is not None:
        found.append("routing has no effect here yet: set OTEL_RESOURCE_ATTRIBUTES to tell machines apart")
    cluster = {SessionKind.EXEC, SessionKind.ATTACH, SessionKind.DEBUG, SessionKind.PROBE, SessionKind.PORT_FORWARD}
    missing = [kind for kind in spec.sessions if kind in cluster or kind is SessionKind.HOST]
    if missing and "sessions" in spec.model_fields_set:
        found.append(
            f"{', '.join(missing)}: sessions of these kinds are not told apart here, only Container and Command"
        )
    if spec.mode is Mode.STRICT and SessionKind.CONTAINER in spec.sessions:
        found.append("mode Strict guards the command alone: containers of this machine are not held back")
    if spec.on_recorder_failure is OnRecorderFailure.END:
        found.append("onRecorderFailure has no effect here: without Kubernetes nothing ends the command")
    return found
