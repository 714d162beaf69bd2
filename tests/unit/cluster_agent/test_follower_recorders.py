"""A follower whose recorder refuses, goes away, begins anew or is unloaded, and a follower that is started again."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fixtures.followed_nodes import (
    CONFIG_KEY,
    LATER,
    MAIN,
    POD,
    SANDBOX,
    Node,
    following,
    make_config,
    make_entry,
    make_pod,
)
from fixtures.healths import make_health
from fixtures.journals import GENERATION
from fixtures.unprivileged_recorder import UnprivilegedRecorder

from podcorder_agent.cluster import follower
from podcorder_agent.cluster.follower import Follower
from podcorder_agent.cluster.recovery import Recovery
from podcorder_agent.cluster.states import Board, Loader
from podcorder_agent.cluster.streams import Drop
from podcorder_agent.control.client import ControlClient
from podcorder_agent.control.messages import MessageError
from podcorder_agent.journal import FrameKind
from podcorder_crds import EventClass


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


def test_what_the_kernel_loses_and_a_full_journal_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's state has what the recorder says of its counters and of its journal, and no more than that."""
    monkeypatch.setattr(follower, "HEALTH_SECONDS", 0.01)
    with following(tmp_path) as node:
        node.recorder.health = make_health(open=5)
        node.tell(make_config(make_entry()))
        node.until_applied(1)
        node.until(lambda: len(node.asked("health")) > 2)
        assert (node.board.read().losing, node.board.read().journal_full) == ((), False)
        node.recorder.health = make_health(open=6)
        node.until(lambda: node.board.read().losing == (EventClass.OPEN,))
        assert not node.board.read().journal_full
        node.recorder.health = make_health(open=6, full=True)
        node.until(lambda: node.board.read().journal_full)


def test_who_listens_is_told_of_each_load(tmp_path: Path) -> None:
    """With what the journal has of it at the start; of a recorder that begins anew, with nothing."""
    told: list[tuple[int, Recovery]] = []
    with UnprivilegedRecorder(tmp_path) as recorder:
        fact = {"kind": "fact", "subject": "announcement", "data": {"uid": "session"}}
        recorder.append(FrameKind.REQUEST, {"number": 1, "peer_uid": 0, "request": fact})
        control = ControlClient(tmp_path / "control.sock", "follower")
        listened = Follower(tmp_path, control, tmp_path, Board(), lambda *each: told.append(each))
        stop = threading.Event()
        thread = threading.Thread(target=listened.run, args=(stop,), daemon=True)
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
