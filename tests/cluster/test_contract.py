"""The contract on a real API server: what it accepts, refuses and shows is what the models say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.access import Refused
from cluster.control_plane import ControlPlane
from cluster.sandboxes import wait_until
from fixtures.established_kinds import wait_for_kinds
from fixtures.spec_strategies import almost_specs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podcorder_crds import ClusterSessionRecordingPolicySpec, RecordedSessionSpec, SessionRecordingPolicySpec
from podcorder_crds.kinds import KINDS, Kind
from podcorder_crds.problems import find_problems

ROOT = Path(__file__).parents[2]
GROUP = "/apis/podcorder.dev/v1alpha1"
MERGE = "application/merge-patch+json"
WRONG_POLICIES = yaml.safe_load((Path(__file__).parent / "wrong_policies.yaml").read_text(encoding="utf-8"))
WRONG_SESSIONS = yaml.safe_load((Path(__file__).parent / "wrong_sessions.yaml").read_text(encoding="utf-8"))
SESSION: dict[str, Any] = {
    "kind": "Exec",
    "origin": "Announced",
    "user": {"username": "alice", "groups": ["developers"]},
    "request": {
        "id": "6d1c1f5e",
        "time": "2026-11-22T20:00:00.123456Z",
        "source": "pods/exec",
        "command": ["sh"],
        "stdin": "Attached",
        "tty": "Allocated",
    },
    "nodeName": "node-1",
    "pod": {"name": "web-0", "uid": "0f6f"},
    "container": "app",
    "mode": "Strict",
}
MODELS = {
    "SessionRecordingPolicy": SessionRecordingPolicySpec,
    "ClusterSessionRecordingPolicy": ClusterSessionRecordingPolicySpec,
}


@pytest.fixture(scope="module")
def contract(control_plane: ControlPlane) -> ControlPlane:
    """A control plane that knows the kinds."""
    control_plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    wait_for_kinds(control_plane)

    def all_served() -> bool:
        served = control_plane.kubectl("api-resources", "--api-group=podcorder.dev", "-o", "name").stdout.split()
        return len(served) == len(KINDS)

    wait_until(all_served, 30, "the kinds are not served")
    return control_plane


def wrap(kind: str, spec: Any, name: str = "tried") -> dict[str, Any]:
    return {"apiVersion": "podcorder.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def kind_called(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


def path_of(kind: Kind) -> str:
    return f"{GROUP}/namespaces/default/{kind.plural}" if kind.scope == "Namespaced" else f"{GROUP}/{kind.plural}"


def refusal_of(cluster: ControlPlane, made: dict[str, Any]) -> str:
    """What the API server has against an object; empty if nothing."""
    try:
        cluster.request("POST", f"{path_of(kind_called(made['kind']))}?dryRun=All&fieldValidation=Strict", made)
    except Refused as refused:
        if refused.code not in (400, 422):
            raise
        return str(refused)
    return ""


def create(cluster: ControlPlane, made: dict[str, Any]) -> None:
    """An object with its status."""
    path = path_of(kind_called(made["kind"]))
    stored = cluster.request("POST", path, made)
    cluster.request("PUT", f"{path}/{made['metadata']['name']}/status", {**stored, "status": made["status"]})


def test_the_kinds_are_established(contract: ControlPlane) -> None:
    """The API server takes every definition without a complaint: names, structure, the cost of the rules."""
    definitions = json.loads(contract.kubectl("get", "crd", "-o", "json").stdout)["items"]
    found = {each["spec"]["names"]["kind"]: each for each in definitions}
    for kind in KINDS:
        conditions = {each["type"]: each["status"] for each in found[kind.name]["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("case", WRONG_POLICIES, ids=lambda case: case["name"])
def test_a_wrong_policy_is_refused_with_its_remedy(contract: ControlPlane, case: dict[str, Any]) -> None:
    """What can never work is refused with a sentence that says what to write, by the API server and by the parser."""
    kind = case.get("kind", "SessionRecordingPolicy")
    spec = case["spec"] if "events" in case else {"events": {"commands": {}}, **case["spec"]}
    done = contract.kubectl("apply", "-f", "-", input=yaml.safe_dump(wrap(kind, spec)), check=False)
    assert done.returncode != 0
    assert case["says"] in done.stderr
    sentences = [each.sentence for each in find_problems(MODELS[kind], spec, ("spec",))]
    assert any(case.get("parser", case["says"]) in each for each in sentences), sentences


def test_there_are_forty_wrong_policies() -> None:
    """Each of them is another mistake."""
    assert len({case["name"] for case in WRONG_POLICIES}) == len(WRONG_POLICIES) >= 40


@pytest.mark.parametrize("case", WRONG_SESSIONS, ids=lambda case: case["name"])
def test_a_wrong_session_is_refused(contract: ControlPlane, case: dict[str, Any]) -> None:
    """A session that contradicts itself is refused by the API server and by the parser, in our words if there are."""
    spec = {**SESSION, **case.get("spec", {}), "request": {**SESSION["request"], **case.get("request", {})}}
    spec = {name: value for name, value in spec.items() if name not in case.get("without", ())}
    assert case["says"] in refusal_of(contract, wrap("RecordedSession", spec))
    sentences = [each.sentence for each in find_problems(RecordedSessionSpec, spec)]
    assert any(case.get("parser", case["says"]) in each for each in sentences), sentences


@pytest.mark.parametrize("kind", ["Exec", "Attach", "PortForward", "Debug", "NodeProxy"])
def test_what_is_announced_is_accepted(contract: ControlPlane, kind: str) -> None:
    """A session as the operator announces it, of each kind and with all that it may say of it."""
    more: dict[str, dict[str, Any]] = {
        "Exec": {"request": {"commandDigest": "0123456789abcdef" * 4}},
        "Attach": {"request": {"source": "pods/attach"}},
        "PortForward": {"request": {"source": "pods/portforward", "ports": [80, 65535]}},
        "Debug": {"request": {"source": "pods/ephemeralcontainers"}, "target": "Pod"},
        "NodeProxy": {"request": {"source": "nodes/proxy", "path": "/exec/shop/web-0/app"}},
    }
    extra = [{"key": "authentication.kubernetes.io/credential-id", "values": ["JTI=1"]}]
    user = {**SESSION["user"], "uid": "7", "extra": extra}
    request = {**SESSION["request"], **more[kind]["request"]}
    spec = {**SESSION, **more[kind], "kind": kind, "user": user, "request": request}
    if kind == "NodeProxy":
        spec = {name: value for name, value in spec.items() if name not in ("pod", "container")}
    assert refusal_of(contract, wrap("RecordedSession", spec)) == ""
    assert find_problems(RecordedSessionSpec, spec) == []


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"exitCode": 256}, "status.exitCode"),
        ({"sessionID": "1"}, "is not a session's id: write 32 lower-case hexadecimal digits"),
        ({"rootProcess": {"executable": "/bin/sh"}}, "status.rootProcess.pid: Required value"),
        ({"rootProcess": {"pid": 0}}, "status.rootProcess.pid"),
        ({"login": {"uid": 2**32 - 1, "auditSession": 1}}, "status.login.uid"),
        ({"counts": [{"class": "Exec", "count": 1}, {"class": "Exec", "count": 2}]}, "Duplicate value"),
        ({"conditions": [{"type": "Ended", "status": "True"}]}, "status.conditions[0].reason: Required value"),
        ({"user": {"username": "mallory"}}, 'unknown field "status.user"'),
    ],
)
def test_a_wrong_status_is_refused(contract: ControlPlane, status: dict[str, Any], says: str) -> None:
    """What an agent may say of a session is bounded, each thing once, and who it was is not among it."""
    path, name = path_of(kind_called("RecordedSession")), "told"
    if name not in {each["metadata"]["name"] for each in contract.request("GET", path)["items"]}:
        contract.request("POST", path, wrap("RecordedSession", SESSION, name))
    target = f"{path}/{name}/status?fieldValidation=Strict"
    with pytest.raises(Refused) as caught:
        contract.request("PATCH", target, {"status": status}, content=MERGE)
    assert says in str(caught.value)


@pytest.mark.parametrize("kind", MODELS)
@given(data=st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_api_server_and_the_parser_agree(contract: ControlPlane, kind: str, data: st.DataObject) -> None:
    """What one of them accepts the other one does, for specs that are right or almost right."""
    spec = data.draw(almost_specs(cluster=kind.startswith("Cluster")))
    problems = find_problems(MODELS[kind], spec)
    refusal = refusal_of(contract, wrap(kind, spec))
    assert bool(refusal) == bool(problems), f"refused by one alone: {refusal or problems}"


def shown_policies() -> list[str]:
    """The policies of examples/ and of docs/policies.md."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/policies.md").read_text(encoding="utf-8"), re.DOTALL)
    files = [*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples" / "kubernetes").glob("*.yaml")]
    return [*(path.read_text(encoding="utf-8") for path in sorted(files)), *blocks]


@pytest.mark.parametrize("text", shown_policies())
def test_what_is_shown_applies(contract: ControlPlane, text: str) -> None:
    """What examples and documents show is a policy in Kubernetes, whole or as the spec of one."""
    written = yaml.safe_load(text)
    kind, spec = written.get("kind", "SessionRecordingPolicy"), written.get("spec", written)
    assert refusal_of(contract, wrap(kind, spec)) == ""


def test_a_policy_can_lose_what_it_had(contract: ControlPlane) -> None:
    """Server-side apply takes a policy whose sections lose their last field, and then holds them empty."""
    full = {
        "events": {"commands": {}, "files": {"paths": {"include": ["/etc/"]}}},
        "podSelector": {"matchLabels": {"app": "web"}},
        "containers": {"include": ["app"]},
        "redaction": {"rules": [{"name": "a", "pattern": "b"}]},
        "rateLimits": {"recordsPerSecond": 5},
    }
    empty = {"events": {"files": {}}, "podSelector": {}, "containers": {}, "redaction": {}, "rateLimits": {}}
    for spec in (full, empty):
        contract.kubectl(
            *("apply", "--server-side", "-f", "-"),
            input=yaml.safe_dump(wrap("SessionRecordingPolicy", spec, "emptied")),
        )
    stored = contract.request("GET", f"{path_of(KINDS[0])}/emptied")["spec"]
    assert stored == {**empty, "mode": "BestEffort", "redaction": {"defaults": "Enabled"}}


def walk(schema: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in schema.get("properties", {}).items():
        yield f"{where}.{name}", each
        yield from walk(each, f"{where}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], where)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.short_name)
def test_explain_reads_like_documentation(contract: ControlPlane, kind: Kind) -> None:
    """kubectl explain has a description for every field there is."""
    components = contract.request("GET", f"/openapi/v3{GROUP}")["components"]["schemas"]
    (served,) = (each for name, each in components.items() if name.endswith(f".{kind.name}"))
    described = {where: each for where, each in walk(served, kind.name) if not where.endswith(".metadata")}
    assert [where for where, each in described.items() if not each.get("description")] == []
    shown = contract.kubectl("explain", f"{kind.name.lower()}.spec").stdout
    assert "<no description>" not in shown
    assert " ".join(described[f"{kind.name}.spec"]["description"].split()) in " ".join(shown.split())


def table(output: str) -> list[list[str]]:
    """kubectl's table, cell by cell: each stands below its heading, and may be empty."""
    lines = output.splitlines()
    starts = [found.start() for found in re.finditer(r"\S+(?: \S+)*", lines[0])]
    return [[line[start:end].strip() for start, end in pairwise([*starts, None])] for line in lines]


def condition(name: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": "A sentence.",
        "lastTransitionTime": "2026-11-22T20:00:00Z",
    }


def test_what_get_shows(contract: ControlPlane) -> None:
    """The columns of kubectl get answer what one wants to know of each kind."""
    conditions = [condition("Accepted", "True", "Accepted"), condition("Ready", "False", "NodesBehind")]
    status = {"conditions": conditions, "nodes": {"matched": 5, "applied": 3, "degraded": 1, "behind": 2}}
    spec = {"events": {"commands": {}}}
    for kind, name in (("SessionRecordingPolicy", "shown"), ("ClusterSessionRecordingPolicy", "shown-everywhere")):
        create(contract, {**wrap(kind, spec, name), "status": status})
    config = {
        "conditions": [condition("Ready", "True", "Recording")],
        "appliedGeneration": 1,
        "agentVersion": "0.2.0",
        "kernelVersion": "6.18.1",
        "loader": {"name": "core", "reason": "the kernel describes its types (BTF)"},
    }
    create(contract, {**wrap("NodeRecordingConfig", {"nodeName": "node-1"}, "node-1"), "status": config})
    create(contract, {**wrap("NodeRecordingConfig", {"nodeName": "node-2"}, "node-2"), "status": config})
    recorded = {
        "sessionID": "0123456789abcdef" * 2,
        "startTime": "2026-11-22T20:00:00.5Z",
        "endTime": "2026-11-22T20:00:01Z",
        "rootProcess": {"pid": 4242, "executable": "/bin/dash"},
        "exitCode": 3,
        "conditions": [condition("Ended", "True", "Exited"), condition("Complete", "False", "EventsLost")],
        "confidence": "Certain",
        "counts": [{"class": "Exec", "count": 2}],
        "gaps": [{"class": "Open", "firstTime": "2026-11-22T20:00:00Z", "lastTime": "2026-11-22T20:00:01Z"}],
    }
    create(contract, {**wrap("RecordedSession", SESSION, "alice-1"), "status": recorded})

    def show(short_name: str, name: str, *arguments: str) -> list[tuple[str, str]]:
        heading, *rows = table(contract.kubectl("get", short_name, name, *arguments).stdout)
        return list(zip(heading, rows[0], strict=True))[1:-1]

    policy = [
        *(("ACCEPTED", "True"), ("READY", "False"), ("REASON", "NodesBehind"), ("MODE", "BestEffort")),
        *(("NODES", "5"), ("APPLIED", "3"), ("DEGRADED", "1")),
    ]
    assert show("srp", "shown") == policy
    assert show("csrp", "shown-everywhere", "-o", "wide") == [*policy, ("BEHIND", "2")]
    node = [("READY", "True"), ("GENERATION", "1"), ("APPLIED", "1"), ("AGENT", "0.2.0")]
    assert show("nrc", "node-1") == node
    wide = [("KERNEL", "6.18.1"), ("LOADER", "core"), ("REASON", "Recording")]
    assert show("nrc", "node-1", "-o", "wide") == [*node, *wide]
    session = [("KIND", "Exec"), ("USER", "alice"), ("POD", "web-0"), ("CONTAINER", "app"), ("NODE", "node-1")]
    shown = show("rsess", "alice-1", "-o", "wide")
    assert [each for each in shown if each[0] not in ("STARTED", "ENDED")] == [
        *session,
        *(("CONFIDENCE", "Certain"), ("ORIGIN", "Announced"), ("LOGIN", ""), ("EXIT", "3"), ("MODE", "Strict")),
        *(("COMPLETE", "False"), ("REASON", "Exited"), ("SESSION", "0123456789abcdef" * 2)),
    ]
    shown = show("rsess", "alice-1")
    assert shown[:5] == session
    assert [name for name, _ in shown[5:]] == ["STARTED", "ENDED", "CONFIDENCE"]
    chosen = contract.kubectl("get", "nrc", "--field-selector=spec.nodeName=node-2", "-o", "name").stdout
    assert chosen.split() == ["noderecordingconfig.podcorder.dev/node-2"]
    listed = contract.kubectl("get", "podcorder", "-A", "-o", "name").stdout.split()
    assert len({each.partition("/")[0] for each in listed}) == len(KINDS)
