"""The collections of the API server that the operator reads and writes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One collection: what it is called in paths and in objects."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = False
    metadata_only: bool = False
    """Whether labels are all that is read of it, so that only PartialObjectMetadata is asked for."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
        """The URL's path of the collection, or of one object of it."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)


GROUP = "podcorder.dev"
VERSION = "v1alpha1"

POLICIES = Resource(GROUP, VERSION, "sessionrecordingpolicies", "SessionRecordingPolicy", namespaced=True)
CLUSTER_POLICIES = Resource(GROUP, VERSION, "clustersessionrecordingpolicies", "ClusterSessionRecordingPolicy")
CONFIGS = Resource(GROUP, VERSION, "noderecordingconfigs", "NodeRecordingConfig")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", metadata_only=True)
NODES = Resource("", "v1", "nodes", "Node", metadata_only=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
RECORDED_SESSIONS = Resource(GROUP, VERSION, "recordedsessions", "RecordedSession", namespaced=True)
EVENTS = Resource("", "v1", "events", "Event", namespaced=True)

WATCHED = (POLICIES, CLUSTER_POLICIES, NAMESPACES, NODES, CONFIGS)
"""What the operator reads."""
