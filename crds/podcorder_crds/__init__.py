"""The contract: the kinds of podcorder.dev/v1alpha1 as pydantic models, and nothing else."""

from podcorder_crds.enums import Access, Direction, Mode, Operator, Outcome, Rules, SessionKind
from podcorder_crds.filters import AddressFilter, PathFilter, PortFilter, PortRange
from podcorder_crds.policies import (
    API_VERSION,
    CommandEvents,
    ContainerFilter,
    EventSelection,
    FileEvents,
    NetworkEvents,
    ObjectMeta,
    RateLimits,
    Redaction,
    RedactionRule,
    Routing,
    SessionRecordingPolicy,
    SessionRecordingPolicySpec,
)
from podcorder_crds.selectors import LabelSelector, LabelSelectorRequirement

__all__ = [
    "API_VERSION",
    "Access",
    "AddressFilter",
    "CommandEvents",
    "ContainerFilter",
    "Direction",
    "EventSelection",
    "FileEvents",
    "LabelSelector",
    "LabelSelectorRequirement",
    "Mode",
    "NetworkEvents",
    "ObjectMeta",
    "Operator",
    "Outcome",
    "PathFilter",
    "PortFilter",
    "PortRange",
    "RateLimits",
    "Redaction",
    "RedactionRule",
    "Routing",
    "Rules",
    "SessionKind",
    "SessionRecordingPolicy",
    "SessionRecordingPolicySpec",
]
