"""RecordedSession: who was where and when. `kubectl get recordedsessions` is the index of all recordings."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from podcorder_crds.conditions import Conditions
from podcorder_crds.enums import Confidence, EventClass, Mode, Origin, SessionKind, Source, Stdin, Target, Tty
from podcorder_crds.models import Model
from podcorder_crds.names import LabelName, ObjectName, Uid
from podcorder_crds.rules import Keyed, Rule, Set, pattern

Text = Annotated[str, Field(max_length=1024)]
Total = Annotated[int, Field(strict=True, ge=0, le=2**53)]


class Extra(Model):
    """What an authenticator tells of a user beyond name, uid and groups."""

    key: Annotated[str, Field(min_length=1, max_length=512)]
    """What it is about, such as authentication.kubernetes.io/credential-id."""
    values: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    """What it says of it."""


class User(Model):
    """Who asked for a session, as the API server knew them."""

    username: Annotated[str, Field(min_length=1, max_length=1024)]
    """The user's name."""
    uid: Annotated[str, Field(max_length=1024)] | None = None
    """What tells users apart who had the same name at different times, where the authenticator gives one."""
    groups: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """The groups that the user was in."""
    extra: Annotated[tuple[Extra, ...], Field(max_length=64), Keyed("key")] = ()
    """What else the authenticator told."""


class Request(Model):
    """What was asked for."""

    id: Uid
    """The id of the admission request."""
    time: AwareDatetime
    """When it was asked for."""
    source: Source
    """What the API server was asked for: a subresource of a pod, a pod that looks into a node, or a kubelet."""
    command: Annotated[tuple[Annotated[str, Field(max_length=4096)], ...], Field(max_length=256)] = ()
    """The command and its arguments, with passwords, tokens and keys taken out."""
    command_digest: (
        Annotated[
            str,
            Field(min_length=64, max_length=64),
            pattern("^[0-9a-f]{64}$", "is not a digest: write 64 lower-case hexadecimal digits"),
        ]
        | None
    ) = None
    """A keyed digest (HMAC-SHA256, with a key of this installation) of the command as it was asked for, by which the
    node's agent finds the session it belongs to."""
    stdin: Stdin | None = None
    """Whether standard input was asked for."""
    tty: Tty | None = None
    """Whether a terminal was asked for."""
    ports: Annotated[tuple[Annotated[int, Field(strict=True, ge=1, le=65535)], ...], Field(max_length=64)] = ()
    """The ports of the pod that were to be forwarded, where the request names them."""
    path: Text | None = None
    """The path of the kubelet that was asked for through the API server, for NodeProxy."""


class Pod(Model):
    """The pod that a session took place in."""

    name: ObjectName
    """The pod's name."""
    uid: Uid
    """The pod's uid: another pod of the same name has another one."""


_WITHOUT_POD = (SessionKind.HOST, SessionKind.COMMAND, SessionKind.NODE_PROXY)


class RecordedSessionSpec(Model):
    """Who asked for the session, and where it takes place."""

    laws: ClassVar = (
        Rule(
            "(self.origin == 'Announced') == has(self.user)",
            lambda self: (self.origin is Origin.ANNOUNCED) == (self.user is not None),
            "the user is known of announced sessions alone: give user with origin Announced, and with no other",
        ),
        Rule(
            "(self.origin == 'Announced') == has(self.request)",
            lambda self: (self.origin is Origin.ANNOUNCED) == (self.request is not None),
            "announced sessions alone were asked for: give request with origin Announced, and with no other",
        ),
        Rule(
            "(self.origin == 'Host') == (self.kind == 'Host')",
            lambda self: (self.origin is Origin.HOST) == (self.kind is SessionKind.HOST),
            "sessions of kind Host have the origin Host, and no others do: make kind and origin agree",
        ),
        Rule(
            "self.kind in ['Host', 'Command', 'NodeProxy'] || has(self.pod)",
            lambda self: self.kind in _WITHOUT_POD or self.pod is not None,
            "the session takes place in a pod: give pod with its name and uid",
        ),
        Rule(
            "(self.kind == 'Debug') == has(self.target)",
            lambda self: (self.kind is SessionKind.DEBUG) == (self.target is not None),
            "sessions of kind Debug have a target, and no others do: give target (Pod or Node) with kind Debug alone",
        ),
    )

    kind: SessionKind
    """What began the session. Container: the container's own start. Exec: kubectl exec and cp. Attach: kubectl attach.
    Debug: kubectl debug. Probe: exec probes and lifecycle hooks. PortForward: kubectl port-forward. Host: a login on
    the node. Command: podcorder record. NodeProxy: a request to a kubelet through the API server, which can begin
    sessions past all that asks for a pod."""
    origin: Origin
    """How the session became known. Announced: the API server asked before it allowed it. Unannounced: the node's agent
    saw it begin, and nobody had asked. Host: it is a login on the node."""
    user: User | None = None
    """Who asked for the session. Of announced sessions alone."""
    request: Request | None = None
    """What was asked for. Of announced sessions alone."""
    node_name: ObjectName
    """The node that the session takes place on."""
    pod: Pod | None = None
    """The pod that the session takes place in. Absent for sessions on the node itself."""
    container: LabelName | None = None
    """The container that the session takes place in, for Debug the ephemeral one. PortForward has none."""
    mode: Mode | None = None
    """The mode of the policies that selected the session when it was asked for."""
    target: Target | None = None
    """What a Debug session looks into: the Pod it was added to, or the Node."""


