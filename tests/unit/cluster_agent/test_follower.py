"""What a follower asks of a recorder: for which containers, by which policies, and when."""

from __future__ import annotations

from pathlib import Path

from fixtures.followed_nodes import (
    LATER,
    MAIN,
    POD,
    SANDBOX,
    UID,
    following,
    make_config,
    make_entry,
    make_pod,
    make_record,
)

from podcorder_agent.cluster.follower import SETTLING_SECONDS
from podcorder_agent.cluster.streams import Drop
from podcorder_agent.journal import FrameKind


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
