"""What the chart grants is what grants.txt says, and docs/security-model.md explains."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from fixtures.charts import render
from fixtures.grants import list_grants

GRANTED = set((Path(__file__).parent / "grants.txt").read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    return render()


@pytest.fixture
def objects(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chart's, to be changed at will."""
    return deepcopy(rendered)


def test_no_manifest_grants_more(objects: list[dict[str, Any]]) -> None:
    """Every privilege of every container, hooks included, and every right of every service account is in the list."""
    assert list_grants(objects) == GRANTED


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ({"agent": {"sysResource": True}}, {"podcorder-agent/recorder: capabilities.add SYS_RESOURCE"}),
        ({"agent": {"loader": "core", "image": {"variant": "plain"}}}, set()),
        (
            {"agent": {"loader": "bcc"}},
            {
                "podcorder-agent/recorder: reads hostPath /lib/modules at /lib/modules",
                "podcorder-agent/recorder: reads hostPath /usr/src at /usr/src",
                "podcorder-agent/recorder: writes emptyDir at /tmp",
                "podcorder-agent/recorder: writes emptyDir at /var/cache",
            },
        ),
        (
            {"otlp": {"endpoint": "https://collector", "tlsSecret": "tls", "headersSecret": "headers"}},
            {
                "podcorder-agent/exporter: reads secret tls at /otlp-tls",
                "podcorder-agent/exporter: reads secretKeyRef.key headers in the environment",
                "podcorder-agent/exporter: reads secretKeyRef.name headers in the environment",
            },
        ),
        ({"podMonitor": {"enabled": True}, "crds": {"install": False}, "operator": {"replicas": 1}}, set()),
    ],
)
def test_a_value_grants_what_it_is_for(values: dict[str, Any], more: set[str]) -> None:
    """And nothing beside."""
    assert list_grants(render(values)) == GRANTED | more


# Where something is put (None: taken away, `+`: added to a list) that grants more.
POD = "DaemonSet podcorder-agent spec template spec"
MORE: dict[str, Any] = {
    f"{POD} hostNetwork": True,
    f"{POD} hostPID": True,
    f"{POD} automountServiceAccountToken": True,
    f"{POD} serviceAccountName": "podcorder-operator",
    f"{POD} initContainers": [{"name": "more"}],
    f"{POD} securityContext seccompProfile": None,
    f"{POD} volumes 0 hostPath path": "/",
    f"{POD} containers 0 securityContext privileged": True,
    f"{POD} containers 0 securityContext capabilities add +": "SYS_ADMIN",
    f"{POD} containers 0 securityContext seccompProfile": {"type": "Unconfined"},
    f"{POD} containers 0 volumeMounts +": {"name": "token", "mountPath": "/token", "readOnly": True},
    f"{POD} containers 1 securityContext capabilities": None,
    f"{POD} containers 1 securityContext readOnlyRootFilesystem": None,
    f"{POD} containers 1 securityContext runAsUser": 0,
    f"{POD} containers 1 volumeMounts 0 readOnly": None,
    f"{POD} containers 1 ports": [{"containerPort": 1, "hostPort": 1}],
    "ClusterRole podcorder-operator rules +": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    "ClusterRole podcorder-agent rules 0 verbs +": "delete",
    "Role podcorder-test rules 0 resourceNames": None,
    "ClusterRoleBinding podcorder-operator subjects +": {"kind": "ServiceAccount", "name": "default"},
    "ClusterRoleBinding podcorder-agent roleRef name": "cluster-admin",
    "RoleBinding podcorder-agent metadata namespace": "kube-system",
}


@pytest.mark.parametrize("place", MORE)
def test_more_would_be_found(objects: list[dict[str, Any]], place: str) -> None:
    """Whatever is granted in addition, or kept back no longer, makes the list another one."""
    kind, name, *path, last = place.split()
    changed: Any = next(each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    for key in path:
        changed = changed[int(key) if key.isdigit() else key]
    if last == "+":
        changed.append(MORE[place])
    elif MORE[place] is None:
        del changed[last]
    else:
        changed[last] = MORE[place]
    assert list_grants(objects) != GRANTED
