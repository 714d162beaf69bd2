"""The environment's variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.delivery.errors import DeliveryError, EndpointInvalid, SettingInvalid
from podcorder_agent.delivery.settings import read_settings

PREFIX = "OTEL_EXPORTER_OTLP_"


def read(to: str | None = None, **variables: str) -> object:
    return read_settings({PREFIX + name: value for name, value in variables.items()}, to)


@pytest.mark.parametrize(
    ("variables", "to", "url"),
    [
        ({}, None, "http://localhost:4318/v1/logs"),
        ({"ENDPOINT": "http://c:1"}, None, "http://c:1/v1/logs"),
        ({"ENDPOINT": "http://c:1/"}, None, "http://c:1/v1/logs"),
        ({"ENDPOINT": "https://c/base/"}, None, "https://c/base/v1/logs"),
        ({"LOGS_ENDPOINT": "http://c:1"}, None, "http://c:1/"),
        ({"LOGS_ENDPOINT": "http://c:1/other"}, None, "http://c:1/other"),
        ({"ENDPOINT": "http://a:1", "LOGS_ENDPOINT": "http://b:1/x"}, None, "http://b:1/x"),
        ({"LOGS_ENDPOINT": "http://b:1/x"}, "http://t:2", "http://t:2/v1/logs"),
        ({"ENDPOINT": ""}, None, "http://localhost:4318/v1/logs"),
        ({"ENDPOINT": "http://[::1]:4318"}, None, "http://[::1]:4318/v1/logs"),
        ({"PROTOCOL": "grpc"}, None, "http://localhost:4317"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "https://c"}, None, "https://c:4317"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "c:9"}, None, "https://c:9"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "c:9", "INSECURE": "true"}, None, "http://c:9"),
        ({"PROTOCOL": "grpc", "LOGS_PROTOCOL": "http/protobuf"}, None, "http://localhost:4318/v1/logs"),
    ],
)
def test_the_endpoint(variables: dict[str, str], to: str | None, url: str) -> None:
    """The endpoint is made as the specification says, and --to replaces it."""
    assert read(to, **variables).url.geturl() == url


def test_the_signals_own_variables_go_first() -> None:
    """OTEL_EXPORTER_OTLP_LOGS_* beats OTEL_EXPORTER_OTLP_*."""
    found = read(
        TIMEOUT="1000",
        LOGS_TIMEOUT="2500",
        COMPRESSION="none",
        LOGS_COMPRESSION="gzip",
        HEADERS="a=1",
        LOGS_HEADERS="b=2%2C3",
        CERTIFICATE="/ca.pem",
        LOGS_CERTIFICATE="/own.pem",
    )
    assert (found.timeout, found.compression, found.headers) == (2.5, "gzip", {"b": "2,3"})
    assert found.certificate == Path("/own.pem")


@pytest.mark.parametrize(
    "url", ["ftp://c", "http://", "http://c:port", "http://c:99999", "http://[::1", "http://a b", "http://u:p@c", "://"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """What is no collector's URL gives one sentence and exit code 40, from the option and from the environment."""
    for to, variables in ((url, {}), (None, {"ENDPOINT": url})):
        with pytest.raises(EndpointInvalid) as refused:
            read(to, **variables)
        assert refused.value.exit_code == 40
        assert str(refused.value).count(". ") == 0


@pytest.mark.parametrize("to", ["localhost:4318", "127.0.0.1:4318", "[::1]:4318", "", "http:/c"])
def test_a_half_url_is_no_file(to: str) -> None:
    """Somebody who forgot the scheme does not get a file of that name."""
    with pytest.raises(EndpointInvalid):
        read(to)


def test_anything_else_is_a_file() -> None:
    """A path is a file for OTLP JSON lines."""
    assert read("out/events.jsonl").file == Path("out/events.jsonl")


@pytest.mark.parametrize(
    "variables",
    [
        {"PROTOCOL": "http/json"},
        {"COMPRESSION": "zstd"},
        {"TIMEOUT": "soon"},
        {"TIMEOUT": "0"},
        {"TIMEOUT": "-1"},
        {"HEADERS": "nonsense"},
        {"HEADERS": "a=b%0d%0ac: d"},
        {"HEADERS": "a b=c"},
        {"CLIENT_KEY": "/key.pem"},
    ],
)
def test_a_variable_that_makes_no_sense_is_refused(variables: dict[str, str]) -> None:
    """A variable that cannot be obeyed gives one sentence that names it, and exit code 41."""
    with pytest.raises(SettingInvalid) as refused:
        read(**variables)
    assert refused.value.exit_code == 41
    assert PREFIX in str(refused.value)


@pytest.mark.parametrize("to", [None, "out.jsonl"])
def test_resource_attributes_that_make_no_sense_are_refused(to: str | None) -> None:
    """OTEL_RESOURCE_ATTRIBUTES is read before anything is delivered, to wherever it goes."""
    with pytest.raises(SettingInvalid):
        read_settings({"OTEL_RESOURCE_ATTRIBUTES": "nonsense"}, to)


def test_exit_codes_are_distinct() -> None:
    """Each error of delivery ends the process with a code of its own, from 40 to 49."""
    codes = [each.exit_code for each in DeliveryError.__subclasses__()]
    assert len(set(codes)) == len(codes)
    assert all(40 <= code <= 49 for code in codes)
