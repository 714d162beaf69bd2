"""The test cluster itself: it starts in time, is what it says, meets no other, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster.access import Refused
from cluster.control_plane import API_SERVICE, NODE, ControlPlane
from cluster.images import BUSYBOX
from cluster.sandboxes import hierarchies, run, wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.processes import with_modules

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MACHINE_DIRECTORIES = ("/var/lib/kubelet", "/var/lib/cni", "/usr/libexec/kubernetes", "/run/netns")
OWNER = """
import sys, time
from pathlib import Path
from cluster.control_plane import API_SERVICE, NODE, ControlPlane
made = ControlPlane.create(Path(sys.argv[1]))
made.start()
print(made.sandbox.identity, flush=True)
time.sleep(600)
"""


def test_a_control_plane_is_ready_in_under_20_seconds() -> None:
    """Starting a control plane takes less than 20 s until it says that it is ready."""
    began = time.monotonic()
    with ControlPlane.running():
        took = time.monotonic() - began
    print(f"control plane ready in {took:.1f} s")
    assert took < 20


def test_two_clusters_do_not_meet(control_plane: ControlPlane) -> None:
    """What one cluster stores the other does not have, and ending one leaves the other."""
    with ControlPlane.running() as other:
        other.request("POST", CONFIG_MAPS, {"metadata": {"name": "of-the-other"}})
        with pytest.raises(Refused) as refused:
            control_plane.request("GET", f"{CONFIG_MAPS}/of-the-other")
        assert refused.value.code == 404
    assert control_plane.is_ready()


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_a_user_is_known_by_name(control_plane: ControlPlane, user: str) -> None:
    """Whoever uses alice's kubeconfig is alice to the API server."""
    done = control_plane.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", user=user)
    assert done.stdout == user


def test_a_user_may_do_nothing_unasked(control_plane: ControlPlane) -> None:
    """RBAC refuses alice what nobody granted."""
    done = control_plane.kubectl("get", "nodes", user="alice", check=False)
    assert done.returncode == 1
    assert "Forbidden" in done.stderr


