"""The following of a node against a recorder without a kernel: real journal, real control socket."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fixtures.journals import GENERATION
from fixtures.unprivileged_recorder import UnprivilegedRecorder

from podcorder_agent.classes import RecordClass
from podcorder_agent.cluster.follower import SETTLING_SECONDS, Follower
from podcorder_agent.cluster.recovery import Recovery
from podcorder_agent.cluster.states import Board, Loader
from podcorder_agent.cluster.streams import Drop, Listed, Put
from podcorder_agent.control.client import ControlClient
from podcorder_agent.control.messages import MessageError
from podcorder_agent.interpreter.records import LAYOUTS, RING_HEADER_SIZE, VERSION
from podcorder_agent.journal import FrameKind
from podcorder_crds import EventClass

UID = "8cc49130-27d7-4a43-ba0d-06b9063437e5"
POD = f"/kubepods/besteffort/pod{UID}"
SANDBOX, MAIN, LATER = "1" * 64, "2" * 64, "3" * 64
CONFIG_KEY = ("", "node-1")


def make_record(number: int, path: str, *, removed: bool = False) -> bytes:
    """A cgroup record as the ring holds it."""
    tail = path.encode()
    layout = LAYOUTS[RecordClass.CGROUP]
    size = layout.size - RING_HEADER_SIZE + len(tail)
    fields = (size, VERSION, 0, size, 1, 1, bytes(32), 1, 1, 0, 0, 0, 0, b"runc")
    data = bytearray(layout.pack(*fields, number, 1, 1, int(removed), len(tail)) + tail)
    struct.pack_into("<B", data, RING_HEADER_SIZE + 1, RecordClass.CGROUP)
    return bytes(data) + bytes(-len(data) % 8)


def make_entry(generation: int = 1, **spec: Any) -> dict[str, Any]:
    spec = {"sessions": ["Exec"], "events": {"commands": {}}} | spec
    names = {"kind": "SessionRecordingPolicy", "namespace": "shop", "name": "exec"}
    return names | {"generation": generation, "spec": spec}


def make_config(*entries: dict[str, Any], generation: int = 1) -> Put:
    metadata = {"name": "node-1", "uid": "config", "generation": generation}
    status = {"namespaces": ["shop"]}
    return Put({"metadata": metadata, "spec": {"nodeName": "node-1", "policies": list(entries)}, "status": status})


def make_pod(container_id: str = "", **labels: str) -> Put:
    statuses = [{"name": "main", "containerID": f"containerd://{container_id}"}] if container_id else []
    return Put(
        {
            "metadata": {"namespace": "shop", "name": "web", "uid": UID, "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "image:1"}]},
            "status": {"containerStatuses": statuses},
        }
    )


class Node:
    """A follower in a thread of its own, with a recorder, a cgroup tree, and the API server's part played here."""

    def __init__(self, recorder: UnprivilegedRecorder, root: Path) -> None:
        self.recorder = recorder
        self.root = root
        self.board = Board()
        self.stop = threading.Event()
        control = ControlClient(recorder.directory / "control.sock", "follower")
        self.follower = Follower(recorder.directory, control, root, self.board)
        self.thread = threading.Thread(target=self.follower.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def tell(self, config: Put | None, *pods: Put) -> None:
        """Lists of both collections."""
        for pod in pods:
            self.follower.tell_pods(pod)
        self.follower.tell_pods(Listed(frozenset(("shop", each.object["metadata"]["name"]) for each in pods)))
        if config is not None:
            self.follower.tell_config(config)
        self.follower.tell_config(Listed(frozenset([CONFIG_KEY] if config else [])))

    def make_cgroups(self, *paths: str) -> list[int]:
        """Cgroups that the kernel tells of; their ids."""
        numbers = self.add_cgroups(*paths)
        records = (make_record(number, path) for number, path in zip(numbers, paths, strict=True))
        self.recorder.append(FrameKind.LIFECYCLE, b"".join(records))
        return numbers

    def add_cgroups(self, *paths: str) -> list[int]:
        """Cgroups that nobody tells of. As with the kernel's, the id of each is higher than those before it."""
        numbers: list[int] = []
        for each in paths:
            place = self.root / each.strip("/")
            place.mkdir(parents=True)
            while numbers and place.stat().st_ino < numbers[-1]:
                place.rename(self.root.parent / f"spare-{place.stat().st_ino}")
                place.mkdir()
            numbers.append(place.stat().st_ino)
        return numbers

    def remove_cgroup(self, number: int, path: str) -> None:
        (self.root / path.strip("/")).rmdir()
        self.recorder.append(FrameKind.LIFECYCLE, make_record(number, path, removed=True))

    def asked(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in list(self.recorder.requests) if each["kind"] == kind]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.recorder.requests
            time.sleep(0.005)

    def until_applied(self, generation: int) -> None:
        self.until(lambda: self.board.read().applied_generation == generation)


@contextmanager
def following(directory: Path, kind: type[UnprivilegedRecorder] = UnprivilegedRecorder) -> Iterator[Node]:
    (directory / "journal").mkdir()
    (directory / "tree").mkdir()
    with kind(directory / "journal") as recorder:
        recorder.append(FrameKind.NOTE, {"note": "started", "capabilities": {}})
        node = Node(recorder, directory / "tree")
        try:
            yield node
        finally:
            node.stop.set()
            node.thread.join(10)


def test_a_container_is_selected_and_its_sandbox_excluded(tmp_path: Path) -> None:
    """Of a known pod: the slot is filled before the container is selected into it, with the pod's facts."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()), make_pod())
        node.until_applied(1)
        _, sandbox, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("select") and node.asked("exclude"))
        (selected,) = node.asked("select")
        assert (selected["cgroup_id"], selected["slot"], selected["session_kind"]) == (main, 0, "Container")
        assert selected["container"]["name"] == "main"
        assert selected["container"]["pod"] == {"namespace": "shop", "name": "web", "uid": UID}
        assert [each["cgroup_id"] for each in node.asked("exclude")] == [sandbox]
        kinds = [each["kind"] for each in node.recorder.requests]
        assert kinds.index("pending") < kinds.index("configure") < kinds.index("select")
        (settings,) = (each["settings"] for each in node.asked("configure"))
        assert settings["policy"] == "shop/exec"
        assert settings["kinds"].keys() == {"Exec"}
        assert settings["own_session"] is False
        node.until(lambda: node.follower.count_containers() == {"recorded": 1, "excluded": 1})
        assert node.follower.slots_used == 1


def test_a_container_waits_for_its_pod(tmp_path: Path) -> None:
    """Of a pod that nobody has told of, nothing is asked; when it is told, its container is selected."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()))
        node.until_applied(1)
        *_, main, service = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}", "/system.slice/x.service")
        node.until(lambda: node.asked("exclude"))
        assert [each["cgroup_id"] for each in node.asked("exclude")] == [service]
        node.follower.tell_pods(make_pod(MAIN))
        node.until(lambda: node.asked("select"))
        assert node.asked("select")[0]["cgroup_id"] == main


