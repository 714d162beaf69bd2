"""Where to deliver to and how: the environment as the OpenTelemetry specification has it (protocol/exporter).

For each variable the one of the signal, OTEL_EXPORTER_OTLP_LOGS_*, goes before the general one, OTEL_EXPORTER_OTLP_*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from podcorder_agent.delivery.errors import EndpointInvalid, SettingInvalid
from podcorder_agent.delivery.resources import parse_pairs

HTTP, GRPC, FILE = "http/protobuf", "grpc", "file"
_DEFAULTS = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}
_SIGNAL_PATH = "/v1/logs"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch


@dataclass(frozen=True, slots=True)
class Settings:
    """How one destination is reached."""

    protocol: str = HTTP
    """HTTP, GRPC or FILE."""
    url: SplitResult = field(default_factory=lambda: urlsplit(_DEFAULTS[HTTP] + _SIGNAL_PATH))
    """HTTP: the whole address requests go to. gRPC: scheme, host and port."""
    file: Path | None = None
    """The file OTLP JSON lines go to."""
    headers: Mapping[str, str] = field(default_factory=dict)
    compression: str = "none"
    """none or gzip: none is the specification's default, and the collector usually stands next door."""
    timeout: float = 10.0
    """Seconds for one request."""
    certificate: Path | None = None
    """PEM file of the authorities to trust; None: the system's."""
    client_certificate: Path | None = None
    client_key: Path | None = None


def read_settings(environment: Mapping[str, str], to: str | None = None) -> Settings:
    """Settings from the environment; `to` is a URL that replaces the endpoint, or a file. Raises a DeliveryError."""
    try:
        parse_pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    except ValueError as error:
        raise SettingInvalid("OTEL_RESOURCE_ATTRIBUTES is no list such as key=value,key2=value2: mend it.") from error
    if to is not None and "://" not in to:
        return Settings(protocol=FILE, file=_read_file(to))

    protocol = _find(environment, "PROTOCOL") or HTTP
    if protocol not in (HTTP, GRPC):
        raise SettingInvalid(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: set it to {HTTP} or {GRPC}.")
    compression = _find(environment, "COMPRESSION") or "none"
    if compression not in ("none", "gzip"):
        raise SettingInvalid(f"OTEL_EXPORTER_OTLP_COMPRESSION is {compression!r}: set it to gzip or none.")
    settings = Settings(
        protocol=protocol,
        url=_read_grpc_url(environment, to) if protocol == GRPC else _read_http_url(environment, to),
        headers=_read_headers(_find(environment, "HEADERS")),
        compression=compression,
        timeout=_read_timeout(_find(environment, "TIMEOUT")),
        certificate=_read_path(_find(environment, "CERTIFICATE")),
        client_certificate=_read_path(_find(environment, "CLIENT_CERTIFICATE")),
        client_key=_read_path(_find(environment, "CLIENT_KEY")),
    )
    if (settings.client_certificate is None) != (settings.client_key is None):
        raise SettingInvalid(
            "Only one of OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY is set: set both."
        )
    return settings


def _find(environment: Mapping[str, str], name: str) -> str:
    """An empty variable is an unset one."""
    own = environment.get(f"OTEL_EXPORTER_OTLP_LOGS_{name}", "").strip()
    return own or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _read_http_url(environment: Mapping[str, str], to: str | None) -> SplitResult:
    """The signal's own endpoint is used as it is; to a general one the signal's path is added."""
    own = environment.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "").strip()
    if to is None and own:
        url = _parse_url(own)
        return url if url.path else url._replace(path="/")
    url = _parse_url(to or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or _DEFAULTS[HTTP])
    return url._replace(path=url.path.rstrip("/") + _SIGNAL_PATH)


def _read_grpc_url(environment: Mapping[str, str], to: str | None) -> SplitResult:
    """An endpoint without a scheme is encrypted unless OTEL_EXPORTER_OTLP_INSECURE is true."""
    text = to or _find(environment, "ENDPOINT") or _DEFAULTS[GRPC]
    if "://" not in text:
        text = ("http://" if _find(environment, "INSECURE").lower() == "true" else "https://") + text
    url = _parse_url(text)
    return url._replace(netloc=f"{url.netloc}:4317") if url.port is None else url


def _parse_url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        raise EndpointInvalid(f"{text!r} is no collector's URL: give one such as http://localhost:4318.")
    if "@" in url.netloc:
        raise EndpointInvalid("The collector's URL holds credentials: put them into OTEL_EXPORTER_OTLP_HEADERS.")
    return url


def _read_file(text: str) -> Path:
    if not text or re.fullmatch(r"[A-Za-z0-9.-]+:\d+|https?:.*|\[.*\]:\d+", text):
        raise EndpointInvalid(
            f"{text!r} is neither a URL nor a file: give http://localhost:4318 or a path such as ./a.jsonl."
        )
    return Path(text)


def _read_headers(text: str) -> dict[str, str]:
    try:
        found = parse_pairs(text)
    except ValueError as error:
        raise SettingInvalid("OTEL_EXPORTER_OTLP_HEADERS is no list such as key=value,key2=value2: mend it.") from error
    for name, value in found.items():
        if not _HEADER_NAME(name) or not _HEADER_VALUE(value):
            raise SettingInvalid(f"OTEL_EXPORTER_OTLP_HEADERS has a header that HTTP cannot carry, {name!r}: mend it.")
    return found


def _read_timeout(text: str) -> float:
    if not text:
        return 10.0
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 3_600_000:
        raise SettingInvalid(f"OTEL_EXPORTER_OTLP_TIMEOUT is {text!r}: set it to milliseconds, from 1 to 3600000.")
    return int(text) / 1000


def _read_path(text: str) -> Path | None:
    return Path(text) if text else None
