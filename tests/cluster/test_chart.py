"""The chart: what a real API server says of its objects, and what helm says of wrong values."""

from __future__ import annotations

import json
import tarfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.control_plane import ControlPlane
from fixtures.charts import CHART, NAMESPACE, HelmFailed, find_pods, helm, package, render
from fixtures.established_kinds import wait_for_kinds

from podcorder_crds import API_VERSION
from podcorder_operator.settings import DIGEST_KEY_BYTES

FOREIGN_KINDS = yaml.safe_load((Path(__file__).parent / "foreign_kinds.yaml").read_text(encoding="utf-8"))
POLICIES = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/sessionrecordingpolicies"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
VALUES = yaml.safe_load((Path(__file__).parent / "chart_values.yaml").read_text(encoding="utf-8"))
WRONG_VALUES = yaml.safe_load((Path(__file__).parent / "wrong_chart_values.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """A control plane with the chart's namespace that knows the kinds of others that the chart has objects of."""
    # A pod is taken, if only for a try, where its service account is.
    control_plane.add_service_account(NAMESPACE, "podcorder-test")
    control_plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(map(define, FOREIGN_KINDS)))
    wait_for_kinds(control_plane)
    return control_plane


def define(kind: dict[str, Any]) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    schema = {"type": "object", "properties": {"spec": {"type": "object"} | kind["spec"]}}
    version = {"name": kind["version"], "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind["kind"], "plural": kind["plural"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind['plural']}.{kind['group']}"},
        "spec": {"group": kind["group"], "names": names, "scope": "Namespaced", "versions": [version]},
    }


def test_helm_finds_no_fault(tmp_path: Path) -> None:
    """The strict linter is content, and the package renders to the same as the directory."""
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)
    archive = package(tmp_path)
    values = {"webhook": {"certificate": {"source": "CertManager"}}}  # the chart's own is another each time
    packaged = helm("template", "podcorder", archive, "--namespace", NAMESPACE, values=values)
    assert blank([each for each in yaml.safe_load_all(packaged) if each]) == blank(render(values))
    with tarfile.open(archive) as files:
        assert {"podcorder/values.schema.json", "podcorder/templates/NOTES.txt"} <= set(files.getnames())


def blank(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects without what is made anew each time: the data of Secrets, and the path that holds one."""
    for each in objects:
        if each["kind"] == "Secret":
            del each["data"]
        for webhook in each.get("webhooks", ()):
            webhook["clientConfig"]["service"]["path"] = ""
    return objects


@pytest.mark.parametrize("case", WRONG_VALUES, ids=lambda case: case["complaint"])
def test_a_wrong_value_is_refused_by_its_key(case: dict[str, Any]) -> None:
    """Nothing is rendered, and what helm says names the key."""
    with pytest.raises(HelmFailed) as refused:
        render(case["values"])
    assert case["complaint"] in str(refused.value)
    assert "schema" in str(refused.value)


def test_every_value_has_its_type_in_the_schema() -> None:
    """A key that the schema does not know, or one without a default, is a fault of ours."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    def compare(known: dict[str, Any], given: dict[str, Any], where: str) -> Iterator[str]:
        properties = resolve(known).get("properties", {})
        for name in properties.keys() ^ given.keys():
            yield f"{where}{name}"
        for name in properties.keys() & given.keys():
            if "properties" in resolve(properties[name]) and isinstance(given[name], dict):
                yield from compare(properties[name], given[name], f"{where}{name}.")

    def resolve(known: dict[str, Any]) -> dict[str, Any]:
        reference = known.get("$ref", "").removeprefix("#/$defs/")
        found: dict[str, Any] = schema["$defs"][reference] if reference else known
        return found

    # helm gives `global` to every chart
    assert set(compare(schema, values, "")) == {"global"}


def test_a_section_that_is_taken_away_is_named_or_not_needed() -> None:
    """With null in its place the chart is rendered, or the schema says what is missing: no template fails over it."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    def list_sections(given: dict[str, Any]) -> Iterator[list[str]]:
        for name, each in given.items():
            if isinstance(each, dict):
                yield [name]
                yield from ([name, *below] for below in list_sections(each))

    said = {}
    for path in list_sections(values):
        without: Any = None
        for name in reversed(path):
            without = {name: without}
        try:
            render(without)
        except HelmFailed as refused:
            said[".".join(path)] = str(refused)
    assert {"agent", "otlp", "agent.image", "agent.journal", "operator", "webhook.certificate"} <= said.keys()
    assert [each for each in said.values() if "missing property" not in each or "schema" not in each] == []


def test_an_old_kubernetes_is_refused() -> None:
    """With its version and the one that is needed."""
    with pytest.raises(HelmFailed, match=r"requires kubeVersion: >=1\.32\.0.*v1\.31\.9"):
        helm("template", "podcorder", CHART, "--kube-version", "1.31.9")


@pytest.mark.parametrize("name", VALUES)
def test_the_api_server_takes_every_object(plane: ControlPlane, name: str) -> None:
    """All of them, with no field that it does not know; the release's name looks like a number too."""
    objects = render(VALUES[name], release="0")
    assert len(objects) > 20
    said = plane.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
    )
    assert len(said.stdout.splitlines()) == len(objects)
    assert "Warning" not in said.stderr


def test_only_the_recorder_is_no_restricted_pod(plane: ControlPlane) -> None:
    """By Kubernetes' strictest standard: what it has against the agent is what the recorder must have, and no other
    pod of the chart is refused."""
    plane.kubectl("create", "namespace", "strict")
    plane.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    pods = find_pods(render())
    for each in pods.values():
        plane.add_service_account("strict", each["serviceAccountName"])
    refusals = {name: refuse(plane, pod) for name, pod in pods.items()}
    agent = refusals.pop("podcorder-agent")
    assert set(refusals.values()) == {""}
    assert 'must not include "BPF", "PERFMON"' in agent
    assert (
        'restricted volume types (volumes "journal", "bpffs", "cgroups" use restricted volume type "hostPath")' in agent
    )
    assert 'container "recorder" must not set runAsUser=0' in agent
    assert "exporter" not in agent
    assert agent.count("),") == 3, agent


