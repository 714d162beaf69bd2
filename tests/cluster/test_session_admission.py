"""Who asked for a session is written down by the operator, asked by a real API server, before it is allowed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from cluster.control_plane import ControlPlane
from cluster.sandboxes import wait_until
from fixtures.api_clients import ApiClient, Object, Refused
from fixtures.installations import Installation, Operator
from fixtures.session_endpoints import SessionEndpoint, ask_about_sessions

from podcorder_crds.digests import digest_command, join_arguments
from podcorder_operator.resources import NODES, PODS, POLICIES, RECORDED_SESSIONS

NODE = "node-1"
SHOP = "shop"
API, OTHER = "api", "other"


@dataclass(frozen=True)
class Shop:
    """A namespace with a pod that a policy selects and one that none does, and an operator that is asked."""

    plane: ControlPlane
    client: ApiClient
    endpoint: SessionEndpoint
    operator: Operator
    seen: set[str] = field(default_factory=set)
    """The uids of records."""

    def as_user(self, name: str) -> ApiClient:
        return self.client.as_user(self.plane.tokens[name])

    def connect(self, user: str, subresource: str, pod: str = API, **query: Any) -> Refused:
        """What the API server says: that no kubelet is there, where nobody keeps it from asking one."""
        with pytest.raises(Refused) as said:
            self.as_user(user).call("POST", PODS.path(pod, namespace=SHOP, subresource=subresource), **query)
        assert said.value.status != 403, said.value
        return said.value

    def take_sessions(self) -> list[Object]:
        """The records that are new since the last call: nobody may delete any."""
        every = sorted(self.client.list(RECORDED_SESSIONS), key=lambda each: each["metadata"]["name"])
        found = [each for each in every if each["metadata"]["uid"] not in self.seen]
        self.seen.update(each["metadata"]["uid"] for each in found)
        return found

    def take_session(self) -> Object:
        """The only record."""
        (session,) = self.take_sessions()
        return session

    def count(self, source: str, outcome: str) -> float:
        """How many reviews were answered so."""
        series = f'podcorder_operator_admissions_total{{outcome="{outcome}",source="{source}"}} '
        lines = (self.operator.ask("metrics") or "").splitlines()
        return sum(float(line.removeprefix(series)) for line in lines if line.startswith(series))

    def ask(self, url: str = "", **request: Any) -> requests.Response:
        """What the API server would ask, from somebody else."""
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        return requests.post(url or self.endpoint.url, json=review, verify=str(self.endpoint.authority), timeout=10)


@pytest.fixture(scope="module")
def shop(cluster_with_chart: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Alice and Bob may do everything in the cluster."""
    plane, client = cluster_with_chart.control_plane, cluster_with_chart.client
    plane.add_service_account(SHOP, "default")
    client.create(NODES, {"metadata": {"name": NODE}})
    plane.kubectl("create", "clusterrolebinding", "developers", "--clusterrole=cluster-admin", "--group=developers")
    add_pod(client, API, app="api")
    add_pod(client, OTHER)
    rule = {"name": "mine", "pattern": "number-[0-9]+"}
    selected = {"podSelector": {"matchLabels": {"app": "api"}}, "containers": {"exclude": ["hidden"]}}
    spec = selected | {"events": {"commands": {}}, "redaction": {"rules": [rule]}}
    client.create(POLICIES, {"metadata": {"name": "people", "namespace": SHOP}, "spec": spec})
    with ask_about_sessions(cluster_with_chart, tmp_path_factory.mktemp("endpoint")) as endpoint:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in endpoint.environment.items():
                patch.setenv(name, value)
            operator = cluster_with_chart.start_operator()
        operator.wait_ready()
        made = Shop(plane, client, endpoint, operator)

        def announces() -> bool:
            made.connect("admin", "exec", container="main", command="true")
            return bool(made.take_sessions())

        wait_until(announces, 20, "the API server asks")
        yield made
    cluster_with_chart.clear()


def add_pod(client: ApiClient, name: str, **labels: str) -> None:
    """A pod of two containers, on a node that no machine stands behind."""
    containers = [{"name": each, "image": "none"} for each in ("main", "hidden")]
    spec = {"nodeName": NODE, "automountServiceAccountToken": False, "containers": containers}
    client.create(PODS, {"metadata": {"name": name, "namespace": SHOP, "labels": labels}, "spec": spec})


def uid_of(shop: Shop, pod: str = API) -> str:
    found = shop.client.get(PODS, pod, SHOP)
    assert found is not None
    return str(found["metadata"]["uid"])


