"""The words that fields of the contract may take."""

from __future__ import annotations

from enum import StrEnum


class SessionKind(StrEnum):
    """What began a session."""

    CONTAINER = "Container"
    EXEC = "Exec"
    ATTACH = "Attach"
    DEBUG = "Debug"
    PROBE = "Probe"
    PORT_FORWARD = "PortForward"
    HOST = "Host"
    COMMAND = "Command"


class Mode(StrEnum):
    """What happens to sessions where recording fails."""

    BEST_EFFORT = "BestEffort"
    STRICT = "Strict"


class Outcome(StrEnum):
    """How a call ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Access(StrEnum):
    """What a file was opened for."""

    READ = "Read"
    WRITE = "Write"


class Direction(StrEnum):
    """Who began to talk: Outbound is connect and the first datagram to a peer, Inbound is listen and accept."""

    OUTBOUND = "Outbound"
    INBOUND = "Inbound"


class Rules(StrEnum):
    """Whether the rules that come with Podcorder apply."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Operator(StrEnum):
    """How a label selector compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
