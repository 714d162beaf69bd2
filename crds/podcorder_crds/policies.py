"""SessionRecordingPolicy: whom to record, what of it, and how. `podcorder record --policy` takes the same spec."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from podcorder_crds.enums import Access, Direction, Mode, Outcome, Rules, SessionKind
from podcorder_crds.filters import AddressFilter, PathFilter, PortFilter
from podcorder_crds.models import Model, Set
from podcorder_crds.selectors import LabelKey, LabelSelector, LabelValue

API_VERSION = "podcorder.dev/v1alpha1"

ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
ContainerName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9*?][-A-Za-z0-9_.*?]*$")]


def check_pattern(pattern: str) -> str:
    """Raises ValueError for what is not a regular expression of Python's `re`."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return pattern


class ContainerFilter(Model):
    """Which containers, by name; * and ? stand for any characters and any one."""

    include: Set[ContainerName] = Field(default=(), max_length=64)
    """Names of the containers to record; empty means all."""
    exclude: Set[ContainerName] = Field(default=(), max_length=64)
    """Names of the containers not to record, even where they are included."""


class CommandEvents(Model):
    """Programs started and ended."""

    outcomes: Set[Outcome] = Field(default=(Outcome.SUCCEEDED, Outcome.FAILED), min_length=1, max_length=2)
    """Succeeded: programs that ran, forks and exits. Failed: programs that could not be started."""


class FileEvents(Model):
    """Files opened."""

    outcomes: Set[Outcome] = Field(default=(Outcome.SUCCEEDED, Outcome.FAILED), min_length=1, max_length=2)
    """Succeeded: files that were opened. Failed: files that could not be opened."""
    access: Set[Access] = Field(default=(Access.READ, Access.WRITE), min_length=1, max_length=2)
    """What the file was opened for."""
    paths: PathFilter = PathFilter()
    """Which paths."""


class NetworkEvents(Model):
    """Peers talked to over TCP and UDP."""

    directions: Set[Direction] = Field(default=(Direction.OUTBOUND, Direction.INBOUND), min_length=1, max_length=2)
    """Who began to talk."""
    peers: AddressFilter = AddressFilter()
    """Which peers."""
    ports: PortFilter = PortFilter()
    """Which ports."""


class EventSelection(Model):
    """What to record; a section that is absent is not recorded, an empty one means everything of its kind."""

    commands: CommandEvents | None = None
    """Programs started and ended."""
    files: FileEvents | None = None
    """Files opened."""
    network: NetworkEvents | None = None
    """Peers talked to."""

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.commands is None and self.files is None and self.network is None:
            raise ValueError("nothing would be recorded: give at least one of commands, files and network")
        return self


class RedactionRule(Model):
    """A pattern whose matches do not leave the machine."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """What the rule is called; unique within the policy."""
    pattern: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(check_pattern)]
    """A regular expression (Python's re). With a group only the group's text goes, else the whole match."""


class Redaction(Model):
    """What is taken out of arguments before they leave the machine."""

    defaults: Rules = Rules.ENABLED
    """The rules that come with Podcorder: passwords, tokens and keys."""
    rules: tuple[RedactionRule, ...] = Field(default=(), max_length=32)
    """Rules of your own, applied besides."""

    @model_validator(mode="after")
    def check(self) -> Self:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two redaction rules are called {name}: rename one")
        return self


class RateLimits(Model):
    """Bounds that protect the node; what goes beyond is counted and told of as a gap, never silently left out."""

    records_per_second: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    """Records a second and container; absent means no limit."""


class Routing(Model):
    """How the receiving side can tell this policy's records apart."""

    label: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
    """Exported with every record, for routing in the collector."""


class SessionRecordingPolicySpec(Model):
    """What an administrator wants recorded."""

    pod_selector: LabelSelector = LabelSelector()
    """Which pods of the policy's namespace; empty means all."""
    containers: ContainerFilter = ContainerFilter()
    """Which containers of these pods."""
    sessions: Set[SessionKind] = Field(
        default=(
            SessionKind.EXEC,
            SessionKind.ATTACH,
            SessionKind.DEBUG,
            SessionKind.PORT_FORWARD,
            SessionKind.COMMAND,
        ),
        min_length=1,
        max_length=len(SessionKind),
    )
    """Which kinds of session; the default is all that people begin."""
    events: EventSelection
    """What of these sessions."""
    mode: Mode = Mode.BEST_EFFORT
    """BestEffort lets sessions go on when recording fails, with a gap on record; Strict refuses new ones."""
    redaction: Redaction = Redaction()
    """What is taken out before it leaves the machine."""
    rate_limits: RateLimits = RateLimits()
    """Bounds that protect the node."""
    routing: Routing | None = None
    """How the receiving side can tell this policy's records apart."""


class ObjectMeta(Model):
    """The part of Kubernetes' metadata that a policy file may carry."""

    name: ObjectName
    """The policy's name."""
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = (
        None
    )
    """The policy's namespace."""
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=64)
    """Labels."""
    annotations: dict[LabelKey, Annotated[str, Field(max_length=65536)]] = Field(default_factory=dict, max_length=64)
    """Annotations."""


class SessionRecordingPolicy(Model):
    """A whole manifest, as `kubectl apply` takes it."""

    api_version: Literal["podcorder.dev/v1alpha1"]
    """podcorder.dev/v1alpha1."""
    kind: Literal["SessionRecordingPolicy"]
    """SessionRecordingPolicy."""
    metadata: ObjectMeta
    """Name and labels."""
    spec: SessionRecordingPolicySpec
    """What to record."""