def test_a_container_that_is_gone_is_selected_for_what_was_held(tmp_path: Path) -> None:
    """Its pod is told of after its end: the request comes all the same, and once."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()))
        node.until_applied(1)
        *_, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.remove_cgroup(main, f"{POD}/{MAIN}")
        node.follower.tell_pods(make_pod(MAIN))
        node.follower.tell_pods(Drop(("shop", "web")))
        node.until(lambda: node.asked("select"))
        node.follower.tell_config(make_config(make_entry(), generation=2))
        node.until_applied(2)
        assert len(node.asked("select")) == 1


def test_what_has_ended_is_not_selected_again(tmp_path: Path) -> None:
    """Facts that change after a container's end are asked for of the next one, not of it."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()), make_pod())
        *_, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("select"))
        # Made before the other is gone: a file system, unlike the kernel's cgroups, may give a number again.
        (later,) = node.add_cgroups(f"{POD}/{LATER}")
        node.remove_cgroup(main, f"{POD}/{MAIN}")
        node.recorder.append(FrameKind.LIFECYCLE, make_record(later, f"{POD}/{LATER}"))
        node.until(lambda: len(node.asked("select")) == 2)
        changed = make_pod(LATER)
        changed.object["spec"]["containers"][0]["image"] = "image:2"
        node.follower.tell_pods(changed)
        node.until(lambda: len(node.asked("select")) == 3)
        assert [each["cgroup_id"] for each in node.asked("select")] == [main, later, later]


