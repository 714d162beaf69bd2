"""Two people, alice and bob, in the same pods by every client: each event names who really did it, or owns up."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cluster.control_plane import NODE
from cluster.images import BUSYBOX
from cluster.sandboxes import ClusterFailed, wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.namespaces import Namespace, make_container
from fixtures.people import PEOPLE, let_begin_sessions
from fixtures.releases import Release, write_policy
from fixtures.rounds import Action, Game, Played, find_word, plan, start_pods
from fixtures.session_clients import SessionClients
from fixtures.verdicts import SESSION, USER, Record, Verdict, judge, judge_objects

ROUNDS = int(os.environ.get("ROUNDS", "500"))
NAMESPACE = "shop"
ATTACH, FORWARD = "podcorder.session.attach", "podcorder.session.port_forward"
SESSIONS = f"/apis/podcorder.dev/v1alpha1/namespaces/{NAMESPACE}/recordedsessions"


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """A release whose policy records commands and files of people's sessions in the pods of rounds."""
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        namespace = Namespace(whole_cluster, NAMESPACE)
        start_pods(namespace, {"app": "web"})
        let_begin_sessions(whole_cluster, NAMESPACE)
        events = {"commands": {}, "files": {"paths": {"include": ["/tmp/"]}}}
        release.apply(write_policy(NAMESPACE, "people", podSelector={"matchLabels": {"app": "web"}}, events=events))
        yield release


def test_nobody_is_given_anothers_name(release: Release, tmp_path: Path) -> None:
    """In random rounds each event of exec, cp and debug names who did it, or says honestly that it could be several,
    or that it does not know yet; and who was alone with a command is named."""
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={seed} ROUNDS={ROUNDS}")
    groups = plan(random.Random(seed), ROUNDS)

    async def play() -> list[Played]:
        async with SessionClients.open(release.cluster) as clients:
            return await Game(clients, NAMESPACE, tmp_path).play(groups)

    played = asyncio.run(play())
    people = {each.round.word: each.round.user for each in played}

    def look() -> Verdict:
        return judge(release.records(lambda each: each.get("k8s.namespace.name") == NAMESPACE), find_word, people)

    def is_settled() -> bool:
        found = look()
        return not find_missing(played, found) and not any("Pending" in each for each in found.identities.values())

    with suppress(ClusterFailed):  # what is missing is said below
        wait_until(is_settled, 45, "a session for each round")
    verdict = look()
    report(played, verdict)
    assert find_missing(played, verdict) == []
    assert verdict.faults == []

    def is_said() -> bool:
        time.sleep(1)  # it is a long list
        return all(read_condition(each, "Started") for each in list_records(release))

    with suppress(ClusterFailed):  # what is missing is said below
        wait_until(is_said, 90, "a word on each record")
    objects = list_records(release)
    assert [each for each in objects if not read_condition(each, "Started")] == []
    assert {each["spec"]["origin"] for each in objects} == {"Announced"}
    assert judge_objects(objects, verdict, people) == []
    for each in played:
        if each.round.action is Action.BROKEN:
            (record,) = (
                record for record in objects if each.round.word in record["spec"]["request"].get("command", ())
            )
            assert record["spec"]["user"]["username"] == each.round.user
            assert read_condition(record, "Started") == "False"
    alone = [each.round.word for each in played if each.round.sessions and not each.is_contested(played)]
    named = [each for each in alone if set(verdict.identities[each]) == {"Identified"}]
    assert len(named) >= 0.98 * len(alone)


def test_looking_into_the_node_names_who_did(release: Release) -> None:
    """kubectl debug node/...: what its container executes is a Debug session of whoever made the pod."""
    cluster = release.cluster
    cluster.kubectl("create", "clusterrole", "debug-nodes", "--verb=get", "--resource=nodes")
    cluster.kubectl("create", "clusterrolebinding", "debug-nodes", "--clusterrole=debug-nodes", "--user=alice")
    cluster.kubectl("create", "role", "debug-nodes", "-n", NAMESPACE, "--verb=create", "--resource=pods")
    cluster.kubectl("create", "rolebinding", "debug-nodes", "-n", NAMESPACE, "--role=debug-nodes", "--user=alice")
    labels = {"app.kubernetes.io/managed-by": "kubectl-debug"}
    release.apply(write_policy(NAMESPACE, "nodes", podSelector={"matchLabels": labels}, events={"commands": {}}))
    command = ("debug", f"node/{NODE}", "-n", NAMESPACE, "-i", f"--image={BUSYBOX}", "--quiet")
    script = "read -r word; /bin/echo $word; /bin/ls /host"
    cluster.kubectl(*command, "--", "sh", "-c", script, user="alice", input="on-the-node\n", check=False)
    (found,) = release.wait_for("the command", lambda each: "on-the-node" in each.get("process.command_args", ()))
    session = release.records(lambda each: each.get(SESSION) == found[SESSION])
    assert {each["podcorder.session.kind"] for each in session} == {"Debug"}
    assert {each.get(USER) for each in session} == {"alice"}