def test_a_pods_token_names_its_node(control_plane: ControlPlane) -> None:
    """A token that is bound to a pod carries the name of the pod's node in the user's extra fields."""
    control_plane.add_node("named-by-token")
    token = control_plane.pod_bound_token("bound", "agent", "named-by-token")
    user = control_plane.request("POST", REVIEWS, {}, token=token)["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:bound:agent"
    assert user["extra"]["authentication.kubernetes.io/node-name"] == ["named-by-token"]


def test_a_token_has_a_kubeconfig(control_plane: ControlPlane) -> None:
    """The kubeconfig of a service account's token makes kubectl that service account."""
    path = control_plane.kubeconfig_for_token(control_plane.service_account_token("tokens", "robot"))
    kubectl = control_plane.commands / "kubectl"
    found = json.loads(run(kubectl, f"--kubeconfig={path}", "auth", "whoami", "-o", "json"))
    assert found["status"]["userInfo"]["username"] == "system:serviceaccount:tokens:robot"


def test_the_api_server_comes_back() -> None:
    """An API server that was restarted or killed has the same address and what it had acknowledged."""
    with ControlPlane.running() as cluster:
        cluster.request("POST", CONFIG_MAPS, {"metadata": {"name": "kept"}})
        cluster.restart_api_server()
        cluster.kill_api_server()
        assert not cluster.is_ready()
        cluster.start_api_server()
        assert cluster.request("GET", f"{CONFIG_MAPS}/kept")["metadata"]["name"] == "kept"


def test_controllers_delete_namespaces() -> None:
    """With the controllers started a deleted namespace goes, the plain pods of tokens in it too."""
    with ControlPlane.running() as cluster:
        cluster.add_node("lonely")
        cluster.pod_bound_token("doomed", "agent", "lonely")
        cluster.start_controllers()
        cluster.kubectl("delete", "namespace", "doomed", "--timeout=60s")


def test_a_cluster_ends_with_its_owner(tmp_path: Path) -> None:
    """A cluster whose owner is killed ends, and its directory goes."""
    directory = tmp_path / "cluster"
    directory.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, directory],
        env=with_modules(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    number = int(owner.stdout.readline().split()[0])
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    wait_until(lambda: not find_leftovers(number, directory), 20, "the end of the cluster")


def test_a_developers_cluster_stays_until_it_is_taken_down(tmp_path: Path) -> None:
    """`up` says how to reach the cluster and ends, a second `up` finds it, `down` leaves nothing, again is fine."""
    directory = tmp_path / "cluster"

    def cluster(*words: str | Path) -> str:
        command = [sys.executable, "-m", "cluster", *words]
        return subprocess.run(command, env=with_modules(), stdout=subprocess.PIPE, text=True, check=True).stdout

    said = cluster("up", directory, "--nodes", "0")
    assert cluster("up", directory, "--nodes", "0") == said
    number = int((directory / "sandbox").read_text().split()[0])
    for user in ("admin", "alice", "bob"):
        ask = f"{said.strip()}; kubectl --context={user} auth whoami -o 'jsonpath={{.status.userInfo.username}}'"
        assert run("sh", "-c", ask) == user
    cluster("down", directory)
    cluster("down", directory)
    assert find_leftovers(number, directory) == []


def test_a_pod_runs_and_answers_exec(whole_cluster: WholeCluster) -> None:
    """On the node a pod runs, and `kubectl exec` brings what a command in it says."""
    run_pod(whole_cluster, "box")
    assert whole_cluster.kubectl("exec", "box", "--", "cat", "/etc/hostname").stdout == "box\n"


def test_pods_reach_services(whole_cluster: WholeCluster) -> None:
    """From a pod the API server's Service is one connection away, as kube-proxy makes it."""
    run_pod(whole_cluster, "client")
    whole_cluster.kubectl("exec", "client", "--", "nc", "-w", "5", API_SERVICE, "443", input="")


def test_pods_find_services_by_name(whole_cluster: WholeCluster) -> None:
    """A pod finds a Service by its name, and learns of a name that nobody has that there is none."""
    run_pod(whole_cluster, "asker")
    look_up = ("exec", "asker", "--", "nslookup")
    assert f"Address: {API_SERVICE}\n" in whole_cluster.kubectl(*look_up, "kubernetes.default.svc.cluster.local").stdout
    assert "NXDOMAIN" in whole_cluster.kubectl(*look_up, "nobody.default.svc.cluster.local", check=False).stdout


def test_everything_is_of_one_version(whole_cluster: WholeCluster) -> None:
    """Client, server and kubelet call themselves what the go.mod pins."""
    module = Path(__file__).parent / "commands" / "kubernetes" / "go.mod"
    (pinned,) = (
        line.split()[1] for line in module.read_text().splitlines() if line.startswith("\tk8s.io/kubernetes v")
    )
    versions = json.loads(whole_cluster.kubectl("version", "-o", "json").stdout)
    assert versions["clientVersion"]["gitVersion"] == pinned
    assert versions["serverVersion"]["gitVersion"] == pinned
    node = whole_cluster.request("GET", f"/api/v1/nodes/{NODE}")
    assert node["status"]["nodeInfo"]["kubeletVersion"] == pinned


def test_nothing_is_left_behind(whole_cluster: WholeCluster) -> None:
    """After a cluster with a running pod has ended, none of its processes, namespaces, mounts, devices and files is
    there, the machine's own directories and settings are as before, and another whole cluster runs on."""
    before = [Path(each).exists() for each in MACHINE_DIRECTORIES]
    with WholeCluster.running() as cluster:
        number, directory = cluster.sandbox.number, cluster.directory
        run_pod(cluster, "left")
        assert find_leftovers(number, directory) != []
    assert find_leftovers(number, directory) == []
    assert [Path(each).exists() for each in MACHINE_DIRECTORIES] == before
    run_pod(whole_cluster, "survivor")


def run_pod(cluster: ControlPlane, name: str) -> None:
    """Run a busybox that waits, and wait until it is ready."""
    cluster.kubectl("run", name, f"--image={BUSYBOX}", "--restart=Never", "--", "sleep", "3600")
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def find_leftovers(number: int, directory: Path) -> list[str]:
    """What the machine still has of the cluster of this number and directory."""
    found = [str(each) for each in (directory, Path(f"/sys/class/net/podcorder{number}")) if each.exists()]
    own = f"/podcorder-cluster-{number}"
    found += [f"{each}{own}" for each in hierarchies() if Path(f"{each}{own}").exists()]
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                seen = "".join((process / file).read_text() for file in ("cmdline", "cgroup", "mounts"))
            except OSError:
                continue
            if str(directory) in seen or f"{own}/" in seen:
                found.append(f"process {process.name}: {(process / 'comm').read_text()}")
    return found
