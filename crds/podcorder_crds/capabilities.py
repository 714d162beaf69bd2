"""What a policy needs: capabilities of a node, of which there are these, and classes of events."""

from __future__ import annotations

from enum import StrEnum

from podcorder_crds.enums import Direction, EventClass, Outcome
from podcorder_crds.events import EventSelection


class Capability(StrEnum):
    """What a node's agent may be able to record: its own names (`podcorder doctor`) in camel case, see `agent_name`."""

    CONTAINERS = "Containers"
    PROCESSES = "Processes"
    SYSCALLS = "Syscalls"
    EXEC_FAILURES = "ExecFailures"
    FILES = "Files"
    NETWORK_TCP = "NetworkTcp"
    NETWORK_ACCEPT = "NetworkAccept"
    NETWORK_UDP = "NetworkUdp"
    ENDINGS = "Endings"

    @property
    def agent_name(self) -> str:
        """What the agent itself calls it: `network_tcp` for NetworkTcp."""
        return self.name.lower()


def capabilities_of(events: EventSelection) -> frozenset[Capability]:
    """What a node must be capable of to record these events. Containers and processes carry the sessions, whatever is
    recorded of them; Syscalls is named by nobody, for what stands on it is not Full without it."""
    needed = {Capability.CONTAINERS, Capability.PROCESSES}
    if events.commands is not None and Outcome.FAILED in events.commands.outcomes:
        needed.add(Capability.EXEC_FAILURES)
    if events.files is not None:
        needed.add(Capability.FILES)
    if events.network is not None:
        needed.add(Capability.NETWORK_TCP)
        if Direction.OUTBOUND in events.network.directions:
            needed.add(Capability.NETWORK_UDP)
        if Direction.INBOUND in events.network.directions:
            needed.add(Capability.NETWORK_ACCEPT)
    return frozenset(needed)


def classes_of(events: EventSelection) -> frozenset[EventClass]:
    """The classes of records that these events are made of; what begins and ends sessions is always among them."""
    needed = {EventClass.EXEC, EventClass.EXIT}
    if events.commands is not None:
        if Outcome.SUCCEEDED in events.commands.outcomes:
            needed.add(EventClass.FORK)
        if Outcome.FAILED in events.commands.outcomes:
            needed.add(EventClass.EXEC_FAILED)
    if events.files is not None:
        if Outcome.SUCCEEDED in events.files.outcomes:
            needed.add(EventClass.OPEN)
        if Outcome.FAILED in events.files.outcomes:
            needed.add(EventClass.OPEN_FAILED)
    if events.network is not None:
        if Direction.OUTBOUND in events.network.directions:
            needed |= {EventClass.CONNECT, EventClass.DATAGRAM}
        if Direction.INBOUND in events.network.directions:
            needed |= {EventClass.ACCEPT, EventClass.LISTEN}
    return frozenset(needed)
