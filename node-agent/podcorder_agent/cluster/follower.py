"""Follows the node's pods, its config and its cgroups, and asks of the recorder what follows from them.

One thread does all of it. What cannot be asked now, because the recorder is away, is asked when it is back.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from podcorder_agent.cluster.capabilities import report_capabilities, report_loader
from podcorder_agent.cluster.cgroups import PodCgroup, PodCgroups
from podcorder_agent.cluster.decisions import NAMING_NS, Decision, Recorded, Unrecorded, decide
from podcorder_agent.cluster.logins import SLOT, Logins, ask_for_logins
from podcorder_agent.cluster.losses import Losses
from podcorder_agent.cluster.matching import Combination, PolicyKey, key_of, match
from podcorder_agent.cluster.pods import ContainerFacts, PodFacts
from podcorder_agent.cluster.recovery import Recovery
from podcorder_agent.cluster.selection import Selection
from podcorder_agent.cluster.states import Board, Loader, NodeState
from podcorder_agent.cluster.streams import Change
from podcorder_agent.cluster.world import ConfigHolder, Pods
from podcorder_agent.control.client import ControlClient, ControlError
from podcorder_agent.journal import Frame, FrameKind, JournalError, Reader
from podcorder_agent.machine.lifecycle import cgroup_changes
from podcorder_crds import ConfiguredPolicy, Target

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Between looks into the journal: new containers are held meanwhile, so that haste would only cost."""
RETRY_SECONDS = 0.5
"""Between tries to reach a recorder that is away, and between looks at containers that wait for something."""
UNKNOWN_NS = 60 * 10**9
"""How long anything is held for a container; after that nobody need be told about one that is gone."""
HEALTH_SECONDS = 5.0
SCAN_SECONDS = 30.0
"""Between looks for cgroups whose making was lost on its way."""
SETTLING_SECONDS = 10.0
"""So long after a namespace was reported its policies must have come; until then new containers are held, and none of
this namespace is let go."""
_NOBODY = 0
"""No cgroup has this id: the config counts where there is no container too."""