class EventCount(Model):
    """How many events of one class were recorded."""

    event_class: EventClass = Field(alias="class")
    """The class of the events."""
    count: Total
    """How many were recorded."""


class Gap(Model):
    """Events of one class that were lost."""

    event_class: EventClass = Field(alias="class")
    """The class of the events."""
    count: Total | None = None
    """How many were lost; absent where nobody can know."""
    first_time: AwareDatetime
    """Since when events were lost."""
    last_time: AwareDatetime
    """Until when events were lost."""


class RootProcess(Model):
    """The first process of a session."""

    pid: Annotated[int, Field(strict=True, ge=1, le=2**22)]
    """Its process id on the node."""
    executable: Text | None = None
    """The resolved path of what it executed first, where that is known."""


class Login(Model):
    """Who logged in to the node, as its kernel has it."""

    uid: Annotated[int, Field(strict=True, ge=0, le=2**32 - 2)]
    """The login uid: the user's number on the node, whichever user its processes became since."""
    audit_session: Annotated[int, Field(strict=True, ge=1, le=2**32 - 2)]
    """The audit session, by the number that the node's audit log has of it."""


class RecorderFailure(Model):
    """That what was to record a session failed while it may have been running."""

    time: AwareDatetime
    """When the operator saw it."""
    message: Text
    """What had failed."""


class RecordedSessionStatus(Model):
    """What was recorded of the session. The node's agent writes it; the operator where no agent can any more, and
    recorderFailure."""

    session_id: (
        Annotated[
            str,
            Field(min_length=32, max_length=32),
            pattern("^[0-9a-f]{32}$", "is not a session's id: write 32 lower-case hexadecimal digits"),
        ]
        | None
    ) = Field(default=None, alias="sessionID")
    """The session's id in the recorded events (podcorder.session.id), also the id of its trace. Absent until the node's
    agent has seen the session begin."""
    start_time: AwareDatetime | None = None
    """When the session began."""
    end_time: AwareDatetime | None = None
    """When the session's last process had gone."""
    root_process: RootProcess | None = None
    """The session's first process."""
    login: Login | None = None
    """Who logged in to the node. Of sessions of kind Host alone; where confidence is Ambiguous, another's process began
    the login in their name."""
    exit_code: Annotated[int, Field(strict=True, ge=0, le=255)] | None = None
    """What the session's first process returned, or 128 + n where signal n ended it."""
    counts: Annotated[tuple[EventCount, ...], Field(max_length=len(EventClass)), Keyed("class")] = ()
    """How many events were recorded, by class. They are final once endTime is there."""
    gaps: Annotated[tuple[Gap, ...], Field(max_length=len(EventClass)), Keyed("class")] = ()
    """What was lost, by class. Empty: nothing."""
    confidence: Confidence | None = None
    """How sure it is that the request above and this recording belong together. Ambiguous: it could be another one,
    see candidates."""
    candidates: Set[ObjectName] = Field(default=(), max_length=16)
    """The names of the RecordedSessions in this namespace that the recording could belong to, where it is ambiguous."""
    partial_reasons: Set[Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Z][A-Za-z0-9]*$")]] = Field(
        default=(), max_length=16
    )
    """Why the recording does not hold the whole session, each as one word in camel case, such as OlderThanAgent. Empty:
    it does, but for the gaps."""
    recorder_failure: RecorderFailure | None = None
    """The first failure of the node's recorder while the session, of mode Strict, may have been running: from then on
    what was done in it may not be recorded. Absent: none was seen."""
    conditions: Conditions = ()
    """Started: the node's agent has seen the session begin; False where it did not come (NeverStarted) or its command
    could not be executed (CommandFailed); Unknown where nothing begins on the node that could be seen (NotFollowed), as
    of Attach, PortForward and NodeProxy. Ended: its last process has gone; Unknown where nobody can tell, such as
    NotFollowed, NodeGone where the node was removed, AgentSilent where its agent never said anything of it. Complete:
    it has ended, and nothing of it was lost. A record whose session is over (Ended is True or Unknown, or Started is
    False) is deleted when its time has come; one whose session may be running never is."""
