"""Whom events are about: a process, in a session, in a container, in a pod.

Every field that leaves the machine carries its attribute's name and meaning in its metadata, as those of events do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class SessionKind(StrEnum):
    """What began a session (design, section 3)."""

    COMMAND = "Command"
    CONTAINER = "Container"
    SETUP = "Setup"
    """A container runtime at work inside, before the first exec of what it starts."""
    EXEC = "Exec"
    DEBUG = "Debug"
    PROBE = "Probe"
    HOST = "Host"


class Identity(StrEnum):
    """How well it is known who asked for a session."""

    IDENTIFIED = "Identified"
    AMBIGUOUS = "Ambiguous"
    """Several people could have."""
    PENDING = "Pending"
    """Nothing says who, yet."""
    UNANNOUNCED = "Unannounced"
    """Nobody asked the API server for it."""


def attribute(name: str, meaning: str, *, default: Any = None) -> Any:
    """A dataclass field that is exported as the attribute `name`; None is left out."""
    return field(default=default, metadata={"attribute": name, "meaning": meaning})


@dataclass(slots=True, frozen=True)
class Pod:
    """The pod of a container, and what owns the pod; names are those of OpenTelemetry's conventions for Kubernetes."""

    namespace: str | None = attribute("k8s.namespace.name", "The pod's namespace.")
    name: str | None = attribute("k8s.pod.name", "The pod's name.")
    uid: str | None = attribute("k8s.pod.uid", "The pod's uid.")
    container: str | None = attribute("k8s.container.name", "The container's name in its pod.")
    deployment: str | None = attribute("k8s.deployment.name", "The Deployment that the pod belongs to.")
    replica_set: str | None = attribute("k8s.replicaset.name", "The ReplicaSet that it belongs to.")
    stateful_set: str | None = attribute("k8s.statefulset.name", "The StatefulSet that it belongs to.")
    daemon_set: str | None = attribute("k8s.daemonset.name", "The DaemonSet that it belongs to.")
    job: str | None = attribute("k8s.job.name", "The Job that it belongs to.")
    cron_job: str | None = attribute("k8s.cronjob.name", "The CronJob that it belongs to.")


OWNERS = {
    "Deployment": "deployment",
    "ReplicaSet": "replica_set",
    "StatefulSet": "stateful_set",
    "DaemonSet": "daemon_set",
    "Job": "job",
    "CronJob": "cron_job",
}
"""Kinds of owners to the pod's fields; there are no attributes for others."""


@dataclass(slots=True, eq=False)
class Container:
    """A selected cgroup subtree: a container, or the cgroup `podcorder record` made."""

    cgroup_id: int
    path: str
    id: str | None = attribute("container.id", "The container's id as its runtime knows it.")
    runtime: str | None = attribute("container.runtime.name", "The runtime that made the container.")
    name: str | None = attribute("container.name", "The container's name, where the runtime told one.")
    image: str | None = attribute("container.image.name", "The image that the container was made from.")
    policy: str | None = attribute("podcorder.policy", "The policy that selected it, or several, joined by commas.")
    attach_users: list[str] | None = attribute(
        "podcorder.attach.users", "Users who asked to attach to the container, for as long as it runs; sorted."
    )
    pod: Pod | None = None
    slot: int = 0
    """The policy slot that it is recorded into."""

    @property
    def title(self) -> str:
        """What to call it: namespace/pod/container, or its name, its id or its cgroup's path."""
        if self.pod is not None and self.pod.name is not None:
            return "/".join(filter(None, (self.pod.namespace, self.pod.name, self.pod.container)))
        return self.name or self.id or self.path


@dataclass(slots=True, eq=False)
class Session:
    """A tree of processes with one root."""

    container: Container
    root_tgid: int
    root_start: int
    """Boot time of the root's start, or of its first exec inside a container, ns."""
    id: str = attribute("podcorder.session.id", "The session: 32 hexadecimal digits, also its trace id.", default="")
    kind: SessionKind = attribute("podcorder.session.kind", "What began the session.", default=SessionKind.CONTAINER)
    labels: list[str] | None = attribute(
        "podcorder.routing.labels", "The routing labels of the policies that ask for it, sorted."
    )
    user_name: str | None = attribute(
        "user.name", "The user who asked the API server for the session; of a login on the node the name."
    )
    user_id: str | None = attribute(
        "user.id", "That user's uid, where it is known; of a login on the node the login uid."
    )
    user_groups: list[str] | None = attribute("podcorder.user.groups", "The groups that the user was in.")
    identity: Identity | None = attribute(
        "podcorder.identity",
        "How well it is known whose the session is: Identified, Ambiguous (of one of the candidates), Pending (nothing "
        "says yet) or Unannounced (nobody asked the API server for it).",
    )
    candidates: list[str] | None = attribute(
        "podcorder.session.candidates", "The users of whom it may be, where that is Ambiguous, sorted."
    )
    record: str | None = attribute(
        "podcorder.session.record", "Namespace and name of the RecordedSession, with / between."
    )
    request_id: str | None = attribute("podcorder.request.id", "The admission request that asked for the session.")
    partial: bool = False
    """Older than its selection: what it did before is not known."""
    processes: int = 0
    """Processes alive."""
    withheld: bool = False
    """No policy asked for it when it began, so its start was not told."""
    counts: list[int] | None = None
    """Events that went out, by class; counted of sessions that may have a RecordedSession."""


@dataclass(slots=True, eq=False)
class Process:
    """A process as it was at the events that share this object: an exec puts a new one in its place, one `revision`
    higher, so that events before it keep telling of the program before it, and what is derived can be cached here."""

    session: Session
    start: int
    """Boot time of the start, ns: with the pid it names the process for good."""
    tgid: int = attribute("process.pid", "Process id in the initial pid namespace.", default=0)
    ppid: int = attribute("process.parent_pid", "Its parent's process id.", default=0)
    executable: bytes | None = attribute("process.executable.path", "Resolved path of the executable, where known.")
    span_id: str = ""
    """16 hexadecimal digits, derived from boot id, pid and start."""
    arguments: list[bytes] = field(default_factory=list)
    """As exported with its exec: redacted."""
    cwd: bytes | None = None
    revision: int = 0
    encoded: Any = None
    """The encoder's cache; the interpreter sets it to None where its container's description changes."""


AttributeValue = str | int | bool | bytes | list[str] | list[bytes]


def own_attributes(holder: object) -> dict[str, AttributeValue]:
    """The exported fields of one dataclass instance by attribute name, in the order of their definition."""
    found: dict[str, AttributeValue] = {}
    for each in fields(holder):  # type: ignore[arg-type]
        name = each.metadata.get("attribute")
        if name is not None:
            value = getattr(holder, each.name)
            if value is not None:
                found[name] = value
    return found
