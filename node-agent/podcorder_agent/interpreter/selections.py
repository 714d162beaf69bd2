"""Which cgroups are recorded: what the `select` and `exclude` requests said, and the cgroups seen made and removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from podcorder_agent.interpreter.containers import recognise
from podcorder_agent.interpreter.logins import make_place, read_login
from podcorder_agent.interpreter.probes import read_probes
from podcorder_agent.interpreter.subjects import OWNERS, Container, Pod, SessionKind

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
    kind: SessionKind
    decided: int
    """Boot time of the request's frame, ns: an older request that was carried forward changes nothing."""
    probes: tuple[bytes, ...] = ()
    """Commands that the kubelet runs in it, each as argv stands in memory."""

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


@dataclass(slots=True)
class Excluded:
    """A cgroup that is not recorded."""

    decided: int
    """Boot time of the request's frame, ns."""
    before: Selection | None = None
    """How it was recorded before: sessions that go on know it, should it be selected again."""


def _text(value: object) -> str | None:
    return value[:MOST_TEXT] if isinstance(value, str) and value else None


def _read_pod(told: Saved, container: str | None) -> Pod:
    owner = told.get("owner")
    field = OWNERS.get(str(owner.get("kind"))) if isinstance(owner, dict) else None
    owned = {field: _text(owner["name"])} if field and isinstance(owner, dict) and "name" in owner else {}
    return Pod(_text(told.get("namespace")), _text(told.get("name")), _text(told.get("uid")), container, **owned)


def _whole(value: object, below: int) -> int | None:
    return value if type(value) is int and 0 <= value < below else None


