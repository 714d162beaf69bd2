"""What is asked of the recorder: slots, what is held, cgroups selected and excluded. Only what differs is asked."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from podcorder_agent.cluster.decisions import Recorded
from podcorder_agent.cluster.matching import Combination, PolicyKey
from podcorder_agent.cluster.settings import compile_slot, events_of
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

    def exclude(self, cgroup_id: int) -> Message: ...


class Selection:
    """Holds what was asked of one load of the recorder's programs."""

    def __init__(self, control: Control) -> None:
        self.capabilities: dict[str, Message] = {}
        """As the recorder last told of them."""
        self.refused: dict[int, str] = {}
        """By slot: why the recorder would not have its settings."""
        self._control = control
        self._slots = Slots()
        self._configured: dict[int, Message] = {}
        self._held: list[str] | None = None
        self._told: dict[int, tuple[int, str, Message] | None] = {}
        """By cgroup; None: excluded."""

    def adopt(self, configured: Mapping[int, Message]) -> None:
        """Slots are filled already, from before a restart."""
        self._configured = dict(configured)

    def forget_all(self) -> None:
        """The recorder has begun anew and knows nothing."""
        self._configured, self._held, self._told, self.refused = {}, None, {}, {}

    def knows(self, cgroup_id: int) -> bool:
        """Whether a cgroup was selected or excluded."""
        return cgroup_id in self._told

    def forget(self, cgroup_id: int) -> None:
        """A cgroup that is gone."""
        self._told.pop(cgroup_id, None)

    def hold(self, policies: Iterable[ConfiguredPolicy]) -> bool:
        """Have new cgroups held for what any of the policies asks for. Whether the recorder tells of cgroups from now
        on and did not before: while it has nothing to record it watches nothing. Raises ControlError."""
        events = events_of(policies)
        if events == self._held:
            return False
        begun = bool(events) and not self._held
        self.note(self._control.pending(events))
        self._held = events
        return begun

    def apply(
        self,
        policies: Mapping[PolicyKey, ConfiguredPolicy],
        recorded: Mapping[int, Recorded],
        excluded: frozenset[int],
    ) -> None:
        """Ask for all that differs: what is recorded by cgroup, what is not. Raises ControlError."""
        slots = self._assign(policies, Counter(each.combination for each in recorded.values()))
        for number, each in recorded.items():
            self._select(number, slots[each.combination], each)
        for number in excluded:
            if self._told.get(number, ()) is not None:
                self._control.exclude(number)
                self._told[number] = None
        used = set(slots.values())
        for slot in [each for each in self._configured if each not in used]:
            self.note(self._control.configure(slot, None))
            del self._configured[slot]
            self.refused.pop(slot, None)

    def _assign(
        self, policies: Mapping[PolicyKey, ConfiguredPolicy], counts: Mapping[Combination, int]
    ) -> dict[Combination, int]:
        for slot, settings in self._configured.items():
            for combination in counts:
                if compile_slot(combination, policies) == settings:
                    self._slots.adopt(combination, slot)
        slots = self._slots.assign(counts)
        sharing: dict[int, list[Combination]] = defaultdict(list)
        for combination, slot in slots.items():
            sharing[slot].append(combination)
        for slot, combinations in sharing.items():
            settings = compile_slot(merge(combinations), policies)
            if self._configured.get(slot) != settings:
                self._configure(slot, settings)
        return slots

    def _configure(self, slot: int, settings: Message) -> None:
        self.refused.pop(slot, None)
        try:
            self.note(self._control.configure(slot, settings))
        except ControlUnreachable:
            raise
        except ControlError as error:
            logger.error("The recorder refuses the policies %s: %s", settings["policy"], error)
            self.refused[slot] = f"{settings['policy']}: {error}"
        self._configured[slot] = settings

    def _select(self, number: int, slot: int, recorded: Recorded) -> None:
        request = slot, recorded.session_kind.value, recorded.container
        if self._told.get(number, ()) != request:
            self._control.select(number, *request)
            self._told[number] = request

    def note(self, reply: Message) -> None:
        """Take the capabilities from a reply."""
        capabilities = reply.get("capabilities")
        if isinstance(capabilities, dict):
            self.capabilities = {name: each for name, each in capabilities.items() if isinstance(each, dict)}