def test_nothing_is_asked_before_all_is_known(tmp_path: Path) -> None:
    """Before pods and config were listed, no slot is touched."""
    with following(tmp_path) as node:
        node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}", "/stranger")
        node.follower.tell_pods(make_pod(MAIN))
        node.follower.tell_config(make_config(make_entry()))
        node.until(lambda: node.asked("exclude"))
        assert {each["kind"] for each in node.recorder.requests} == {"exclude"}


def test_a_changed_policy_is_configured_in_place(tmp_path: Path) -> None:
    """The slot and the container stay; what is held of new containers follows."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()), make_pod())
        node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("select"))
        node.follower.tell_config(make_config(make_entry(2, events={"files": {}}), generation=2))
        node.until_applied(2)
        before, after = node.asked("configure")
        assert before["slot"] == after["slot"]
        assert "open" in after["settings"]["events"]
        assert "open" in node.asked("pending")[-1]["events"]
        assert len(node.asked("select")) == 1


def test_a_policy_that_goes_lets_go(tmp_path: Path) -> None:
    """The container is excluded, then the slot is cleared, and nothing is held any more."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()), make_pod())
        _, sandbox, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("select"))
        node.follower.tell_config(make_config(generation=2))
        node.until_applied(2)
        assert [each["cgroup_id"] for each in node.asked("exclude")] == [sandbox, main]
        assert node.asked("configure")[-1] == {"kind": "configure", "slot": 0, "settings": None}
        assert node.asked("pending")[-1]["events"] == []


def test_the_loader_is_what_the_recorder_says_of_itself(tmp_path: Path) -> None:
    """Its name and reason are part of the node's state; of a recorder that does not tell it there is none."""
    for health, told in (({}, None), ({"loader": {"name": "bcc", "reason": "asked for"}}, Loader("bcc", "asked for"))):
        directory = tmp_path / str(len(health))
        directory.mkdir()
        with following(directory) as node:
            node.recorder.health = health
            node.tell(make_config(make_entry()))
            node.until_applied(1)
            assert node.board.read().loader == told


