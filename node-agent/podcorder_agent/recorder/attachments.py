"""Which capabilities are attached: only what some slot needs, detached when the last need goes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from podcorder_agent.recorder import bpf_maps
from podcorder_agent.recorder.classes import NUMBERS, wanted_names
from podcorder_agent.recorder.errors import ObjectMissing
from podcorder_agent.recorder.identities import Identities
from podcorder_agent.recorder.kernel_maps import KernelMaps
from podcorder_agent.recorder.ladders import LADDERS, Capability, Rung
from podcorder_agent.recorder.loaders import HANDLERS_MAPS, Loader, RungRefused
from podcorder_agent.recorder.pins import Pins, remove_tree


class CapabilityState(TypedDict):
    """As notes and replies show it."""

    state: str
    """Active, Degraded (covers less), Failed (needed, and no rung loads) or Off (not needed)."""
    rung: str
    reason: str


_OFF = CapabilityState(state="Off", rung="", reason="")


class Attachments:
    """The pinned links and programs of each capability."""

    def __init__(
        self,
        loader: Loader,
        pins: Pins,
        maps: KernelMaps,
        identities: Identities,
        ladders: tuple[Capability, ...] = LADDERS,
    ) -> None:
        self._loader = loader
        self._pins = pins
        self._maps = maps
        self._identities = identities
        self._ladders = ladders
        self.states: dict[str, CapabilityState] = {each.name: _OFF for each in ladders}
        self._taken: dict[str, Rung] = {}

    def adopt(self) -> None:
        """Take over what an earlier recorder attached; what it left half done is undone."""
        attached = self._pins.attached()
        rungs = {(each.name, rung.name): rung for each in self._ladders for rung in each.rungs}
        for (capability, name), programs in attached.items():
            rung = rungs.get((capability, name))
            if rung is not None and programs == rung.programs.keys() and self._has_handlers(rung):
                self._taken[capability] = rung
                self.states[capability] = _state_of(rung)
            else:
                self._drop(capability, name, rung)
        for each in self._ladders:
            taken = self._taken.get(each.name)
            if taken is not None and taken.requires:
                required = self._taken.get(taken.requires)
                if required is None or required.raw != taken.raw:
                    self._detach(each)

    def apply(self, wanted: int) -> bool:
        """Attach and detach until what is attached fits the bits wanted (`wanted_names`); whether any state changed."""
        before = dict(self.states)
        names = wanted_names(wanted)
        needed = [each for each in self._ladders if each.serves(names)]
        for capability in reversed(self._ladders):
            if capability not in needed and not capability.on_demand:
                self._detach(capability)
        if needed and not self._taken:
            self._maps.forget_processes(set(self._identities.by_pid().values()))
        for capability in needed:
            if self.states[capability.name]["state"] == "Off":
                self.states[capability.name] = self._attach(capability, capability.rungs)
        required = self._required_by(needed)
        for capability in reversed(self._ladders):
            if capability.on_demand and capability.name not in required:
                self._detach(capability)
        return self.states != before

    def detach_all(self) -> None:
        self.apply(0)

    def skipped(self) -> list[int]:
        """Runs that the kernel skipped per class, of attached and of detached programs."""
        counts = self._maps.skipped()
        for capability, rung in self._taken.items():
            for program, name in rung.programs.items():
                if name is not None:
                    counts[NUMBERS[name]] += bpf_maps.recursion_misses(
                        self._program_path(capability, rung.name, program)
                    )
        return counts

    def _attach(self, capability: Capability, rungs: Iterable[Rung]) -> CapabilityState:
        reasons = []
        for rung in rungs:
            try:
                if rung.requires:
                    self._attach_required(rung)
                self._loader.attach(capability, rung, self._pins, self._maps.events.max_entries)
            except (RungRefused, ObjectMissing) as error:
                reasons.append(f"{rung.name}: {error}")
            else:
                self._taken[capability.name] = rung
                return _state_of(rung)
        return CapabilityState(state="Failed", rung="", reason="; ".join(reasons))

    def _attach_required(self, rung: Rung) -> None:
        """Attach what a rung stands on, unless it is; raises RungRefused."""
        required = next(each for each in self._ladders if each.name == rung.requires)
        taken = self._taken.get(required.name)
        if taken is not None and taken.raw == rung.raw:
            return
        if taken is not None:
            if any(each.requires == required.name for each in self._taken.values()):
                raise RungRefused(f"{required.name} is {taken.name}, and others stand on it")
            self._detach(required)
        state = self._attach(required, (each for each in required.rungs if each.raw == rung.raw))
        self.states[required.name] = state
        if state["state"] == "Failed":
            raise RungRefused(f"needs {required.name}: {state['reason']}")

    def _required_by(self, needed: list[Capability]) -> set[str]:
        """What the rungs taken stand on; of a capability that failed, what each of its rungs would."""
        return {
            rung.requires
            for each in needed
            for rung in ((self._taken[each.name],) if each.name in self._taken else each.rungs)
        }

    def _detach(self, capability: Capability) -> None:
        rung = self._taken.pop(capability.name, None)
        if rung is not None:
            self._drop(capability.name, rung.name, rung)
        self.states[capability.name] = _OFF

    def _drop(self, capability: str, name: str, rung: Rung | None) -> None:
        """Links first, then the count of skipped runs is kept, then the programs go."""
        remove_tree(self._pins.links / capability / name)
        if rung is not None:
            for program, class_name in rung.programs.items():
                path = self._program_path(capability, name, program)
                if class_name is not None and path.exists():
                    self._maps.add_skipped(NUMBERS[class_name], bpf_maps.recursion_misses(path))
            if rung.handlers and (self._pins.maps / HANDLERS_MAPS[rung.raw]).exists():
                handlers = bpf_maps.Map.open(self._pins.maps / HANDLERS_MAPS[rung.raw])
                for index in rung.handlers:
                    handlers.delete(index.to_bytes(4, "little"))
                handlers.close()
        remove_tree(self._pins.programs / capability / name)

    def _has_handlers(self, rung: Rung) -> bool:
        """Whether all of a rung's handlers are in the array: a rung of handlers alone shows in no link."""
        if not rung.handlers:
            return True
        path = self._pins.maps / HANDLERS_MAPS[rung.raw]
        if not path.exists():
            return False
        handlers = bpf_maps.Map.open(path)
        try:
            return all(handlers.lookup(index.to_bytes(4, "little")) is not None for index in rung.handlers)
        finally:
            handlers.close()

    def _program_path(self, capability: str, rung: str, program: str) -> Path:
        return self._pins.programs / capability / rung / program


def _state_of(rung: Rung) -> CapabilityState:
    return CapabilityState(state="Degraded" if rung.limits else "Active", rung=rung.name, reason=rung.limits)