class Selections:
    """All cgroups of one boot that matter."""

    def __init__(self) -> None:
        self.chosen: dict[int, Selection] = {}
        self.excluded: dict[int, Excluded] = {}
        self.made: dict[int, Made] = {}
        self.removed: dict[int, int] = {}
        """Cgroups decided about that are gone, with the boot time of that; last records may still be on their way."""

    def select(self, request: Saved, time: int, policy_of: Any) -> tuple[Selection, Container | None] | None:
        """Act on a `select`; (selection, how its container was recorded before, None where it was not). None where it
        says nothing that is not known."""
        cgroup_id = _whole(request.get("cgroup_id"), 1 << 64)
        slot = _whole(request.get("slot"), 1 << 16)
        if cgroup_id is None or slot is None:
            return None
        before = self.chosen.get(cgroup_id)
        excluded = self.excluded.get(cgroup_id)
        if (excluded is not None and time < excluded.decided) or (before is not None and time < before.decided):
            return None
        was = None if before is None else replace(before.container)
        self.excluded.pop(cgroup_id, None)
        selection = before or (excluded.before if excluded else None) or self._make(cgroup_id, slot)
        self._choose(selection)
        self._note_gone(cgroup_id)
        told = request.get("container")
        told = told if isinstance(told, dict) else {}
        self._describe(selection.container, told)
        selection.container.policy, selection.container.slot = policy_of(slot), slot
        selection.probes = read_probes(told.get("probes")) or selection.probes
        selection.decided = time
        if request.get("session_kind") in list(SessionKind):
            selection.kind = SessionKind(request["session_kind"])
        return selection, was

    def exclude(self, cgroup_id: int, time: int) -> Selection | None:
        """Act on an `exclude`; the selection that ends by it."""
        before = self.chosen.get(cgroup_id)
        if before is not None and time < before.decided:
            return None
        if before is not None or cgroup_id not in self.excluded:
            self.excluded[cgroup_id] = Excluded(time, before)
        self.excluded[cgroup_id].decided = time
        self._note_gone(cgroup_id)
        if len(self.excluded) > MOST_EXCLUDED:
            del self.excluded[next(iter(self.excluded))]
        return self.chosen.pop(cgroup_id, None)

    def rename_policy(self, slot: int, policy: str | None) -> list[tuple[Container, Selection]]:
        """A slot was configured anew; the selections it concerns, each with its container as it was."""
        concerned = [(replace(each.container), each) for each in self.chosen.values() if each.container.slot == slot]
        for _, selection in concerned:
            selection.container.policy = policy
        return concerned

    def find(self, cgroup_id: int, slot: int, policy_of: Any) -> Selection:
        """The selection of a record's container; one whose `select` was not seen begins without a name. Logins are not
        selected one by one: each is its own."""
        login = read_login(cgroup_id)
        if login is not None:
            place = make_place(cgroup_id, login, slot)
            place.policy = policy_of(slot)
            return Selection(place, SessionKind.HOST, 0)
        excluded = self.excluded.get(cgroup_id)
        found = self.chosen.get(cgroup_id) or (excluded.before if excluded else None)
        if found is None:
            found = self._make(cgroup_id, slot)
            self._describe(found.container, {})
            found.container.policy = policy_of(slot)
            if excluded is None:
                self._choose(found)
            else:
                excluded.before = found
        return found

    def note_made(self, cgroup_id: int, path: str, comm: str) -> None:
        self.made[cgroup_id] = Made(path, comm)
        if len(self.made) > MOST_MADE:
            del self.made[next(iter(self.made))]

    def note_removed(self, cgroup_id: int, time: int) -> None:
        if cgroup_id in self.made:
            self.made[cgroup_id].removed = time
        if cgroup_id in self.chosen or cgroup_id in self.excluded:
            self.removed[cgroup_id] = time

    def _note_gone(self, cgroup_id: int) -> None:
        """What is decided about may have been removed already."""
        made = self.made.get(cgroup_id)
        if made is not None and made.removed is not None:
            self.removed[cgroup_id] = made.removed

    def forget(self, cgroup_id: int) -> Selection | None:
        """A removed cgroup has been told of; the selection that ends by it."""
        self.removed.pop(cgroup_id, None)
        self.made.pop(cgroup_id, None)
        self.excluded.pop(cgroup_id, None)
        return self.chosen.pop(cgroup_id, None)

    def _make(self, cgroup_id: int, slot: int) -> Selection:
        made = self.made.get(cgroup_id)
        container = Container(cgroup_id, made.path if made else "", slot=slot)
        return Selection(container, SessionKind.CONTAINER, 0)

    def _choose(self, selection: Selection) -> None:
        self.chosen[selection.container.cgroup_id] = selection
        if len(self.chosen) > MOST_SELECTED:
            del self.chosen[next(iter(self.chosen))]

    def _describe(self, container: Container, told: Saved) -> None:
        """Fill in what the request says, and from the path what it does not say."""
        container.path = _text(told.get("path")) or container.path
        made = self.made.get(container.cgroup_id)
        seen = recognise(container.path, made.comm if made else "")
        container.id = _text(told.get("id")) or container.id or (seen.id if seen else None)
        container.runtime = _text(told.get("runtime")) or container.runtime or (seen.runtime if seen else None)
        name = _text(told.get("name"))
        pod = told.get("pod")
        if isinstance(pod, dict):
            container.pod = _read_pod(pod, name)
        else:
            container.name = name or container.name
        container.image = _text(told.get("image")) or container.image

    def snapshot(self, number: Callable[[Container], int]) -> Saved:
        """`number` keeps a container, which sessions share, and says where."""
        return {
            "chosen": [_save(each, number) for each in self.chosen.values()],
            "excluded": [
                [cgroup_id, each.decided, None if each.before is None else _save(each.before, number)]
                for cgroup_id, each in self.excluded.items()
            ],
            "made": [[cgroup_id, each.path, each.comm, each.removed] for cgroup_id, each in self.made.items()],
            "removed": list(self.removed.items()),
        }

    @classmethod
    def restore(cls, saved: Saved, containers: list[Container]) -> Selections:
        found = cls()
        for each in saved["chosen"]:
            selection = _load(each, containers)
            found.chosen[selection.container.cgroup_id] = selection
        for cgroup_id, decided, before in saved["excluded"]:
            selection_before = None if before is None else _load(before, containers)
            found.excluded[int(cgroup_id)] = Excluded(int(decided), selection_before)
        for cgroup_id, path, comm, removed in saved["made"]:
            found.made[int(cgroup_id)] = Made(str(path), str(comm), None if removed is None else int(removed))
        found.removed = {int(cgroup_id): int(time) for cgroup_id, time in saved["removed"]}
        return found


def _save(selection: Selection, number: Callable[[Container], int]) -> list[Any]:
    probes = [each.decode("latin-1") for each in selection.probes]
    return [number(selection.container), selection.kind.value, selection.decided, probes]


def _load(saved: list[Any], containers: list[Container]) -> Selection:
    container, kind, decided, probes = saved
    known = tuple(each.encode("latin-1") for each in probes)
    return Selection(containers[container], SessionKind(kind), int(decided), known)