def test_a_segment_that_went_unsent_is_told(tmp_path: Path) -> None:
    """The node's state names the classes of which records went with it."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()))
        node.until_applied(1)
        assert node.board.read().losing == ()
        node.recorder.append(FrameKind.NOTE, b'{"note":"dropped","classes":[3]}')
        node.until(lambda: node.board.read().losing == (EventClass.EXEC,))


def test_who_listens_is_told_of_each_load(tmp_path: Path) -> None:
    """With what the journal has of it at the start; of a recorder that begins anew, with nothing."""
    told: list[tuple[int, Recovery]] = []
    with UnprivilegedRecorder(tmp_path) as recorder:
        fact = {"kind": "fact", "subject": "announcement", "data": {"uid": "session"}}
        recorder.append(FrameKind.REQUEST, {"number": 1, "peer_uid": 0, "request": fact})
        control = ControlClient(tmp_path / "control.sock", "follower")
        follower = Follower(tmp_path, control, tmp_path, Board(), lambda *each: told.append(each))
        stop = threading.Event()
        thread = threading.Thread(target=follower.run, args=(stop,), daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not told and time.monotonic() < deadline:
            time.sleep(0.005)
        control.greeting["generation"] = GENERATION + 1
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        stop.set()
        thread.join(10)
    assert [(generation, *each.announced) for generation, each in told] == [
        (GENERATION, "session"),
        (GENERATION + 1,),
    ]


def test_an_unloading_config_lets_go_of_everything(tmp_path: Path) -> None:
    """The container is excluded and the slot cleared before the recorder is asked to unload, once; the state says so,
    and a config that asks for something again is carried out."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()), make_pod())
        *_, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("select"))
        unloading = make_config(generation=2)
        unloading.object["spec"]["programs"] = "Unloaded"
        node.follower.tell_config(unloading)
        node.until(lambda: node.board.read().unloaded)
        assert main in [each["cgroup_id"] for each in node.asked("exclude")]
        assert [each["kind"] for each in node.recorder.requests if each["kind"] != "health"][-2:] == [
            "configure",
            "unload",
        ]
        node.follower.tell_config(Drop(CONFIG_KEY))
        node.until(lambda: not node.board.read().config_uid)
        assert len(node.asked("unload")) == 1
        node.follower.tell_config(make_config(make_entry(), generation=1))
        node.until(lambda: len(node.asked("select")) == 2)
        assert not node.board.read().unloaded


def test_a_recorder_that_begins_anew_is_unloaded_too(tmp_path: Path) -> None:
    """A recorder that was started again has loaded its maps: it is asked again."""
    unloading = make_config()
    unloading.object["spec"]["programs"] = "Unloaded"
    with following(tmp_path) as node:
        node.tell(unloading)
        node.until(lambda: node.board.read().unloaded)
        node.recorder.generation += 1
        node.follower._control.close()
        node.until(lambda: len(node.asked("unload")) == 2)


def test_labels_decide_at_any_time(tmp_path: Path) -> None:
    """A pod that loses the label that selects it is excluded, and selected again when it has it back."""
    entry = make_entry(podSelector={"matchLabels": {"app": "web"}})
    with following(tmp_path) as node:
        node.tell(make_config(entry), make_pod(app="web"))
        *_, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("select"))
        node.follower.tell_pods(make_pod(app="other"))
        node.until(lambda: main in [each["cgroup_id"] for each in node.asked("exclude")])
        node.follower.tell_pods(make_pod(app="web"))
        node.until(lambda: len(node.asked("select")) == 2)


def test_a_new_namespace_has_time_for_its_policies(tmp_path: Path) -> None:
    """What no policy selects is let go only when the namespace was reported long enough ago."""
    with following(tmp_path) as node:
        other = make_entry() | {"namespace": "other"}
        config = make_config(other)
        config.object["status"]["namespaces"] = []
        node.tell(config, make_pod())
        _, sandbox, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("exclude"))
        node.until(lambda: node.board.read().namespaces == ("shop",))
        node.until_applied(1)
        assert [each["cgroup_id"] for each in node.asked("exclude")] == [sandbox]
        node.board.note_reported(("shop",), since=SETTLING_SECONDS)
        node.until(lambda: len(node.asked("exclude")) == 2)
        assert node.asked("exclude")[1]["cgroup_id"] == main


