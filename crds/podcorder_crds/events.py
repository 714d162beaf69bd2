"""What to record of a session."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from podcorder_crds.enums import Access, Direction, Outcome
from podcorder_crds.filters import AddressFilter, PathFilter, PortFilter
from podcorder_crds.models import ATOMIC, Model
from podcorder_crds.rules import Rule, Set


class CommandEvents(Model):
    """Programs started and ended."""

    outcomes: Set[Outcome] = Field(default=(Outcome.SUCCEEDED, Outcome.FAILED), min_length=1, max_length=2)
    """Which attempts to record. Succeeded: programs that ran, their forks and exits. Failed: programs that could not be
    started. The default is both."""


class FileEvents(Model):
    """Files opened."""

    outcomes: Set[Outcome] = Field(default=(Outcome.SUCCEEDED, Outcome.FAILED), min_length=1, max_length=2)
    """Which attempts to record. Succeeded: files that were opened. Failed: files that could not be opened. The default
    is both."""
    access: Set[Access] = Field(default=(Access.READ, Access.WRITE), min_length=1, max_length=2)
    """What the file was opened for. The default is Read and Write."""
    paths: PathFilter = PathFilter()
    """Which paths to record. The default is all."""


class NetworkEvents(Model):
    """Peers talked to over TCP and UDP."""

    directions: Set[Direction] = Field(default=(Direction.OUTBOUND, Direction.INBOUND), min_length=1, max_length=2)
    """Who began to talk. Outbound: connections that were tried, and the first datagram to a peer. Inbound: sockets that
    listen, and connections that were accepted. The default is both."""
    peers: AddressFilter = AddressFilter()
    """Which peers to record, by their addresses. The default is all."""
    ports: PortFilter = PortFilter()
    """Which ports to record. The default is all."""


class EventSelection(Model):
    """What to record. A section that is absent is not recorded, an empty one ({}) records everything of its kind; there
    must be at least one."""

    model_config = ATOMIC

    laws: ClassVar = (
        Rule(
            "has(self.commands) || has(self.files) || has(self.network)",
            lambda self: self.commands or self.files or self.network,
            "nothing would be recorded: give at least one of commands, files and network, such as commands: {}",
        ),
    )

    commands: CommandEvents | None = None
    """Programs started and ended. Absent: none are recorded; empty ({}): all."""
    files: FileEvents | None = None
    """Files opened. Absent: none are recorded; empty ({}): all."""
    network: NetworkEvents | None = None
    """Peers talked to over TCP and UDP. Absent: none are recorded; empty ({}): all."""
