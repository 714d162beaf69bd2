"""The agent on a real node: what pods do is recorded as the node's config says, and bears their names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.images import BUSYBOX
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.node_agents import NodeAgent, Record, make_policy

EFFECT_SECONDS = 2.0
"""So soon a policy must take effect on the node, and so soon an event must be delivered."""


@pytest.fixture(scope="module")
def agent(whole_cluster: WholeCluster) -> Iterator[NodeAgent]:
    """The node's agent, for every test of the module: each has a namespace of its own."""
    with NodeAgent.running(whole_cluster) as running:
        yield running


@pytest.fixture
def namespace(agent: NodeAgent, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, which goes with what is in it."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60].strip("-")
    agent.cluster.kubectl("create", "namespace", name)
    wait_until(lambda: has_service_account(agent.cluster, name), 20, "the namespace's service account")
    yield name
    agent.write_config([])
    agent.cluster.kubectl("delete", "pod", "--all", "--namespace", name, "--grace-period=0", "--force")
    agent.cluster.kubectl("delete", "namespace", name, "--wait=false")


def has_service_account(cluster: WholeCluster, namespace: str) -> bool:
    accounts = cluster.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"]
    return any(each["metadata"]["name"] == "default" for each in accounts)


def apply(agent: NodeAgent, policies: list[dict[str, Any]]) -> None:
    """Have a config in force."""
    agent.write_config(policies)
    wait_until(agent.is_applied, 25, "the report that the config is in force")


def start_pod(agent: NodeAgent, namespace: str, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> None:
    """A pod that is ready; without a spec it sleeps."""
    spec = {"containers": [make_container("main", "sleep", "600")]} if spec is None else spec
    agent.cluster.request(
        "POST",
        f"/api/v1/namespaces/{namespace}/pods",
        {"metadata": {"name": name, **metadata}, "spec": {"terminationGracePeriodSeconds": 0} | spec},
    )
    agent.cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=60s", f"pod/{name}")


def make_container(name: str, *command: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": BUSYBOX, "command": list(command), **more}


def execute(agent: NodeAgent, namespace: str, pod: str, *command: str, container: str = "") -> None:
    chosen = ["-c", container] if container else []
    agent.cluster.kubectl("exec", "-n", namespace, pod, *chosen, "--", *command)


def is_exec(record: Record, *arguments: str) -> bool:
    return record.event == "podcorder.process.exec" and record.arguments == list(arguments)


def pods_of(agent: NodeAgent, namespace: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = agent.cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
    return items


def test_an_exec_is_recorded_and_bears_its_pods_name(agent: NodeAgent, namespace: str) -> None:
    """What kubectl exec runs is delivered within 2 s, with namespace, pod, container, image and session kind."""
    start_pod(agent, namespace, "web")
    apply(agent, [make_policy(namespace)])
    began = time.monotonic()
    execute(agent, namespace, "web", "echo", "hello")
    (record,) = agent.wait_for("the exec", lambda each: is_exec(each, "echo", "hello"))
    took = time.monotonic() - began
    print(f"kubectl exec to the event in the file: {took:.2f} s")
    (pod,) = pods_of(agent, namespace)
    expected = {
        "k8s.namespace.name": namespace,
        "k8s.pod.name": "web",
        "k8s.pod.uid": pod["metadata"]["uid"],
        "k8s.container.name": "main",
        "container.id": pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://"),
        "container.image.name": BUSYBOX,
        "podcorder.session.kind": "Exec",
        "podcorder.policy": f"{namespace}/exec",
    }
    assert record.attributes | expected == record.attributes
    assert took < EFFECT_SECONDS


def test_what_no_policy_selects_leaves_nothing(agent: NodeAgent, namespace: str) -> None:
    """Of two pods of a namespace only the one that the selector selects is delivered."""
    apply(agent, [make_policy(namespace, podSelector={"matchLabels": {"app": "web"}})])
    start_pod(agent, namespace, "web", labels={"app": "web"})
    start_pod(agent, namespace, "other", labels={"app": "other"})
    execute(agent, namespace, "other", "echo", "hidden")
    execute(agent, namespace, "web", "echo", "shown")
    agent.wait_for("the exec", lambda each: is_exec(each, "echo", "shown"))
    assert {each.pod for each in agent.records(namespace)} == {"web"}
    assert not any("hidden" in each.body for each in agent.records())


def test_a_change_takes_effect_within_two_seconds(agent: NodeAgent, namespace: str) -> None:
    """A policy that asks for files too, and then is gone, holds 2 s after the config was written."""
    start_pod(agent, namespace, "web")
    apply(agent, [make_policy(namespace)])
    execute(agent, namespace, "web", "cat", "/etc/hostname")
    agent.write_config([make_policy(namespace, generation=2, events={"commands": {}, "files": {}})])
    time.sleep(EFFECT_SECONDS)
    execute(agent, namespace, "web", "cat", "/etc/hosts")
    opened = agent.wait_for(
        "the opening of a file",
        lambda each: each.event == "podcorder.file.open" and each.attributes.get("file.path") == "/etc/hosts",
    )
    assert {each.pod for each in opened} == {"web"}
    assert not any(each.attributes.get("file.path") == "/etc/hostname" for each in agent.records(namespace))
    agent.write_config([])
    time.sleep(EFFECT_SECONDS)
    execute(agent, namespace, "web", "echo", "unrecorded")
    wait_until(agent.is_applied, 25, "the report that the config is in force")
    assert not any("unrecorded" in each.body for each in agent.records())


def test_short_pods_are_recorded_from_their_first_exec(agent: NodeAgent, namespace: str) -> None:
    """Of 20 pods of a Job that live less than 2 s each has its own first exec and no other, with pod and Job named."""
    apply(agent, [make_policy(namespace, sessions=["Container"])])
    script = "/bin/echo from $HOSTNAME; sleep 0.2"
    template = {"restartPolicy": "Never", "containers": [make_container("main", "sh", "-c", script)]}
    job = {
        "metadata": {"name": "short"},
        "spec": {"completions": 20, "parallelism": 5, "template": {"spec": template}},
    }
    agent.cluster.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    agent.cluster.kubectl("wait", "-n", namespace, "--for=condition=Complete", "--timeout=120s", "job/short")
    names = {each["metadata"]["name"] for each in pods_of(agent, namespace)}
    assert len(names) == 20
    shells = agent.wait_for("all shells", lambda each: is_exec(each, "sh", "-c", script), count=20)
    assert {each.pod for each in shells} == names
    echoes = agent.wait_for("all echoes", lambda each: each.arguments[:2] == ["/bin/echo", "from"], count=20)
    assert all(each.arguments[2] == each.pod for each in echoes)
    records = agent.records(namespace)
    assert {each.attributes.get("k8s.job.name") for each in records} == {"short"}
    assert {each.attributes.get("k8s.container.name") for each in records} == {"main"}
    assert sum(each.event == "podcorder.session.end" for each in agent.records(namespace)) == 20
    gaps = [each for each in agent.records() if each.event == "podcorder.recording.gap"]
    # Pods of a cluster beside this one stay unknown, which is a gap of its own kind.
    assert {each.attributes.get("podcorder.gap.reason") for each in gaps} <= {"pending"}


def test_the_first_pod_of_an_idle_node_is_recorded_from_its_first_exec(agent: NodeAgent, namespace: str) -> None:
    """Nothing is recorded, and the operator sends the policies of a namespace once the node has told of it: what a pod
    ran until then is delivered all the same."""
    agent.write_config([])
    wait_until(lambda: set(agent.recorder_states().values()) == {"Off"}, 40, "the recorder to be idle")
    start_pod(agent, namespace, "first", {"containers": [make_container("main", "sh", "-c", "/bin/echo 1; sleep 605")]})
    wait_until(lambda: namespace in agent.read_status()["namespaces"], 25, "the namespace in the status")
    agent.write_config([make_policy(namespace, sessions=["Container"])])
    (record,) = agent.wait_for("the first exec", lambda each: is_exec(each, "/bin/echo", "1"))
    assert record.pod == "first"
    assert any(is_exec(each, "sh", "-c", "/bin/echo 1; sleep 605") for each in agent.records(namespace))


def test_containers_of_one_pod_are_told_apart(agent: NodeAgent, namespace: str) -> None:
    """An init container and two others have their own names; one that the policy leaves out has no records, nor has
    the sandbox."""
    wanted = {"exclude": ["sidecar"]}
    apply(agent, [make_policy(namespace, sessions=["Container", "Exec"], containers=wanted)])
    spec = {
        "initContainers": [make_container("prepare", "sh", "-c", "/bin/echo preparing")],
        "containers": [make_container("main", "sleep", "601"), make_container("sidecar", "sleep", "602")],
    }
    start_pod(agent, namespace, "many", spec)
    execute(agent, namespace, "many", "echo", "aside", container="sidecar")
    execute(agent, namespace, "many", "echo", "done", container="main")
    agent.wait_for("the exec", lambda each: is_exec(each, "echo", "done"))
    agent.wait_for("the init container", lambda each: is_exec(each, "/bin/echo", "preparing"))
    names = {each.attributes.get("k8s.container.name") for each in agent.records(namespace)}
    assert names == {"prepare", "main"}
    assert not any(each.arguments[:1] == ["tail"] for each in agent.records())


def test_the_owner_of_a_deployments_pod_is_the_deployment(agent: NodeAgent, namespace: str) -> None:
    """A pod that a Deployment's ReplicaSet made bears the Deployment's name."""
    apply(agent, [make_policy(namespace, sessions=["Container"])])
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [make_container("main", "sleep", "603")]}}
    deployment = {"metadata": {"name": "shop"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    agent.cluster.request("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment)
    (record,) = agent.wait_for("the container", lambda each: is_exec(each, "sleep", "603"), seconds=60)
    assert record.attributes["k8s.deployment.name"] == "shop"
    agent.cluster.kubectl("delete", "deployment", "shop", "-n", namespace, "--wait=false")


def test_a_debug_container_has_a_debug_session(agent: NodeAgent, namespace: str) -> None:
    """What an ephemeral container runs is a session of kind Debug, and the pod's own is none."""
    apply(agent, [make_policy(namespace, sessions=["Debug"])])
    start_pod(agent, namespace, "web")
    agent.cluster.kubectl(
        *("debug", "-n", namespace, "web", f"--image={BUSYBOX}", "--container=looker", "--", "/bin/echo", "looking")
    )
    (record,) = agent.wait_for("the session", lambda each: is_exec(each, "/bin/echo", "looking"), seconds=30)
    assert record.kind == "Debug"
    assert record.attributes["k8s.container.name"] == "looker"
    assert {each.kind for each in agent.records(namespace) if each.kind} == {"Debug"}


def test_probes_are_told_from_execs(agent: NodeAgent, namespace: str) -> None:
    """An exec probe, with a variable of the container in it, is a session of kind Probe: a policy for Exec sessions has
    none, one for Probe nothing else."""
    probe = {"exec": {"command": ["cat", "$(ALIVE)"]}, "periodSeconds": 1}
    variables = [{"name": "ALIVE", "value": "/proc/version"}]
    spec = {"containers": [make_container("main", "sleep", "604", env=variables, readinessProbe=probe)]}
    apply(agent, [make_policy(namespace, podSelector={"matchLabels": {"app": "exec"}})])
    start_pod(agent, namespace, "exec", spec, labels={"app": "exec"})
    time.sleep(2)
    execute(agent, namespace, "exec", "echo", "by hand")
    agent.wait_for("the exec", lambda each: is_exec(each, "echo", "by hand"))
    assert {each.kind for each in agent.records(namespace) if each.kind} == {"Exec"}
    assert not any(is_exec(each, "cat", "/proc/version") for each in agent.records(namespace))
    apply(agent, [make_policy(namespace, sessions=["Probe"], podSelector={"matchLabels": {"app": "probe"}})])
    start_pod(agent, namespace, "probe", spec, labels={"app": "probe"})
    execute(agent, namespace, "probe", "echo", "by hand, too")
    probes = agent.wait_for("probes", lambda each: is_exec(each, "cat", "/proc/version"), count=3)
    assert {(each.pod, each.kind) for each in probes} == {("probe", "Probe")}
    assert {each.kind for each in agent.records(namespace) if each.pod == "probe" and each.kind} == {"Probe"}


def test_a_deleted_pods_events_keep_its_name(agent: NodeAgent, namespace: str) -> None:
    """What happened while nobody delivered is delivered with names, though the pod is gone by then; a restart asks
    nothing of the recorder that holds already."""
    start_pod(agent, namespace, "brief")
    apply(agent, [make_policy(namespace)])
    agent.kill_exporter()
    execute(agent, namespace, "brief", "echo", "goodbye")
    agent.cluster.kubectl("delete", "pod", "brief", "-n", namespace, "--grace-period=0", "--force")
    wait_until(lambda: not pods_of(agent, namespace), 20, "the pod's deletion")
    asked = len([each for each in agent.requests() if each["kind"] == "configure"])
    agent.start_exporter()
    (record,) = agent.wait_for("the exec", lambda each: is_exec(each, "echo", "goodbye"))
    assert (record.pod, record.attributes["k8s.namespace.name"]) == ("brief", namespace)
    assert len([each for each in agent.requests() if each["kind"] == "configure"]) <= asked + 1


def test_containers_that_came_and_went_without_an_exporter_are_named(agent: NodeAgent, namespace: str) -> None:
    """What was held for pods that lived while nobody followed is theirs when somebody does."""
    apply(agent, [make_policy(namespace, sessions=["Container"])])
    agent.kill_exporter()
    template = {"restartPolicy": "Never", "containers": [make_container("main", "/bin/echo", "unattended")]}
    job = {"metadata": {"name": "brief"}, "spec": {"completions": 3, "parallelism": 3, "template": {"spec": template}}}
    agent.cluster.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    agent.cluster.kubectl("wait", "-n", namespace, "--for=condition=Complete", "--timeout=60s", "job/brief")
    agent.start_exporter()
    records = agent.wait_for("the containers", lambda each: is_exec(each, "/bin/echo", "unattended"), count=3)
    assert {each.pod for each in records} == {each["metadata"]["name"] for each in pods_of(agent, namespace)}


def test_a_config_of_a_newer_version_is_carried_out_as_far_as_known(agent: NodeAgent, namespace: str) -> None:
    """What this agent does not know is said in the status; the rest is recorded."""
    start_pod(agent, namespace, "web")
    newer = make_policy(namespace, events={"commands": {}, "smells": {}})
    agent.write_config([newer])
    wait_until(lambda: ready_of(agent)["reason"] == "NotUnderstood", 25, "the status that says so")
    assert "smells" in ready_of(agent)["message"]
    execute(agent, namespace, "web", "echo", "known")
    agent.wait_for("the exec", lambda each: is_exec(each, "echo", "known"))
    agent.write_config([])
    wait_until(lambda: ready_of(agent)["reason"] == "Recording", 25, "the status that says that all is well")


def ready_of(agent: NodeAgent) -> dict[str, Any]:
    (ready,) = (each for each in agent.read_status()["conditions"] if each["type"] == "Ready")
    assert isinstance(ready, dict)
    return ready


def test_the_agent_works_on_without_the_api_server(agent: NodeAgent, namespace: str) -> None:
    """While the API server is away, execs are recorded and a container that is restarted is attributed; what comes
    afterwards is as well."""
    script = "/bin/echo again; sleep 2; exit 1"
    apply(agent, [make_policy(namespace, sessions=["Container", "Exec"])])
    start_pod(agent, namespace, "failing", {"containers": [make_container("main", "sh", "-c", script)]})
    start_pod(agent, namespace, "web")
    (pod,) = (each for each in pods_of(agent, namespace) if each["metadata"]["name"] == "web")
    container_id = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    agent.wait_for("the first run", lambda each: is_exec(each, "/bin/echo", "again"))
    agent.cluster.kill_api_server()
    try:
        before = len([each for each in agent.records() if is_exec(each, "/bin/echo", "again")])
        ctr = ("ctr", "--namespace", "k8s.io", "tasks", "exec", "--exec-id", "away", container_id)
        agent.cluster.sandbox.run(*ctr, "echo", "unseen")
        (record,) = agent.wait_for("the exec", lambda each: is_exec(each, "echo", "unseen"))
        assert record.pod == "web"
        again = agent.wait_for(
            "a restart", lambda each: is_exec(each, "/bin/echo", "again"), seconds=40, count=before + 1
        )
        assert {each.pod for each in again} == {"failing"}
    finally:
        agent.cluster.start_api_server()
    start_pod(agent, namespace, "later")
    execute(agent, namespace, "later", "echo", "back")
    (record,) = agent.wait_for("the exec", lambda each: is_exec(each, "echo", "back"), seconds=60)
    assert record.pod == "later"


def test_a_recorder_that_begins_anew_is_told_everything(agent: NodeAgent, namespace: str) -> None:
    """After the loss of all pins the agent selects again what it had selected."""
    start_pod(agent, namespace, "web")
    apply(agent, [make_policy(namespace)])
    with_control = agent.requests()
    agent.unload_recorder()
    agent.start_recorder()
    wait_until(
        lambda: sum(each["kind"] == "select" for each in agent.requests()) > count_selects(with_control), 20, "a select"
    )
    execute(agent, namespace, "web", "echo", "anew")
    (record,) = agent.wait_for("the exec", lambda each: is_exec(each, "echo", "anew"))
    assert record.pod == "web"


def count_selects(requests: list[dict[str, Any]]) -> int:
    return sum(each["kind"] == "select" for each in requests)


def test_a_killed_recorder_goes_on(agent: NodeAgent, namespace: str) -> None:
    """What happens while the recorder is dead is delivered by the next one, and attributed."""
    start_pod(agent, namespace, "web")
    apply(agent, [make_policy(namespace)])
    agent.kill_recorder()
    execute(agent, namespace, "web", "echo", "meanwhile")
    agent.start_recorder()
    (record,) = agent.wait_for("the exec", lambda each: is_exec(each, "echo", "meanwhile"))
    assert record.pod == "web"


def test_the_status_tells_of_the_node(agent: NodeAgent, namespace: str) -> None:
    """Namespaces with pods, capabilities, the condition Ready; and the Lease is renewed."""
    start_pod(agent, namespace, "web")
    apply(agent, [make_policy(namespace, events={"commands": {}, "files": {}})])
    wait_until(lambda: namespace in agent.read_status()["namespaces"], 25, "the namespace in the status")
    status = agent.read_status()
    states = {each["name"]: each["state"] for each in status["capabilities"]}
    assert {"Containers", "Processes", "ExecFailures", "Files"} <= states.keys()
    assert set(states.values()) == {"Full"}
    ready = ready_of(agent)
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "Recording")
    lease = agent.cluster.request("GET", "/apis/coordination.k8s.io/v1/namespaces/podcorder/leases/agent.node-1")
    assert lease["spec"]["leaseDurationSeconds"] == 40


def test_idle_the_status_is_not_written(agent: NodeAgent, namespace: str) -> None:
    """While nothing changes the config's resource version stays."""
    apply(agent, [make_policy(namespace)])
    time.sleep(11)
    before = agent.read_config()["metadata"]["resourceVersion"]
    time.sleep(12)
    assert agent.read_config()["metadata"]["resourceVersion"] == before
