"""What is asked of the recorder: slots, what is held, cgroups selected and excluded. Only what differs is asked."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from podcorder_agent.cluster.decisions import Recorded
from podcorder_agent.cluster.matching import Combination, PolicyKey
from podcorder_agent.cluster.settings import events_of, settings_of
from podcorder_agent.cluster.slots import Slots, merge
from podcorder_agent.control.client import ControlError, ControlUnreachable
from podcorder_crds import ConfiguredPolicy

logger = logging.getLogger(__name__)

Message = dict[str, Any]


class Control(Protocol):
    """What selecting needs of the control socket (`ControlClient` has it); each raises ControlError."""

    def configure(self, slot: int, settings: Message | None) -> Message: ...

    def pending(self, events: list[str], seconds: int = 60) -> Message: ...

    def select(self, cgroup_id: int, slot: int, session_kind: str, container: Message) -> Message: ...

    def exclude(self, cgroup_id: int, outside: bool = False) -> Message: ...


class Selection:
    """Holds what was asked of one load of the recorder's programs."""

    def __init__(self, control: Control) -> None:
        self.capabilities: dict[str, Message] = {}
        """As the recorder last told of them."""
        self.refused: dict[tuple[str, int], str] = {}
        """Slots and cgroups that the recorder would not have as they were asked for, and why."""
        self._control = control
        self._slots = Slots()
        self._configured: dict[int, Message] = {}
        self._adoptable: dict[int, Message] = {}
        """Slots that are filled from before a restart, until it is known which combinations are theirs."""
        self._policies: Mapping[PolicyKey, ConfiguredPolicy] = {}
        self._compiled: dict[Combination, Message] = {}
        """Of these policies."""
        self._held: list[str] | None = None
        self._held_for: Collection[ConfiguredPolicy] | None = None
        self._settling = False
        self._told: dict[int, tuple[int, str, Message] | None] = {}
        """By cgroup; None: excluded."""

    @property
    def slots_used(self) -> int:
        return len(self._configured)

    def adopt(self, configured: Mapping[int, Message]) -> None:
        """Slots are filled already, from before a restart."""
        self._configured, self._adoptable = dict(configured), dict(configured)

    def forget_all(self) -> None:
        """The recorder has begun anew and knows nothing."""
        self._configured, self._adoptable, self._told, self.refused = {}, {}, {}, {}
        self._held = self._held_for = None

    def knows(self, cgroup_id: int) -> bool:
        """Whether a cgroup was selected or excluded."""
        return cgroup_id in self._told

    def forget(self, cgroup_id: int) -> None:
        """A cgroup that is gone."""
        self._told.pop(cgroup_id, None)
        self.refused.pop(("cgroup", cgroup_id), None)

    def hold(self, policies: Collection[ConfiguredPolicy], settling: bool) -> bool:
        """Have new cgroups held for what any of the policies asks for, or of policies on their way while `settling`;
        the policies are the same object for as long as they are the same. Whether the recorder tells of cgroups from
        now on and did not before: while it has nothing to record it watches nothing. Raises ControlError."""
        if policies is self._held_for and settling is self._settling:
            return False
        events = events_of(policies, settling)
        begun = bool(events) and not self._held
        if events != self._held:
            self.note(self._control.pending(events))
        self._held, self._held_for, self._settling = events, policies, settling
        return begun

    def apply(
        self,
        policies: Mapping[PolicyKey, ConfiguredPolicy],
        recorded: Mapping[int, Recorded],
        excluded: frozenset[int],
    ) -> None:
        """Ask for all that differs: what is recorded by cgroup, what is not. `policies`: the same object for as long
        as they are the same. Raises ControlError."""
        slots = self._assign(policies, Counter(each.combination for each in recorded.values()))
        for number, each in recorded.items():
            self._select(number, slots[each.combination], each)
        for number in excluded:
            if self._told.get(number, ()) is not None:
                self.let_go(number)
                self._told[number] = None
        used = set(slots.values())
        for slot in [each for each in self._configured if each not in used]:
            self.note(self._control.configure(slot, None))
            del self._configured[slot]
            self.refused.pop(("slot", slot), None)

    def let_go(self, number: int, outside: bool = False) -> None:
        """Have a cgroup not recorded. `outside`: it is no container, and logins in it are. Raises ControlError."""
        with self._refusals("cgroup", number, f"to let go of cgroup {number}"):
            self._control.exclude(number, outside)

    def _assign(
        self, policies: Mapping[PolicyKey, ConfiguredPolicy], counts: Mapping[Combination, int]
    ) -> dict[Combination, int]:
        if policies is not self._policies:
            self._policies = policies
            self._compiled.clear()
        for slot, settings in self._adoptable.items():
            for combination in counts:
                if self._compile(combination) == settings:
                    self._slots.adopt(combination, slot)
        self._adoptable = {}
        slots = self._slots.assign(counts)
        sharing: dict[int, list[Combination]] = defaultdict(list)
        for combination, slot in slots.items():
            sharing[slot].append(combination)
        for slot, combinations in sharing.items():
            settings = self._compile_all(combinations)
            if self._configured.get(slot) != settings:
                self._configure(slot, settings)
        return slots

    def _compile(self, combination: Combination) -> Message:
        if combination not in self._compiled:
            self._compiled[combination] = settings_of(combination, self._policies)
        return self._compiled[combination]

    def _compile_all(self, combinations: Collection[Combination]) -> Message:
        """What records all that one of them asks for, and ends only what all of them would have ended: that more is
        recorded than was asked for harms nobody, that somebody is thrown out does."""
        settings = self._compile(merge(combinations))
        if not settings["ends"]:
            return settings
        asked = [self._compile(each)["ends"] for each in combinations]
        return {**settings, "ends": [kind for kind in settings["ends"] if all(kind in each for each in asked)]}

    def _configure(self, slot: int, settings: Message) -> None:
        with self._refusals("slot", slot, f"policies {settings['policy']}"):
            self.note(self._control.configure(slot, settings))
        self._configured[slot] = settings

    def _select(self, number: int, slot: int, recorded: Recorded) -> None:
        request = slot, recorded.session_kind.value, recorded.container
        if self._told.get(number, ()) != request:
            pod = recorded.container["pod"]
            with self._refusals("cgroup", number, f"a container of pod {pod['namespace']}/{pod['name']}"):
                self._control.select(number, *request)
            self._told[number] = request

    @contextmanager
    def _refusals(self, kind: str, number: int, what: str) -> Iterator[None]:
        """What is refused would be refused again: it is said, and the rest goes on."""
        self.refused.pop((kind, number), None)
        try:
            yield
        except ControlUnreachable:
            raise
        except ControlError as error:
            logger.error("The recorder refuses %s: %s", what, error)
            self.refused[kind, number] = f"the recorder refuses {what}: {error}"

    def note(self, reply: Message) -> None:
        """Take the capabilities from a reply."""
        capabilities = reply.get("capabilities")
        if isinstance(capabilities, dict):
            self.capabilities = {name: each for name, each in capabilities.items() if isinstance(each, dict)}
