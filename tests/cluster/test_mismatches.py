"""A node that cannot do what its config asks, and one whose agent is older than its config."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cluster.access import Refused
from cluster.control_plane import NODE
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.faulty_kernels import compile_without_rings
from fixtures.namespaces import Namespace
from fixtures.node_agents import CONFIG, NodeAgent, make_policy

from podcorder_agent.recorder.loaders import ARCHITECTURES, OBJECTS
from podcorder_crds import Capability

MERGE = "application/merge-patch+json"
DEFINITION = "crd/noderecordingconfigs.podcorder.dev"
NEWER_CONFIG = CONFIG.replace("v1alpha1", "v2")


@pytest.fixture(scope="module")
def agent(whole_cluster: WholeCluster) -> Iterator[NodeAgent]:
    with NodeAgent.running(whole_cluster) as running:
        yield running


@pytest.fixture(scope="module")
def namespace(agent: NodeAgent) -> Namespace:
    """With the pod `web`, which sleeps."""
    made = Namespace(agent.cluster, "shop")
    made.start("web", labels={})
    made.wait_ready("web")
    return made


@pytest.fixture
def without_files(agent: NodeAgent, tmp_path: Path) -> Iterator[None]:
    """The node as one whose kernel takes none of the programs for files: its recorder has none."""
    objects = tmp_path / "objects"
    shutil.copytree(OBJECTS / ARCHITECTURES[os.uname().machine], objects)
    (objects / "files.bpf.o").unlink()
    agent.unload_recorder()
    agent.start_recorder("--objects", objects)
    yield
    agent.unload_recorder()
    agent.start_recorder()


@pytest.fixture
def without_rings(agent: NodeAgent, tmp_path: Path) -> Iterator[None]:
    """The node as one whose kernel has no BPF ring buffers."""
    agent.unload_recorder()
    agent.start_recorder("--stay", "--objects", compile_without_rings(tmp_path))
    yield
    agent.unload_recorder()
    agent.start_recorder()


@pytest.fixture
def newer(agent: NodeAgent) -> Iterator[None]:
    """Configs of a newer Podcorder: in another version, the old one being served no more, and with one more field."""
    (known,) = json.loads(agent.cluster.kubectl("get", DEFINITION, "-o", "json").stdout)["spec"]["versions"]
    added = json.loads(json.dumps(known)) | {"name": "v2"}
    del added["selectableFields"]  # an API server refuses two versions that have the same with different schemas
    added["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["tides"] = {"type": "string"}
    unused = {"served": False, "storage": False}
    set_versions(agent, known | unused, added)
    wait_until(lambda: is_served(agent, NEWER_CONFIG) and not is_served(agent, CONFIG), 20, "the newer version")
    yield
    set_versions(agent, known, added | unused)
    wait_until(lambda: is_served(agent, CONFIG), 20, "the known version")


def set_versions(agent: NodeAgent, *versions: dict[str, Any]) -> None:
    patch = json.dumps({"spec": {"versions": versions}})
    agent.cluster.kubectl("patch", DEFINITION, "--type=merge", "--patch", patch)


def is_served(agent: NodeAgent, path: str) -> bool:
    with suppress(Refused):
        agent.cluster.request("GET", path)
        return True
    return False


def ready_of(config: dict[str, Any]) -> dict[str, Any]:
    (ready,) = (each for each in config["status"]["conditions"] if each["type"] == "Ready")
    assert isinstance(ready, dict)
    return ready


@pytest.mark.usefixtures("without_files")
def test_what_a_node_cannot_record_is_said_and_the_rest_is_recorded(agent: NodeAgent, namespace: Namespace) -> None:
    """The capability is Unavailable and says why, the node is not ready and names it, and commands are recorded."""
    agent.write_config([make_policy("shop", events={"commands": {}, "files": {}})])
    wait_until(lambda: ready_of(agent.read_config())["reason"] == "CapabilitiesUnavailable", 30, "the status")
    assert ready_of(agent.read_config())["message"] == "This node cannot record Files."
    capabilities = {each["name"]: each for each in agent.read_status()["capabilities"]}
    assert capabilities["Files"]["state"] == "Unavailable"
    assert "files.bpf.o is missing" in capabilities["Files"]["message"]
    assert capabilities["Processes"]["state"] == "Full"
    namespace.execute("web", "echo", "able")
    agent.wait_for("the exec", lambda each: each.arguments == ["echo", "able"])


@pytest.mark.usefixtures("without_rings")
def test_a_node_without_ring_buffers_says_so_and_its_agent_stays(agent: NodeAgent, namespace: Namespace) -> None:
    """Everything is Unavailable for that reason, the config counts as applied, nothing fails and nothing is delivered
    of what nobody records; both halves go on."""
    agent.write_config([make_policy("shop", events={"commands": {}, "files": {}})])
    wait_until(lambda: "ring buffers" in ready_of(agent.read_config())["message"], 30, "the status")
    wait_until(agent.is_applied, 30, "the config to be applied")
    status = agent.read_status()
    assert ready_of(agent.read_config())["reason"] == "CapabilitiesUnavailable"
    assert {each["state"] for each in status["capabilities"]} == {"Unavailable"}
    assert {each["name"] for each in status["capabilities"]} == set(Capability)
    reason = "This kernel has no BPF ring buffers: boot Linux 5.8 or newer."
    assert {each["message"] for each in status["capabilities"]} == {reason}
    assert status["loader"]["name"] == "core"
    namespace.execute("web", "echo", "unable")
    agent.wait_for("the finding", lambda each: "ring buffers" in each.body, count=len(Capability))
    assert not [each for each in agent.records() if each.arguments == ["echo", "unable"]]
    assert agent.recorder.poll() is None
    assert agent.exporter.poll() is None


@pytest.mark.usefixtures("newer")
def test_a_config_of_a_newer_version_is_carried_out_as_far_as_it_is_known(
    agent: NodeAgent, namespace: Namespace
) -> None:
    """The agent goes on with the version that is served, says what it does not know, and records the rest."""
    policy = make_policy("shop", "newer", events={"commands": {}, "smells": {}})
    spec = {"nodeName": NODE, "policies": [policy], "tides": "high"}
    cluster = agent.cluster
    cluster.request("PATCH", NEWER_CONFIG, {"spec": spec}, content=MERGE)
    wait_until(lambda: ready_of(cluster.request("GET", NEWER_CONFIG))["reason"] == "NotUnderstood", 40, "the status")
    message = ready_of(cluster.request("GET", NEWER_CONFIG))["message"]
    assert "podcorder.dev/v2" in message
    assert "spec.tides" in message
    assert "smells" in message
    namespace.execute("web", "echo", "newer")
    agent.wait_for("the exec", lambda each: each.arguments == ["echo", "newer"])
