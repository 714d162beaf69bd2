"""Records of sessions and the agent of a real node: what it tells the journal of them, and what it writes into them."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.control_plane import NODE
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.namespaces import Namespace
from fixtures.node_agents import EXPORTER, NodeAgent, make_policy

from podcorder_agent.journal import Frame, FrameKind, Reader

COUNT = 10
SOON = 0.2
"""Seconds from a record's making to its fact in the journal: half of them must be there."""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digest") / "key"
    path.write_bytes(b"k" * 32)
    for each in (path, *path.parents[:3]):
        each.chmod(0o755)
    os.chown(path, EXPORTER, EXPORTER)
    return path


@pytest.fixture(scope="module")
def agent(whole_cluster: WholeCluster, key: Path) -> Iterator[NodeAgent]:
    """One that announces, though nobody here asks it to: what is announced are the tests' own records."""
    with NodeAgent.running(whole_cluster) as running:
        running.kill_exporter()
        running.start_exporter("--digest-key", key)
        yield running


def make_session(agent: NodeAgent, name: str) -> None:
    """As the operator announces one."""
    request = {"id": name, "time": "2026-11-23T12:00:00Z", "source": "pods/exec", "command": ["true"]}
    pod = {"name": "web", "uid": "pod"}
    spec = {"kind": "Exec", "origin": "Announced", "user": {"username": "alice"}, "request": request}
    body = {
        "apiVersion": "podcorder.dev/v1alpha1",
        "kind": "RecordedSession",
        "metadata": {"name": name},
        "spec": spec | {"nodeName": NODE, "pod": pod, "container": "main"},
    }
    agent.cluster.request("POST", "/apis/podcorder.dev/v1alpha1/namespaces/default/recordedsessions", body)


def read_sessions(agent: NodeAgent, namespace: str) -> list[dict[str, Any]]:
    path = f"/apis/podcorder.dev/v1alpha1/namespaces/{namespace}/recordedsessions"
    items: list[dict[str, Any]] = agent.cluster.request("GET", path)["items"]
    return items


def read_reasons(session: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["reason"] for each in session.get("status", {}).get("conditions", ())}


def read_facts(agent: NodeAgent) -> list[tuple[str, Frame]]:
    """What the journal was told of sessions: subjects, or of announcements the records' names."""
    found = []
    for frame in Reader(agent.journal).read():
        if frame.kind is FrameKind.REQUEST and (request := json.loads(frame.payload)["request"])["kind"] == "fact":
            found.append((request["data"].get("name", request["subject"]), frame))
    return found


def names(agent: NodeAgent) -> list[str]:
    return [name for name, _ in read_facts(agent)]


def is_selected(agent: NodeAgent, pod: str) -> bool:
    found = [each["container"] for each in agent.requests() if each["kind"] == "select"]
    return any(each.get("name") and each["pod"]["name"] == pod for each in found)


def test_an_announcement_is_in_the_journal_at_once(agent: NodeAgent) -> None:
    """The key comes first; from the moment a record is made it takes less than an exec takes to begin."""
    wait_until(lambda: names(agent) == ["announcing"], 20, "the fact that sessions are announced")
    begun = {}
    for number in range(COUNT):
        begun[f"exec-{number}"] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        make_session(agent, f"exec-{number}")
    wait_until(lambda: len(names(agent)) == COUNT + 1, 20, "the announcements")
    took = [(frame.time - begun[name]) / 1e9 for name, frame in read_facts(agent)[1:]]
    print(f"from a record to the journal: {sorted(round(each * 1000, 1) for each in took)} ms")
    assert statistics.median(took) < SOON


def test_nothing_is_told_twice_and_nothing_is_forgotten(agent: NodeAgent, key: Path) -> None:
    """Whichever half is killed; a recorder that begins anew, with nothing pinned, is told all anew."""
    told = names(agent)
    agent.kill_exporter()
    make_session(agent, "exec-without-exporter")
    agent.start_exporter("--digest-key", key)
    wait_until(lambda: len(names(agent)) > len(told), 20, "the announcement that nobody was there for")
    agent.kill_recorder()
    make_session(agent, "exec-without-recorder")
    agent.start_recorder()
    wait_until(lambda: len(names(agent)) > len(told) + 1, 20, "the announcement after the recorder's return")
    assert names(agent) == [*told, "exec-without-exporter", "exec-without-recorder"]

    before = len(names(agent))
    agent.unload_recorder()
    agent.start_recorder()
    wait_until(lambda: len(names(agent)) == 2 * before, 20, "all told anew")
    again = names(agent)[before:]
    assert (again[0], sorted(again)) == ("announcing", sorted(names(agent)[:before]))


def test_a_session_that_nobody_asked_for_gets_a_record(agent: NodeAgent) -> None:
    """Its events go out without a name; once it is certain that nobody asked, its record says that, and all of it."""
    shop = Namespace(agent.cluster, "shop")
    shop.start("web", labels={})
    shop.wait_ready("web")
    agent.write_config([make_policy("shop")])
    wait_until(agent.is_applied, 25, "the config in force")
    wait_until(lambda: is_selected(agent, "web"), 10, "the container selected")
    assert shop.execute("web", "sh", "-c", "exit 3") == 3
    (exec_,) = agent.wait_for("the exec", lambda each: each.arguments == ["sh", "-c", "exit 3"])
    assert exec_.attributes["podcorder.identity"] == "Pending"
    assert "user.name" not in exec_.attributes
    assert read_sessions(agent, "shop") == []

    wait_until(lambda: any(map(read_reasons, read_sessions(agent, "shop"))), 50, "the session's record")
    (session,) = read_sessions(agent, "shop")
    identity = exec_.attributes["podcorder.session.id"]
    assert session["metadata"]["name"] == f"unannounced-{identity}"
    assert session["spec"]["origin"] == "Unannounced"
    assert (session["spec"]["pod"]["name"], session["spec"]["container"]) == ("web", "main")
    assert read_reasons(session) == {"Started": "Observed", "Ended": "Exited", "Complete": "Recorded"}
    assert (session["status"]["sessionID"], session["status"]["exitCode"]) == (identity, 3)


def test_what_was_asked_for_and_never_began_is_said_so(agent: NodeAgent) -> None:
    """Of each record, a minute after it was announced."""
    never = {"Started": "NeverStarted", "Ended": "NeverStarted", "Complete": "NeverStarted"}

    def is_said() -> bool:
        return all(read_reasons(each) == never for each in read_sessions(agent, "default"))

    wait_until(is_said, 90, "the word on every session that was announced")
