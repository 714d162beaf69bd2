"""The settings of a slot for containers, whose kinds of session may be asked for by different policies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.policies.settings import Settings, compile_combination
from podcorder_crds import ENDED_SESSIONS, OnRecorderFailure, RecordingSpec, SessionKind
from podcorder_crds.combination import combine, severest


class NamedPolicy(Protocol):
    """What is needed of a policy; `podcorder_crds.ConfiguredPolicy` has it."""

    @property
    def namespace(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> RecordingSpec: ...


class KindSettings(Settings):
    """What sessions of one kind want of what the slot records."""

    labels: list[str]
    """The routing labels, sorted."""


class SlotSettings(Settings):
    """What `configure` takes for containers: the union over all kinds, which the kernel half records."""

    kinds: dict[str, KindSettings]
    own_session: bool
    """Whether somebody asks for what a container runs itself."""
    ends: list[str]
    """Of `ENDED_SESSIONS`, the kinds that end when the recorder fails."""


OWN_KINDS = (SessionKind.CONTAINER, SessionKind.DEBUG)
"""The kind of a container's own session, or an ephemeral container's."""


def compile_slot(policies: Mapping[SessionKind, Collection[NamedPolicy]]) -> SlotSettings:
    """The slot of all containers whose sessions of each kind are asked for by these policies.

    Raises TypeError where no kind has a policy: nothing is recorded then, and the container is to be excluded.
    """
    by_kind = {kind: _sort(policies[kind]) for kind in SessionKind if policies.get(kind)}
    everyone = _sort(each for found in by_kind.values() for each in found)
    union = compile_combination(describe_policies(everyone), combine(each.spec for each in everyone))
    kinds = {kind.value: _compile_kind(found) for kind, found in by_kind.items()}
    if kinds.get(SessionKind.EXEC) != kinds.get(SessionKind.PROBE) or SessionKind.HOST in kinds:
        # By the first exec of a session the two are told apart, and it is seen who begins a login.
        union["events"] = [each for each in EVENT_CLASSES if each in ("exec", *union["events"])]
    return {
        **union,
        "kinds": kinds,
        "own_session": not by_kind.keys().isdisjoint(OWN_KINDS),
        "ends": [kind.value for kind in ENDED_SESSIONS if _is_ended(kind, by_kind.get(kind, ()))],
    }


def describe_policies(policies: Iterable[NamedPolicy]) -> str:
    """Their names as events carry them: `shop/exec, base (cluster)`."""
    return ", ".join(
        f"{each.namespace}/{each.name}" if each.namespace else f"{each.name} (cluster)" for each in policies
    )


def _sort(policies: Iterable[NamedPolicy]) -> list[NamedPolicy]:
    """Each once, those of namespaces first."""
    found = {(each.namespace is None, each.namespace or "", each.name): each for each in policies}
    return [found[key] for key in sorted(found)]


def _is_ended(kind: SessionKind, policies: Iterable[NamedPolicy]) -> bool:
    """Whether one that names the kind says so: policies that name Container have what a pod that looks into its node
    runs as a debug session too, and that is not what they would end."""
    failures = [each.spec.on_recorder_failure for each in policies if kind in each.spec.sessions]
    return severest(failures) is OnRecorderFailure.END


def _compile_kind(policies: list[NamedPolicy]) -> KindSettings:
    combination = combine(each.spec for each in policies)
    return {
        **compile_combination(describe_policies(policies), combination),
        "labels": list(combination.labels),
    }