def test_attaching_names_who_may_have_typed(release: Release) -> None:
    """What somebody types the container itself does: its events tell who had attached, and name nobody as user."""
    pods = Namespace(release.cluster, NAMESPACE)
    script = "while read -r line; do /bin/echo $line; done; sleep 600"
    pods.start("typed", make_container("main", "sh", "-c", script, stdin=True), labels={"app": "typed"})
    pods.wait_ready("typed")
    spec = {"podSelector": {"matchLabels": {"app": "typed"}}, "sessions": ["Container", "Attach"]}
    release.apply(write_policy(NAMESPACE, "typed", **spec, events={"commands": {}}))
    for user in PEOPLE:
        attached = subprocess.Popen(
            release.cluster.kubectl_command("attach", "-i", "-n", NAMESPACE, "typed", user=user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert attached.stdin is not None
        assert attached.stdout is not None
        release.wait_for(
            f"{user}'s attach",
            lambda each, user=user: (
                (each["event"], each.get("k8s.pod.name"), each.get(USER)) == (ATTACH, "typed", user)
            ),
        )
        attached.stdin.write(f"typed-by-{user}\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == f"typed-by-{user}\n"
        attached.kill()
        attached.communicate()

    def typed(user: str) -> list[Record]:
        return release.records(lambda each: f"typed-by-{user}" in each.get("process.command_args", ()))

    wait_until(lambda: typed("alice") and typed("bob"), 20, "what they typed in the log")
    assert [sorted(each["podcorder.attach.users"]) for user in PEOPLE for each in typed(user)] == [["alice"], [*PEOPLE]]
    own = release.records(lambda each: each.get("k8s.pod.name") == "typed" and each["event"] != ATTACH)
    assert [each for each in own if USER in each] == []


def test_forwarding_a_port_names_no_process(release: Release) -> None:
    """That somebody forwarded a port is told with the name and the pod; what the server in the pod does is nobody's."""
    pods = Namespace(release.cluster, NAMESPACE)
    script = "while :; do nc -l -p 8080 -e /bin/echo served; done"
    pods.start("served", make_container("main", "sh", "-c", script), labels={"app": "served"})
    pods.wait_ready("served")
    spec = {"podSelector": {"matchLabels": {"app": "served"}}, "sessions": ["Container", "PortForward"]}
    release.apply(write_policy(NAMESPACE, "served", **spec, events={"commands": {}, "network": {}}))

    async def forward() -> None:
        async with SessionClients.open(release.cluster) as clients:
            for user, spdy in zip(PEOPLE, (True, False), strict=True):
                await clients.use_port(user, NAMESPACE, "served", 8080, spdy=spdy)

    asyncio.run(forward())
    wait_until(lambda: len(release.records(lambda each: each["event"] == FORWARD)) == 2, 20, "both forwards in the log")
    told = release.records(lambda each: each["event"] == FORWARD)
    assert sorted((each[USER], each["k8s.pod.name"]) for each in told) == [(each, "served") for each in PEOPLE]
    release.wait_for("what the server did", lambda each: "served" in each.get("process.command_args", ()))
    own = release.records(lambda each: each.get("k8s.pod.name") == "served" and each["event"] != FORWARD)
    assert [each for each in own if USER in each] == []


def list_records(release: Release) -> list[Record]:
    """All RecordedSessions."""
    items: list[Record] = release.cluster.request("GET", SESSIONS)["items"]
    return items


def read_condition(record: Record, name: str) -> str:
    """Its status; empty where there is no such condition yet."""
    conditions = record.get("status", {}).get("conditions", ())
    return next((str(each["status"]) for each in conditions if each["type"] == name), "")


def find_missing(played: list[Played], verdict: Verdict) -> list[Played]:
    """Rounds that have not yet been recorded, or twice."""
    return [each for each in played if len(verdict.identities[each.round.word]) != each.round.sessions]


def report(played: list[Played], verdict: Verdict) -> None:
    """Figures for people."""
    print(f"events: {dict(verdict.events)}")
    for kind, contested in (("alone", False), ("contested", True)):
        chosen = [each.round for each in played if each.is_contested(played) is contested]
        found = Counter(identity for each in chosen for identity in verdict.identities[each.word])
        print(f"sessions of {len(chosen)} rounds {kind}: {dict(found)}")
    for action in Action:
        words = [each.round.word for each in played if each.round.action is action]
        print(f"{action}: {dict(Counter(identity for each in words for identity in verdict.identities[each]))}")