def test_the_first_pod_of_a_namespace_is_held_before_any_policy(tmp_path: Path) -> None:
    """While nothing is recorded, the pod alone has its containers held, until its namespace's policies must have come;
    one that comes by then selects them."""
    with following(tmp_path) as node:
        config = make_config()
        config.object["status"]["namespaces"] = []
        node.tell(config)
        node.until_applied(1)
        assert node.asked("pending")[-1]["events"] == []
        node.follower.tell_pods(make_pod())
        node.until(lambda: node.asked("pending")[-1]["events"] == ["exec", "fork", "exit"])
        _, sandbox, main = node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("exclude"))
        node.follower.tell_config(make_config(generation=2))  # as the API server tells of the status just written
        node.until_applied(2)
        assert node.asked("pending")[-1]["events"] == ["exec", "fork", "exit"]
        node.follower.tell_config(make_config(make_entry(), generation=3))
        node.until(lambda: node.asked("select"))
        assert [each["cgroup_id"] for each in node.asked("select")] == [main]
        assert [each["cgroup_id"] for each in node.asked("exclude")] == [sandbox]
        node.board.note_reported(("shop",), since=SETTLING_SECONDS)
        node.follower.tell_config(make_config(generation=4))
        node.until(lambda: node.asked("pending")[-1]["events"] == [])


