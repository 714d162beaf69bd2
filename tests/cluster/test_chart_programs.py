"""What the chart's manifests say is understood by the programs that they start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fixtures.charts import CHART, find_pods, helm, render

from podcorder_agent.cluster.__main__ import parse_arguments as parse_exporter
from podcorder_agent.delivery.settings import read_settings
from podcorder_agent.recorder.__main__ import parse_arguments as parse_recorder
from podcorder_agent.recorder.bcc.cache import DIRECTORY as CACHE
from podcorder_operator.cli import main as operator

DIGEST = f"sha256:{0:064}"
TLS = {"endpoint": "https://collector:4317", "protocol": "grpc", "tlsSecret": "tls", "clientCertificate": True}


def find_container(values: dict[str, Any], pod: str, name: str) -> dict[str, Any]:
    containers = find_pods(render(values))[pod]["containers"]
    found: dict[str, Any] = next(each for each in containers if each["name"] == name)
    return found


def read_environment(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def is_mounted(container: dict[str, Any], path: Path | None) -> bool:
    return path is not None and any(path.is_relative_to(each["mountPath"]) for each in container["volumeMounts"])


def test_the_recorder() -> None:
    """Its options are those of the values, it stays where nothing can be recorded, and its directories are mounted."""
    journal = {"sizeBytes": 1 << 30, "keepSeconds": 60, "path": "/data"}
    recorder = find_container({"agent": {"journal": journal, "ringBytes": 65536}}, "podcorder-agent", "recorder")
    options = parse_recorder(recorder["args"])
    assert options.stay
    assert (options.journal_bytes, options.kept_seconds, options.ring_size) == (1 << 30, 60, 65536)
    assert is_mounted(recorder, options.journal)
    assert is_mounted(recorder, options.pins)


def test_the_recorder_that_compiles() -> None:
    """It is told to, from the variant's image, with memory for a compiler and a place for its files; the plain one
    has neither."""
    plain = find_container({}, "podcorder-agent", "recorder")
    compiling = find_container({"agent": {"loader": "bcc"}}, "podcorder-agent", "recorder")
    assert [parse_recorder(each["args"]).loader for each in (plain, compiling)] == ["auto", "bcc"]
    assert compiling["image"] == f"{plain['image']}-bcc"
    assert [each["resources"]["limits"]["memory"] for each in (plain, compiling)] == ["128Mi", "384Mi"]
    for path in (Path("/tmp"), CACHE):
        assert [is_mounted(each, path) for each in (plain, compiling)] == [False, True]


@pytest.mark.parametrize(
    ("agent", "image"),
    [
        ({"loader": "auto"}, "r/agent:0.1.0"),
        ({"loader": "core"}, "r/agent:0.1.0"),
        ({"loader": "bcc"}, "r/agent:0.1.0-bcc"),
        ({"loader": "bcc", "image": {"variant": "plain"}}, "r/agent:0.1.0"),
        ({"loader": "auto", "image": {"variant": "bcc"}}, "r/agent:0.1.0-bcc"),
        ({"loader": "bcc", "image": {"tag": "2"}}, "r/agent:2-bcc"),
        ({"loader": "bcc", "image": {"tag": f"2@{DIGEST}"}}, f"r/agent:2-bcc@{DIGEST}"),
        ({"loader": "bcc", "image": {"tag": f"@{DIGEST}"}}, f"r/agent@{DIGEST}"),
        ({"loader": "bcc", "image": {"repository": f"r/agent@{DIGEST}"}}, f"r/agent@{DIGEST}"),
        ({"image": {"repository": f"r:5000/agent@{DIGEST}", "tag": "2"}}, f"r:5000/agent:2@{DIGEST}"),
    ],
)
def test_the_agents_image(agent: dict[str, Any], image: str) -> None:
    """Its variant is in the tag, and where there is a digest no tag is made up; both halves have the same."""
    values = {"agent": agent | {"image": {"repository": "r/agent"} | agent.get("image", {})}}
    assert {each["image"] for each in find_pods(render(values))["podcorder-agent"]["containers"]} == {image}


@pytest.mark.parametrize(
    ("agent", "is_said"),
    [
        ({"loader": "bcc"}, False),
        ({"loader": "auto", "image": {"variant": "plain"}}, False),
        ({"loader": "bcc", "image": {"variant": "plain"}}, True),
        ({"loader": "bcc", "image": {"repository": f"r/agent@{DIGEST}"}}, True),
    ],
)
def test_an_image_that_may_lack_the_compiler_is_said(agent: dict[str, Any], is_said: bool) -> None:
    """Where the loader is bcc and the chart does not choose the image."""
    told = helm("install", "podcorder", CHART, "--dry-run=client", values={"agent": agent})
    assert ("WARNING: agent.loader is bcc" in told) is is_said


def test_the_exporter() -> None:
    """Where it delivers to, how, and with which certificates; its directories and certificates are mounted."""
    exporter = find_container({"otlp": TLS, "clusterName": "one"}, "podcorder-agent", "exporter")
    options = parse_exporter(exporter["args"])
    assert is_mounted(exporter, options.journal)
    assert is_mounted(exporter, options.copies)
    assert is_mounted(exporter, options.digest_key)
    environment = read_environment(exporter)
    assert environment["OTEL_RESOURCE_ATTRIBUTES"] == "k8s.node.name=$(NODE_NAME),k8s.cluster.name=one"
    settings = read_settings(environment)
    assert (settings.protocol, settings.url.geturl(), settings.compression) == ("grpc", TLS["endpoint"], "gzip")
    files = (settings.certificate, settings.client_certificate, settings.client_key)
    assert [each.name for each in files if is_mounted(exporter, each)] == ["ca.crt", "tls.crt", "tls.key"]


def test_without_tls_no_certificate_is_named() -> None:
    """The collector is reached as the endpoint says."""
    exporter = find_container({"otlp": {"endpoint": "http://collector:4318"}}, "podcorder-agent", "exporter")
    settings = read_settings(read_environment(exporter))
    assert settings.url.geturl() == "http://collector:4318/v1/logs"
    assert (settings.certificate, settings.client_certificate, settings.client_key) == (None, None, None)


@pytest.mark.parametrize(("pod", "word"), [("podcorder-test", "verify"), ("podcorder-unload", "unload")])
def test_the_words_of_the_hooks(pod: str, word: str) -> None:
    """The operator's command line knows them, and the namespace before them."""
    (container,) = find_pods(render())[pod]["containers"]
    assert container["command"] == ["podcorder-operator"]
    *options, asked = container["args"]
    assert operator.make_context("operator", [*options, asked]).params["namespace"] == "podcorder"
    assert asked == word
    assert word in operator.commands


def test_the_operator() -> None:
    """Its options are known, and its certificate is mounted."""
    container = find_container({"operator": {"logLevel": "debug"}}, "podcorder-operator", "operator")
    options = operator.make_context("operator", list(container["args"])).params
    assert options["log_level"] == "debug"
    assert is_mounted(container, options["webhook_certificate"])
    assert is_mounted(container, options["webhook_key"])
