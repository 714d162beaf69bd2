"""The cgroups of the node's pods, as the kernel tells of them: which pod each belongs to, and which are sandboxes.

What was measured with containerd 1.6 and the kubelet's cgroupfs driver: the kubelet makes the pod's cgroup, some 400 ms
later the runtime the sandbox's in it, and the containers' after that; a container's first exec follows its cgroup by 25
to 90 ms, and the API server tells the container's id 15 to 80 ms after that exec. So a cgroup that is made where no
other of its pod lives is the sandbox's: it lives for as long as any container of the pod. CRI-O leaves the sandbox out
where it can, there the order says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from podcorder_agent.interpreter.containers import is_above_containers, recognise
from podcorder_agent.machine.cgroups import walk
from podcorder_agent.machine.lifecycle import CgroupChange

_WITHOUT_SANDBOXES = frozenset({"cri-o"})


@dataclass(slots=True)
class PodCgroup:
    """The cgroup of a container, or of a sandbox, in a pod."""

    id: int
    path: str
    container_id: str
    runtime: str | None
    pod_uid: str
    made: int
    """Boot time when it was seen first, ns."""
    held: bool
    """Whether it was seen made: its records are held until somebody decides about it."""
    first: bool
    """Whether no other of its pod lived when it was made."""
    removed: int | None = None
    """Boot time, ns; what was held for it may still be asked for."""

    @property
    def is_sandbox(self) -> bool:
        """Whether it holds nothing but the pod's namespaces, as far as the order of cgroups tells."""
        return self.first and self.runtime not in _WITHOUT_SANDBOXES

    def overlaps(self, other: PodCgroup) -> bool:
        """Whether both were there at some time."""
        older, newer = sorted((self, other), key=lambda each: each.id)
        return older.removed is None or older.removed > newer.made


class PodCgroups:
    """All that are there, and those removed that are not yet forgotten."""

    def __init__(self) -> None:
        self.known: dict[int, PodCgroup] = {}
        self._names: set[str] = set()
        """The last parts of the paths of those that are there, which hold the containers' ids: where a node is a
        container itself, the kernel tells of longer paths than those that a scan finds."""
        self._pods: dict[str, set[int]] = {}

    def of_pod(self, uid: str) -> set[int]:
        """The ids of a pod's cgroups, by the uid that the kubelet calls its cgroup."""
        return self._pods.get(uid, set())

    def beside(self, cgroup: PodCgroup) -> frozenset[str]:
        """The container ids of the others of its pod that lived when it did."""
        others = (self.known[each] for each in self._pods[cgroup.pod_uid] if each != cgroup.id)
        return frozenset(each.container_id for each in others if each.overlaps(cgroup))

    def scan(self, root: Path, now: int) -> None:
        """Take in what is below `root`, where the cgroup2 tree is mounted, and forget what is not there any more.

        Ids are given in ascending order, so that the lowest of a pod is its oldest.
        """
        there = [(number, "/" + str(path.relative_to(root))) for path, number in walk(root)]
        numbers = {number for number, _ in there}
        for number, path in sorted(there, key=lambda each: (each[1].count("/"), each[0])):
            if number not in self.known:
                self._add(number, path, "", now, held=False)
        for each in self.known.values():
            if each.id not in numbers and each.removed is None:
                self._remove(each, now)

    def observe(self, change: CgroupChange, time: int) -> bool:
        """Take in that a cgroup was made or removed at this boot time. Whether it is one to be excluded: neither a
        container of a pod nor something of a container, nor above one."""
        if change.removed:
            known = self.known.get(change.id)
            if known is not None and known.removed is None:
                self._remove(known, time)
            return False
        if (known := self.known.get(change.id)) is not None:  # a scan was faster
            known.held, known.made = True, min(known.made, time)
            return False
        if self._is_inside(change.path):
            return False
        return not self._add(change.id, change.path, change.comm, time, held=True) and not is_above_containers(
            change.path
        )

    def forget(self, number: int) -> None:
        """Nothing more will be asked about a removed cgroup."""
        gone = self.known.pop(number)
        of_pod = self._pods[gone.pod_uid]
        of_pod.discard(number)
        if not of_pod:
            del self._pods[gone.pod_uid]

    def _add(self, number: int, path: str, comm: str, time: int, *, held: bool) -> bool:
        found = recognise(path, comm)
        if found is None or found.pod is None or self._is_inside(path):
            return False
        siblings = self._pods.setdefault(found.pod, set())
        first = all(self.known[each].removed is not None for each in siblings)
        self.known[number] = PodCgroup(number, path, found.id, found.runtime, found.pod, time, held, first)
        self._names.add(_name_of(path))
        siblings.add(number)
        return True

    def _remove(self, each: PodCgroup, time: int) -> None:
        each.removed = time
        self._names.discard(_name_of(each.path))

    def _is_inside(self, path: str) -> bool:
        """Whether a container is above it."""
        return not self._names.isdisjoint(path.split("/")[:-1])


def _name_of(path: str) -> str:
    return path.rpartition("/")[2]