def test_containers_that_were_there_are_found(tmp_path: Path) -> None:
    """What runs already when the recorder begins to watch is selected from the cgroup tree."""
    with following(tmp_path) as node:
        _, main = node.add_cgroups(f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.tell(make_config(make_entry()), make_pod(MAIN))
        node.until(lambda: node.asked("select"))
        assert [each["cgroup_id"] for each in node.asked("select")] == [main]
        assert node.asked("exclude") == []


class RefusingRecorder(UnprivilegedRecorder):
    """Will not have the policies of one slot."""

    def _handle(self, number: int, uid: int, kind: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = super()._handle(number, uid, kind, request)
        if kind == "configure" and request["slot"] == 0 and request["settings"]:
            raise MessageError("the kernel refused")
        return answer


def test_what_is_refused_is_said(tmp_path: Path) -> None:
    """A slot that the recorder will not have is not asked for again and again, and the config does not count as
    applied; the rest goes on."""
    with following(tmp_path, RefusingRecorder) as node:
        node.add_cgroups(f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.tell(make_config(make_entry()), make_pod(MAIN))
        node.until(lambda: node.board.read().problems)
        (problem,) = node.board.read().problems
        assert "shop/exec" in problem
        assert "the kernel refused" in problem
        assert node.board.read().applied_generation == 0
        node.follower.tell_config(make_config(generation=2))
        node.until_applied(2)
        assert [each["settings"] is None for each in node.asked("configure")] == [False, True]
        assert node.board.read().problems == ()


def test_a_recorder_that_is_away_is_asked_when_it_is_back(tmp_path: Path) -> None:
    """Meanwhile the state says so; one that has begun anew is told everything again."""
    with following(tmp_path) as node:
        node.add_cgroups(f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.tell(make_config(make_entry()), make_pod(MAIN))
        node.until(lambda: node.asked("select"))
        node.recorder.__exit__()
        node.follower.tell_config(make_config(make_entry(2, events={"files": {}}), generation=2))
        node.until(lambda: node.board.read().recorder_problem)
        node.recorder = UnprivilegedRecorder(tmp_path / "journal")
        node.recorder.generation += 1
        with node.recorder:
            node.until_applied(2)
            node.until(lambda: node.asked("select"))
            assert node.board.read().recorder_problem == ""
            assert {each["kind"] for each in node.recorder.requests} >= {"pending", "configure", "select"}
            node.stop.set()
            node.thread.join(10)
        node.recorder = UnprivilegedRecorder(tmp_path / "journal")
        node.recorder.__enter__()


def test_a_restart_changes_no_slot(tmp_path: Path) -> None:
    """A follower that finds its slots filled as they should be takes them over, whatever number they have."""
    with following(tmp_path) as node:
        node.tell(make_config(make_entry()), make_pod())
        node.make_cgroups(POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.until(lambda: node.asked("select"))
        node.stop.set()
        node.thread.join(10)
        (configured,) = node.asked("configure")
        node.recorder.append(FrameKind.REQUEST, {"request": configured | {"slot": 5}})
        node.recorder.requests.clear()
        again = Node(node.recorder, node.root)
        again.tell(make_config(make_entry()), make_pod(MAIN))
        again.until(lambda: again.asked("select"))
        assert again.asked("configure") == []
        assert {each["slot"] for each in again.asked("select")} == {5}
        again.stop.set()
        again.thread.join(10)


def test_after_a_restart_a_new_container_is_no_sandbox(tmp_path: Path) -> None:
    """The journal tells of a container and of what is inside another, both newer than a pod whose making it tells of no
    more: the one is selected, the other left alone."""
    with following(tmp_path) as node:
        node.stop.set()
        node.thread.join(10)
        node.add_cgroups(f"{POD}/{SANDBOX}", f"{POD}/{LATER}")
        main, inside = node.make_cgroups(f"{POD}/{MAIN}", f"{POD}/{LATER}/inside")
        again = Node(node.recorder, node.root)
        again.tell(make_config(make_entry()), make_pod())
        again.until(lambda: main in {each["cgroup_id"] for each in again.asked("select")})
        assert {main, inside}.isdisjoint(each["cgroup_id"] for each in again.asked("exclude"))
        again.stop.set()
        again.thread.join(10)


def make_login_entry() -> dict[str, Any]:
    """A cluster policy that asks for nothing of containers."""
    spec = {"sessions": ["Host"], "events": {"files": {}}}
    return {"kind": "ClusterSessionRecordingPolicy", "name": "logins", "generation": 1, "spec": spec}


def test_logins_are_recorded_where_a_cluster_policy_names_them(tmp_path: Path) -> None:
    """Into a slot of their own, with containers that nobody asks for excluded before, whatever is older than the agent
    among them; where systemd has their cgroups made is told to be no container, as is what is no pod's."""
    with following(tmp_path) as node:
        users, _, _, main = node.add_cgroups("/user.slice", POD, f"{POD}/{SANDBOX}", f"{POD}/{MAIN}")
        node.tell(make_config(make_login_entry()), make_pod(MAIN))
        node.until_applied(1)
        (configured,) = node.asked("configure")
        assert (configured["slot"], configured["settings"]["policy"]) == (62, "logins (cluster)")
        assert configured["settings"]["events"] == ["exec", "exit", "open", "open_failed"]
        assert configured["settings"]["kinds"]["Host"]["events"] == ["exit", "open", "open_failed"]
        assert node.asked("pending")[-1]["events"] == ["exit"]
        excluded = {each["cgroup_id"]: each.get("outside", False) for each in node.asked("exclude")}
        assert (excluded[main], excluded[users]) == (False, True)
        kinds = [each["kind"] for each in node.recorder.requests if each["kind"] in ("exclude", "logins")]
        assert kinds[-1] == "logins"
        assert [each["slot"] for each in node.asked("logins")] == [62]
        (stranger,) = node.make_cgroups("/session-1.scope")
        node.until(lambda: node.asked("exclude")[-1]["cgroup_id"] == stranger)
        assert node.asked("exclude")[-1]["outside"]
        node.tell(make_config(generation=2), make_pod(MAIN))
        node.until_applied(2)
        assert [each["slot"] for each in node.asked("logins")] == [62, None]
        assert node.asked("configure")[-1]["settings"] is None


def test_a_restart_changes_nothing_for_logins(tmp_path: Path) -> None:
    """The slot that an earlier exporter filled for them is left as it is, and asked for once more."""
    with following(tmp_path) as node:
        node.tell(make_config(make_login_entry()), make_pod())
        node.until_applied(1)
        node.stop.set()
        node.thread.join(10)
        again = Node(node.recorder, node.root)
        try:
            again.tell(make_config(make_login_entry()), make_pod())
            again.until_applied(1)
        finally:
            again.stop.set()
            again.thread.join(10)
        assert {each["slot"] for each in node.asked("logins")} == {62}
        assert None not in [each["settings"] for each in node.asked("configure")]
