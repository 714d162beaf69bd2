"""What sent the records: the OTLP resource, from the segment and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from podcorder_agent import __version__

SCOPE = "podcorder"


def describe(node: str, boot_id: str, environment: Mapping[str, str]) -> dict[str, object]:
    """Resource attributes for records of one boot of one node.

    The environment wins over what is detected, and OTEL_SERVICE_NAME over OTEL_RESOURCE_ATTRIBUTES (OpenTelemetry
    specification, resource SDK). `host.id` is known only of the machine this runs on: a journal of another boot may
    have come from elsewhere.
    """
    found: dict[str, object] = {
        "service.name": "podcorder",
        "service.version": __version__,
        "host.name": node,
        "podcorder.boot.id": boot_id,
    }
    if boot_id and boot_id == _read("/proc/sys/kernel/random/boot_id").replace("-", ""):
        machine = _read("/etc/machine-id")
        if machine:
            found["host.id"] = machine
    found |= parse_pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    name = environment.get("OTEL_SERVICE_NAME", "").strip()
    if name:
        found["service.name"] = name
    return found


def parse_pairs(text: str) -> dict[str, str]:
    """`key=value,key=value`, percent-encoded, as in OTEL_RESOURCE_ATTRIBUTES. Raises ValueError."""
    found = {}
    for item in filter(str.strip, text.split(",")):
        key, separator, value = item.partition("=")
        if not separator or not key.strip():
            raise ValueError(f"{item.strip()!r} is not key=value")
        found[unquote(key.strip())] = unquote(value.strip())
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
