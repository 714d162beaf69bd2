"""Pods of every sort on an installed chart: each event reaches the collector as its pod's and its session's, once.

Of each sort there is one that no policy selects, to which everything is done as well, and of which there is nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.control_plane import NODE
from cluster.images import BUSYBOX
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.ledgers import read_ledger
from fixtures.namespaces import Namespace, container_ids
from fixtures.releases import Release
from fixtures.workloads import (
    FAILING,
    KIND,
    PROBE,
    SESSION,
    SHORT,
    SHORT_COMMANDS,
    UNSEEN,
    WEB,
    Workloads,
    commands,
    count_events,
    exit_code,
)

SHORT_PODS = 50
EFFECT_NS = 2 * 10**9
"""So soon a policy must take effect on the node."""
MOMENT_NS = 10**9
"""More than from a tick's time to its command, and from a command to the journal."""


@pytest.fixture(scope="module")
def workloads(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workloads]:
    """The release with two policies in force, `people` and `everything`, and the pods."""
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        workloads = Workloads(release, Namespace(whole_cluster, "the-pods"))
        workloads.start()
        yield workloads


def test_an_exec_without_a_terminal(workloads: Workloads) -> None:
    """One session with every program, the hidden ones too, with its end, and with all that tells where it was."""
    script = "/bin/ls /bin/sh; /bin/echo L2Jpbi9scyAvdG1w | base64 -d | sh; exit 4"
    for pod in reversed(WEB):
        assert workloads.pods.execute(pod, "sh", "-c", script, container="side") == 4
    session = workloads.session_of("web", "sh", "-c", script)
    assert sorted(commands(session)) == [
        ["/bin/echo", "L2Jpbi9scyAvdG1w"],
        ["/bin/ls", "/bin/sh"],
        ["/bin/ls", "/tmp"],
        ["base64", "-d"],
        ["sh"],
        ["sh", "-c", script],
    ]
    assert exit_code(session) == 4
    assert not any(each.get("process.interactive") for each in session)
    web = workloads.pods.pod("web")
    where = {
        "k8s.namespace.name": "the-pods",
        "k8s.pod.name": "web",
        "k8s.pod.uid": web["metadata"]["uid"],
        "k8s.container.name": "side",
        "container.id": container_ids(web)["side"],
        "container.image.name": BUSYBOX,
        "k8s.node.name": NODE,
        "k8s.cluster.name": "test",
        "podcorder.policy": "the-pods/people",
        KIND: "Exec",
    }
    for each in session:
        assert each | where == each


def test_an_exec_with_a_terminal(workloads: Workloads) -> None:
    """What is typed into a shell is one session, interactive, with the shell's exit code."""
    for pod in reversed(WEB):
        terminal = workloads.pods.open_terminal("exec", "-it", pod, "-c", "main", "--", "sh")
        for line, answer in ((b"/bin/ls /bin/cat", b"\n/bin/cat"), (b"/bin/echo by hand", b"\nby hand")):
            terminal.expect(b"# ")
            terminal.type(line + b"\n")
            terminal.expect(answer)
        terminal.type(b"exit 7\n")
        assert terminal.end() == 7
    session = workloads.session_of("web", "/bin/echo", "by", "hand")
    assert commands(session) == [["sh"], ["/bin/ls", "/bin/cat"], ["/bin/echo", "by", "hand"]]
    assert {each[KIND] for each in session} == {"Exec"}
    assert all(each["process.interactive"] for each in session if each["event"] == "podcorder.process.exec")
    assert exit_code(session) == 7


def test_kubectl_debug(workloads: Workloads) -> None:
    """What an ephemeral container runs is a session of kind Debug, what is executed in it one of kind Exec."""
    options = (f"--image={BUSYBOX}", "--target=main", "--container=looker")
    for pod in reversed(WEB):
        terminal = workloads.pods.open_terminal("debug", "-it", pod, *options, "--", "sh")
        terminal.type(b"\n")  # the first prompt may have been before kubectl attached
        terminal.expect(b"# ")
        terminal.type(b"/bin/ls /proc/1/root/bin/cat\n")
        terminal.expect(b"\n/proc/1/root/bin/cat")
        assert workloads.pods.execute(pod, "/bin/echo", "beside", container="looker") == 0
        terminal.type(b"exit 5\n")
        terminal.end()
    session = workloads.session_of("web", "/bin/ls", "/proc/1/root/bin/cat")
    assert commands(session) == [["sh"], ["/bin/ls", "/proc/1/root/bin/cat"]]
    assert {(each[KIND], each["k8s.container.name"]) for each in session} == {("Debug", "looker")}
    assert exit_code(session) == 5
    beside = workloads.session_of("web", "/bin/echo", "beside")
    assert {(each[KIND], each["k8s.container.name"]) for each in beside} == {("Exec", "looker")}


