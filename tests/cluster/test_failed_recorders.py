"""A recorder of a real node that fails while people are at work under Strict policies."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.charts import NAMESPACE as AGENTS
from fixtures.namespaces import Namespace
from fixtures.node_runtimes import NodeRuntime
from fixtures.people import let_begin_sessions
from fixtures.releases import Release, write_policy
from fixtures.shells import Shell

NAMESPACE = "vault"
FAILED_SECONDS = 30
"""From the recorder's last heartbeat until sessions are ended."""
REFUSED = "Podcorder lets no session"


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Of two pods with Strict policies one has its sessions ended."""
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        namespace = Namespace(whole_cluster, NAMESPACE)
        let_begin_sessions(whole_cluster, NAMESPACE)
        for pod, more in (("guarded", {"onRecorderFailure": "End"}), ("watched", {})):
            namespace.start(pod, labels={"app": pod})
            release.apply(
                write_policy(NAMESPACE, pod, podSelector={"matchLabels": {"app": pod}}, mode="Strict", **more)
            )
        namespace.wait_ready("guarded", "watched")
        yield release


def refusal(release: Release) -> str:
    """What alice is told as she asks for one more session; nothing where she gets it."""
    done = release.cluster.kubectl("exec", "-n", NAMESPACE, "guarded", "--", "true", user="alice", check=False)
    return done.stderr


def read_failures(release: Release) -> dict[str, str]:
    """What RecordedSessions say of a recorder that failed while they ran, by the user."""
    told = json.loads(release.cluster.kubectl("get", "recordedsessions", "-n", NAMESPACE, "-o", "json").stdout)["items"]
    return {
        each["spec"]["user"]["username"]: each["status"]["recorderFailure"]["message"]
        for each in told
        if "recorderFailure" in each.get("status", {})
    }


def test_people_inside_when_a_recorder_fails(release: Release) -> None:
    """Nobody else begins; who is inside is marked, and thrown out where the policy says so; and all of that is told."""
    wait_until(lambda: not refusal(release), 30, "sessions that may begin")
    alice, bob = (
        Shell(release.cluster, user, NAMESPACE, pod, f"of-{user}")
        for user, pod in (("alice", "guarded"), ("bob", "watched"))
    )
    assert (alice.run("echo in"), bob.run("echo in")) == ("in\n", "in\n")
    (recorder,) = NodeRuntime(release.cluster).find(AGENTS, "recorder")
    os.kill(recorder.pid, signal.SIGSTOP)
    try:
        failed = time.monotonic() + FAILED_SECONDS
        assert alice.run("echo still in") == "still in\n"
        wait_until(lambda: REFUSED in refusal(release), FAILED_SECONDS + 10, "a refusal")
        wait_until(lambda: read_failures(release).keys() == {"alice", "bob"}, FAILED_SECONDS + 10, "marks on both")
        time.sleep(max(0.0, failed + 1 - time.monotonic()))
        with pytest.raises(AssertionError, match="exit code 137"):
            alice.run("echo out")
        assert bob.run("echo still in") == "still in\n"
        events = release.cluster.kubectl("get", "events", "-n", NAMESPACE, "-o", "json").stdout
        told = {
            each["involvedObject"]["name"] for each in json.loads(events)["items"] if each["reason"] == "RecorderFailed"
        }
        assert told == {"guarded", "watched"}
    finally:
        os.kill(recorder.pid, signal.SIGCONT)
    wait_until(lambda: not refusal(release), 30, "sessions that may begin")
    assert bob.run("echo still in") == "still in\n"
    bob.end()

    def is_end(each: dict[str, Any]) -> bool:
        return each["event"] == "podcorder.session.end" and each.get("user.name") == "alice"

    ends = release.wait_for(
        "the end of alice's session", lambda each: is_end(each) and "podcorder.process.signal" in each
    )
    assert [each["podcorder.process.signal"] for each in ends] == ["SIGKILL"]
