"""A release whose nodes compile their programs: `agent.loader: bcc`, and with it the image's variant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.control_plane import NODE
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.charts import NAMESPACE
from fixtures.images import compiling_agent_image
from fixtures.namespaces import Namespace
from fixtures.releases import Release

POLICY = {
    "apiVersion": "podcorder.dev/v1alpha1",
    "kind": "SessionRecordingPolicy",
    "metadata": {"name": "shells", "namespace": "shop"},
    "spec": {"events": {"commands": {}, "files": {}, "network": {}}},
}
DEBUG_BUILD = [
    {"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "OnDelete"}},
    {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--trace=debug"},
]
TRACEFS = "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing"
"""As systemd does on a node."""
RIGHTS = """
import re
print(*re.findall(r"(?:CapEff|CapBnd|NoNewPrivs|Seccomp):.(.+)", open("/proc/self/status").read()))
"""


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    values = ("agent.loader=bcc", "agent.kernelHeaders={/usr/src}")
    directory = tmp_path_factory.mktemp("release")
    # It compiles before it reports, with what its request gives it of a machine that others use.
    more: dict[str, Any] = {"agent": compiling_agent_image, "report_seconds": 180}
    with Release.installed(whole_cluster, directory, *values, **more) as release:
        yield release


def test_what_the_node_has_compiled_records(release: Release) -> None:
    """Every capability that the policy needs, and what kubectl exec runs reaches the collector."""
    shop = Namespace(release.cluster, "shop")
    shop.start("web", labels={})
    shop.wait_ready("web")
    release.apply(json.dumps(POLICY))
    assert shop.execute("web", "cat", "/etc/hostname") == 0
    (command,) = release.wait_for(
        "the command", lambda record: record.get("process.command_args") == ["cat", "/etc/hostname"]
    )
    assert (command["event"], command["k8s.pod.name"]) == ("podcorder.process.exec", "web")
    release.wait_for("the file", lambda record: record.get("file.path") == "/etc/hostname")


def test_the_nodes_status_says_so(release: Release) -> None:
    """The loader and why it is that one; of each capability a rung that this loader has, and nothing missing."""
    status = release.read_config()["status"]
    assert status["loader"] == {"name": "bcc", "reason": "asked for"}
    rungs = {each["name"]: (each["state"], each.get("rung")) for each in status["capabilities"]}
    assert {state for state, _ in rungs.values()} <= {"Full", "Degraded"}, status["capabilities"]
    assert {str(rung).partition("_")[0] for _, rung in rungs.values()} == {"raw"}
    shown = release.cluster.kubectl("get", "noderecordingconfigs", NODE, "-o", "wide").stdout.splitlines()
    assert dict(zip(shown[0].split(), shown[1].split(), strict=True))["LOADER"] == "bcc"


def test_a_compiler_takes_no_privilege(release: Release) -> None:
    """The recorder has two capabilities, as ever, and none can be added to them."""
    assert ask(release, RIGHTS) == "000000c000000000 000000c000000000 1 2"


def test_what_was_compiled_is_kept_for_the_next_start(release: Release) -> None:
    """Of the recorder's container: where nobody but the recorder writes, on a root file system that is read-only."""
    script = "from podcorder_agent.recorder.bcc.cache import DIRECTORY; print(len(list(DIRECTORY.iterdir())) > 0)"
    assert ask(release, script) == "True"


def ask(release: Release, script: str) -> str:
    """What a Python script prints in the recorder's container."""
    command = ("exec", "-n", NAMESPACE, "daemonset/podcorder-agent", "-c", "recorder", "--", "python3", "-c", script)
    return release.cluster.kubectl(*command).stdout.strip()


def reason_of_loader(release: Release) -> str:
    """Nothing while the recorder has not told it: it compiles first."""
    return str(release.read_config()["status"].get("loader", {}).get("reason", ""))


def test_node_tells_why_something_is_not_recorded(release: Release, tmp_path: Path) -> None:
    """As docs/debugging.md has it: a debug build on the node, read from a container that may do everything there."""
    kubectl = release.cluster.kubectl
    kubectl("patch", "daemonset", "-n", NAMESPACE, "podcorder-agent", "--type=json", "-p", json.dumps(DEBUG_BUILD))
    agents = ("-n", NAMESPACE, "-l", "app.kubernetes.io/component=agent")
    kubectl("delete", "pod", *agents, f"--field-selector=spec.nodeName={NODE}")
    kubectl("rollout", "status", "-n", NAMESPACE, "daemonset/podcorder-agent", "--timeout=90s", check=False)
    wait_until(lambda: "debug build" in reason_of_loader(release), 60, "the debug build")
    release.cluster.sandbox.run("sh", "-c", TRACEFS)
    root = tmp_path / "root.json"
    root.write_text(json.dumps({"securityContext": {"runAsUser": 0}}))
    image = f"--image={compiling_agent_image().reference}"
    words = (f"node/{NODE}", "--profile=sysadmin", f"--custom={root}", image, "--", "podcorder", "doctor", "--trace")
    pod = re.search(r"node-debugger-\S+", kubectl("debug", *words).stdout)
    assert pod is not None
    wait_until(lambda: "not selected: class=" in kubectl("logs", pod[0], check=False).stdout, 60, "lines")
    kubectl("delete", "pod", pod[0], "--now")