def test_exec(shop: Shop) -> None:
    """Who it is, what was asked for and where: all that the API server knows, the command without its secrets."""
    command = ["mysql", "-psecret", "--password", "hunter2", "number-17"]
    shop.connect("alice", "exec", container="main", command=command, stdin="true", tty="true")
    session = shop.take_session()
    spec, request = session["spec"], session["spec"]["request"]
    assert session["metadata"]["namespace"] == SHOP
    assert session["metadata"]["name"] == f"exec-{request['id']}"
    assert (spec["kind"], spec["origin"], spec["mode"]) == ("Exec", "Announced", "BestEffort")
    assert (spec["nodeName"], spec["container"]) == (NODE, "main")
    assert spec["pod"] == {"name": API, "uid": uid_of(shop)}
    assert spec["user"]["username"] == "alice"
    assert "developers" in spec["user"]["groups"]
    assert request["command"] == ["mysql", "-p[redacted]", "--password", "[redacted]", "[redacted]"]
    assert request["commandDigest"] == digest_command(shop.endpoint.key, join_arguments(command))
    assert (request["source"], request["stdin"], request["tty"]) == ("pods/exec", "Attached", "Allocated")


def test_attach(shop: Shop) -> None:
    """It has a record of its own, without a command."""
    shop.connect("bob", "attach", container="main", stdin="true")
    spec = shop.take_session()["spec"]
    assert (spec["kind"], spec["container"], spec["user"]["username"]) == ("Attach", "main", "bob")
    assert spec["request"].keys() == {"id", "time", "source", "stdin", "tty"}
    assert (spec["request"]["stdin"], spec["request"]["tty"]) == ("Attached", "NotAllocated")


def test_port_forward(shop: Shop) -> None:
    """It is the pod's, not a container's, and names the ports where the client does."""
    shop.connect("alice", "portforward", ports=["8080", "5432"])
    spec = shop.take_session()["spec"]
    assert (spec["kind"], spec["user"]["username"], "container" in spec) == ("PortForward", "alice", False)
    assert (spec["request"]["source"], spec["request"]["ports"]) == ("pods/portforward", [8080, 5432])


def test_what_no_policy_selects(shop: Shop) -> None:
    """Another pod, a container that is left out, and a pod that is not there: nothing is written."""
    shop.connect("alice", "exec", OTHER, container="main", command="true")
    shop.connect("alice", "exec", container="hidden", command="true")
    before = shop.count("pods/exec", "impossible")
    assert shop.connect("alice", "exec", "nobody", container="main", command="true").status == 404
    assert "a container name must be specified" in str(shop.connect("alice", "exec", command="true"))
    assert shop.count("pods/exec", "impossible") == before + 2
    assert shop.take_sessions() == []


def test_debug_container(shop: Shop) -> None:
    """The container that kubectl debug adds has one record, whose name does not depend on the request; that the same
    person attaches to it is part of it, that somebody else does is not."""
    debug = ("debug", API, "--namespace", SHOP, "--image=none", "--attach=false")
    shop.plane.kubectl(*debug, "--container=first", "--", "cat", "number-17", user="alice")
    session = shop.take_session()
    name, spec = session["metadata"]["name"], session["spec"]
    assert (spec["kind"], spec["target"], spec["container"]) == ("Debug", "Pod", "first")
    assert (spec["user"]["username"], spec["request"]["source"]) == ("alice", "pods/ephemeralcontainers")
    assert spec["request"]["command"] == ["cat", "[redacted]"]
    assert "commandDigest" not in spec["request"]
    shop.connect("alice", "attach", container="first", stdin="true")
    shop.connect("bob", "attach", container="first", stdin="true")
    spec = shop.take_session()["spec"]
    assert (spec["kind"], spec["user"]["username"]) == ("Attach", "bob")
    assert (name[:6], len(name)) == ("debug-", 6 + 32)


def test_debug_container_of_two_people(shop: Shop) -> None:
    """Of a container that one person asked for in vain and another one added, both are named."""
    pod = shop.client.get(PODS, API, SHOP) or {}
    new = {"name": "second", "image": "none", "terminationMessagePolicy": "File"}
    containers = [*pod["spec"].get("ephemeralContainers", ()), new]
    asked = {
        "operation": "UPDATE",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "subResource": "ephemeralcontainers",
        "namespace": SHOP,
        "name": API,
        "object": pod | {"spec": pod["spec"] | {"ephemeralContainers": containers}},
        "oldObject": pod,
    }
    for number in range(2):  # as after a conflict
        answer = shop.ask(uid=f"in-vain-{number}", userInfo={"username": "alice"}, **asked).json()
        assert answer["response"]["allowed"] is True
    shop.plane.kubectl(
        *("debug", API, "--namespace", SHOP, "--image=none", "--attach=false", "--container=second"), user="bob"
    )
    sessions = shop.take_sessions()
    assert sorted(each["spec"]["user"]["username"] for each in sessions) == ["alice", "bob"]
    assert {each["spec"]["container"] for each in sessions} == {"second"}


