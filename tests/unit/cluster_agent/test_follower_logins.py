"""What a follower asks of a recorder about logins on the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fixtures.followed_nodes import (
    MAIN,
    POD,
    SANDBOX,
    Node,
    following,
    make_config,
    make_pod,
)


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