def test_kubectl_cp(workloads: Workloads, tmp_path: Path) -> None:
    """Into a pod and out of it: tar in a session of its own each, and the file that it writes or reads."""
    (tmp_path / "in").write_text("content")
    for pod in reversed(WEB):
        workloads.pods.kubectl("cp", str(tmp_path / "in"), f"{pod}:/tmp/copied", "-c", "main")
        workloads.pods.kubectl("cp", f"{pod}:/tmp/copied", str(tmp_path / "out"), "-c", "main")
    assert (tmp_path / "out").read_text() == "content"
    into = workloads.session_of("web", "tar", "-xmf", "-", "-C", "/tmp")
    out = workloads.session_of("web", "tar", "cf", "-", "/tmp/copied")
    for session, access in ((into, "write"), (out, "read")):
        assert {each[KIND] for each in session} == {"Exec"}
        (opened,) = (each for each in session if each.get("file.path") == "/tmp/copied")
        assert (opened["event"], opened["podcorder.file.access"]) == ("podcorder.file.open", access)


def test_a_policy_takes_effect_at_once(workloads: Workloads) -> None:
    """Applied, changed and deleted it takes effect within 2 s, and the log says when: between what it says is each
    command that the container itself has a line of, and no other."""
    began = time.time_ns()
    workloads.apply_policy("changing", sessions=["Container"])
    applied = time.time_ns()
    wait_until(lambda: workloads.events("ticking", "process.exec"), 20, "a command")
    workloads.apply_policy("changing", sessions=["Container"], events={"commands": {}, "files": {}})
    changed = time.time_ns()
    wait_until(lambda: workloads.events("ticking", "file.open"), 20, "a file")
    workloads.pods.kubectl("delete", "srp", "changing")
    deleted = time.time_ns()
    wait_until(lambda: len(workloads.events("ticking", "container.end")) == 2, 20, "the end of recording")
    first, again = (each["time"] for each in workloads.events("ticking", "container.start"))
    turned, last = (each["time"] for each in workloads.events("ticking", "container.end"))
    assert began < first < applied + EFFECT_NS
    assert again == turned < changed + EFFECT_NS
    assert last < deleted + EFFECT_NS
    ran = workloads.events("ticking", "process.exec", "process.fork", "process.exit", "file.open")
    assert all(first <= each["time"] <= last for each in ran)
    assert all(each["time"] >= turned for each in ran if each["event"] == "podcorder.file.open")
    (start,) = workloads.events("ticking", "session.start")
    assert start["podcorder.flags"] == ["partial"], "it is older than the policy"
    recorded = [int(each[2]) for each in commands(ran) if each[0] == "/bin/echo"]
    assert recorded == list(range(recorded[0], recorded[-1] + 1))
    wait_until(lambda: workloads.read_ticks()[-1][1] > last, 20, "a line from after the end of recording")
    ticks = workloads.read_ticks()
    assert {number for number, at in ticks if first < at < last - MOMENT_NS} <= set(recorded)
    assert set(recorded) <= {number for number, at in ticks if first - MOMENT_NS < at < last}


def test_a_crash_loop(workloads: Workloads) -> None:
    """Each run of the container is one session from its first command on, with its exit code and its own container."""
    workloads.pods.wait_restarted("failing", 2)
    runs = [workloads.session_of("failing", "/bin/echo", "failed", str(number)) for number in (1, 2, 3)]
    for number, session in enumerate(runs, 1):
        assert commands(session) == [FAILING, ["/bin/echo", "failed", str(number)]]
        assert {each[KIND] for each in session} == {"Container"}
        assert exit_code(session) == 3
    assert len({each[0]["container.id"] for each in runs}) == len({each[0][SESSION] for each in runs}) == 3


