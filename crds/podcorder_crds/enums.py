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
    NODE_PROXY = "NodeProxy"


class Mode(StrEnum):
    """What happens to sessions where recording fails."""

    BEST_EFFORT = "BestEffort"
    STRICT = "Strict"


class OnRecorderFailure(StrEnum):
    """What becomes of sessions that run when a recorder fails."""

    CONTINUE = "Continue"
    END = "End"


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


class PolicyKind(StrEnum):
    """The kinds of policy."""

    POLICY = "SessionRecordingPolicy"
    CLUSTER_POLICY = "ClusterSessionRecordingPolicy"


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Origin(StrEnum):
    """How a session became known."""

    ANNOUNCED = "Announced"
    UNANNOUNCED = "Unannounced"
    HOST = "Host"


class Source(StrEnum):
    """Which request of the API server asked for a session."""

    EXEC = "pods/exec"
    ATTACH = "pods/attach"
    PORT_FORWARD = "pods/portforward"
    EPHEMERAL_CONTAINER = "pods/ephemeralcontainers"
    POD = "pods"
    NODE_PROXY = "nodes/proxy"


class Target(StrEnum):
    """What a debug session looks into."""

    POD = "Pod"
    NODE = "Node"


class Stdin(StrEnum):
    """Whether a session was asked for with standard input."""

    ATTACHED = "Attached"
    NOT_ATTACHED = "NotAttached"


class Tty(StrEnum):
    """Whether a session was asked for with a terminal."""

    ALLOCATED = "Allocated"
    NOT_ALLOCATED = "NotAllocated"


class Confidence(StrEnum):
    """How sure it is that an announced session and what was recorded belong together."""

    CERTAIN = "Certain"
    AMBIGUOUS = "Ambiguous"


class EventClass(StrEnum):
    """The classes of records: those of the agent in camel case (`exec_failed` is ExecFailed)."""

    EXEC = "Exec"
    EXEC_FAILED = "ExecFailed"
    FORK = "Fork"
    EXIT = "Exit"
    OPEN = "Open"
    OPEN_FAILED = "OpenFailed"
    CONNECT = "Connect"
    ACCEPT = "Accept"
    LISTEN = "Listen"
    DATAGRAM = "Datagram"


class CapabilityState(StrEnum):
    """How much of what a capability promises a node can give."""

    FULL = "Full"
    DEGRADED = "Degraded"
    UNAVAILABLE = "Unavailable"


class Loader(StrEnum):
    """How programs come into a node's kernel: compiled beforehand, or on the node by bcc."""

    CORE = "core"
    BCC = "bcc"


class Programs(StrEnum):
    """Whether a node's kernel may hold anything of Podcorder's."""

    LOADED = "Loaded"
    UNLOADED = "Unloaded"


class LosslessReason(StrEnum):
    """Why a node's condition Lossless is what it is."""

    RECORDING = "Recording"
    JOURNAL_FULL = "JournalFull"
    LOSING_EVENTS = "LosingEvents"
