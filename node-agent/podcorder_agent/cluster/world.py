"""What the API server has told: the node's pods, those gone a short while ago too, and its config."""

from __future__ import annotations

from typing import Any

from podcorder_agent.cluster.configs import Config, read_config
from podcorder_agent.cluster.pods import PodFacts, read_pod
from podcorder_agent.cluster.streams import Change, Drop, Key, Listed, Put

MOST_GONE = 1024
"""Deleted pods that are remembered: cgroups and records of theirs may still be on their way."""


class Pods:
    """By the uid that the kubelet calls a pod's cgroup.

    For a static pod an annotation says that uid, which whoever may make pods can write: it takes no cgroup from the pod
    whose own uid it is, nor from an older pod that says the same.
    """

    def __init__(self) -> None:
        self.synced = False
        """Whether all were listed at least once."""
        self.changed: set[str] = set()
        """Uids of either sort whose facts have changed; whoever looks empties it."""
        self._known: dict[str, PodFacts] = {}
        """By their own uids."""
        self._mirrors: dict[str, str] = {}
        """The own uids of static pods by those that their cgroups are called."""
        self._names: dict[Key, str] = {}
        """Of those that are there."""
        self._gone: dict[str, None] = {}

    def find(self, cgroup_uid: str) -> PodFacts | None:
        return self._known.get(cgroup_uid) or self._known.get(self._mirrors.get(cgroup_uid, ""))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """With pods that have not ended, sorted."""
        there = (self._known[uid] for uid in self._names.values())
        return tuple(sorted({pod.namespace for pod in there if not pod.ended}))

    def take(self, change: Change) -> None:
        match change:
            case Put(raw):
                self._put(raw)
            case Drop(key):
                self._drop(key)
            case Listed(keys):
                for key in self._names.keys() - keys:
                    self._drop(key)
                self.synced = True

    def _put(self, raw: dict[str, Any]) -> None:
        pod = read_pod(raw)
        if pod is None:
            return
        key = pod.namespace, pod.name
        if self._names.get(key, pod.uid) != pod.uid:
            self._drop(key)  # one of the same name came after it
        if self._known.get(pod.uid) != pod:
            self.changed |= {pod.uid, pod.cgroup_uid}
        self._known[pod.uid] = pod
        self._names[key] = pod.uid
        self._gone.pop(pod.uid, None)
        if pod.cgroup_uid != pod.uid:
            self._claim(pod)

    def _claim(self, pod: PodFacts) -> None:
        holder = self._known.get(self._mirrors.get(pod.cgroup_uid, ""))
        if holder is None or holder.uid in self._gone or pod.created < holder.created:
            self._mirrors[pod.cgroup_uid] = pod.uid

    def _drop(self, key: Key) -> None:
        uid = self._names.pop(key, None)
        if uid is not None:
            self._gone[uid] = None
            if len(self._gone) > MOST_GONE:
                oldest = next(iter(self._gone))
                del self._gone[oldest]
                forgotten = self._known.pop(oldest)
                if self._mirrors.get(forgotten.cgroup_uid) == oldest:
                    del self._mirrors[forgotten.cgroup_uid]


class ConfigHolder:
    """The node's config; one that is deleted asks for nothing, or still to unload what it asked to unload."""

    def __init__(self) -> None:
        self.synced = False
        """Whether it was looked for at least once."""
        self.changed = False
        """Whoever looks takes it back."""
        self.config = Config()
        self.reported: tuple[str, ...] | None = None
        """The namespaces of the status that was found; later ones tell nothing new, for this agent wrote them."""
        self._found = False

    def take(self, change: Change) -> None:
        match change:
            case Put(raw):
                self._set(read_config(raw))
                if not self._found:
                    self.reported = _reported(raw)
                self._found = True
            case Drop():
                self._set(Config(unload=self.config.unload))
            case Listed(keys):
                if not keys:
                    self._set(Config(unload=self.config.unload))
                self.synced = True

    def _set(self, config: Config) -> None:
        if config != self.config:
            self.config = config
            self.changed = True


def _reported(raw: dict[str, Any]) -> tuple[str, ...]:
    status = raw.get("status")
    namespaces = status.get("namespaces") if isinstance(status, dict) else None
    return tuple(each for each in namespaces if isinstance(each, str)) if isinstance(namespaces, list) else ()
