"""NodeRecordingConfig: the policies that concern one node, resolved by the operator for the node's agent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from podcorder_crds.capabilities import Capability
from podcorder_crds.conditions import Conditions
from podcorder_crds.enums import CapabilityState, EventClass, Loader, PolicyKind, Programs
from podcorder_crds.models import Model
from podcorder_crds.names import Generation, LabelName, ObjectName
from podcorder_crds.policies import RecordingSpec
from podcorder_crds.rules import Keyed, Opaque, Plain, Set

MAX_CONFIG_BYTES = 256 * 1024
"""How large a config's spec may be as canonical JSON; the operator leaves out what does not fit."""
MAX_NAMESPACES = 1024

Namespaces = Annotated[tuple[LabelName, ...], Field(max_length=MAX_NAMESPACES)]


class ConfiguredPolicy(Model):
    """One policy that concerns the node."""

    kind: PolicyKind
    """The policy's kind."""
    namespace: LabelName | None = None
    """The policy's namespace; absent for a ClusterSessionRecordingPolicy."""
    name: ObjectName
    """The policy's name."""
    generation: Generation
    """The metadata.generation of the policy that this is."""
    namespaces: Namespaces | None = None
    """Of the namespaces present on the node, those that a ClusterSessionRecordingPolicy's namespaceSelector selects,
    sorted; absent means every namespace."""
    # To check it once more for each of 2,000 nodes was half of what a change of all configs cost the API server.
    spec: Annotated[RecordingSpec, Opaque()]
    """The policy's spec as it is stored, without namespaceSelector and nodeSelector: what these select is resolved.
    Its fields are those of SessionRecordingPolicy."""


class NodeRecordingConfigSpec(Model):
    """What the node's agent is to record. The operator writes it."""

    node_name: ObjectName
    """The node that the config is for; it bears the same name."""
    policies: Annotated[tuple[ConfiguredPolicy, ...], Field(max_length=2048), Plain()] = ()
    """The policies that concern the node, sorted by kind, namespace and name. What does not fit into 256 KiB is left
    out whole, and said so in the policy's own status."""
    programs: Programs | None = None
    """What the node's kernel may hold of Podcorder's. Loaded, or absent: what the policies need. Unloaded: nothing, so
    that nothing is recorded; what precedes an uninstallation."""


class CapabilityReport(Model):
    """How much of one capability the node can give."""

    name: Capability
    """The capability: what `podcorder doctor` shows on the node, in camel case."""
    state: CapabilityState
    """Full: all that it promises. Degraded: less, the message says what is missing. Unavailable: nothing."""
    rung: Annotated[str, Field(max_length=64)] | None = None
    """Which way to record was taken; absent where none was."""
    message: Annotated[str, Field(max_length=1024)] | None = None
    """What is missing and why; absent where the state is Full."""


class LoaderReport(Model):
    """How the programs come into the node's kernel."""

    name: Loader
    """Compiled beforehand and adapted to the kernel by its types (core), or compiled on the node (bcc)."""
    reason: Annotated[str, Field(max_length=1024)] | None = None
    """Why it is this one."""


class NodeRecordingConfigStatus(Model):
    """What the node is doing. Its agent writes it."""

    applied_generation: Generation | None = None
    """The metadata.generation of this config that is in force on the node."""
    namespaces: Namespaces = ()
    """The namespaces that have pods on the node, sorted. The operator gives the node the policies of these."""
    capabilities: Annotated[tuple[CapabilityReport, ...], Field(max_length=32), Keyed("name")] = ()
    """What the node can record, and how well."""
    loader: LoaderReport | None = None
    """What brings Podcorder's programs into the node's kernel; absent until the recorder has said so."""
    losing_classes: Set[EventClass] = Field(default=(), max_length=len(EventClass))
    """The classes of events that are being lost on the node, where Lossless is False with the reason LosingEvents."""
    conditions: Conditions = ()
    """Ready: the agent runs and records what the config asks for. Lossless: what is recorded is kept; False with the
    reason JournalFull where nothing can be written to the journal, or LosingEvents, and losingClasses says of which
    classes; True with the reason Recording."""
    agent_version: Annotated[str, Field(max_length=64)] | None = None
    """The version of Podcorder that runs on the node."""
    kernel_version: Annotated[str, Field(max_length=128)] | None = None
    """The version of the node's kernel."""
