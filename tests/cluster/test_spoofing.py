"""Ways to have somebody else's name put on what one does: each event names who did it, or nobody."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.access import Refused
from cluster.control_plane import NODE
from cluster.sandboxes import hierarchies, wait_until
from cluster.whole_cluster import SOCKET, WholeCluster
from fixtures.charts import NAMESPACE as RELEASE_NAMESPACE
from fixtures.namespaces import Namespace, container_ids, make_container
from fixtures.people import let_begin_sessions
from fixtures.releases import Release, write_policy
from fixtures.session_clients import READY
from fixtures.shells import Shell
from fixtures.verdicts import CANDIDATES, IDENTIFIED, IDENTITY, SESSION, USER, Record

NAMESPACE = "bank"
SESSIONS = f"/apis/podcorder.dev/v1alpha1/namespaces/{NAMESPACE}/recordedsessions"
PODS = ("web", "vault")
FORGED = {"USER": "bob", "PODCORDER_USER": "bob", "PODCORDER_IDENTITY": "Identified", "KUBECTL_USER": "bob"}
SAME = ("/bin/echo", "the-very-same")
WAYS = {
    "nohup": "(trap '' HUP; exec {}) &",
    "setsid": "setsid {} &",
    "double fork": "(( {} & ) &)",
    "setsid in a double fork": "(setsid sh -c '{} &' &)",
    "new namespaces": "unshare -r -m -u -i -n -p -f {} &",
}
"""What begins something that outlives the shell, and leaves as much of it behind as it can."""


class Bank:
    """A namespace whose sessions are recorded, and those of the pods themselves too."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.pods = Namespace(release.cluster, NAMESPACE)

    def start(self) -> None:
        """Two pods that execute the same again and again with a forged environment, and one that is not recorded and
        may do anything to the node."""
        forged = [{"name": name, "value": value} for name, value in FORGED.items()]
        script = f"echo '#!/bin/sh' >/tmp/job; while :; do {' '.join(SAME)}; sleep 0.2; done"
        for pod in PODS:
            self.pods.start(pod, make_container("main", "sh", "-c", script, env=forged), labels={"record": "yes"})
        cgroups = {"name": "cgroups", "hostPath": {"path": str(hierarchies()[-1])}}
        powerful = make_container(
            "main",
            "sleep",
            "600",
            securityContext={"privileged": True},
            volumeMounts=[{"name": "cgroups", "mountPath": "/cgroups"}],
        )
        self.pods.start("root", powerful, labels={"record": "no"}, hostPID=True, volumes=[cgroups])
        self.pods.wait_ready(*PODS, "root")
        let_begin_sessions(self.release.cluster, NAMESPACE, "alice", "bob", "carol")
        spec = {
            "podSelector": {"matchLabels": {"record": "yes"}},
            "sessions": ["Container", "Exec", "Debug", "Attach", "PortForward"],
        }
        self.release.apply(write_policy(NAMESPACE, "everything", **spec))

    def shell(self, user: str, pod: str, mark: str, *options: str) -> Shell:
        return Shell(self.release.cluster, user, NAMESPACE, pod, mark, *options)

    def kubectl(self, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.release.cluster.kubectl("-n", NAMESPACE, *arguments, user=user, check=False)

    def events_of(self, word: str) -> list[Record]:
        """All events of all sessions that executed something with this argument, once there is one."""
        found = self.release.wait_for(
            f"{word} in the log", lambda record: word in record.get("process.command_args", ())
        )
        sessions = {each[SESSION] for each in found}
        return self.release.records(lambda record: record.get(SESSION) in sessions)

    def wait_settled(self, word: str) -> list[Record]:
        """The same, once it is not Pending any more."""

        def is_settled() -> bool:
            events = self.events_of(word)
            pending = {each[SESSION] for each in events if each.get(IDENTITY) == "Pending"}
            return pending <= {each[SESSION] for each in events if each["event"] == IDENTIFIED}

        wait_until(is_settled, 60, f"the end of the wait for who did {word}")
        return self.events_of(word)


def names(events: list[Record]) -> set[str]:
    """Who is named, and of events without a name, why there is none."""
    return {each.get(USER) or str(each.get(IDENTITY)) for each in events}


@pytest.fixture(scope="module")
def bank(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        bank = Bank(release)
        bank.start()
        yield bank


def test_the_environment_names_nobody(bank: Bank) -> None:
    """Whatever a process, or the pod's own, says in its environment: the session is hers who asked for it."""
    shell = bank.shell("alice", "web", "environment")
    shell.run(" ".join(f"{name}={value}" for name, value in FORGED.items()) + " /bin/echo forged")
    shell.end()
    assert names(bank.wait_settled("forged")) == {"alice"}


def test_what_the_pod_itself_executes_is_nobodys(bank: Bank) -> None:
    """Somebody asks for the very command that the pod's own process executes all the time: hers is hers, and the pod's
    has no person."""
    assert bank.kubectl("alice", "exec", "web", "--", *SAME).returncode == 0
    told = bank.release.wait_for(
        "her exec",
        lambda each: each.get("process.command_args") == [*SAME] and each["podcorder.session.kind"] == "Exec",
    )
    assert names(told) == {"alice"}
    own = bank.release.records(lambda each: each.get("podcorder.session.kind") == "Container")
    assert [each for each in own if each.get("process.command_args") == [*SAME]]
    assert [each for each in own if USER in each or IDENTITY in each] == []


@pytest.mark.parametrize("way", WAYS)
def test_what_is_left_behind_keeps_its_person(bank: Bank, way: str) -> None:
    """What outlives a session is hers who began it, while somebody else has a session in the same pod."""
    mark = way.replace(" ", "-")
    left = f'sh -c "until [ -e /tmp/{mark} ]; do sleep 0.2; done; /bin/echo left-{mark}" </dev/null >/dev/null 2>&1'
    alices = bank.shell("alice", "web", f"leaves-{mark}")
    alices.run(f"trap '' HUP; {WAYS[way].format(left)}")
    alices.end()
    bobs = bank.shell("bob", "web", f"stays-{mark}")
    bobs.run(f"/bin/echo by-bob-{mark}; : >/tmp/{mark}")
    assert names(bank.wait_settled(f"left-{mark}")) == {"alice"}
    bobs.end()
    assert names(bank.wait_settled(f"by-bob-{mark}")) == {"bob"}


def test_a_session_moved_to_another_pod_is_not_his_who_is_there(bank: Bank) -> None:
    """A privileged container moves a process of hers into a pod where somebody else has a session: what it executes
    there is not his, and a finding tells of it."""
    alices, bobs = bank.shell("alice", "web", "moved"), bank.shell("bob", "vault", "unmoved")
    alices.run("/bin/echo before-the-move")
    bobs.run(":")
    move = f"echo {alices.find_pid()} >/cgroups{bobs.find_cgroup()}/cgroup.procs"
    done = bank.pods.kubectl("exec", "root", "--", "sh", "-c", move, check=False)
    assert done.returncode == 0, done.stderr
    alices.run("/bin/echo after-the-move")
    bobs.run("/bin/echo beside-the-moved")
    alices.end()
    bobs.end()
    assert names(bank.wait_settled("before-the-move")) == {"alice"}
    his = bank.wait_settled("beside-the-moved")
    assert names(his) == {"bob"}
    moved = bank.wait_settled("after-the-move")
    assert names(moved) == {"Unannounced"}
    assert "podcorder.finding" in {each["event"] for each in moved}
    assert {each[SESSION] for each in moved} & {each[SESSION] for each in his} == set()


def test_who_enters_a_pod_from_the_node_is_nobody(bank: Bank) -> None:
    """A privileged container's process enters a pod's cgroup and namespaces and executes there the very command that
    somebody's session began with: it is not hers."""
    alices = bank.shell("alice", "vault", "visited")
    alices.run("/bin/echo at-home")
    pid, path = alices.find_pid(), alices.find_cgroup()
    enter = f"echo $$ >/cgroups{path}/cgroup.procs; echo /bin/echo intruding | nsenter -t {pid} -m -- sh -s visited"
    done = bank.pods.kubectl("exec", "root", "--", "sh", "-c", enter, check=False)
    assert done.returncode == 0, done.stderr
    assert not names(bank.wait_settled("intruding")) & {"alice", "bob"}
    alices.end()
    assert names(bank.wait_settled("at-home")) <= {"alice", "Ambiguous"}


def test_a_pid_that_was_hers_says_nothing(bank: Bank) -> None:
    """Somebody else's processes get the very process ids that hers had: each keeps its own person."""
    script = "n=0; while [ $n -lt 100 ]; do n=$((n+1)); /bin/echo {}; done"
    alices = bank.shell("alice", "web", "first")
    alices.run(script.format("first-pids"))
    pid = alices.find_pid()
    alices.end()
    bobs = bank.shell("bob", "web", "second")
    bobs.run(":")
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    bobs.run(script.format("second-pids"))
    bobs.end()
    hers, his = bank.wait_settled("first-pids"), bank.wait_settled("second-pids")
    assert {each["process.pid"] for each in hers} & {each["process.pid"] for each in his}
    assert names(hers) == {"alice"}
    assert names(his) == {"bob"}


def test_impersonating_needs_the_right(bank: Bank) -> None:
    """Without it the API server refuses, and nothing is recorded of it."""
    before = announced(bank)
    said = bank.kubectl("alice", "exec", "--as=bob", "web", "--", "/bin/echo", "as-bob").stderr
    assert "cannot impersonate" in said
    assert announced(bank) == before


def test_who_is_impersonated_is_named(bank: Bank) -> None:
    """With the right the session is the impersonated user's, as for the API server itself; its own audit log, which the
    request's id leads to, tells who it really was."""
    rule = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["carol"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "be-carol"}}
    bank.release.cluster.kubectl("apply", "-f", "-", input=json.dumps(role | {"rules": [rule]}))
    bank.release.cluster.kubectl("create", "clusterrolebinding", "be-carol", "--clusterrole=be-carol", "--user=alice")
    assert bank.kubectl("alice", "exec", "--as=carol", "web", "--", "/bin/echo", "as-carol").returncode == 0
    events = bank.wait_settled("as-carol")
    assert names(events) == {"carol"}
    (request,) = {each["podcorder.request.id"] for each in events}
    assert ("carol", request) in announced(bank)


def announced(bank: Bank) -> set[tuple[str, str]]:
    """User and request of all that was asked for."""
    items: list[dict[str, Any]] = bank.release.cluster.request("GET", SESSIONS)["items"]
    return {
        (each["spec"]["user"]["username"], each["spec"]["request"]["id"]) for each in items if "user" in each["spec"]
    }


def test_an_agents_token_writes_no_user(bank: Bank) -> None:
    """Whoever takes the token of the node's agent neither changes who it was nor announces anything."""
    assert bank.kubectl("alice", "exec", "web", "--", "/bin/echo", "before-the-theft").returncode == 0
    record = bank.wait_settled("before-the-theft")[0]["podcorder.session.record"].partition("/")[2]
    cluster = bank.release.cluster
    token = cluster.pod_bound_token(RELEASE_NAMESPACE, "podcorder-agent", NODE)
    stored = cluster.request("GET", f"{SESSIONS}/{record}")
    body = {"spec": {"user": {"username": "bob"}}}
    with pytest.raises(Refused) as caught:
        cluster.request("PATCH", f"{SESSIONS}/{record}", body, token=token, content="application/merge-patch+json")
    assert caught.value.code == 403
    forged = {key: stored[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "forged"}}
    with pytest.raises(Refused) as caught:
        cluster.request("POST", SESSIONS, forged, token=token)
    assert caught.value.code == 403
    assert cluster.request("GET", f"{SESSIONS}/{record}")["spec"] == stored["spec"]


def execute_on_the_node(bank: Bank, pod: str, identity: str, *command: str) -> str:
    """As root of the node, past the API server and the kubelet; what it prints."""
    container = container_ids(bank.pods.pod(pod))["main"]
    return bank.release.cluster.sandbox.run(
        "ctr", "--address", SOCKET, "--namespace", "k8s.io", "tasks", "exec", "--exec-id", identity, container, *command
    )


def test_what_the_runtime_was_asked_for_directly_is_unannounced(bank: Bank) -> None:
    """It names nobody, is told as a finding, and there is a record of it that says that nobody had asked."""
    execute_on_the_node(bank, "web", "direct", "/bin/echo", "past-the-api-server")
    events = bank.wait_settled("past-the-api-server")
    assert names(events) <= {"Pending", "Unannounced"}
    said = [each for each in events if each["event"] == IDENTIFIED]
    assert [each[IDENTITY] for each in said] == ["Unannounced"]
    session = said[0][SESSION]
    bank.release.wait_for(
        "the finding", lambda each: each["event"] == "podcorder.finding" and each.get(SESSION) == session
    )

    def records() -> list[dict[str, Any]]:
        items = bank.release.cluster.request("GET", SESSIONS)["items"]
        return [each for each in items if each.get("status", {}).get("sessionID") == session]

    wait_until(records, 20, "its RecordedSession")
    (record,) = records()
    assert record["spec"]["origin"] == "Unannounced"
    assert "user" not in record["spec"]


def test_what_looks_like_an_announced_session_contests_it(bank: Bank) -> None:
    """The runtime is asked directly for just what somebody asks the API server for at the same moment: neither session
    bears a name in the end but as one of those it could be."""
    command = ("sh", "-c", f"echo {READY}; read -r who; /bin/echo $who")
    cluster = bank.release.cluster
    asked = threading.Thread(
        target=lambda: cluster.kubectl(
            "-n", NAMESPACE, "exec", "-i", "web", "--", *command, user="alice", input="contest-by-alice\n", check=False
        )
    )
    asked.start()
    container = container_ids(bank.pods.pod("web"))["main"]
    direct = cluster.sandbox.enter(
        "ctr",
        "--address",
        SOCKET,
        "--namespace",
        "k8s.io",
        "tasks",
        "exec",
        "--exec-id",
        "contest",
        container,
        *command,
    )
    subprocess.run(direct, input="contest-by-root\n", text=True, check=True, stdout=subprocess.DEVNULL)
    asked.join()
    for word in ("contest-by-alice", "contest-by-root"):
        events = bank.wait_settled(word)
        ends = [each for each in events if each["event"] == IDENTIFIED] or events
        assert ends[-1][IDENTITY] == "Ambiguous"
        assert "alice" in ends[-1][CANDIDATES]
