"""What holds where several policies concern the same session: everything that one of them records is recorded, and the
strictest of how is how. The operator shows it in a policy's status, the agent carries it out."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from podcorder_crds.enums import Access, Direction, Mode, OnRecorderFailure, Outcome, Rules
from podcorder_crds.events import CommandEvents, EventSelection, FileEvents, NetworkEvents
from podcorder_crds.policies import RecordingSpec
from podcorder_crds.port_sets import PortSet, read_ports, write_ports
from podcorder_crds.redactions import RedactionRule
from podcorder_crds.verdicts import (
    Verdicts,
    read_networks,
    read_paths,
    write_networks,
    write_paths,
)


@dataclass(frozen=True, slots=True)
class Files:
    """Which files are recorded: united field by field, which is never less than either, and can be more."""

    outcomes: frozenset[Outcome]
    access: frozenset[Access]
    paths: Verdicts

    def __or__(self, other: Files) -> Files:
        return Files(self.outcomes | other.outcomes, self.access | other.access, self.paths | other.paths)


@dataclass(frozen=True, slots=True)
class Network:
    """Which peers are recorded: united field by field, which is never less than either, and can be more."""

    directions: frozenset[Direction]
    peers: Verdicts
    ports: PortSet

    def __or__(self, other: Network) -> Network:
        return Network(self.directions | other.directions, self.peers | other.peers, self.ports | other.ports)


Section = TypeVar("Section", Files, Network)
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Combination:
    """What one or more policies ask for together. `|` is commutative, associative and idempotent, for filters grow
    without bound here: only `events` brings them back to what the kernel can hold."""

    commands: frozenset[Outcome]
    """Empty: no commands are recorded."""
    files: Files | None
    network: Network | None
    mode: Mode
    on_recorder_failure: OnRecorderFailure
    redaction_defaults: Rules
    redaction_rules: tuple[RedactionRule, ...]
    """Sorted by name and pattern; two policies may call different patterns by one name."""
    records_per_second: int | None
    """The loosest rate limit; None where one of the policies has none."""
    labels: tuple[str, ...]
    """The routing labels, sorted."""

    def __or__(self, other: Combination) -> Combination:
        rates = (self.records_per_second, other.records_per_second)
        return Combination(
            self.commands | other.commands,
            _either(self.files, other.files),
            _either(self.network, other.network),
            strictest((self.mode, other.mode)),
            severest((self.on_recorder_failure, other.on_recorder_failure)),
            Rules.ENABLED if Rules.ENABLED in (self.redaction_defaults, other.redaction_defaults) else Rules.DISABLED,
            _sorted_rules((*self.redaction_rules, *other.redaction_rules)),
            None if None in rates else max(rate for rate in rates if rate is not None),
            tuple(sorted({*self.labels, *other.labels})),
        )

    @property
    def events(self) -> EventSelection:
        """What to record, as filters that the kernel can hold. One that would be too large lets everything of its
        dimension (paths, peers or ports) through instead."""
        commands = CommandEvents(outcomes=_in_order(Outcome, self.commands)) if self.commands else None
        files = _write_files(self.files) if self.files else None
        network = _write_network(self.network) if self.network else None
        return EventSelection(commands=commands, files=files, network=network)


def combine(specs: Iterable[RecordingSpec]) -> Combination:
    """What these policies ask for together. Raises TypeError if there are none."""
    return functools.reduce(operator.or_, map(combination_of, specs))


def combination_of(spec: RecordingSpec) -> Combination:
    """What one policy asks for."""
    commands, files, network = spec.events.commands, spec.events.files, spec.events.network
    return Combination(
        frozenset(commands.outcomes) if commands else frozenset(),
        Files(frozenset(files.outcomes), frozenset(files.access), read_paths(files.paths)) if files else None,
        Network(frozenset(network.directions), read_networks(network.peers), read_ports(network.ports))
        if network
        else None,
        spec.mode,
        spec.on_recorder_failure,
        spec.redaction.defaults,
        _sorted_rules(spec.redaction.rules),
        spec.rate_limits.records_per_second,
        (spec.routing.label,) if spec.routing else (),
    )


def strictest(modes: Iterable[Mode]) -> Mode:
    """The mode that holds where policies differ."""
    return Mode.STRICT if Mode.STRICT in modes else Mode.BEST_EFFORT


def severest(failures: Iterable[OnRecorderFailure]) -> OnRecorderFailure:
    """What becomes of running sessions where policies differ."""
    return OnRecorderFailure.END if OnRecorderFailure.END in failures else OnRecorderFailure.CONTINUE


def _either(one: Section | None, other: Section | None) -> Section | None:
    return one | other if one is not None and other is not None else one or other


def _write_files(files: Files) -> FileEvents:
    return FileEvents(
        outcomes=_in_order(Outcome, files.outcomes),
        access=_in_order(Access, files.access),
        paths=write_paths(files.paths),
    )


def _write_network(network: Network) -> NetworkEvents:
    return NetworkEvents(
        directions=_in_order(Direction, network.directions),
        peers=write_networks(network.peers),
        ports=write_ports(network.ports),
    )


def _in_order(kind: type[Word], members: frozenset[Word]) -> tuple[Word, ...]:
    return tuple(each for each in kind if each in members)


def _sorted_rules(rules: Iterable[RedactionRule]) -> tuple[RedactionRule, ...]:
    return tuple(sorted(set(rules), key=lambda rule: (rule.name, rule.pattern)))