def test_node_debug_pod(shop: Shop) -> None:
    """A pod that looks into its node is Debug of the node, in a namespace where a policy selects it."""
    spec = {"podSelector": {}, "sessions": ["Debug"], "events": {"commands": {}}}
    shop.client.create(POLICIES, {"metadata": {"name": "nodes", "namespace": SHOP}, "spec": spec})
    debug = ("debug", f"node/{NODE}", "--namespace", SHOP, "--image=none", "--profile=sysadmin")

    def announces() -> list[Object]:
        shop.plane.kubectl(*debug, "--attach=false", "--", "chroot", "/host", user="bob")
        return shop.take_sessions()

    sessions: list[Object] = []
    wait_until(lambda: bool(sessions.extend(announces()) or sessions), 10, "the policy known")
    spec = sessions[0]["spec"]
    pod = shop.client.get(PODS, spec["pod"]["name"], SHOP)
    assert pod is not None
    assert spec["pod"]["uid"] == pod["metadata"]["uid"]
    assert (spec["kind"], spec["target"], spec["nodeName"]) == ("Debug", "Node", NODE)
    assert (spec["user"]["username"], spec["request"]["source"]) == ("bob", "pods")
    assert spec["request"]["command"] == ["chroot", "/host"]
    add_pod(shop.client, "plain")
    assert shop.take_sessions() == []
    shop.client.delete(POLICIES, "nodes", SHOP)


@pytest.mark.parametrize("path", ["exec/shop/api/main", "run/shop/api/main", "portForward/shop/api"])
def test_node_proxy(shop: Shop, path: str) -> None:
    """A request to a kubelet that leads into a container is recorded in the operator's own namespace, with its path;
    others are not, however they are spelt."""
    proxy = f"/api/v1/nodes/https:{NODE}:10250/proxy"
    for each in (f"{proxy}/{path}", f"{proxy}/metrics", f"{proxy}/containerLogs/exec/x/y"):
        with pytest.raises(Refused):
            shop.as_user("alice").call("POST", each, command="true")
    session = shop.take_session()
    spec = session["spec"]
    assert session["metadata"]["namespace"] == "podcorder"
    assert session["metadata"]["name"] == f"nodeproxy-{spec['request']['id']}"
    assert (spec["kind"], spec["nodeName"], spec["user"]["username"]) == ("NodeProxy", NODE, "alice")
    assert (spec["request"]["path"], spec["request"]["source"]) == (f"/{path}", "nodes/proxy")


def test_dry_run(shop: Shop) -> None:
    """Nothing is written of what does not happen."""
    before = shop.count("pods/ephemeralcontainers", "dry_run")
    change = {"spec": {"ephemeralContainers": [{"name": "tried", "image": "none"}]}}
    shop.client.call(
        "PATCH",
        PODS.path(API, namespace=SHOP, subresource="ephemeralcontainers"),
        change,
        kind="application/strategic-merge-patch+json",
        dryRun="All",
    )
    assert shop.count("pods/ephemeralcontainers", "dry_run") == before + 1
    assert shop.take_sessions() == []


def test_impersonation(shop: Shop) -> None:
    """Recorded is the user that the request is granted as; the audit log's annotation leads to who it really was."""
    command = ("exec", "--namespace", SHOP, API, "--container=main", "--as=bob", "--as-group=developers", "--", "true")
    shop.plane.kubectl(*command, user="alice", check=False)
    session, *_ = shop.take_sessions()  # kubectl asks once more where WebSockets do not work
    name, request = session["metadata"]["name"], session["spec"]["request"]["id"]
    assert session["spec"]["user"]["username"] == "bob"
    with shop.plane.audit_log.open() as log:
        (audited,) = (event for event in map(json.loads, log) if request in json.dumps(event.get("annotations", {})))
    assert audited["annotations"]["sessions.podcorder.dev/request"] == request
    assert audited["annotations"]["sessions.podcorder.dev/records"] == f"{SHOP}/{name}"
    assert (audited["user"]["username"], audited["impersonatedUser"]["username"]) == ("alice", "bob")
    assert audited["auditID"] != request


def test_asked_twice(shop: Shop) -> None:
    """A question that is asked again has the same answer, and one record."""
    asked: dict[str, Any] = {
        "uid": "asked-twice",
        "operation": "CONNECT",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "subResource": "exec",
        "namespace": SHOP,
        "name": API,
        "userInfo": {"username": "alice"},
        "object": {"container": "main", "command": ["true"]},
    }
    answers = [shop.ask(**asked).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["response"]["allowed"] is True
    shop.take_session()


def test_only_the_api_server_is_listened_to(shop: Shop) -> None:
    """Who does not know the secret path writes down nobody's name."""
    for word in ("", "/", "/sessions/", "/sessions/" + "0" * 48, "/policies"):
        url = shop.endpoint.url.partition("/sessions/")[0] + word
        assert shop.ask(url, uid="forged", userInfo={"username": "alice"}).status_code in (404, 405)
    assert shop.take_sessions() == []


def test_operator_gone(shop: Shop) -> None:
    """Without an operator nobody is kept out, and soon after it is back it is asked again."""
    shop.operator.kill()
    begun = time.monotonic()
    shop.connect("alice", "exec", container="main", command="true")
    assert time.monotonic() - begun < 5
    assert shop.take_sessions() == []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shop.endpoint.environment.items():
            patch.setenv(name, value)
        shop.operator.start()
    shop.operator.wait_ready()
    shop.connect("alice", "exec", container="main", command="true")
    assert shop.take_session()["spec"]["user"]["username"] == "alice"
