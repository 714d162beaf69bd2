"""Which cgroups are recorded: what the `select` and `exclude` requests said, and the cgroups seen made and removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from podcorder_agent.interpreter.containers import recognise
from podcorder_agent.interpreter.events import Container, SessionKind

MOST_SELECTED = 8192
MOST_MADE = 8192
MOST_EXCLUDED = 8192
MOST_TEXT = 4096
"""Characters kept of a text in a request."""

Saved = dict[str, Any]


@dataclass(slots=True)
class Selection:
    """A container and how it is recorded."""

    container: Container
    slot: int
    kind: SessionKind
    decided: int
    """Boot time of the request's frame, ns: an older request that was carried forward changes nothing."""
    made: bool = False
    """Whether its cgroup was seen made: then the first root is the container's own for certain."""
    rooted: bool = False
    """Whether a session began in it."""

    @property
    def is_container(self) -> bool:
        """The cgroup of a command is none, and has no events of its own."""
        return self.kind is not SessionKind.COMMAND


@dataclass(slots=True)
class Made:
    """A cgroup as seen made."""

    path: str
    comm: str
    removed: int | None = None
    """Boot time of its removal, ns: a container may be gone before anybody has selected it."""


def _text(value: object) -> str | None:
    return value[:MOST_TEXT] if isinstance(value, str) and value else None


def _whole(value: object, below: int) -> int | None:
    return value if type(value) is int and 0 <= value < below else None


class Selections:
    """All cgroups of one boot that matter."""

    def __init__(self) -> None:
        self.chosen: dict[int, Selection] = {}
        self.excluded: dict[int, int] = {}
        """By cgroup id: boot time of the request's frame, ns."""
        self.made: dict[int, Made] = {}
        self.removed: dict[int, int] = {}
        """Selected cgroups that are gone, with the boot time of that; their last records may still be on their way."""

    def select(self, request: Saved, time: int, policy_of: Any) -> tuple[Selection, bool] | None:
        """Act on a `select`; (selection, whether it is new), None where it says nothing that is not known."""
        cgroup_id = _whole(request.get("cgroup_id"), 1 << 64)
        slot = _whole(request.get("slot"), 1 << 16)
        if cgroup_id is None or slot is None:
            return None
        before = self.chosen.get(cgroup_id)
        if time < self.excluded.get(cgroup_id, -1) or (before is not None and time < before.decided):
            return None
        self.excluded.pop(cgroup_id, None)
        selection = before or self._begin(cgroup_id, slot)
        made = self.made.get(cgroup_id)
        if made is not None and made.removed is not None:
            self.removed[cgroup_id] = made.removed
        told = request.get("container")
        self._describe(selection.container, told if isinstance(told, dict) else {})
        selection.container.policy = policy_of(slot)
        selection.slot, selection.decided = slot, time
        if request.get("session_kind") in list(SessionKind):
            selection.kind = SessionKind(request["session_kind"])
        return selection, before is None

    def exclude(self, cgroup_id: int, time: int) -> Selection | None:
        """Act on an `exclude`; the selection that ends by it."""
        before = self.chosen.get(cgroup_id)
        if before is not None and time < before.decided:
            return None
        self.excluded[cgroup_id] = time
        if len(self.excluded) > MOST_EXCLUDED:
            del self.excluded[next(iter(self.excluded))]
        return self.chosen.pop(cgroup_id, None)

    def find(self, cgroup_id: int, slot: int, policy_of: Any) -> Selection:
        """The selection of a record's container; one whose `select` was not seen begins without a name."""
        found = self.chosen.get(cgroup_id)
        if found is None:
            found = self._begin(cgroup_id, slot)
            self._describe(found.container, {})
            found.container.policy = policy_of(slot)
        return found

    def note_made(self, cgroup_id: int, path: str, comm: str) -> None:
        self.made[cgroup_id] = Made(path, comm)
        if len(self.made) > MOST_MADE:
            del self.made[next(iter(self.made))]

    def note_removed(self, cgroup_id: int, time: int) -> None:
        self.excluded.pop(cgroup_id, None)
        if cgroup_id in self.made:
            self.made[cgroup_id].removed = time
        if cgroup_id in self.chosen:
            self.removed[cgroup_id] = time

    def forget(self, cgroup_id: int) -> Selection | None:
        """A removed cgroup has been told of; the selection that ends by it."""
        self.removed.pop(cgroup_id, None)
        self.made.pop(cgroup_id, None)
        return self.chosen.pop(cgroup_id, None)

    def _begin(self, cgroup_id: int, slot: int) -> Selection:
        made = self.made.get(cgroup_id)
        container = Container(cgroup_id, made.path if made else "")
        selection = Selection(container, slot, SessionKind.CONTAINER, 0, made is not None)
        self.chosen[cgroup_id] = selection
        if len(self.chosen) > MOST_SELECTED:
            del self.chosen[next(iter(self.chosen))]
        return selection

    def _describe(self, container: Container, told: Saved) -> None:
        """Fill in what the request says, and from the path what it does not say."""
        container.path = _text(told.get("path")) or container.path
        made = self.made.get(container.cgroup_id)
        seen = recognise(container.path, made.comm if made else "")
        container.id = _text(told.get("id")) or container.id or (seen.id if seen else None)
        container.runtime = _text(told.get("runtime")) or container.runtime or (seen.runtime if seen else None)
        container.name = _text(told.get("name")) or container.name

    def snapshot(self) -> Saved:
        return {
            "chosen": [
                [
                    *(each.container.cgroup_id, each.container.path, each.container.id, each.container.runtime),
                    *(each.container.name, each.container.policy),
                    *(each.slot, each.kind.value, each.decided, each.made, each.rooted),
                ]
                for each in self.chosen.values()
            ],
            "excluded": list(self.excluded.items()),
            "made": [[cgroup_id, each.path, each.comm, each.removed] for cgroup_id, each in self.made.items()],
            "removed": list(self.removed.items()),
        }

    @classmethod
    def restore(cls, saved: Saved) -> Selections:
        found = cls()
        for cgroup_id, path, identity, runtime, name, policy, slot, kind, decided, made, rooted in saved["chosen"]:
            container = Container(int(cgroup_id), str(path), identity, runtime, name, policy)
            found.chosen[container.cgroup_id] = Selection(
                container, int(slot), SessionKind(kind), int(decided), bool(made), bool(rooted)
            )
        found.excluded = {int(cgroup_id): int(time) for cgroup_id, time in saved["excluded"]}
        for cgroup_id, path, comm, removed in saved["made"]:
            found.made[int(cgroup_id)] = Made(str(path), str(comm), None if removed is None else int(removed))
        found.removed = {int(cgroup_id): int(time) for cgroup_id, time in saved["removed"]}
        return found