class Follower:
    """The node as it is, and the recorder made to fit it."""

    def __init__(
        self,
        journal: Path,
        control: ControlClient,
        root: Path,
        board: Board,
        tell_generation: Callable[[int, Recovery], None] = lambda generation, recovery: None,
    ) -> None:
        """`root`: where the cgroup2 tree is mounted. `tell_generation`: is told of each load of the programs, and what
        earlier exporters asked of it."""
        self._journal = journal
        self._control = control
        self._root = root
        self._board = board
        self._changes: queue.SimpleQueue[tuple[Pods | ConfigHolder, Change]] = queue.SimpleQueue()
        self._pods = Pods()
        self._config = ConfigHolder()
        self._cgroups = PodCgroups()
        self._strangers: set[int] = set()
        """New cgroups that are no pod's, to be let go."""
        self._decisions: dict[int, Decision] = {}
        self._selection = Selection(control)
        self._losses = Losses()
        self._tell_generation = tell_generation
        self._logins = Logins(control, root)
        self._loader: Loader | None = None
        self._reader: Reader | None = None
        self._generation: int | None = None
        self._policies: dict[PolicyKey, ConfiguredPolicy] = {}
        self._combinations: dict[str, dict[str, Combination]] = {}
        """By the pod's own uid and container, as of the current config."""
        self._dirty: set[int] = set()
        """Cgroups to decide about."""
        self._applied = 0
        self._unloaded: int | None = None
        """The load generation that was taken out of the kernel."""
        self._next_look = 0.0
        self._next_health = 0.0
        self._next_scan = 0.0
        self._away = False

    def tell_pods(self, change: Change) -> None:
        """From any thread."""
        self._changes.put((self._pods, change))

    def tell_config(self, change: Change) -> None:
        """From any thread."""
        self._changes.put((self._config, change))

    def find_debug_target(self, pod_uid: str) -> Target:
        """What debug sessions in a pod look into; from any thread."""
        pod = self._pods.find(pod_uid)
        return Target.NODE if pod is not None and pod.looks_into_node else Target.POD

    @property
    def slots_used(self) -> int:
        """Slots of the kernel half that are filled; from any thread."""
        return self._selection.slots_used

    def count_containers(self) -> Counter[str]:
        """Container cgroups by what becomes of them; from any thread."""
        return Counter(
            "recorded" if isinstance(each, Recorded) else each.value for each in tuple(self._decisions.values())
        )

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            try:
                self._step()
                self._away = False
            except (ControlError, JournalError) as error:
                if not self._away:
                    logger.warning("What is recorded stays as it is for now: %s", error)
                    self._away = True
                    self._post(str(error))
                stop.wait(RETRY_SECONDS)

    def _step(self) -> None:
        self._take_changes()
        if self._reader is None:
            self._begin()
        self._check_generation()
        assert self._reader is not None
        for frame in self._reader.read():
            self._observe(frame)
        self._exclude_strangers()
        # Before both are known, nobody could tell a container that is wanted from one that is not.
        if self._pods.synced and self._config.synced:
            self._reconcile()

    def _take_changes(self) -> None:
        """Wait for one for as long as nothing else is looked at, then take all there are."""
        try:
            holder, change = self._changes.get(timeout=POLL_SECONDS)
            while True:
                holder.take(change)
                holder, change = self._changes.get_nowait()
        except queue.Empty:
            pass

    def _begin(self) -> None:
        """Look at what there is, and then read what the journal has. Raises ControlError and JournalError."""
        greeting = self._control.hello()
        self._generation = greeting["generation"]
        # First: what is older than anything that is read shows what is a sandbox, and what lies inside a container.
        self._scan()
        reader = Reader(self._journal)
        recovery = Recovery()
        now = _boot_time()
        for frame in reader.read():
            if frame.segment.boot_id == greeting["boot_id"]:
                recovery.observe(frame)
                if now - frame.time < UNKNOWN_NS:
                    self._observe(frame)
        self._strangers -= recovery.decided
        self._logins.adopt(recovery.slots.pop(SLOT, None))
        self._selection.adopt(recovery.slots)
        for each in list(self._cgroups.known.values()):
            if each.id in recovery.decided:
                each.held = True  # what was asked about it once must be taken back
                if each.removed is not None:
                    self._forget(each.id)
        self._reader = reader
        self._tell_generation(greeting["generation"], recovery)

    def _scan(self) -> None:
        """Look for what nobody told of."""
        self._next_scan = time.monotonic() + SCAN_SECONDS
        self._cgroups.scan(self._root, _boot_time())
        self._dirty |= self._cgroups.known.keys()

    def _check_generation(self) -> None:
        """A recorder that begins anew, with nothing pinned, knows of no slot and no container."""
        generation = self._control.greeting.get("generation")
        if generation != self._generation:
            self._generation = generation
            self._selection.forget_all()
            self._losses.forget()
            self._logins.forget_all()
            self._dirty.add(_NOBODY)
            self._scan()
            if generation is not None:
                self._tell_generation(generation, Recovery())

    def _observe(self, frame: Frame) -> None:
        if frame.kind is FrameKind.NOTE:
            self._losses.note_journal(frame.payload, time.monotonic())
        if frame.kind is not FrameKind.LIFECYCLE:
            return
        for change in cgroup_changes(frame.payload):
            if self._cgroups.observe(change, frame.time):
                self._strangers.add(change.id)
            if change.id in self._cgroups.known:
                self._dirty.add(change.id)

    def _exclude_strangers(self) -> None:
        while self._strangers:
            number = next(iter(self._strangers))
            self._selection.let_go(number, outside=self._logins.recorded)
            self._selection.forget(number)
            self._strangers.remove(number)

    def _reconcile(self) -> None:
        """Decide anew where something has changed, and ask for what follows. Raises ControlError."""
        if self._config.reported is not None:
            self._board.note_reported(self._config.reported, since=SETTLING_SECONDS)
            self._config.reported = None
        begun = self._selection.hold(self._config.config.policies, self._is_settling())
        if begun or time.monotonic() >= self._next_scan:
            self._scan()
        self._collect_dirty()
        if self._dirty:
            self._decide(_boot_time())
            self._apply()
        if self._config.config.unload and self._unloaded != self._generation:
            self._control.unload()
            self._unloaded = self._generation
        self._look_after_recorder()
        self._post("")

    def _is_settling(self) -> bool:
        """Whether a namespace is so new on the node that its policies may not have come yet."""
        config = self._config.config
        return bool(config.uid) and not config.unload and not all(map(self._is_settled, self._pods.namespaces))

    def _is_settled(self, namespace: str) -> bool:
        return self._board.reported_for(namespace) >= SETTLING_SECONDS

    def _collect_dirty(self) -> None:
        """Which cgroups have to be decided about."""
        if self._config.changed:
            self._config.changed = False
            self._policies = {key_of(each): each for each in self._config.config.policies}
            self._combinations.clear()
            self._dirty |= self._cgroups.known.keys() | {_NOBODY}
        for uid in self._pods.changed:
            self._combinations.pop(uid, None)
            self._dirty |= self._cgroups.of_pod(uid)
        self._pods.changed.clear()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + RETRY_SECONDS
            self._dirty |= {number for number, each in self._decisions.items() if each is Unrecorded.WAITING}

    def _decide(self, now: int) -> None:
        for number in self._dirty & self._cgroups.known.keys():
            cgroup = self._cgroups.known[number]
            gone = cgroup.removed is not None
            if gone and (not cgroup.held or self._selection.knows(number) or now - cgroup.made > UNKNOWN_NS):
                self._forget(number)
            else:
                self._decisions[number] = self._decide_one(cgroup, now)

    def _decide_one(self, cgroup: PodCgroup, now: int) -> Decision:
        pod = self._pods.find(cgroup.pod_uid)
        decision = decide(cgroup, pod, self._cgroups.beside(cgroup), self._match, now)
        if (
            decision is Unrecorded.EXCLUDED
            and pod is not None
            and not cgroup.is_sandbox
            and not self._config.config.unload
            and now - cgroup.made < NAMING_NS
            and not self._is_settled(pod.namespace)
        ):
            return Unrecorded.WAITING
        return decision

    def _match(self, pod: PodFacts, container: ContainerFacts) -> Combination:
        known = self._combinations.setdefault(pod.uid, {})
        if container.name not in known:
            known[container.name] = match(pod, container, self._config.config.policies)
        return known[container.name]

    def _apply(self) -> None:
        """Ask for what has been decided. Raises ControlError: then all of it is looked at again."""
        policies = self._config.config.policies
        recorded = {number: each for number, each in self._decisions.items() if isinstance(each, Recorded)}
        excluded = frozenset(
            number
            for number, each in self._decisions.items()
            if each is Unrecorded.EXCLUDED
            # in a container that nobody told of anybody could pass for a login
            and (ask_for_logins(policies) or self._cgroups.known[number].held or self._selection.knows(number))
        )
        self._selection.apply(self._policies, recorded, excluded)
        self._selection.note(self._logins.apply(policies) or {})
        for number in [*recorded, *excluded]:
            if self._cgroups.known[number].removed is not None:
                self._forget(number)
        self._dirty.clear()
        if not self._config.config.problems and not self._selection.refused and not self._logins.refused:
            self._applied = self._config.config.generation

    def _forget(self, number: int) -> None:
        self._cgroups.forget(number)
        self._decisions.pop(number, None)
        self._selection.forget(number)

    def _look_after_recorder(self) -> None:
        """Notices what becomes of its capabilities, and that it has begun anew. Raises ControlError."""
        if time.monotonic() >= self._next_health:
            self._next_health = time.monotonic() + HEALTH_SECONDS
            health = self._control.health()
            self._selection.note(health)
            self._losses.note_health(health, time.monotonic())
            self._loader = report_loader(health.get("loader"))

    def _post(self, recorder_problem: str) -> None:
        config = self._config.config
        if self._pods.synced and self._config.synced:
            self._board.post(
                NodeState(
                    config.uid,
                    config.generation,
                    self._applied,
                    self._pods.namespaces,
                    report_capabilities(self._selection.capabilities),
                    (*config.problems, *self._selection.refused.values(), *filter(None, [self._logins.refused])),
                    recorder_problem,
                    config.unload and self._unloaded == self._generation,
                    self._loader,
                    self._losses.is_full(),
                    self._losses.find_losing(time.monotonic()),
                )
            )


def _boot_time() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