def refuse(plane: ControlPlane, spec: dict[str, Any]) -> str:
    """What the API server has against a pod in the strict namespace; empty where it would take it."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried", "namespace": "strict"}, "spec": spec}
    spec.pop("priorityClassName", None)  # of the namespace, not of what the pod may do
    tried = plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False)
    return tried.stderr if tried.returncode else ""


def install(plane: ControlPlane, verb: str, release: str, namespace: str, *options: str, **values: Any) -> str:
    """What helm says once it has written the release's objects."""
    where = ("--namespace", namespace, "--create-namespace", "--kubeconfig", plane.kubeconfig())
    return helm(verb, release, CHART, *where, *options, values=values)


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> str:
    """What helm said when it installed a release with nothing but defaults."""
    return install(plane, "install", "podcorder", NAMESPACE)


def test_a_cluster_has_one_release(plane: ControlPlane, installed: str) -> None:
    """A second one is refused with the place of the first and the way out; the first can be upgraded, and keeps all
    that the chart made: the webhook's certificate, the digests' key, and the word in the path that is asked at."""
    assert "WARNING: otlp.endpoint is empty" in installed
    with pytest.raises(HelmFailed) as refused:
        install(plane, "install", "other", "elsewhere")
    (sentence,) = str(refused.value).splitlines()
    assert 'as release "podcorder" in namespace "podcorder"' in sentence
    assert "helm uninstall podcorder --namespace podcorder" in sentence
    secrets = read_secrets(plane)
    token = b64decode(secrets["podcorder-sessions"]["token"]).decode()
    assert {read_path(plane, webhook) for webhook in (0, 1)} == {f"/sessions/{token}"}
    assert len(b64decode(secrets["podcorder-digest"]["key"])) == DIGEST_KEY_BYTES
    said = install(plane, "upgrade", "podcorder", NAMESPACE, otlp={"endpoint": "http://collector:4318"})
    assert "What is recorded goes to http://collector:4318 as OTLP (http/protobuf)" in said
    assert "WARNING" not in said
    assert read_secrets(plane) == secrets
    assert read_path(plane, 0) == f"/sessions/{token}"


def read_secrets(plane: ControlPlane) -> dict[str, Any]:
    """What the chart made, by the name of the Secret."""
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    names = ("podcorder-webhook", "podcorder-digest", "podcorder-sessions")
    return {name: plane.request("GET", f"{path}/{name}")["data"] for name in names}


def read_path(plane: ControlPlane, webhook: int) -> Any:
    """Where the API server asks about sessions."""
    configuration = plane.request("GET", f"{WEBHOOKS}/podcorder-sessions")
    return configuration["webhooks"][webhook]["clientConfig"]["service"]["path"]


@pytest.mark.usefixtures("installed")
def test_what_keeps_pods_from_starting_is_said(plane: ControlPlane) -> None:
    """Secrets that are not there yet, and a namespace that does not take the agent's pods."""
    plane.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=baseline")
    otlp = {"endpoint": "https://collector:4318", "tlsSecret": "collector", "headersSecret": "headers"}
    said = install(plane, "upgrade", "podcorder", NAMESPACE, otlp=otlp)
    assert "otlp.headersSecret: namespace podcorder has no Secret headers yet" in said
    assert "otlp.tlsSecret: namespace podcorder has no Secret collector yet" in said
    assert "kubectl label --overwrite namespace podcorder pod-security.kubernetes.io/enforce=privileged" in said


@pytest.mark.usefixtures("installed")
def test_a_webhook_without_its_authority_is_refused(plane: ControlPlane) -> None:
    """The Secret that is named must hold the certificate that the API server is to trust, and is then handed on."""
    webhook = {"certificate": {"source": "Secret", "secret": "mine"}}
    with pytest.raises(HelmFailed, match=r'webhook\.certificate\.secret: namespace "podcorder" has no Secret "mine"'):
        install(plane, "upgrade", "podcorder", NAMESPACE, webhook=webhook)
    secret = {"metadata": {"name": "mine"}, "stringData": {"ca.crt": "a certificate"}}
    plane.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
    install(plane, "upgrade", "podcorder", NAMESPACE, webhook=webhook)
    (stored,) = plane.request("GET", f"{WEBHOOKS}/podcorder-policies")["webhooks"]
    assert b64decode(stored["clientConfig"]["caBundle"]) == b"a certificate"


@pytest.mark.usefixtures("installed")
def test_kinds_outlive_their_release(plane: ControlPlane) -> None:
    """They and what people made of them stay, and another release takes them over where it is told to."""
    policy = {"metadata": {"name": "mine"}, "spec": {"events": {"commands": {}}}}
    plane.request("POST", POLICIES, policy | {"apiVersion": API_VERSION, "kind": "SessionRecordingPolicy"})
    helm("uninstall", "podcorder", "--namespace", NAMESPACE, "--no-hooks", "--kubeconfig", plane.kubeconfig())
    assert plane.request("GET", f"{POLICIES}/mine")["spec"]["events"] == {"commands": {}}
    with pytest.raises(HelmFailed, match=r'podcorder\.dev.* must equal "elsewhere": current value is "podcorder"'):
        install(plane, "install", "podcorder", "elsewhere")
    install(plane, "install", "podcorder", "elsewhere", "--take-ownership")