def test_a_probe_each_second(workloads: Workloads) -> None:
    """Each run of it is one session of kind Probe where a policy asks for probes, and nothing where none does; what
    people do meanwhile is theirs."""
    for pod in (f"probed-{UNSEEN}", "visited", "probed"):
        workloads.pods.execute(pod, "/bin/echo", "by hand")
    count = workloads.count_runs("probed")
    runs = [workloads.session_of("probed", "/bin/echo", "probed", str(number)) for number in range(1, count + 1)]
    assert len(runs) > 3
    for number, session in enumerate(runs, 1):
        assert commands(session) == [PROBE, ["/bin/echo", "probed", str(number)]]
        assert {each[KIND] for each in session} == {"Probe"}
    assert {each[KIND] for each in workloads.session_of("probed", "/bin/echo", "by hand")} == {"Exec"}
    workloads.session_of("visited", "/bin/echo", "by hand")
    assert commands(workloads.events("visited")) == [["/bin/echo", "by hand"]]


def test_short_pods_are_recorded_from_their_first_exec(workloads: Workloads) -> None:
    """What 50 pods generate that live for less than 2 s is delivered or counted as lost, of each class: their shells,
    20 commands each, and all forks and exits. Of 10 others, which no policy selects, there is nothing."""
    before = workloads.lost()
    workloads.start_job("short", "everything", SHORT_PODS)
    workloads.start_job(f"short-{UNSEEN}", "none", SHORT_PODS // 5)
    workloads.pods.kubectl("wait", "--for=condition=Complete", "--timeout=300s", "job/short", f"job/short-{UNSEEN}")
    pods = workloads.pods.of_job("short")
    assert len(pods) == SHORT_PODS
    generated = {"process.exec": SHORT_COMMANDS + 1, "process.fork": SHORT_COMMANDS, "process.exit": SHORT_COMMANDS + 1}
    once = {"container.start": 1, "container.end": 1, "session.start": 1, "session.end": 1}

    def all_ended() -> bool:
        return all(workloads.events(each, "container.end") for each in pods)

    wait_until(all_ended, 30, "the end of each pod's container in the log")
    missing: Counter[str] = Counter()
    for pod in pods:
        events = workloads.events(pod)
        counts = count_events(events)
        assert counts <= Counter(generated | once), pod
        assert counts >= Counter(once), pod
        missing += Counter(generated) - counts
        ran = Counter(map(tuple, commands(events)))
        expected = [("sh", "-c", SHORT), *(("/bin/echo", pod, str(number + 1)) for number in range(SHORT_COMMANDS))]
        assert ran <= Counter(expected), pod
        assert {each[KIND] for each in events if SESSION in each} == {"Container"}
        assert {(each["k8s.job.name"], each["k8s.container.name"]) for each in events} == {("short", "main")}
    lost = workloads.lost() - before
    assert missing == Counter({name: lost[name] for name in generated})


def test_what_is_not_delivered_is_counted(workloads: Workloads) -> None:
    """Of all that the kernel handed over, of these pods and of whatever else was held until it was decided about, each
    record is at the collector, or counted as withheld or as given up."""
    journal = workloads.release.cluster.directory / "node" / "var" / "lib" / "podcorder"
    ledger = read_ledger(journal)
    wait_until(lambda: ledger.events <= workloads.release.ids(), 20, "the delivery of the rest")
    assert ledger.journaled == ledger.delivered + ledger.withheld + ledger.given_up + ledger.held
    assert ledger.withheld["exec"] > 0


def test_nothing_is_told_of_what_no_policy_selects(workloads: Workloads) -> None:
    """Neither records nor traces nor metrics hold the uid of a pod, the id of a container, or the name of either; and
    each event of a process says which pod's it is."""
    pods = workloads.pods.pods()
    unseen = [each for each in pods if UNSEEN in each["metadata"]["name"]]
    assert len(unseen) > len(WEB) + SHORT_PODS // 5
    words = {UNSEEN} | {each["metadata"]["uid"] for each in unseen}
    for pod in pods:
        words |= {each for name, each in container_ids(pod).items() if pod in unseen or name == UNSEEN}
    told = workloads.release.collector.output.read_text()
    assert not [each for each in words if each in told]
    known = {each["metadata"]["uid"] for each in pods}
    assert {each["k8s.pod.uid"] for each in workloads.release.records(lambda each: SESSION in each)} <= known
